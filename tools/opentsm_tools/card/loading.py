"""`opentsm card load`: CAP files onto a card, block by block."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import click

from opentsm_card.aid import Aid
from opentsm_card.errors import CapError, ProtocolError
from opentsm_card.install import InstallForLoad
from opentsm_card.load import DapBlock, load_blocks, load_file
from opentsm_tools.card.delegation import Authority, receipt_words, token_options
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.options import AID, CardCommand
from opentsm_tools.card.words import hexed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentsm_build.cap import CapFile
    from opentsm_card.load import Load
    from opentsm_tools.card.manager import CardManager

__all__ = ["Loading", "load", "load_options", "read_cap", "send_blocks"]

_HASHES: Final = ("none", "sha1", "sha256", "sha384", "sha512")


def load_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of loading, which `load` and `install` share."""
    options = (
        click.option("--block-size", type=click.IntRange(1, 255), help="Bytes of a LOAD block.  [default: what fits]"),
        click.option(
            "--hash", "digest", type=click.Choice(_HASHES), help="Hash of the load file.  [default: with DAP or token]"
        ),
        click.option("--dap", "daps", metavar="AID:FILE", multiple=True, help="Signature by a security domain's key."),
        click.option("--to", "owner", type=AID, help="Security domain of the load file.  [default: that of --sd]"),
        click.option("--with-descriptor", is_flag=True, help="Send the Descriptor component too."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def read_cap(path: Path) -> CapFile:
    """Return the CAP file at a path.

    Raises:
        StorageError: it can't be read.
        CapError: it is no CAP file.
    """
    from opentsm_build.cap import CapFile  # noqa: PLC0415 - not needed to install from what is on the card

    try:
        return CapFile.read(path)
    except CapError as error:
        raise CapError(f"{path}: {error}") from error


def _daps(given: Iterable[str]) -> tuple[DapBlock, ...]:
    """Parse `AID:FILE` pairs; the file holds the signature's bytes.

    Raises:
        ProtocolError: malformed, or the file can't be read or is empty.
    """
    found = []
    for text in given:
        aid, colon, path = text.partition(":")
        if not colon:
            raise ProtocolError(f"--dap {text!r}: want AID:FILE")
        try:
            signature = Path(path).read_bytes()
        except OSError as error:
            raise ProtocolError(f"{path}: {error.strerror}") from error
        if not 1 <= len(signature) <= 1024:
            raise ProtocolError(f"{path}: {len(signature)} bytes are no signature")
        found.append(DapBlock(Aid.from_text(aid), signature))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Loading:
    """One load, ready to be sent.

    Args:
        announce: INSTALL [for load], without token.
        data_block: the load file data block.
        daps: signatures of it.
        block_size: bytes of a LOAD block at most; None for what fits.
    """

    announce: InstallForLoad
    data_block: bytes
    daps: tuple[DapBlock, ...]
    block_size: int | None

    @classmethod
    def of(cls, cap: CapFile, authority: Authority, options: dict[str, Any]) -> Self:
        """Take the options of `load_options` out of a command's others.

        Raises:
            ProtocolError: a DAP is malformed.
        """
        data_block = cap.load_file_data_block(descriptor=options.pop("with_descriptor"))
        daps = _daps(options.pop("daps"))
        algorithm = options.pop("digest") or _default_hash(daps, authority)
        digest = b"" if algorithm == "none" else hashlib.new(algorithm, data_block).digest()
        # C6: the least persistent memory that the card must have for the code (GP 2.3.1, table 11-48).
        size = len(data_block)
        parameters = b"\xef\x04\xc6\x02" + size.to_bytes(2, "big") if size <= 0x7FFF else b""
        announce = InstallForLoad(cap.package_aid, options.pop("owner"), digest, parameters)
        return cls(announce, data_block, daps, options.pop("block_size"))

    def run(self, card: CardManager, authority: Authority) -> dict[str, Any]:
        """Load, and return what to say of it.

        Raises:
            RefusedError: the card refused; what was loaded so far is gone from it.
            ProtocolError: the file does not go into 256 blocks.
        """
        aid = self.announce.load_file
        file = load_file(self.data_block, self.daps)
        blocks = load_blocks(file, min(self.block_size or 255, card.max_data_bytes))
        card.require(authority.authorize(self.announce), f"load of {aid}")
        receipt = send_blocks(card, blocks)
        return {
            "load_file": str(aid),
            "bytes": len(self.data_block),
            "blocks": len(blocks),
            "hash": hexed(self.announce.hash),
            "receipt": hexed(receipt),
        }


def _default_hash(daps: tuple[DapBlock, ...], authority: Authority) -> str:
    """Return the hash that a card needs: as strong as the signatures are (GP 2.3.1, table C-3); none without any."""
    delegated = bool(authority.token or authority.token_key or authority.print_command)
    if not daps and not delegated:
        return "none"
    # A retail MAC has 8 bytes, a signature of RSA 1024 has 128: both go with SHA-1.
    return "sha256" if delegated or any(len(dap.signature) not in {8, 128} for dap in daps) else "sha1"


def send_blocks(card: CardManager, blocks: tuple[Load, ...]) -> bytes:
    """Send LOAD commands, and return the answer to the last.

    Raises:
        RefusedError: the card refused; what was loaded so far is gone from it.
    """
    answer = b""
    with click.progressbar(blocks, label="LOAD", file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:
        for block in shown:
            answer = card.require(block, f"LOAD, block {block.block_number + 1} of {len(blocks)}")
    return answer


@click.command(cls=CardCommand)
@click.argument("cap", type=click.Path(path_type=Path))
@load_options
@token_options
@click.pass_context
def load(ctx: click.Context, /, cap: Path, **options: Any) -> None:  # noqa: ANN401 - what the decorators declare
    """Load a CAP file; install instances of its applets with `opentsm card install --no-load` afterwards.

    \b
    opentsm card load wallet.cap
    opentsm card load wallet.cap --dap A000000151000001:wallet.dap --hash sha256
    opentsm card load wallet.cap --sd F06F70656E74736D0A0001 --token-key token.pem
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    authority = Authority.of(options)
    loading = Loading.of(read_cap(cap), authority, options)
    if authority.show(loading.announce):
        return
    with desk.card() as card:
        done = loading.run(card, authority)
    words = receipt_words(bytes.fromhex(done["receipt"]))
    desk.emit(done, f"loaded {done['load_file']}: {done['bytes']} bytes in {done['blocks']} blocks{words}")
