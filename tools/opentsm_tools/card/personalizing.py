"""`opentsm card personalize`: data for a security domain or an application, from files.

A text file has one STORE DATA command a line, in hex; `#` begins a comment. A binary file is cut at its data groupings
or data objects, each in a command of its own. What is longer than a command is continued in the next.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError
from opentsm_card.install import InstallForPersonalization
from opentsm_card.store_data import DataEncryption, DataStructure, StoreData, parse_dgis, store_data_blocks
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.options import AID, CardCommand

if TYPE_CHECKING:
    from opentsm_card.aid import Aid

__all__ = ["blocks_of", "personalize", "read_data"]

_STRUCTURES: Final = {"dgi": DataStructure.DGI, "tlv": DataStructure.BER_TLV, "raw": DataStructure.NONE}
_ENCRYPTIONS: Final = {
    "none": DataEncryption.NONE,
    "application": DataEncryption.APPLICATION_DEPENDENT,
    "encrypted": DataEncryption.ENCRYPTED,
}
_TEXT: Final = frozenset(string.hexdigits + string.whitespace)
_MAX_FILE_BYTES: Final = 1 << 20


def read_data(path: Path, form: str) -> list[bytes]:
    """Return the pieces of a file, each of which begins a STORE DATA command.

    Args:
        path: of the file.
        form: `dgi`, `tlv` or `raw`.

    Raises:
        ProtocolError: the file can't be read, is empty, or its data is not of this form; no data is quoted.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    if len(content) > _MAX_FILE_BYTES:
        raise ProtocolError(f"{path}: {len(content)} bytes, where {_MAX_FILE_BYTES} are the most")
    lines = _hex_lines(content)
    if lines is None:
        pieces = _cut(content, form, str(path))
    else:
        pieces = [piece for _, piece in lines]
        for number, piece in lines:
            _cut(piece, form, f"{path}, line {number}")
    if not pieces:
        raise ProtocolError(f"{path}: no data in it")
    return pieces


def _hex_lines(content: bytes) -> list[tuple[int, bytes]] | None:
    """Return a text file's lines as bytes, with their numbers; None when it is binary."""
    try:
        lines = [line.partition("#")[0].strip() for line in content.decode("ascii").splitlines()]
    except UnicodeDecodeError:
        return None
    if any(set(line) - _TEXT for line in lines):
        return None
    try:
        return [(number, bytes.fromhex(line)) for number, line in enumerate(lines, 1) if line]
    except ValueError:
        raise ProtocolError("a line with an odd number of hexadecimal digits") from None


def _cut(data: bytes, form: str, place: str) -> list[bytes]:
    try:
        if form == "dgi":
            return [dgi.encode() for dgi in parse_dgis(data)]
        if form == "tlv":
            return [item.encode() for item in tlv.parse_all(data)]
    except ProtocolError as error:
        raise ProtocolError(f"{place}: not {form.upper()} data: {error}") from error
    return [data] if data else []


def blocks_of(pieces: list[bytes], room_bytes: int) -> tuple[bytes, ...]:
    """Return the data of each command: a piece that is longer than one command is continued in the next."""
    return tuple(piece[at : at + room_bytes] for piece in pieces for at in range(0, len(piece), room_bytes))


@click.command(cls=CardCommand)
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--application", type=AID, help="The application that the data is for.  [default: the security domain]")
@click.option("--format", "form", type=click.Choice(list(_STRUCTURES)), default="dgi", show_default=True)
@click.option(
    "--values",
    type=click.Choice(list(_ENCRYPTIONS)),
    default="none",
    show_default=True,
    help="How the values are encrypted already, for P1 (not by opentsm).",
)
@click.pass_context
def personalize(ctx: click.Context, files: tuple[Path, ...], application: Aid | None, form: str, values: str) -> None:
    """Store data from files in a security domain, or through it in an application.

    A text file has one command a line, in hex. Data is sent in the strongest secure channel that the card offers.

    \b
    DGIs for an application:   opentsm card personalize --application F06F70656E74736D0B000101 account.dgi
    Data objects for the ISD:  opentsm card personalize --format tlv cin.tlv
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    pieces = [piece for path in files for piece in read_data(path, form)]
    answers = []
    with desk.card() as card:
        if application is not None:
            card.require(InstallForPersonalization(application), f"personalization of {application}")
        data = blocks_of(pieces, card.max_data_bytes)
        commands: tuple[StoreData, ...] = store_data_blocks(
            data, structure=_STRUCTURES[form], encryption=_ENCRYPTIONS[values]
        )
        for command in commands:
            what = f"STORE DATA, block {command.block_number + 1} of {len(commands)}"
            answers.append(card.require(command, what).hex().upper())
    stored = sum(map(len, data))
    desk.emit(
        {"blocks": len(commands), "bytes": stored, "answers": answers},
        f"stored {stored} bytes in {len(commands)} blocks",
    )
