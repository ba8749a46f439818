"""Wake-ups by SMS, at an AT port of the device's modem, which gives on what the network delivers (`+CMT`, PDU mode).

A wake-up is an SMS-DELIVER of 8-bit data with application port addressing of 16 bits, to the destination port of the
configuration; its user data are the id of the session to open, in ASCII. Everything else that arrives is left alone.
Where the configuration lists senders, a message from any other number is no wake-up. A number can be forged; but all
that a wake-up can do is to have the agent ask its own TSM for a session of that name.

The port is one of its own: modems have several, and the one that carries APDUs is busy while a session runs.

Spec: 3GPP TS 27.005, 3.2.3 (+CMGF), 3.4.1 (+CNMI, +CMT); TS 23.040, 9.2.3.24.4 (application port addressing).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from opentsm_agent.links.modem_line import ModemLine
from opentsm_agent.links.modem_port import TtyPort
from opentsm_agent.timers import Backoff
from opentsm_agent.wake_source import ThreadedSource
from opentsm_card.errors import ProtocolError, TransportError
from opentsm_card.modem import LineReader
from opentsm_card.sms_deliver import SmsDeliver

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_agent.config import WakeSms
    from opentsm_agent.events import Events
    from opentsm_agent.links.modem_port import ModemPort
    from opentsm_agent.timers import Timers

__all__ = ["SmsSource", "WakeReader", "parse_wake_sms"]

_ANSWER_S: Final = 5.0
# How long one look at the port lasts: a stop and a nudge wait for its end.
_LOOK_S: Final = 0.5
# An idle modem is asked whether it is there: a port that was unplugged may show nothing.
_PROBE_S: Final = 300.0
_CMT: Final = re.compile(r'\+CMT: ?(?:"[^"]*")? ?, ?(\d{1,3})$')
_PDU: Final = re.compile(r"\A(?:[0-9A-Fa-f]{2}){1,200}\Z")
_SESSION: Final = re.compile(rb"\A[!-~]{1,133}\Z")


def parse_wake_sms(pdu: bytes, tpdu_bytes: int, port: int, senders: tuple[str, ...] = ()) -> str | None:
    """Return the id of the session that an SMS asks for; None for one that is no wake-up.

    Args:
        pdu: SMSC address and TPDU.
        tpdu_bytes: length of the TPDU, as `+CMT` says.
        port: the destination port of wake-ups.
        senders: the numbers that may send them; empty for any.

    Raises:
        ProtocolError: addressed to the port, and malformed, or from another sender.
    """
    try:
        message = SmsDeliver.parse(pdu, tpdu_bytes)
    except ProtocolError:
        return None  # a text, a binary message of another form: not for us
    if message.ports is None or message.ports[0] != port:
        return None
    if senders and message.originator.text not in senders:
        raise ProtocolError("SMS: not from a number that may wake this device")
    if message.protocol != 0 or not _SESSION.match(message.data):
        raise ProtocolError("SMS: to our port, and no wake-up")
    return message.data.decode("ascii")


class WakeReader:
    """Reads what a modem says unasked, and finds wake-ups in it.

    Args:
        port: the destination port of wake-ups.
        senders: the numbers that may send them; empty for any.
    """

    def __init__(self, port: int, senders: tuple[str, ...] = ()) -> None:
        self._port = port
        self._senders = senders
        self._lines = LineReader()
        self._expected: int | None = None

    def feed(self, data: bytes) -> list[str | ProtocolError]:
        """Take what has arrived; return the sessions that it asks for, and what was wrong with others.

        Raises:
            ProtocolError: a line without end.
        """
        found: list[str | ProtocolError] = []
        for line in self._lines.feed(data):
            length, self._expected = self._expected, None
            if match := _CMT.match(line.strip(" ")):
                self._expected = int(match[1])
            elif length is not None and _PDU.match(line):
                try:
                    session = parse_wake_sms(bytes.fromhex(line), length, self._port, self._senders)
                except ProtocolError as error:
                    found.append(error)
                else:
                    found += [session] if session is not None else []
        return found


class SmsSource(ThreadedSource):
    """Brings wake-ups by SMS, in a thread of its own; a modem that is gone is tried again.

    Args:
        config: of the port.
        wake: takes the id of a session to open.
        events: what the operator sees.
        timers: by which it waits between attempts.
        open_port: opens the port; another one than a serial port in tests.
    """

    def __init__(
        self,
        config: WakeSms,
        wake: Callable[[str], None],
        events: Events,
        timers: Timers,
        open_port: Callable[[str, int], ModemPort] = TtyPort,
    ) -> None:
        super().__init__("sms")
        self._config = config
        self._wake = wake
        self._events = events
        self._timers = timers
        self._open_port = open_port

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"sms {self._config.port}"

    def reopen(self) -> None:
        """Do nothing: no certificate is used."""

    def _run(self) -> None:
        backoff = Backoff(first_s=1.0)
        while not self._stopping.is_set():
            self._nudge.clear()
            try:
                self._listen(backoff)
            except (TransportError, ProtocolError) as error:
                self._attached = False
                pause_s = backoff.pause_s()
                self._events.emit("detached", error=str(error), retry_in_s=pause_s)
                self._timers.wait(self._nudge, pause_s)

    def _listen(self, backoff: Backoff) -> None:
        port = self._open_port(self._config.port, self._config.baud)
        try:
            line = ModemLine(port, self.name, _ANSWER_S)
            line.synchronize()
            line.ask("AT+CMGF=0")
            line.ask("AT+CNMI=2,2,0,0,0")
            self._attached = True
            backoff.reset()
            self._events.emit("attached", gateway=self.name)
            reader = WakeReader(self._config.destination_port, tuple(self._config.senders))
            probe_at = port.now() + _PROBE_S
            while not self._stopping.is_set():
                for found in reader.feed(port.read(port.now() + _LOOK_S)):
                    self._take(found)
                if port.now() >= probe_at:
                    # What arrives while it answers may be lost: the TSM repeats a wake-up.
                    line.ask("AT+CNMI=2,2,0,0,0")
                    probe_at = port.now() + _PROBE_S
        finally:
            self._attached = False
            port.close()

    def _take(self, found: str | ProtocolError) -> None:
        if isinstance(found, ProtocolError):
            self._events.emit("wake-up-ignored", reason=str(found))
            return
        self._events.emit("wake-up", source="sms")
        self._wake(found)
