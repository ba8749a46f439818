"""`opentsm se`: run virtual secure elements."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from opentsm_card.errors import ProtocolError, TransportError
from opentsm_simulator.config import AUTO, SeConfig, check_modem, load_config, parse_address
from opentsm_simulator.control_cli import cut, list_profiles, list_ses, reset, show
from opentsm_simulator.fuzz.cli import fuzz
from opentsm_simulator.image_cli import create, restore, snapshot
from opentsm_simulator.images import SUFFIX, image_of, image_path, image_paths
from opentsm_simulator.kill_test.cli import kill_test
from opentsm_simulator.power_cli import sweep
from opentsm_simulator.trace.cli import trace
from opentsm_simulator.uart_faults import Faults

if TYPE_CHECKING:
    from types import FrameType

    from opentsm_simulator.host import Host

__all__ = ["se"]

_WATCH_S: Final = 0.5


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def se() -> None:
    """Run virtual secure elements: GlobalPlatform cards on jCardSim.

    \b
    One embedded SE, reachable by TCP (vpcd framing) on any free port:
        opentsm se run --profile embedded
    Three UICCs on ports 7001 to 7003, their contactless interfaces on 8001 to 8003:
        opentsm se run --profile uicc --count 3 --tcp 7001 --contactless-tcp 8001
    A card in every PC/SC program of this machine (as root, or where pcscd runs with its vpcd driver):
        opentsm se run --vpcd
    A card on a serial port, for programs that drive a UART or a Phoenix reader:
        opentsm se run --profile uicc --uart /tmp/sim
    A UICC in a modem, for programs that speak AT commands:
        opentsm se run --profile uicc --modem /tmp/modem
    A card that outlives the process, whatever ends that:
        opentsm se create mine --profile embedded
        opentsm se run --image mine --tcp 7001
    From another shell: what runs, what is on it, and as it was delivered again:
        opentsm se list
        opentsm se show embedded
        opentsm se reset embedded --new
    What an applet is left with when its card loses power at any write:
        opentsm se sweep embedded --cap wallet.cap --script pay.apdu
    Which of its code a script executes, how often, and what each command writes:
        opentsm se trace embedded --cap wallet.cap --script pay.apdu --source src
    """  # noqa: D301 - click's mark for text that is not to be wrapped


for _command in (list_ses, show, reset, cut, create, snapshot, restore):
    se.add_command(_command)


@se.command()
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
def profiles(*, as_json: bool) -> None:
    """List the card profiles that come with opentsm."""
    list_profiles(as_json=as_json)


@se.command()
@click.option("config_path", "--config", type=click.Path(path_type=Path), help="TOML file with one [[se]] table a SE.")
@click.option("--profile", help="A card profile (`opentsm se profiles`), or the path of one.")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="How many SEs of the profile.")
@click.option("--tcp", type=click.IntRange(0, 0xFFFF), help="Port of the first SE's contact interface; 0 for any.")
@click.option("--contactless-tcp", type=click.IntRange(0, 0xFFFF), help="The same for the contactless interfaces.")
@click.option(
    "--vpcd",
    is_flag=False,
    flag_value=AUTO,
    metavar="[HOST:PORT]",
    help="Be the card in pcscd's vpcd reader there; the next SE takes the next port. Without an address: in the pcscd "
    "that runs here, or else in one that is started, with a reader for each SE.",
)
@click.option(
    "--uart",
    is_flag=False,
    flag_value=AUTO,
    metavar="[PATH]",
    help="Be the card on a serial port: a pseudo-terminal, reached at PATH, or at the path that is printed. Opening "
    "the port, or flushing its input, resets the card. Below /dev, PATH is a real port, and what is at its other end "
    "resets the card by its RTS, DTR or RST.",
)
@click.option(
    "--uart-echo/--no-uart-echo",
    default=True,
    show_default=True,
    help="Whether what is sent there comes back, as from a one-wire (Phoenix) reader.",
)
@click.option(
    "--uart-faults",
    metavar="KIND@N,…",
    help="Faults at the n-th character of that line: drop, corrupt, delay, stick, remove, reset, brownout.",
)
@click.option(
    "--modem",
    is_flag=False,
    flag_value=AUTO,
    metavar="[PATH]",
    help="Be the card in a modem, whose AT port is a pseudo-terminal, reached at PATH, or at the path that is printed.",
)
@click.option(
    "--modem-like", metavar="MODEL", help="Which modem: one with known quirks, or quirks separated by commas."
)
@click.option(
    "--modem-faults",
    metavar="KIND@N,…",
    help="Faults at the n-th line of the modem: drop, corrupt, delay, unsolicited, stick; and of its "
    "card: remove, reset, brownout.",
)
@click.option(
    "--dial",
    metavar="HOST:PORT",
    help="Dial who waits for a card there (`tcp:HOST:PORT?listen`), and again when the connection ends; the next SE "
    "takes the next port.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="NAME|FILE|FOLDER",
    help="Run a card that is kept in an image (`opentsm se create`), or all in a folder; may be given again. With "
    "--profile: the card is made so where the image is not there yet.",
)
@click.option(
    "--synced", is_flag=True, help="What is kept in images waits for the disk, against power loss of the machine."
)
@click.option("--keys-file", type=click.Path(path_type=Path), help="TOML file of key sets in place of the profile's.")
@click.option("--wear", is_flag=True, help="Count persistent writes by address, for `opentsm se show`; it costs speed.")
@click.option("--id", "se_id", help="The SE's identity; with --count, -1, -2, … is appended.  [default: the profile]")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON line when ready.")
def run(  # noqa: PLR0913 - one argument an option
    *,
    config_path: Path | None,
    profile: str | None,
    count: int,
    tcp: int | None,
    contactless_tcp: int | None,
    vpcd: str | None,
    uart: str | None,
    uart_echo: bool,
    uart_faults: str | None,
    modem: str | None,
    modem_like: str | None,
    modem_faults: str | None,
    dial: str | None,
    images: tuple[str, ...],
    synced: bool,
    keys_file: Path | None,
    wear: bool,
    se_id: str | None,
    as_json: bool,
) -> None:
    """Run virtual SEs until SIGTERM or SIGINT.

    With --config, or with --profile and options (--vpcd, --uart or --dial alone: --profile embedded; --modem alone:
    --profile uicc). Each interface is a TCP server for one client at a time; a new connection finds it reset. What the
    SEs hold lives as long as this process; with --image it is kept in files, whatever ends the process, and at every
    moment. The first SE of a process's first run ever compiles the card runtime (some seconds).
    """
    if (
        config_path is None
        and profile is None
        and not images
        and any(given is not None for given in (vpcd, uart, dial))
    ):
        profile = "embedded"
    if config_path is None and profile is None and not images and modem is not None:
        profile = "uicc"
    if (config_path is None) == (profile is None and not images):
        raise click.UsageError("give either --config, or --profile or --image")
    made = profile is not None
    if images and (count > 1 or (len(images) > 1 if made else se_id is not None)):
        raise click.UsageError("images say what SEs there are: make them with opentsm se create")
    if se_id == "":
        raise click.UsageError("--id is empty")
    if uart_faults is not None:
        Faults.parse(uart_faults)
    check_modem(modem_like, modem_faults)
    if config_path is not None:
        configs = load_config(config_path)
    else:
        reachable = any(option is not None for option in (tcp, contactless_tcp, vpcd, uart, modem, dial))
        sources = _images(images, profile, se_id) if images else _names(se_id or Path(profile or "").stem, count)
        count = len(sources)
        configs = tuple(
            SeConfig(
                name,
                profile or "",
                _port(0 if not reachable else tcp, index),
                _port(contactless_tcp, index),
                None if vpcd == AUTO else _next_reader(vpcd, index),
                keys_file,
                reader=vpcd == AUTO,
                uart=_path(uart, index, count),
                uart_echo=uart_echo,
                uart_faults=uart_faults,
                modem=_path(modem, index, count),
                modem_like=modem_like,
                modem_faults=modem_faults,
                wear=wear,
                dial=_next_reader(dial, index),
                image=image,
                synced=synced,
            )
            for index, (name, image) in enumerate(sources)
        )
    _serve(configs, as_json=as_json)


def _names(name: str, count: int) -> list[tuple[str, Path | None]]:
    """Return the names of SEs that are kept nowhere."""
    return [(name + (f"-{index + 1}" if count > 1 else ""), None) for index in range(count)]


def _images(names: tuple[str, ...], profile: str | None, se_id: str | None) -> list[tuple[str, Path | None]]:
    """Return names and files of SEs that are kept in images; with a profile, of one that may not be there yet."""
    if profile is not None and not (path := image_path(names[0])).exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return [(se_id or path.name.removesuffix(SUFFIX), path)]
    paths = [path for name in names for path in image_paths(name)]
    found: list[tuple[str, Path | None]] = [(image_of(path).se_id, path) for path in paths]
    ids = [name for name, _ in found]
    if twice := {name for name in ids if ids.count(name) > 1}:
        raise ProtocolError(f"more than one of these images is of {', '.join(sorted(twice))}")
    return found


def _path(first: str | None, index: int, count: int) -> str | None:
    return first if first in {None, AUTO} or count == 1 else f"{first}-{index + 1}"


def _port(first: int | None, index: int) -> tuple[str, int] | None:
    if first is None:
        return None
    port = first + index if first else 0
    if port > 0xFFFF:
        raise ProtocolError(f"there is no port {port}")
    return "127.0.0.1", port


def _next_reader(first: str | None, index: int) -> tuple[str, int] | None:
    if first is None:
        return None
    host, port = parse_address(first)
    if port + index > 0xFFFF:
        raise ProtocolError(f"there is no port {port + index}")
    return host, port + index


def _serve(configs: tuple[SeConfig, ...], *, as_json: bool) -> None:
    # Imported here: the JVM's bindings are not needed to print help or refuse a configuration.
    from opentsm_simulator.host import Host  # noqa: PLC0415 - see above

    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with Host(configs, controlled=True) as host:
        _announce(host, as_json=as_json)
        while not stopped.wait(_WATCH_S):
            if failure := host.failure():
                raise TransportError(failure)


def _announce(host: Host, *, as_json: bool) -> None:
    if host.uncontrolled is not None:
        click.echo(f"opentsm: se list, show and reset can't reach these SEs: {host.uncontrolled}", err=True)
    if as_json:
        click.echo(json.dumps({"ready": True, "ses": [hosted.describe() for hosted in host.ses]}))
        return
    for hosted in host.ses:
        where = [f"{name.replace('_', ' ')} {place}" for name, place in list(hosted.describe().items())[2:] if place]
        click.echo(f"{hosted.se.se_id} ({hosted.se.profile.name}): {', '.join(where)}")
    click.echo("ready; stop with Ctrl-C")


se.add_command(fuzz)
se.add_command(kill_test)
se.add_command(sweep)
se.add_command(trace)
