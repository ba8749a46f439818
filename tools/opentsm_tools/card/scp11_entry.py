"""What a host needs for SCP11, from files: the card's key or who certifies it, the host's key and certificates.

A TOML file says which; paths in it start at its own folder. It holds no secret itself: the host's private key is a PEM
file that only its owner may read.
"""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError
from opentsm_card.scp11 import Variant
from opentsm_card.scp11_kdf import encode_point
from opentsm_card.scp11_store import KeyReference
from opentsm_tools.card.signing_keys import read_signing_key, read_verification_key

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Scp11Entry", "read_scp11"]

_MAX_BYTES: Final = 1 << 16
_SHORT: Final = 255
_TEXTS: Final = ("variant", "domain_key", "domain_authority", "host_key")
_NUMBERS: Final = {  # the default, the least and the largest
    "key_version": (0, 0, 0x7F),
    "authority_version": (0, 0, 0x7F),
    "authority_id": (0x10, 0x10, 0x2F),
    "key_bytes": (16, 16, 32),
    "block_bytes": (_SHORT, 16, 0xFFFF),
    "mac_bytes": (0, 0, 16),
}
_LIST: Final = "host_certificates"


@dataclass(frozen=True, slots=True)
class Scp11Entry:
    """Keys and certificates for one security domain.

    Args:
        origin: the file that says so.
        variant: SCP11a, b or c.
        version: key version of the domain's key; 0 for any.
        domain_key: its public key where that is known, or None.
        domain_authority: who certifies it, where the card's own certificates are to say, or None.
        host_key: the host's private key; None with SCP11b.
        certificates: the host's, encoded, its own at the end.
        authority: the key on the card that verifies them.
        key_bytes: length of session keys, 16, 24 or 32.
        block_bytes: how much of a certificate one command carries.
        mac_bytes: length of MACs, 8 or 16; 0 to go by what the card says.
    """

    origin: str
    variant: Variant
    version: int
    domain_key: ec.EllipticCurvePublicKey | None
    domain_authority: ec.EllipticCurvePublicKey | None
    host_key: ec.EllipticCurvePrivateKey | None
    certificates: tuple[bytes, ...]
    authority: KeyReference
    key_bytes: int = 16
    block_bytes: int = _SHORT
    mac_bytes: int = 0

    public = False
    """None of its keys is a published test key."""

    def __repr__(self) -> str:
        """Show where it comes from, and no key."""
        return f"Scp11Entry({self.origin}, SCP11{self.variant.name.lower()})"


def _tree(path: Path) -> dict[str, Any]:
    try:
        tree = tomllib.loads(path.read_bytes()[:_MAX_BYTES].decode())
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ProtocolError(f"{path}: no TOML: {error}") from error
    known = {*_TEXTS, *_NUMBERS, _LIST}
    if unknown := sorted(set(tree) - known):
        raise ProtocolError(f"{path}: {unknown[0]}: want {', '.join(sorted(known))}")
    for name in _TEXTS:
        if name in tree and not isinstance(tree[name], str):
            raise ProtocolError(f"{path}: {name}: want a text in quotes")
    certificates = tree.get(_LIST, [])
    if not isinstance(certificates, list) or not all(isinstance(name, str) for name in certificates):
        raise ProtocolError(f"{path}: {_LIST}: want a list of file names")
    return tree


def _numbers(tree: dict[str, Any], path: Path) -> dict[str, int]:
    found = {}
    for name, (default, least, largest) in _NUMBERS.items():
        value = tree.get(name, default)
        if type(value) is not int or not least <= value <= largest:
            raise ProtocolError(f"{path}: {name}: want a number from {least} to {largest}")
        found[name] = value
    return found


def _certificates(path: Path) -> tuple[bytes, ...]:
    """Return the certificates in a file: X.509 (PEM, several behind one another, or DER), or GlobalPlatform's."""
    try:
        content = path.read_bytes()[:_MAX_BYTES]
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    with suppress(ValueError, ProtocolError):
        if content.startswith(b"-----BEGIN "):
            return tuple(one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(content))
        if tlv.parse_one(content).tag in {0x30, 0x7F21}:
            return (content,)
    raise ProtocolError(f"{path}: no certificate, neither X.509 nor GlobalPlatform's (7F21)")


def _host_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = read_signing_key(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ProtocolError(f"{path}: SCP11 takes keys on P-256")
    encode_point(key.public_key())
    return key


def _public_key(tree: dict[str, Any], name: str, path: Path) -> ec.EllipticCurvePublicKey | None:
    if name not in tree:
        return None
    file = path.parent / tree[name]
    key = read_verification_key(file)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ProtocolError(f"{file}: SCP11 takes keys on P-256")
    encode_point(key)
    return key


def read_scp11(path: Path, version: int | None = None) -> Scp11Entry:
    """Return what a file says.

    Args:
        path: the file.
        version: key version that was asked for; the file's, or any, by default.

    Raises:
        ProtocolError: the file or one that it names can't be read or is malformed, or something is missing; no error
            quotes a key.
    """
    tree = _tree(path)
    numbers = _numbers(tree, path)
    letter = tree.get("variant", "")
    if letter not in {"a", "b", "c"}:
        raise ProtocolError(f'{path}: variant: want "a", "b" or "c"')
    variant = Variant[letter.upper()]
    if ("domain_key" in tree) == ("domain_authority" in tree):
        raise ProtocolError(
            f"{path}: want either domain_key, the card's public key, or domain_authority, whose certificates the card "
            "shows"
        )
    of_host = ("host_key", _LIST, "authority_version")
    if variant is Variant.B and any(name in tree for name in of_host):
        raise ProtocolError(f"{path}: SCP11b authenticates the card alone: leave {', '.join(of_host)} out")
    if variant is not Variant.B and not all(tree.get(name) for name in of_host):
        raise ProtocolError(f"{path}: SCP11{letter} needs {', '.join(of_host)}")
    if numbers["key_bytes"] not in {16, 24, 32}:
        raise ProtocolError(f"{path}: key_bytes: want 16, 24 or 32")
    if numbers["mac_bytes"] not in {0, 8, 16}:
        raise ProtocolError(f"{path}: mac_bytes: want 8 or 16")
    return Scp11Entry(
        str(path),
        variant,
        numbers["key_version"] if version is None else version,
        _public_key(tree, "domain_key", path),
        _public_key(tree, "domain_authority", path),
        None if variant is Variant.B else _host_key(path.parent / tree["host_key"]),
        tuple(one for name in tree.get(_LIST, []) for one in _certificates(path.parent / name)),
        KeyReference(numbers["authority_id"], numbers["authority_version"]),
        numbers["key_bytes"],
        numbers["block_bytes"],
        numbers["mac_bytes"],
    )
