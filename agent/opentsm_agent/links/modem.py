"""`modem:DEVICE?…`: the card in a modem, by the AT commands of TS 27.007, at its port or by way of ModemManager.

The card is the modem's before it is ours. So the link opens a logical channel of its own and closes it in the end: by
the modem (+CCHO, where the modem hands out a session's name and puts the channel's number into CLA itself), or by
MANAGE CHANNEL (+CSIM, where the link does). MACs of GlobalPlatform's secure channels are those of channel zero in
either case. Only where neither works is the basic channel used, which the modem uses too.

A modem can't reset a card. What a reset of this link does: the channel is closed and another opened, which ends every
session on it; on the basic channel another application is selected, which ends it as well; with `reset=cfun` the modem
is switched off and on, and the card loses its power. No modem tells the answer to reset: `atr` is the shortest one.

Spec: 3GPP TS 27.007, 8.2, 8.17, 8.43 to 8.45; ETSI TS 102 221, 11.1.17; GP Card Specification 2.3.1, 11.1.4.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Self, TypeVar

from opentsm_agent.links.modem_line import RefusedError
from opentsm_agent.links.t0 import transmit_t0
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.modem import modem_entry, parse_apdu, parse_session
from opentsm_card.modem.quirks import WAYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_agent.links.modem_line import AtLine
    from opentsm_agent.links.modem_settings import ModemSettings
    from opentsm_card.modem.quirks import Way

__all__ = ["UNKNOWN_ATR", "ModemLink"]

T = TypeVar("T")

UNKNOWN_ATR: Final = bytes.fromhex("3B00")
"""TS and T0: a card of direct convention that says nothing of itself, as T=0 by ISO/IEC 7816-3:2006, 8.2.3."""

_MANAGE_CHANNEL: Final = 0x70
_OPEN_CHANNEL: Final = bytes.fromhex("0070000001")
_SELECT_DEFAULT: Final = bytes.fromhex("00A4040000")
_SELECT_BY_NAME: Final = bytes.fromhex("A404")
_NOT_SUPPORTED: Final = bytes.fromhex("6A81")
_SELECT_MF: Final = bytes.fromhex("00A4000C023F00")
_MOST_CHANNEL: Final = 3
_RECOVERY_S: Final = 2.0
_RECOVERIES: Final = 3
_RESTART_POLL_S: Final = 0.5


class ModemLink:
    """The card in a modem; opening the link opens a channel to it.

    After a failure the link tries to close its channel, and stays closed: an answer that is late must find nobody who
    waits for another.

    Args:
        line: to the modem; the link closes it.
        settings: what was asked for.
        timeout_s: how long one answer may take, in seconds.
        name: of the link, for errors.

    Raises:
        CardRemovedError: no port, no card.
        TransportError: no modem answers, or its card can't be reached.
    """

    def __init__(self, line: AtLine, settings: ModemSettings, timeout_s: float, name: str = "modem") -> None:
        self._line = line
        self._settings = settings
        self._timeout_s = timeout_s
        self._name = name
        self._way: Way | None = None
        self._session: str | None = None
        self._channel = 0
        self._closed = False
        self.atr = UNKNOWN_ATR
        try:
            self.modem = self._line.synchronize()
            self._open_anyhow()
        except BaseException:
            self._give_up()
            raise

    @property
    def way(self) -> Way | None:
        """How the card is reached: `ccho`, `csim` on a channel of the link's own, `basic`; None when closed."""
        return self._way

    def transmit(self, command: bytes) -> bytes:
        """Send one C-APDU of the basic channel and return its R-APDU, SW1 SW2 last; 61xx and 6Cxx are followed up.

        Raises:
            ProtocolError: the C-APDU is extended, names a channel, or manages channels; nothing was sent.
            LinkTimeoutError: no answer in time; the link is closed.
            CardRemovedError: port or card are gone, or the link is closed.
            TransportError: any other failure; the link is closed.
        """
        if self._closed:
            raise CardRemovedError(f"{self._name}: the link is closed")
        if self._way != "basic":
            _check_channel(command)
            command = bytes((command[0] | self._channel,)) + command[1:]
        try:
            answer = transmit_t0(self._exchange, command)
            if answer == _NOT_SUPPORTED and self._way != "basic" and command[1:3] == _SELECT_BY_NAME:
                return self._select_on_basic(command) or answer
        except TransportError:
            self._give_up()
            raise
        return answer

    def reset(self) -> bytes:
        """Begin anew on the card, as far as a modem can (see the module), and return `UNKNOWN_ATR`.

        Raises:
            CardRemovedError: the link is closed.
            TransportError: the modem or the card refuses; the link is closed.
        """
        if self._closed:
            raise CardRemovedError(f"{self._name}: the link is closed")
        try:
            if self._settings.cfun:
                self._restart()
            else:
                self._close_channel()
            self._open()
        except TransportError:
            self._give_up()
            raise
        return self.atr

    def close(self) -> None:
        """Close the channel and let the port go; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        try:
            # Refused: the modem knows of no such channel any more.
            with contextlib.suppress(RefusedError):
                self._close_channel()
            self._line.restore()
        except TransportError:
            self._recover()
        finally:
            self._way = None
            self._line.close()

    def __enter__(self) -> Self:
        """Return the link itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the link."""
        self.close()

    # Channels.

    def _open_anyhow(self) -> None:
        """Reach the card; where it can't be, give it its power anew, if the modem may be switched off and on."""
        try:
            self._open()
        except LinkTimeoutError:
            raise
        except TransportError:
            if not self._settings.cfun:
                raise
            self._restart()
            self._open()

    def _open(self) -> None:
        """Reach the card in the first way that works."""
        entry = modem_entry(self.modem)
        ways = self._settings.ways or (entry.ways if entry else WAYS)
        reasons: list[str] = []
        for way in ways:
            try:
                {"ccho": self._open_session, "csim": self._open_channel, "basic": self._open_basic}[way]()
            except RefusedError as error:
                # The name of the link stands before all of them.
                reasons.append(str(error).removeprefix(f"{self._name}: "))
            else:
                self._way = way
                return
        if "basic" not in ways and self._is_locked():
            self._open_basic()
            self._way = "basic"
            return
        raise TransportError(
            f"{self._name}: the modem {self.modem!r} gives no access to the card: {'; '.join(reasons)}"
        )

    def _open_session(self) -> None:
        for aid in self._settings.aids:
            try:
                result = self._line.ask(f'AT+CCHO="{aid.hex().upper()}"', "+CCHO:", bare=True)
            except RefusedError as error:
                refusal = error
                continue
            if result.answer is None:
                raise TransportError(f"{self._name}: AT+CCHO: the modem says OK, and no session")
            self._session = self._parsed(parse_session, result.answer)
            return
        raise refusal

    def _open_channel(self) -> None:
        answer = self._exchange(_OPEN_CHANNEL)
        if answer[-2:] != b"\x90\x00" or len(answer) != 3:
            raise RefusedError(f"{self._name}: MANAGE CHANNEL: the card answers {answer[-2:].hex().upper()}")
        if not 1 <= answer[0] <= _MOST_CHANNEL:
            self._exchange(bytes((0, _MANAGE_CHANNEL, 0x80, answer[0], 0)))
            raise RefusedError(f"{self._name}: MANAGE CHANNEL: the card opens channel {answer[0]}")
        self._channel = answer[0]
        try:
            # Modems are known that let a channel be opened, and nothing be sent there.
            transmit_t0(self._exchange, bytes((self._channel,)) + _SELECT_DEFAULT[1:])
        except RefusedError:
            self._close_channel()
            raise

    def _open_basic(self) -> None:
        """Select something else on the basic channel: what was there, and its secure channel, is left."""
        for command in (_SELECT_MF, _SELECT_DEFAULT):
            answer = transmit_t0(self._exchange, command)
            if answer[-2] in {0x90, 0x62, 0x63}:
                return
        raise RefusedError(f"{self._name}: the basic channel: neither MF nor default application can be selected")

    def _is_locked(self) -> bool:
        """Tell whether the card gives no channels, as a locked one."""
        try:
            answer = self._exchange(_OPEN_CHANNEL)
            if len(answer) == 3:
                self._exchange(bytes((0, _MANAGE_CHANNEL, 0x80, answer[0], 0)))
        except RefusedError:
            return False
        return answer == _NOT_SUPPORTED

    def _select_on_basic(self, command: bytes) -> bytes | None:
        """Select on the basic channel what the card refuses on ours; None where that can't be.

        A card that was locked meanwhile answers there alone, and is unlocked there alone; selecting has been refused,
        so it may be tried again.

        Spec: GP Card Specification 2.3.1, 6.4.3.1.2 and 11.9.3.2.
        """
        try:
            self._close_channel()
            self._open_basic()
        except RefusedError:
            return None
        self._way = "basic"
        return transmit_t0(self._exchange, bytes((command[0] & ~_MOST_CHANNEL,)) + command[1:])

    def _close_channel(self) -> None:
        try:
            if self._session is not None:
                self._line.ask(f"AT+CCHC={self._session}")
            elif self._channel:
                self._exchange(bytes((0, _MANAGE_CHANNEL, 0x80, self._channel, 0)))
        except RefusedError:
            self._session, self._channel = None, 0
            raise
        self._session, self._channel = None, 0

    def _restart(self) -> None:
        """Switch the modem off and on, and wait for its card."""
        self._session, self._channel = None, 0
        for command in ("AT+CFUN=0", "AT+CFUN=1"):
            self._line.ask(command)
        until = self._line.now() + self._timeout_s
        while True:
            try:
                self._line.ask("AT+CPIN?")
            except (RefusedError, CardRemovedError) as error:
                if self._line.now() >= until:
                    raise LinkTimeoutError(f"{self._name}: after AT+CFUN=1 the card does not come back") from error
            else:
                return
            self._line.pause(_RESTART_POLL_S)

    def _exchange(self, tpdu: bytes) -> bytes:
        digits = tpdu.hex().upper()
        if self._session is not None:
            command, prefix = f'AT+CGLA={self._session},{len(digits)},"{digits}"', "+CGLA:"
        else:
            command, prefix = f'AT+CSIM={len(digits)},"{digits}"', "+CSIM:"
        result = self._line.ask(command, prefix)
        if result.answer is None:
            raise TransportError(f"{self._name}: {command[:7]}: the modem says OK, and gives no answer of the card")
        return self._parsed(parse_apdu, result.answer)

    def _parsed(self, parse: Callable[[str], T], answer: str) -> T:
        try:
            return parse(answer)
        except ProtocolError as error:
            raise TransportError(f"{self._name}: {error}") from error

    def _give_up(self) -> None:
        """Close a link that failed, and give the card its channel back."""
        if self._closed:
            return
        self._closed = True
        self._way = None
        try:
            self._recover()
        finally:
            self._line.close()

    def _recover(self) -> None:
        """Get in step with the modem once more, and close the channel, if one is open; no error is told."""
        self._line = self._line.hurried(min(self._timeout_s, _RECOVERY_S))
        for _ in range(_RECOVERIES):
            if self._session is None and not self._channel:
                return
            try:
                self._line.synchronize()
            except (LinkTimeoutError, CardRemovedError):
                # Nobody is there.
                return
            except TransportError:
                continue
            with contextlib.suppress(TransportError):
                self._close_channel()


def _check_channel(command: bytes) -> None:
    """Refuse what is about channels: that is the link's.

    Raises:
        ProtocolError: the C-APDU names a channel, or manages channels.

    Spec: ISO/IEC 7816-4:2020, 5.4.1; GP Card Specification 2.3.1, 11.1.4.
    """
    if len(command) < 4:
        raise ProtocolError(f"a C-APDU of {len(command)} bytes")
    if command[0] & 0x43:
        raise ProtocolError(f"CLA {command[0]:02X}: logical channels are the link's own here; use channel 0")
    if command[1] == _MANAGE_CHANNEL and not command[0] & 0x80:
        raise ProtocolError("MANAGE CHANNEL: logical channels are the link's own here")
