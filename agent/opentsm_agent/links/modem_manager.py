"""`modemmanager:MODEM?…`: the card in a modem that ModemManager has, by AT commands over D-Bus.

ModemManager holds the modem's ports, and gives AT commands on for others by the method `Command` of its interface
`org.freedesktop.ModemManager1.Modem`, if it was started with `--debug` or built with `at_command_via_dbus`. What it
gives back is the answer without echo and OK, or a D-Bus error in place of the modem's. D-Bus is spoken by jeepney (the
extra `modemmanager`), on the system bus.

The modem is ModemManager's: echo, form of errors and power are not touched from here.

Spec: D-Bus specification 0.43; org.freedesktop.ModemManager1 API 1.20, Modem.Command.
"""

from __future__ import annotations

import math
import time
from typing import Any, Final

from jeepney import DBusAddress, HeaderFields, MessageFlag, MessageType, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from opentsm_agent.links.modem import ModemLink
from opentsm_agent.links.modem_line import RefusedError
from opentsm_agent.links.modem_settings import AUTO, ModemSettings
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.modem import AtDialogue, AtResult

__all__ = ["ModemManagerLine", "open_modem_manager"]

_SERVICE: Final = "org.freedesktop.ModemManager1"
_ROOT: Final = "/org/freedesktop/ModemManager1"
_MODEM: Final = f"{_SERVICE}.Modem"
_AT: Final = f"{_SERVICE}.Error.MobileEquipment."
_SMS: Final = f"{_SERVICE}.Error.Message."
_BUS: Final = "org.freedesktop.DBus.Error."
_OBJECTS: Final = "org.freedesktop.DBus.ObjectManager"
_NO_LEAVE: Final = (
    "ModemManager gives no AT commands on; it does with --debug, or built with at_command_via_dbus, to users whom "
    "polkit allows org.freedesktop.ModemManager1.Device.Control"
)
_GONE: Final = "ModemManager has no such modem (any more); mmcli -L lists those it has"
_STOPPED: Final = "ModemManager does not run"
_ENDED: Final = "ModemManager has ended before it answered"
_FAILURES: Final[dict[str, tuple[type[TransportError], str]]] = {
    f"{_AT}SimNotInserted": (CardRemovedError, "there is no card in the modem"),
    f"{_SERVICE}.Error.Serial.ResponseTimeout": (LinkTimeoutError, "the modem does not answer in time"),
    f"{_SERVICE}.Error.Core.Unauthorized": (TransportError, _NO_LEAVE),
    f"{_BUS}ServiceUnknown": (CardRemovedError, _STOPPED),
    f"{_BUS}NameHasNoOwner": (CardRemovedError, _STOPPED),
    f"{_BUS}UnknownObject": (CardRemovedError, _GONE),
    f"{_BUS}UnknownMethod": (CardRemovedError, _GONE),
    f"{_BUS}UnknownInterface": (CardRemovedError, _GONE),
    f"{_BUS}NoReply": (CardRemovedError, _ENDED),
    f"{_BUS}Disconnected": (CardRemovedError, _ENDED),
}
"""What D-Bus errors mean, by name; the modem's own, but for those here, are refusals."""
_ATTEMPTS: Final = 3
_CONNECT_S: Final = 2.0
_LIST_S: Final = 5.0
# ModemManager says itself that an answer is late; only one that says nothing at all is waited for so much longer.
_GRACE_S: Final = 5.0
_MAX_TEXT: Final = 200


def open_modem_manager(address: str, timeout_s: float) -> ModemLink:
    """Open a link to the card in a modem of ModemManager's; see `ModemSettings.parse_managed`.

    Args:
        address: `MODEM?NAME=VALUE&…`: a path that `mmcli -L` lists, an IMEI, or `auto`.
        timeout_s: how long one answer may take, in seconds, where the address does not say.

    Raises:
        ProtocolError: the address makes no sense.
        CardRemovedError: no ModemManager, no such modem, or no card in it.
        TransportError: ModemManager gives no leave, or the card can't be reached.
    """
    settings = ModemSettings.parse_managed(address)
    name, timeout_s = f"modemmanager:{settings.device}", settings.timeout_s or timeout_s
    return ModemLink(ModemManagerLine(settings.device, name, timeout_s), settings, timeout_s, name)


class ModemManagerLine:
    """A modem that is asked by way of ModemManager (`opentsm_agent.links.modem_line.AtLine`).

    Args:
        modem: its object's path, its IMEI, or `auto` for the only one.
        name: of the link, for errors.
        timeout_s: how long an answer may take, in seconds.

    Raises:
        CardRemovedError: no ModemManager, or no such modem.
        TransportError: no system bus, or it gives no leave.
    """

    def __init__(self, modem: str, name: str, timeout_s: float) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._bus: DBusConnection | None
        try:
            self._bus = open_dbus_connection(bus="SYSTEM", auth_timeout=_CONNECT_S)
        except (OSError, TimeoutError, RuntimeError, ValueError) as error:
            raise TransportError(f"{name}: no D-Bus system bus answers: {error}") from error
        try:
            self._path = modem if modem.startswith("/") else self._find(modem)
        except BaseException:
            self.close()
            raise

    def synchronize(self) -> str:
        """Find out whether commands are given on, and return what the modem says it is.

        Its answers to two questions prove that a late answer of another command is not still to come.
        """
        self.ask("AT")
        maker, model = (self._identify(command) for command in ("AT+CGMI", "AT+CGMM"))
        return f"{maker} {model}".strip()

    def ask(self, command: str, prefix: str | None = None, *, bare: bool = False) -> AtResult:
        """Give a command and return its answer; see `AtLine`."""
        verb = command.partition("=")[0]
        seconds = math.ceil(self._timeout_s)
        (answer,) = self._call(self._path, _MODEM, "Command", "su", (command, seconds), seconds + _GRACE_S, verb)
        dialogue = AtDialogue(command, prefix, bare=bare)
        try:
            result = dialogue.feed(str(answer).encode("latin-1", "replace") + b"\r\nOK\r\n")
        except ProtocolError as error:
            raise TransportError(f"{self._name}: {error}") from error
        assert result is not None
        if result.error is not None:
            raise RefusedError(f"{self._name}: {verb}: the modem answers {result.error}")
        return result

    def restore(self) -> None:
        """Do nothing: nothing of the modem's was set."""

    def hurried(self, timeout_s: float) -> ModemManagerLine:
        """Set another time-out, and return the line."""
        self._timeout_s = timeout_s
        return self

    def now(self) -> float:
        """Return the monotonic time in seconds."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def close(self) -> None:
        """Leave the bus; safe to call twice."""
        if self._bus is not None:
            self._bus.close()
            self._bus = None

    def _identify(self, command: str) -> str:
        """Ask what the modem is; an answer without text is another command's."""
        for _ in range(_ATTEMPTS):
            try:
                text = self.ask(command).text
            except RefusedError:
                break
            if text:
                return " ".join(text)
        return ""

    def _find(self, modem: str) -> str:
        """Return the path of the only modem, or of the one with an IMEI."""
        (objects,) = self._call(_ROOT, _OBJECTS, "GetManagedObjects", None, (), _LIST_S, "listing")
        modems: dict[str, str] = {}
        for path, interfaces in objects.items():
            if _MODEM in interfaces:
                _, imei = interfaces[_MODEM].get("EquipmentIdentifier", ("s", ""))
                modems[path] = str(imei)
        found = [path for path, imei in modems.items() if modem in {AUTO, imei}]
        if not found:
            others = f"; it has {', '.join(sorted(modems))}" if modems else ""
            which = "" if modem == AUTO else " with this IMEI"
            raise CardRemovedError(f"{self._name}: ModemManager has no modem{which}{others}")
        if len(found) > 1:
            raise TransportError(
                f"{self._name}: ModemManager has {', '.join(sorted(found))}: name one, or give its IMEI"
            )
        return found[0]

    def _call(
        self,
        path: str,
        interface: str,
        method: str,
        signature: str | None,
        body: tuple[Any, ...],
        within_s: float,
        what: str,
    ) -> tuple[Any, ...]:
        """Call a method and return its results; the body of a command is told in no error."""
        if self._bus is None:
            raise CardRemovedError(f"{self._name}: the link is closed")
        call = new_method_call(DBusAddress(path, _SERVICE, interface), method, signature, body)
        # Started by the bus, it would be one that gives no commands on.
        call.header.flags |= MessageFlag.no_auto_start
        try:
            reply = self._bus.send_and_get_reply(call, timeout=within_s)
        except TimeoutError as error:
            raise LinkTimeoutError(
                f"{self._name}: {what}: ModemManager does not answer within {within_s:g} s"
            ) from error
        except (OSError, ValueError) as error:
            raise CardRemovedError(f"{self._name}: the system bus is gone: {error}") from error
        if reply.header.message_type is MessageType.error:
            error_name = str(reply.header.fields.get(HeaderFields.error_name, ""))
            raise self._failure(error_name, str(reply.body[0]) if reply.body else "", what)
        return tuple(reply.body)

    def _failure(self, error: str, said: str, what: str) -> TransportError:
        """Map a D-Bus error: the one place where that is done."""
        short, said = error.rpartition(".")[2], said[:_MAX_TEXT]
        kind, meaning = _FAILURES.get(error, (TransportError, "ModemManager refuses"))
        if error.startswith((_AT, _SMS)) and error not in _FAILURES:
            kind, meaning = RefusedError, "the modem refuses"
        return kind(f"{self._name}: {what}: {meaning} ({short}: {said})")
