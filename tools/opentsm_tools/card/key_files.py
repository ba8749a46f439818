"""Keys in files: a key file of the user's own, and the encrypted key store.

A key file is TOML, or JSON by its suffix `.json`: `key` for all three, or `enc`, `mac` and `dek`, in hex; `version`,
`diversification` and `test_card` if there is something to say. Others than its owner must not be able to read it.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import click
import msgspec

from opentsm_card.documents import parse_toml
from opentsm_card.errors import ProtocolError
from opentsm_tools.card.key_sources import Material, combine, material_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["from_file", "from_keystore"]

_MAX_FILE_BYTES: Final = 1 << 16


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str | None = None
    enc: str | None = None
    mac: str | None = None
    dek: str | None = None
    version: Annotated[int, msgspec.Meta(ge=0, le=127)] = 0
    diversification: Literal["none", "emv", "visa2", "kdf3"] = "none"
    test_card: bool = False

    def __repr__(self) -> str:
        """Show no key."""
        return f"_KeyFile(version={self.version})"


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


def from_file(path: Path, *, version: int | None = None, diversification: str | None = None) -> Material:
    """Return the keys in a key file.

    Args:
        path: of the file.
        version: overrules the file's.
        diversification: overrules the file's.

    Raises:
        ProtocolError: the file is not what it should be; the message names it, and quotes no key.
    """
    content = read_private(path)
    try:
        if path.suffix == ".json":
            tree: Any = msgspec.json.decode(content)
        else:
            tree = parse_toml(content, dict[str, Any], str(path))
        file = msgspec.convert(tree, _KeyFile)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"{path}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ProtocolError):
        # The parser's own words may quote a key.
        raise ProtocolError(f"{path}: not a {'JSON' if path.suffix == '.json' else 'TOML'} document") from None
    found = combine(
        {part: getattr(file, part) for part in ("key", "enc", "mac", "dek")},
        {part: f"{path}: {part}" for part in ("key", "enc", "mac", "dek")},
        version=file.version if version is None else version,
        diversification=diversification or file.diversification,
        test_card=file.test_card,
    )
    if found is None:
        raise ProtocolError(f"{path}: no keys in it: want key, or enc, mac and dek")
    return found


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
