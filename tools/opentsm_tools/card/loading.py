"""`opentsm card load` and `install`: CAP files onto a card, and instances of their applets."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from opentsm_card.aid import Aid
from opentsm_card.errors import ProtocolError
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.load import DapBlock, load_blocks, load_file
from opentsm_card.privileges import Privilege
from opentsm_tools.card.content import parse_privileges
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.options import AID, HEX, CardCommand
from opentsm_tools.card.receipts import receipt_words
from opentsm_tools.card.words import hexed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentsm_build.cap import CapFile
    from opentsm_card.load import Load
    from opentsm_tools.card.manager import CardManager

__all__ = ["install", "load"]

_HASHES: Final = ("none", "sha1", "sha256", "sha384", "sha512")


def _load_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of loading, which `load` and `install` share."""
    options = (
        click.option("--block-size", type=click.IntRange(1, 255), help="Bytes of a LOAD block.  [default: what fits]"),
        click.option(
            "--hash", "digest", type=click.Choice(_HASHES), help="Hash of the load file.  [default: with a DAP]"
        ),
        click.option("--dap", "daps", metavar="AID:FILE", multiple=True, help="Signature by a security domain's key."),
        click.option("--to", "owner", type=AID, help="Security domain of the load file.  [default: that of --sd]"),
        click.option("--load-token", type=HEX, default=b"", help="Load token, where the security domain needs one."),
        click.option("--with-descriptor", is_flag=True, help="Send the Descriptor component too."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _read_cap(path: Path) -> CapFile:
    from opentsm_build.cap import CapFile  # noqa: PLC0415 - not needed to install from what is on the card

    return CapFile.read(path)


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


def load_cap(  # noqa: PLR0913 - what can be said of a load
    card: CardManager,
    cap: CapFile,
    *,
    block_size: int | None,
    digest: str | None,
    daps: tuple[str, ...],
    owner: Aid | None,
    load_token: bytes,
    with_descriptor: bool,
) -> dict[str, Any]:
    """Load a CAP file, and return what to say of it.

    Raises:
        RefusedError: the card refused; what was loaded so far is gone from it.
        ProtocolError: the file does not go into 256 blocks, or a DAP is malformed.
    """
    block = cap.load_file_data_block(descriptor=with_descriptor)
    signatures = _daps(daps)
    algorithm = digest or _default_hash(signatures, load_token)
    hashed = b"" if algorithm == "none" else hashlib.new(algorithm, block).digest()
    blocks = load_blocks(load_file(block, signatures), min(block_size or 255, card.max_data_bytes))
    # C6: the least persistent memory that the card must have for the code (GP 2.3.1, table 11-48).
    parameters = b"\xef\x04\xc6\x02" + len(block).to_bytes(2, "big") if len(block) <= 0x7FFF else b""
    card.install(InstallForLoad(cap.package_aid, owner, hashed, parameters, load_token), f"load of {cap.package_aid}")
    receipt = _send_blocks(card, blocks)
    return {
        "load_file": str(cap.package_aid),
        "bytes": len(block),
        "blocks": len(blocks),
        "hash": hexed(hashed),
        "receipt": hexed(receipt),
    }


def _default_hash(signatures: tuple[DapBlock, ...], load_token: bytes) -> str:
    """Return the hash that a card needs: as strong as the signatures are (GP 2.3.1, table C-3); none without any."""
    if not signatures and not load_token:
        return "none"
    # A retail MAC has 8 bytes, a signature of RSA 1024 has 128: both go with SHA-1.
    return "sha256" if load_token or any(len(dap.signature) not in {8, 128} for dap in signatures) else "sha1"


def _send_blocks(card: CardManager, blocks: tuple[Load, ...]) -> bytes:
    answer = b""
    with click.progressbar(blocks, label="LOAD", file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:
        for block in shown:
            answer = card.require(block, f"LOAD, block {block.block_number + 1} of {len(blocks)}")
    return answer


def _parameters(params: bytes | None, whole: bytes | None) -> bytes:
    if params is not None and whole is not None:
        raise click.UsageError("give either --params (the applet's) or --install-params (the whole field)")
    return whole if whole is not None else InstallParameters(application=params or b"").encode()


@click.command(cls=CardCommand)
@click.argument("cap", type=click.Path(path_type=Path))
@_load_options
@click.pass_context
def load(ctx: click.Context, /, cap: Path, **options: Any) -> None:  # noqa: ANN401 - what _load_options declares
    """Load a CAP file; install instances of its applets with `opentsm card install --no-load` afterwards.

    \b
    opentsm card load wallet.cap
    opentsm card load wallet.cap --dap A000000151000001:wallet.dap --hash sha256
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    file = _read_cap(cap)
    with desk.card() as card:
        done = load_cap(card, file, **options)
    words = receipt_words(bytes.fromhex(done["receipt"]))
    desk.emit(done, f"loaded {done['load_file']}: {done['bytes']} bytes in {done['blocks']} blocks{words}")


@click.command(cls=CardCommand)
@click.argument("cap", type=click.Path(path_type=Path), required=False)
@click.option("--from", "package", type=AID, help="A load file that is on the card, instead of a CAP file.")
@click.option("--no-load", is_flag=True, help="The CAP file is on the card already.")
@click.option("--applet", type=AID, help="Which applet (module) of the file.  [default: the only one]")
@click.option("--aid", type=AID, help="AID of the instance.  [default: the applet's]")
@click.option("--privileges", metavar="P", default="", help="Names with commas, or hex.  [default: none]")
@click.option("--params", type=HEX, help="The applet's parameters, the value of C9.")
@click.option("--install-params", type=HEX, help="The whole parameters field instead, such as C900EF04C7020100.")
@click.option("--not-selectable", is_flag=True, help="Install only; make it selectable later.")
@click.option("--install-token", type=HEX, default=b"", help="Install token, where the security domain needs one.")
@_load_options
@click.pass_context
def install(  # noqa: PLR0913 - one argument an option
    ctx: click.Context,
    /,
    cap: Path | None,
    *,
    package: Aid | None,
    no_load: bool,
    applet: Aid | None,
    aid: Aid | None,
    privileges: str,
    params: bytes | None,
    install_params: bytes | None,
    not_selectable: bool,
    install_token: bytes,
    **options: Any,  # noqa: ANN401 - what _load_options declares
) -> None:
    """Load a CAP file and install its applet, made selectable.

    \b
    The only applet of a file, under its own AID:
        opentsm card install wallet.cap
    One of several, with an AID, privileges and parameters of its own:
        opentsm card install wallet.cap --applet F06F70656E74736D010101 --aid F06F70656E74736D0B000101 \\
            --privileges card-reset --params 500442616E6B
    A security domain, from the package that is on the card:
        opentsm card install --from A0000001515350 --applet A000000151535041 --aid F06F70656E74736D0A0001 \\
            --privileges security-domain,trusted-path
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    if (cap is None) == (package is None):
        raise click.UsageError("give either a CAP file or --from AID")
    file = None if cap is None else _read_cap(cap)
    load_file_aid, module = _what(file, package, applet)
    field = _parameters(params, install_params)
    wanted = parse_privileges(privileges) if privileges else Privilege.NONE
    desk = Desk.of(ctx)
    done: dict[str, Any] = {"load_file": str(load_file_aid), "loaded": None}
    with desk.card() as card:
        if file is not None and not no_load:
            _not_there(card, file.package_aid)
            done["loaded"] = load_cap(card, file, **options)
            if not desk.options.as_json:
                click.echo(f"loaded {load_file_aid}: {done['loaded']['bytes']} bytes")
        instance = aid or module
        command = InstallForInstall(
            load_file_aid, module, instance, wanted, field, install_token, make_selectable=not not_selectable
        )
        receipt = card.install(command, f"install of {instance}")
    done |= {"module": str(module), "aid": str(instance), "receipt": hexed(receipt)}
    state = "" if not_selectable else " and made selectable"
    desk.emit(done, f"installed {instance}{state}{receipt_words(receipt)}")


def _what(file: CapFile | None, package: Aid | None, applet: Aid | None) -> tuple[Aid, Aid]:
    """Return which load file and which of its modules to install from.

    Raises:
        ProtocolError: the file has no such applet, or none, or several to choose from.
    """
    if file is None:
        assert package is not None
        if applet is None:
            raise click.UsageError("which applet of the load file? Give --applet AID")
        return package, applet
    modules = [item.aid for item in file.applets]
    listed = ", ".join(map(str, modules)) or "none"
    if applet is None and len(modules) != 1:
        raise ProtocolError(f"{file.package_aid}: which applet? Give --applet; it has {listed}")
    chosen = applet or modules[0]
    if chosen not in modules:
        raise ProtocolError(f"{file.package_aid}: no applet {chosen} in it; it has {listed}")
    return file.package_aid, chosen


def _not_there(card: CardManager, package: Aid) -> None:
    """Refuse to load what the card has already, before anything is sent.

    Raises:
        ProtocolError: it is there.
    """
    if card.registry().find(package) is not None:
        raise ProtocolError(
            f"load file {package} is on the card already: install from it with --no-load, or delete it first with "
            f"`opentsm card delete --related {package}`"
        )
