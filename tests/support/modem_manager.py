"""A private D-Bus, and a service on it that does with AT commands what ModemManager does, over a virtual modem.

What it answers, and by which errors, is what ModemManager 1.20 answered with the same virtual modem behind it.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from jeepney import HeaderFields, MessageType, new_error, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, open_dbus_connection

if TYPE_CHECKING:
    from pathlib import Path

    from jeepney import Message

    from opentsm_simulator.modem import VirtualModem

__all__ = ["MODEM", "ModemManager", "PrivateBus"]

MODEM = "/org/freedesktop/ModemManager1/Modem/0"
_NAME = "org.freedesktop.ModemManager1"
_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={path}</listen>
  <policy context="default"><allow send_destination="*"/><allow own="*"/><allow receive_sender="*"/></policy>
</busconfig>
"""
_ERRORS = {10: "SimNotInserted", 13: "SimFailure", 20: "MemoryFull", 22: "NotFound", 50: "IncorrectParameters"}


class PrivateBus:
    """A message bus for one test; `address` is for DBUS_SYSTEM_BUS_ADDRESS."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:path={folder}/bus"
        config = folder / "bus.conf"
        config.write_text(_CONFIG.format(path=folder / "bus"))
        program = shutil.which("dbus-daemon")
        assert program is not None, "dbus-daemon is missing; tools/test installs it"
        command = [program, f"--config-file={config}", "--nofork", "--print-address"]
        self._daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._daemon.stdout is not None
        assert self._daemon.stdout.readline()

    def close(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(10)
        assert self._daemon.stdout is not None
        self._daemon.stdout.close()


class ModemManager:
    """The service, with one modem or more; DBUS_SYSTEM_BUS_ADDRESS says on which bus.

    Args:
        modems: by path.
        imeis: of the modems, in their order.
        debug: whether commands are given on.
    """

    def __init__(self, modems: dict[str, VirtualModem], imeis: tuple[str, ...] = (), *, debug: bool = True) -> None:
        self.modems = modems
        self.asked: list[str] = []
        self.ends_at: str | None = None
        self._imeis = imeis or ("",) * len(modems)
        self._debug = debug
        self._stopped = threading.Event()
        self._bus: DBusConnection = open_dbus_connection(bus="SYSTEM")
        self._bus.send_and_get_reply(message_bus.RequestName(_NAME), timeout=10)
        for modem in modems.values():
            # As ModemManager sets its modems up.
            modem.feed(b"ATE0\rAT+CMEE=1\r")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                message = self._bus.receive(timeout=0.1)
            except TimeoutError:
                continue
            if message.header.message_type is not MessageType.method_call:
                continue
            answer = self._answer(message)
            if answer is None:
                break
            self._bus.send(answer)
        self._bus.close()

    def _answer(self, message: Message) -> Message | None:
        fields = message.header.fields
        if fields[HeaderFields.member] == "GetManagedObjects":
            return new_method_return(message, "a{oa{sa{sv}}}", (self._objects(),))
        modem = self.modems.get(fields[HeaderFields.path])
        if modem is None or fields[HeaderFields.member] != "Command":
            return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", ("Object does not exist",))
        if not self._debug:
            return self._error(message, "Core.Unauthorized", "operation only allowed in debug mode")
        command, seconds = message.body
        self.asked.append(command)
        said = modem.feed(f"{command}\r\n".encode())
        if command.startswith(self.ends_at or "\n"):
            return None
        return self._said(message, said, seconds)

    def _said(self, message: Message, said: list[tuple[float, bytes]], seconds: int) -> Message:
        if sum(delay_s for delay_s, _ in said) > seconds:
            return self._error(message, "Serial.ResponseTimeout", "Serial command timed out")
        lines = [line for line in b"".join(data for _, data in said).decode("latin-1").split("\r\n") if line.strip()]
        match lines[-1].partition(": ")[::2] if lines else ("", ""):
            case "OK", _:
                return new_method_return(message, "s", ("\r\n\r\n".join(lines[:-1]),))
            case "+CME ERROR", number:
                return self._error(
                    message, f"MobileEquipment.{_ERRORS.get(int(number), 'Unknown')}", "as the modem says"
                )
            case "ERROR", _:
                return self._error(message, "MobileEquipment.Unknown", "Unknown error")
        return self._error(message, "Serial.ResponseTimeout", "Serial command timed out")

    def _objects(self) -> dict[str, Any]:
        return {
            path: {f"{_NAME}.Modem": {"EquipmentIdentifier": ("s", imei)}}
            for path, imei in zip(self.modems, self._imeis, strict=False)
        }

    @staticmethod
    def _error(message: Message, name: str, text: str) -> Message:
        return new_error(message, f"{_NAME}.Error.{name}", "s", (text,))
