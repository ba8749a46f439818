"""Tokens and DAPs that another implementation made: what they sign, and their signatures.

Spec: GP Card Specification 2.3.1, C.3, C.4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from opentsm_card.aid import Aid
from opentsm_card.dap import check_dap
from opentsm_card.delete import DeleteObject
from opentsm_card.install import InstallForExtradition, InstallForInstall, InstallForLoad, InstallForRegistryUpdate
from opentsm_card.load import DapBlock
from opentsm_card.privileges import Privilege
from opentsm_card.signatures import MacKey
from opentsm_card.tokens import check_token, token_data
from token_vectors import KEYS, VECTORS, public_key

Authorized = InstallForLoad | InstallForInstall | InstallForExtradition | InstallForRegistryUpdate | DeleteObject

PACKAGE: Final = Aid.from_text("F06F70656E74736D0101")
CARD: Final = Aid.from_text("F06F70656E74736D0B000101")
DOMAIN: Final = Aid.from_text("F06F70656E74736D0D0002")
HASH: Final = bytes.fromhex(VECTORS["hash"])
COMMANDS: Final[dict[str, Authorized]] = {
    "load": InstallForLoad(Aid.from_text("F06F70656E74736D0CA7"), None, HASH),
    "install": InstallForInstall(
        PACKAGE,
        Aid.from_text("F06F70656E74736D010101"),
        CARD,
        Privilege.CONTACTLESS_SELF_ACTIVATION,
        bytes.fromhex("C90C500442616E6B870101C20104"),
    ),
    "extradition": InstallForExtradition(DOMAIN, CARD),
    "update": InstallForRegistryUpdate(CARD, privileges=Privilege.CONTACTLESS_SELF_ACTIVATION),
    "delete": DeleteObject(CARD, related=True),
}


@pytest.mark.parametrize("operation", COMMANDS)
def test_tokens_of_another_implementation(operation: str) -> None:
    vector = VECTORS["operations"][operation]
    assert token_data(COMMANDS[operation]) == bytes.fromhex(vector["data"])
    for kind in KEYS:
        token = bytes.fromhex(vector["tokens"][kind])
        check_token(replace(COMMANDS[operation], token=token), public_key(kind))


@pytest.mark.parametrize("kind", VECTORS["daps"])
def test_daps_of_another_implementation(kind: str) -> None:
    block = DapBlock(DOMAIN, bytes.fromhex(VECTORS["daps"][kind]))
    key = public_key(kind) if kind in KEYS else MacKey(bytes(range(1, 49, 3)))
    check_dap(key, block, HASH[:20] if kind == "rsa-1024" else HASH)  # that one takes a SHA-1 hash
