"""Keys in a PKCS#11 token: the static keys never leave it, session keys are derived in it.

The token is named by a URI: `pkcs11:token=LABEL;object=NAME?module-path=/usr/lib/softhsm/libsofthsm2.so`. NAME is the
label of one AES key for all three, or what stands before `-enc`, `-mac` and `-dek` in the labels of three. The PIN
comes from the file of `pin-source`, from OPENTSM_PKCS11_PIN, or is asked for; a PIN in the URI (`pin-value`) is
refused. A process logs in once, and stays so until it ends.

Spec: RFC 7512 (the URI); PKCS #11 3.0, CKM_AES_CMAC, CKM_AES_ECB, CKM_AES_CBC; GP Amendment D 1.2, 4.1.5 (what is
derived: CMACs in counter mode, so that a token needs no mechanism of GlobalPlatform's).
"""

from __future__ import annotations

import atexit
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

import click

from opentsm_card.errors import ProtocolError, StorageError
from opentsm_card.keys import KeySet, key_check_value

if TYPE_CHECKING:
    from opentsm_tools.card.channels import Offer

__all__ = ["TokenKey", "TokenKeys", "from_pkcs11", "log_out", "open_session", "parse_uri"]

_PATH: Final = frozenset({"token", "object", "serial", "manufacturer", "model", "type", "slot-id", "id"})
_USED: Final = frozenset({"token", "object"})
_QUERY: Final = frozenset({"module-path", "pin-source"})
_KCV_BLOCK: Final = b"\x01" * 16
_PARTS: Final = ("enc", "mac", "dek")
# Check values of the AES keys that everyone knows.
_PUBLIC: Final = frozenset(key_check_value(bytes(range(0x40, 0x40 + size))) for size in (16, 24, 32))


# Open sessions by module and token.
_sessions: dict[tuple[str, str], Any] = {}


@atexit.register
def log_out() -> None:
    """Close all sessions with tokens."""
    while _sessions:
        _sessions.popitem()[1].close()


def parse_uri(uri: str) -> dict[str, str]:
    """Return the attributes of a PKCS#11 URI.

    Raises:
        ProtocolError: no such URI, an attribute is missing, unknown or twice, or a PIN stands in it.

    Spec: RFC 7512, 2.3.
    """
    scheme, colon, rest = uri.partition(":")
    path, _, query = rest.partition("?")
    if not colon or scheme != "pkcs11":
        raise ProtocolError("--pkcs11: want pkcs11:token=LABEL;object=NAME?module-path=FILE")
    found: dict[str, str] = {}
    for pieces, known in ((path.split(";"), _PATH), (query.split("&"), _QUERY)):
        for piece in filter(None, pieces):
            name, _, value = piece.partition("=")
            if name == "pin-value":
                raise ProtocolError("--pkcs11: a PIN in the URI can be seen by others: use pin-source=FILE")
            if name not in known or name in found:
                raise ProtocolError(f"--pkcs11: attribute {name!r} is unknown or there twice")
            if name in _PATH - _USED:
                raise ProtocolError(f"--pkcs11: {name!r} is not used here; name the token by token= and object=")
            found[name] = unquote(value)
    for name in ("token", "object", "module-path"):
        if not found.get(name):
            raise ProtocolError(f"--pkcs11: no {name}= in the URI")
    return found


class TokenKey:
    """One AES key in a token.

    Args:
        handle: python-pkcs11's key object.
        label: its label.
    """

    def __init__(self, handle: Any, label: str) -> None:  # noqa: ANN401 - the library ships no types
        self._handle = handle
        self.label = label

    def __repr__(self) -> str:
        """Show the label."""
        return f"TokenKey({self.label})"

    def __len__(self) -> int:
        """Return its length in bytes."""
        return int(self._handle.key_length) // 8

    def cmac(self, message: bytes) -> bytes:
        """Return the CMAC of a message under this key.

        Raises:
            StorageError: the token refuses.
        """
        return self._call("sign", message, "AES_CMAC")

    def check_value(self) -> bytes:
        """Return the key's check value, 3 bytes.

        Raises:
            StorageError: the token refuses.
        """
        return self._call("encrypt", _KCV_BLOCK, "AES_ECB")[:3]

    def encrypt_cbc(self, data: bytes) -> bytes:
        """Encrypt whole blocks in CBC mode, ICV zero, as PUT KEY wants new keys.

        Raises:
            StorageError: the token refuses.
        """
        return self._call("encrypt", data, "AES_CBC", mechanism_param=bytes(16))

    def _call(self, function: str, data: bytes, mechanism: str, **parameters: Any) -> bytes:  # noqa: ANN401 - as above
        import pkcs11  # noqa: PLC0415 - an extra, needed for this source only

        try:
            method = getattr(self._handle, function)
            return bytes(method(data, mechanism=getattr(pkcs11.Mechanism, mechanism), **parameters))
        except pkcs11.PKCS11Error as error:
            raise StorageError(f"PKCS#11 key {self.label}: {mechanism}: {_words(error)}") from error


class TokenKeys:
    """Static keys in a token, in the shape that a session derives from; a `KeySource` too.

    Args:
        enc: ENC key.
        mac: MAC key.
        dek: data encryption key.
        version: key version to ask for; 0 for the card's default.
        origin: which token, for people.
    """

    des = False

    def __init__(self, enc: TokenKey, mac: TokenKey, dek: TokenKey, version: int, origin: str) -> None:
        self.enc, self.mac, self.dek = enc, mac, dek
        self.version = version
        self.origin = origin

    def __repr__(self) -> str:
        """Show the labels."""
        return f"TokenKeys({self.origin}, version={self.version})"

    @property
    def check_values(self) -> tuple[bytes, bytes, bytes]:
        """Check values of ENC, MAC and DEK."""
        return self.enc.check_value(), self.mac.check_value(), self.dek.check_value()

    @property
    def algorithm(self) -> str:
        """Cipher and key length."""
        return f"AES-{len(self.enc) * 8}"

    @property
    def public(self) -> bool:
        """True when one of them is a published test key."""
        return not _PUBLIC.isdisjoint(self.check_values)

    def key_set(self, offer: Offer) -> KeySet:
        """Return the keys for the card that made this offer.

        Raises:
            ProtocolError: the card asks for another protocol than SCP03.
        """
        if offer.scp != 3:
            raise ProtocolError(f"keys in a PKCS#11 token open SCP03 only, and the card asks for {offer.name}")
        # A session reads version, lengths and CMACs of its static keys, and nothing else of them.
        return cast("KeySet", TokenKeys(self.enc, self.mac, self.dek, offer.key_version, self.origin))


def _words(error: Exception) -> str:
    return type(error).__name__


def _pin(source: str | None, token: str) -> str:
    if source is not None:
        from opentsm_tools.card.key_files import read_private  # noqa: PLC0415 - needed for this source only

        path = Path(source.removeprefix("file:"))
        lines = read_private(path).decode(errors="replace").splitlines()
        if not lines or not lines[0]:
            raise ProtocolError(f"{path}: no PIN in it")
        return lines[0]
    given = os.environ.get("OPENTSM_PKCS11_PIN")
    return given or str(click.prompt(f"PIN of token {token}", hide_input=True, err=True))


def open_session(uri: str) -> tuple[Any, dict[str, str]]:
    """Open the token that a URI names; it stays open until the process ends.

    Returns:
        The session, and the URI's attributes.

    Raises:
        ProtocolError: the URI makes no sense, or python-pkcs11 is not installed.
        StorageError: the token refuses.
    """
    parts = parse_uri(uri)
    try:
        import pkcs11  # noqa: PLC0415 - an extra, needed for this source only
    except ModuleNotFoundError as error:
        hint = "pip install 'opentsm[pkcs11]'"
        raise ProtocolError(f"--pkcs11 needs {error.name}; install it with: {hint}") from error
    token = parts["token"]
    place = (parts["module-path"], token)
    try:
        if place not in _sessions:
            found = pkcs11.lib(place[0]).get_token(token_label=token)
            _sessions[place] = found.open(user_pin=_pin(parts.get("pin-source"), token))
    except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
        raise StorageError(f"PKCS#11 token {token}: {_words(error)} {error}".rstrip()) from error
    return _sessions[place], parts


def from_pkcs11(uri: str, *, version: int | None, diversification: str | None) -> TokenKeys:
    """Open the token that a URI names and return its keys; it stays open until the process ends.

    Raises:
        ProtocolError: the URI makes no sense, python-pkcs11 is not installed, or diversification is declared.
        StorageError: the token refuses, or has no such keys.
    """
    if diversification not in {None, "none"}:
        raise ProtocolError(
            f"--pkcs11: keys in a token are the card's own; diversification {diversification} is not done"
        )
    session, parts = open_session(uri)
    token, name = parts["token"], parts["object"]
    enc, mac, dek = _three(session, name, token)
    return TokenKeys(enc, mac, dek, version or 0, f"PKCS#11 token {token}, {name}")


def _three(session: Any, name: str, token: str) -> tuple[TokenKey, TokenKey, TokenKey]:  # noqa: ANN401 - as above
    one = _find(session, name)
    if one is not None:
        return one, one, one
    found = [_find(session, f"{name}-{part}") for part in _PARTS]
    missing = [f"{name}-{part}" for part, key in zip(_PARTS, found, strict=True) if key is None]
    if missing:
        raise StorageError(f"PKCS#11 token {token}: no AES key labelled {name}, nor {', '.join(missing)}")
    enc, mac, dek = (cast("TokenKey", key) for key in found)
    return enc, mac, dek


def _find(session: Any, label: str) -> TokenKey | None:  # noqa: ANN401 - as above
    import pkcs11  # noqa: PLC0415 - as above

    wanted = {
        pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
        pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES,
        pkcs11.Attribute.LABEL: label,
    }
    keys = list(session.get_objects(wanted))
    if len(keys) > 1:
        raise StorageError(f"PKCS#11: {len(keys)} AES keys are labelled {label}")
    return TokenKey(keys[0], label) if keys else None
