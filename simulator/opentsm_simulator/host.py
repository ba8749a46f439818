"""A host of many virtual SEs: makes them, opens their fronts, looks after them, and closes all of it again."""

from __future__ import annotations

import base64
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from opentsm_card.errors import ProtocolError, TransportError
from opentsm_simulator.config import AUTO
from opentsm_simulator.control import ControlServer
from opentsm_simulator.front import DialFront, TcpFront, VpcdFront
from opentsm_simulator.image import read_image, write_image
from opentsm_simulator.inspection import inspect
from opentsm_simulator.modem import STANDARD, find_modem
from opentsm_simulator.modem_faults import ModemFaults
from opentsm_simulator.modem_front import ModemFront
from opentsm_simulator.pcscd import Pcscd, Reader, running_vpcd
from opentsm_simulator.profile import load_keys
from opentsm_simulator.uart import UartFront
from opentsm_simulator.uart_faults import Faults
from opentsm_simulator.virtual_se import VirtualSe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentsm_card.keys import KeySet
    from opentsm_simulator.config import SeConfig
    from opentsm_simulator.uart_device import DeviceFront

__all__ = ["Host", "HostedSe"]

_HERE: Final = "127.0.0.1"
_PAIR_ATTEMPTS: Final = 50
# Below it there are ports; elsewhere a name is put for a pseudo-terminal.
_DEVICES: Final = "/dev/"


@dataclass(frozen=True, slots=True)
class HostedSe:
    """A virtual SE and its fronts.

    Args:
        se: the virtual SE.
        tcp: its contact interface's server, if it has one.
        contactless: its contactless interface's server, if it has one.
        vpcd: its connection to pcscd, if it has one.
        dial: its connection to who waits for it, if it has one.
        reader: its reader of the host's own pcscd, if it has one.
        uart: its serial port, if it has one.
        modem: the modem it is in, if it is in one.
        started: when it was made, by the monotonic clock.
    """

    se: VirtualSe
    tcp: TcpFront | None = None
    contactless: TcpFront | None = None
    vpcd: VpcdFront | None = None
    dial: DialFront | None = None
    reader: Reader | None = None
    uart: UartFront | DeviceFront | None = None
    modem: ModemFront | None = None
    started: float = field(default_factory=time.monotonic)

    def describe(self) -> dict[str, str | None]:
        """Return identity, profile and addresses, for machines."""
        return {
            "id": self.se.se_id,
            "profile": self.se.profile.name,
            "tcp": self.tcp.address if self.tcp else None,
            "contactless": self.contactless.address if self.contactless else None,
            "vpcd": self.vpcd.address if self.vpcd else None,
            "reader": self.reader.slot_name(0) if self.reader else None,
            "contactless_reader": self.reader.slot_name(1) if self.reader else None,
            "uart": self.uart.address if self.uart else None,
            "modem": self.modem.address if self.modem else None,
            "dial": self.dial.address if self.dial else None,
            "image": str(self.se.image_path) if self.se.image_path else None,
        }


def _made(config: SeConfig, keys: Mapping[str, KeySet] | None) -> VirtualSe:
    """Make an SE of its image, or of its profile; the image too, where there is to be one."""
    if config.image is not None and config.image.exists():
        se = VirtualSe.open(config.image, synced=config.synced)
        if se.se_id == config.id:
            return se
        se.close()
        raise ProtocolError(f"{config.image} is the card of {se.se_id!r}, not of {config.id!r}")
    if not config.profile:
        raise ProtocolError(f"{config.image}: there is no such card image; make it with: opentsm se create")
    se = VirtualSe.create(config.profile, se_id=config.id, keys=keys)
    if config.image is None:
        return se
    write_image(config.image, se.snapshot())
    return VirtualSe.open(config.image, synced=config.synced)


def _uart(se: VirtualSe, config: SeConfig) -> UartFront | DeviceFront:
    path = None if config.uart == AUTO else config.uart
    faults = Faults.parse(config.uart_faults) if config.uart_faults else None
    if path is not None and path.startswith(_DEVICES):
        # Imported here: it needs pyserial, and nothing else here does.
        from opentsm_simulator.uart_device import DeviceFront  # noqa: PLC0415 - see above

        return DeviceFront(se, path, echo=config.uart_echo, faults=faults)
    return UartFront(se, path, echo=config.uart_echo, faults=faults)


def _modem(se: VirtualSe, config: SeConfig) -> ModemFront:
    path = None if config.modem == AUTO else config.modem
    entry = find_modem(config.modem_like) if config.modem_like else STANDARD
    faults = ModemFaults.parse(config.modem_faults) if config.modem_faults else None
    return ModemFront(se, path, entry=entry, faults=faults)


class Host:
    """Virtual SEs that serve until the host is closed; use it as a context manager.

    Args:
        configs: what to host.
        controlled: whether other processes of this user may list, show and reset the SEs (`opentsm se list`, …); where
            that can't be, the SEs run all the same, and `uncontrolled` says why.

    Raises:
        ProtocolError: a profile or a keys file is not valid.
        TransportError: an address can't be listened on, no reader answers, or pcscd can't be started.
    """

    def __init__(self, configs: Iterable[SeConfig], *, controlled: bool = False) -> None:
        self.ses: list[HostedSe] = []
        self._started: list[TcpFront | DialFront | UartFront | DeviceFront | ModemFront] = []
        self._ses: list[VirtualSe] = []
        self._pcscd: Pcscd | None = None
        self._control: ControlServer | None = None
        self.uncontrolled: str | None = None
        try:
            for config in configs:
                self.ses.append(self._open(config))
            if readers := [hosted.reader for hosted in self.ses if hosted.reader]:
                self._pcscd = Pcscd(readers)
            if controlled:
                self._open_control()
        except BaseException:
            self.close()
            raise

    def _open(self, config: SeConfig) -> HostedSe:
        keys = load_keys(config.keys_file) if config.keys_file else None
        dialled = config.vpcd
        if config.reader:
            dialled = running_vpcd(sum(hosted.vpcd is not None for hosted in self.ses))
        se = _made(config, keys)
        self._ses.append(se)
        if config.wear:
            se.count_writes()
        if config.effects:
            se.log_effects(str(config.effects))
        tcp = TcpFront(se, "contact", *config.tcp) if config.tcp else None
        contactless = TcpFront(se, "contactless", *config.contactless) if config.contactless else None
        vpcd = VpcdFront(se, *dialled) if dialled else None
        uart = _uart(se, config) if config.uart else None
        modem = _modem(se, config) if config.modem else None
        dial = DialFront(se, *config.dial) if config.dial else None
        for front in (tcp, contactless, vpcd, uart, modem, dial):
            if front is not None:
                self._start(front)
        reader = self._open_reader(se) if config.reader and dialled is None else None
        return HostedSe(se, tcp, contactless, vpcd, dial, reader, uart, modem)

    def _open_control(self) -> None:
        try:
            self._control = ControlServer(self._answer)
        except TransportError as error:
            self.uncontrolled = str(error)

    def _start(self, front: TcpFront | DialFront | UartFront | DeviceFront | ModemFront) -> None:
        self._started.append(front)
        front.start()

    def _open_reader(self, se: VirtualSe) -> Reader:
        """Listen for the two connections of a reader, on a port and the next."""
        for _ in range(_PAIR_ATTEMPTS):
            first = TcpFront(se, "contact", _HERE, 0, stays=True)
            try:
                second = TcpFront(se, "contactless", _HERE, first.port + 1, stays=True)
            except (TransportError, OverflowError):
                first.stop()
                continue
            self._start(first)
            self._start(second)
            return Reader("opentsm " + re.sub(r"[^0-9A-Za-z._-]", "_", se.se_id)[:40], first.port)
        raise TransportError(f"no two neighbouring ports are free on {_HERE}")

    def failure(self) -> str | None:
        """Tell what has ended that the host needs, or None."""
        if self._pcscd is not None and not self._pcscd.is_running():
            return f"pcscd has ended; it says: {self._pcscd.log().strip() or 'nothing'}"
        return next((hosted.uart.failure for hosted in self.ses if hosted.uart and hosted.uart.failure), None)

    # What other processes ask for.

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.get("do"):
            case "list":
                return {"pid": os.getpid(), "ses": [self._listed(hosted) for hosted in self.ses]}
            case "show":
                hosted = self._find(request)
                return self._listed(hosted) | inspect(hosted.se)
            case "reset":
                hosted = self._find(request)
                if request.get("new"):
                    hosted.se.renew()
                else:
                    hosted.se.reset()
                if hosted.uart is not None:
                    hosted.uart.put_in()
                return self._listed(hosted)
            case "cut":
                hosted = self._find(request)
                at_write = request.get("at_write")
                if not isinstance(at_write, int) or isinstance(at_write, bool):
                    raise ProtocolError("a request is to cut at a write, by its number")
                hosted.se.cut_power(at_write=at_write)
                return self._listed(hosted) | {"at_write": at_write}
            case "snapshot":
                hosted = self._find(request)
                return self._listed(hosted) | {"content": base64.b64encode(hosted.se.snapshot()).decode("ascii")}
            case "restore":
                hosted = self._find(request)
                hosted.se.restore(read_image(Path(str(request.get("file")))))
                return self._listed(hosted)
        raise ProtocolError("a request is list, show, reset, cut, snapshot or restore")

    def _listed(self, hosted: HostedSe) -> dict[str, Any]:
        return hosted.describe() | {"pid": os.getpid(), "uptime_s": round(time.monotonic() - hosted.started, 1)}

    def _find(self, request: dict[str, Any]) -> HostedSe:
        for hosted in self.ses:
            if hosted.se.se_id == request.get("id"):
                return hosted
        raise ProtocolError(f"no SE named {request.get('id')!r} runs here")

    def close(self) -> None:
        """Close all fronts; safe to call twice."""
        if self._control is not None:
            self._control.close()
        if self._pcscd is not None:
            # Before its cards: it does not bear that one hangs up.
            self._pcscd.close()
        while self._started:
            self._started.pop().stop()
        while self._ses:
            self._ses.pop().close()

    def __enter__(self) -> Self:
        """Return the host itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close all fronts."""
        self.close()
