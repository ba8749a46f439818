"""Keys in files: a key file of the user's own, and the encrypted key store.

A key file is TOML, or JSON by its suffix `.json`: `key` for all three, or `enc`, `mac` and `dek`, in hex; `version`,
`diversification` and `test_card` if there is something to say. Others than its owner must not be able to read it.
"""

from __future__ import annotations

import os
import stat
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from opentsm_card.errors import ProtocolError
from opentsm_tools.card.key_sources import Material, combine, material_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["from_file", "from_keystore"]

_MAX_FILE_BYTES: Final = 1 << 16
_PARTS: Final = ("key", "enc", "mac", "dek")
_ENTRIES: Final[dict[str, type]] = {
    **dict.fromkeys(_PARTS, str),
    "version": int,
    "diversification": str,
    "test_card": bool,
}


def read_private(path: Path) -> bytes:
    """Return a file that only its owner may read.

    Raises:
        ProtocolError: it is not there, too long, or others may read it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ProtocolError(f"{path}: others may read these keys (mode {mode & 0o777:03o}); run: chmod 600 {path}")
    if len(content) > _MAX_FILE_BYTES:
        raise ProtocolError(f"{path}: more than {_MAX_FILE_BYTES} bytes, where a key file has a few lines")
    return content


def _parse(content: bytes, path: Path) -> dict[str, Any]:
    """Return a key file's entries, each known and of its type; no error quotes a value.

    Raises:
        ProtocolError: malformed.
    """
    # By hand, without the parser of configurations: it would cost `opentsm card list` a fifth of its time.
    form = "JSON" if path.suffix == ".json" else "TOML"
    try:
        text = content.decode()
        if form == "JSON":
            import json  # noqa: PLC0415 - the rarer form

            tree: Any = json.loads(text)
        else:
            tree = tomllib.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError(f"{path}: not a {form} document") from None
    if not isinstance(tree, dict):
        raise ProtocolError(f"{path}: no table of entries")
    for name, value in tree.items():
        kind = _ENTRIES.get(name)
        if kind is None:
            raise ProtocolError(f"{path}: unknown entry {name!r}; known: {', '.join(_ENTRIES)}")
        if type(value) is not kind:
            raise ProtocolError(f"{path}: {name} is not a {kind.__name__}")
    return tree


def from_file(path: Path, *, version: int | None = None, diversification: str | None = None) -> Material:
    """Return the keys in a key file.

    Args:
        path: of the file.
        version: overrules the file's.
        diversification: overrules the file's.

    Raises:
        ProtocolError: the file is not what it should be; the message names it, and quotes no key.
    """
    file = _parse(read_private(path), path)
    declared = file.get("version", 0)
    if not 0 <= declared <= 0x7F:
        raise ProtocolError(f"{path}: version {declared} is not in 0..127")
    found = combine(
        {part: file.get(part) for part in _PARTS},
        {part: f"{path}: {part}" for part in _PARTS},
        version=declared if version is None else version,
        diversification=diversification or file.get("diversification"),
        test_card=file.get("test_card", False),
    )
    if found is None:
        raise ProtocolError(f"{path}: no keys in it: want key, or enc, mac and dek")
    return replace(found, origin=str(path))


def from_keystore(
    path: Path, name: str, passphrase_file: Path | None, *, version: int | None, diversification: str | None
) -> Material:
    """Return keys from an encrypted key store: one key for all three, or three behind one another.

    Args:
        path: of the store.
        name: of the secret.
        passphrase_file: its first line is the passphrase; None to ask at the terminal.
        version: key version, if declared.
        diversification: if declared.

    Raises:
        ProtocolError: no such store, file or secret, or the secret is no keys.
        StorageError: the passphrase is wrong.
    """
    # The central TSM's room is loaded for those who keep keys in its store.
    from opentsm_tsm.keystore import KeyStore, read_passphrase  # noqa: PLC0415 - see above

    if passphrase_file is not None:
        passphrase = read_passphrase(passphrase_file)
    else:
        passphrase = str(click.prompt(f"Passphrase of {path}", hide_input=True, err=True)).encode()
    secret = KeyStore.open(path, passphrase).get(name)
    return material_of(secret, f"{path}: {name}", version=version, diversification=diversification)
