"""`opentsm card` where management is delegated: a tenant's command line, and its keys in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization

from card_cli import CardDoor
from delegation import TENANT, TENANT_KEYS
from opentsm_card.signatures import MacKey
from sd_host import CARD_1, PAYMENT_MODULE, PAYMENT_PACKAGE, payment_parameters

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from delegation import Delegation
    from opentsm_card.signatures import SigningKey

__all__ = ["INSTALL", "Tenant", "write_key"]

INSTALL = (
    "install", "--from", str(PAYMENT_PACKAGE), "--applet", str(PAYMENT_MODULE), "--aid", str(CARD_1),
    "--params", payment_parameters()[2:].hex(),
)  # fmt: skip


def write_key(path: Path, key: SigningKey, *, public: bool = False) -> Path:
    if isinstance(key, MacKey):
        path.write_text(f'key = "{key.value.hex()}"\n' + ('type = "3des"\n' if key.des else ""))
    elif public:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        path.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    else:
        form_private = serialization.PrivateFormat.PKCS8
        plain = serialization.NoEncryption()
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form_private, plain))
    path.chmod(0o600)
    return path


class Tenant(CardDoor):
    """A tenant's command line, its keys and the authority's token key in files."""

    def __init__(self, made: Delegation, folder: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(made.se, folder / "state", patch)
        parts = [f'{name} = "{getattr(TENANT_KEYS, name).hex()}"' for name in ("enc", "mac", "dek")]
        keys = folder / "tenant.toml"
        keys.write_text("\n".join([f"version = {TENANT_KEYS.version}", *parts]))
        keys.chmod(0o600)
        self.access = ("--sd", str(TENANT), "--key-file", keys)
        self.token_key = write_key(folder / "token.key", made.token_key)
        self.receipt_key = write_key(folder / "receipt.key", made.receipt_key, public=True)
