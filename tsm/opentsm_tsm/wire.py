"""How the TSM's messages look on the wire: JSON members in camel case, bytes as hexadecimal strings.

`Hex` is bytes in Python and a string of hexadecimal digits in JSON; `encode` and `decode` are the only way in and out.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from opentsm_card.errors import ProtocolError

__all__ = ["Hex", "Message", "Request", "WireError", "decode", "encode", "openapi_type"]

_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_PLACE: Final = re.compile(r"^(?P<reason>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)

T = TypeVar("T")


class WireError(ProtocolError):
    """A JSON document is not what its place in the API asks for.

    Args:
        path: the JSON path of what is wrong, from `$`.
        reason: what is wrong with it; never a value.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class Hex(bytes):
    """Bytes that stand in JSON as a string of hexadecimal digits, upper case."""

    __slots__ = ()


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of what the server says: an unknown member is skipped, so that a server may grow."""


class Request(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a client asks: an unknown member is an error, so that a misspelt one is not silently lost."""


def _to_wire(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex().upper()
    raise NotImplementedError(f"no wire form for {type(value).__name__}")


def _from_wire(kind: type, value: object) -> object:
    if kind is Hex:
        if not isinstance(value, str) or not _HEX.fullmatch(value):
            raise ValueError("Expected a string of hexadecimal digit pairs")
        return Hex(bytes.fromhex(value))
    raise NotImplementedError(f"no wire form for {kind.__name__}")


def openapi_type(kind: type) -> dict[str, Any]:
    """Return the JSON schema of a type of ours, for msgspec's schema generator."""
    if kind is Hex:
        return {"type": "string", "pattern": "^([0-9A-Fa-f]{2})*$"}
    raise NotImplementedError(kind.__name__)


def encode(message: object) -> bytes:
    """Return the JSON of a message."""
    return msgspec.json.encode(message, enc_hook=_to_wire)


def decode(document: bytes, kind: type[T]) -> T:
    """Return the message that a JSON document holds.

    Raises:
        WireError: the document is not JSON, or not a `kind`; it names the JSON path.
    """
    try:
        return msgspec.json.decode(document, type=kind, dec_hook=_from_wire)
    except msgspec.ValidationError as error:
        place = _PLACE.match(str(error))
        assert place is not None
        raise WireError(place["path"] or "$", place["reason"]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("$", f"not JSON: {error}") from None
