"""Make the folder of an SP TSM: encrypted key store, client key, sp.toml."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization

from opentsm_card.aid import Aid
from opentsm_card.errors import ProtocolError
from opentsm_tsm import pki
from opentsm_tsm.keystore import KeyStore
from opentsm_tsm.sp.config import check_url
from opentsm_tsm.sp.tsm import PRIVATE_KEY

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["add_service", "create_folder"]

_NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")

_TEMPLATE: Final = """\
[sp]
id = "{name}"
sd = "{sd}"
database = "sp.sqlite"

[tsm]
url = "{url}"
ca = "tsm-ca.pem"

[tls]
certificate = "client.pem"
key = "client.key"

[keys]
store = "sp.keys"
passphrase_file = "passphrase"
"""

_SERVICE: Final = """
[[service]]
name = "{name}"
instance = "{instance}"
label = "{label}"
priority = {priority}
max_accounts = 4
"""


def create_folder(folder: Path, name: str, sd: bytes, url: str) -> tuple[bytes, bytes]:
    """Make an SP TSM's folder: keys in an encrypted store, client key, sp.toml.

    Args:
        folder: new or empty.
        name: the provider's name at the central TSM.
        sd: AID of its security domain.
        url: the central TSM's.

    Returns:
        the PEM of the public key to which the central TSM encrypts temporary keys, and a PEM certificate request
        for the client certificate.

    Raises:
        ProtocolError: the folder is not empty, or an argument is malformed.
    """
    # All of it is checked before anything is made.
    Aid(sd)
    check_url(url, "the central TSM")
    if not _NAME.fullmatch(name):
        raise ProtocolError(f"name {name!r}: want letters, digits, '.', '_', ':' and '-', up to 64")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ProtocolError(f"{folder}: not empty; keys are never overwritten")
    passphrase = secrets.token_urlsafe(24).encode()
    pki.write_private(folder / "passphrase", passphrase)
    transport = pki.create_key()
    KeyStore.create(folder / "sp.keys", passphrase).put(PRIVATE_KEY, pki.key_pem(transport))
    public = transport.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "transport.pub.pem").write_bytes(public)
    client = pki.create_key()
    pki.write_private(folder / "client.key", pki.key_pem(client))
    request = pki.create_request(client, name)
    (folder / "client.csr.pem").write_bytes(request)
    (folder / "sp.toml").write_text(_TEMPLATE.format(name=name, sd=sd.hex().upper(), url=url))
    return public, request


def add_service(folder: Path, name: str, instance: bytes, label: str, priority: int) -> None:
    """Add a [[service]] table to a folder's sp.toml."""
    table = _SERVICE.format(name=name, instance=instance.hex().upper(), label=label, priority=priority)
    with (folder / "sp.toml").open("a") as file:
        file.write(table)
