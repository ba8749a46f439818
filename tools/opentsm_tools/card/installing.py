"""`opentsm card install`: load a CAP file and make an instance of its applet, or make one of what is on the card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opentsm_card.errors import ProtocolError
from opentsm_card.install import InstallForInstall
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.privileges import Privilege
from opentsm_tools.card.content import parse_privileges
from opentsm_tools.card.delegation import Authority, receipt_words, token_options
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.loading import Loading, load_options, read_cap
from opentsm_tools.card.options import AID, HEX, CardCommand
from opentsm_tools.card.words import hexed

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile
    from opentsm_card.aid import Aid
    from opentsm_tools.card.manager import CardManager

__all__ = ["choose_applet", "install"]


def _parameters(params: bytes | None, whole: bytes | None) -> bytes:
    if params is not None and whole is not None:
        raise click.UsageError("give either --params (the applet's) or --install-params (the whole field)")
    return whole if whole is not None else InstallParameters(application=params or b"").encode()


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
@click.option("--load-token", type=HEX, default=b"", help="Load token, where it differs from the install token.")
@load_options
@token_options
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
    load_token: bytes,
    **options: Any,  # noqa: ANN401 - what the decorators declare
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
    authority = Authority.of(options)
    file = None if cap is None else read_cap(cap)
    load_file_aid, module = choose_applet(file, package, applet)
    instance = aid or module
    wanted = parse_privileges(privileges) if privileges else Privilege.NONE
    field = _parameters(params, install_params)
    command = InstallForInstall(load_file_aid, module, instance, wanted, field, make_selectable=not not_selectable)
    loading = None if file is None or no_load else Loading.of(file, authority, options)
    if authority.show(*((loading.announce,) if loading is not None else ()), command):
        return
    desk = Desk.of(ctx)
    done: dict[str, Any] = {"load_file": str(load_file_aid), "loaded": None}
    with desk.card() as card:
        if loading is not None:
            _not_there(card, load_file_aid)
            done["loaded"] = loading.run(card, replace(authority, token=load_token))
            if not desk.options.as_json:
                click.echo(f"loaded {load_file_aid}: {done['loaded']['bytes']} bytes")
        receipt = card.require(authority.authorize(command), f"install of {instance}")
    done |= {"module": str(module), "aid": str(instance), "receipt": hexed(receipt)}
    state = "" if not_selectable else " and made selectable"
    desk.emit(done, f"installed {instance}{state}{receipt_words(receipt)}")


def choose_applet(file: CapFile | None, package: Aid | None, applet: Aid | None) -> tuple[Aid, Aid]:
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
