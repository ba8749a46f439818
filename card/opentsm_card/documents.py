"""Documents that people write (TOML): one way to read them into types, with errors that name the place."""

from __future__ import annotations

import tomllib
from typing import Final, TypeVar

import msgspec

from opentsm_card.errors import ProtocolError

__all__ = ["parse_toml"]

_MAX_BYTES: Final = 1 << 20

T = TypeVar("T")


def parse_toml(document: bytes, kind: type[T], source: str) -> T:
    """Return the TOML document as an object of a type.

    Args:
        document: UTF-8, up to 1 MiB.
        kind: what it must be; unknown entries are errors where the type forbids them.
        source: the file's path, for the errors.

    Raises:
        ProtocolError: it is no TOML, or an entry is missing, unknown or wrong; the message names source and entry.
    """
    if len(document) > _MAX_BYTES:
        raise ProtocolError(f"{source}: {len(document)} bytes, where a configuration has at most {_MAX_BYTES}")
    try:
        tree = tomllib.loads(document.decode())
        if _has_nul(tree):
            raise ProtocolError(f"{source}: a string holds the character U+0000")
        return msgspec.convert(tree, kind)
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{source}: not UTF-8 at byte {error.start}") from error
    except RecursionError:
        raise ProtocolError(f"{source}: nested too deeply") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ProtocolError(f"{source}: {error}") from error


def _has_nul(tree: object) -> bool:
    """Tell whether a string holds U+0000, which no path, name or URL may."""
    if isinstance(tree, str):
        return "\0" in tree
    if isinstance(tree, dict):
        return any(_has_nul(part) for pair in tree.items() for part in pair)
    return isinstance(tree, list) and any(_has_nul(part) for part in tree)
