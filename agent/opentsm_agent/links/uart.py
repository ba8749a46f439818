"""`uart:DEVICE?…`: a card on a serial port, through readers after the Phoenix circuit or bare UART pins.

The protocols are those of `opentsm_card.transmission`, the line is `SerialPort`. After a failure nobody knows what the
card still sends: the link takes no further command before it is reset.

Spec: ISO/IEC 7816-3:2006.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, Self

from opentsm_agent.links.long_commands import LongCommands, transmit_long
from opentsm_agent.links.t0 import transmit_t0
from opentsm_agent.links.uart_port import SerialPort
from opentsm_agent.links.uart_settings import UartSettings
from opentsm_card.errors import CardRemovedError, TransportError
from opentsm_card.transmission import Port, activate, exchange_t0, perform
from opentsm_card.transmission.parameters import DEFAULT_RATE

if TYPE_CHECKING:
    from opentsm_card.transmission import Active

__all__ = ["ResettablePort", "UartLink", "open_uart"]

_ATTEMPTS: Final = 3
# Of an answer to reset; no protocol has such bytes at the start of anything.
_ATR_BEGINS: Final = 3


class ResettablePort(Port, Protocol):
    """A line that can reset the card at its end."""

    def power_up(self) -> None:
        """Reset the card."""

    def discard(self) -> bytes:
        """Forget what has come and was not received, and return it."""

    def close(self) -> None:
        """Let the line go."""


def open_uart(address: str, timeout_s: float) -> UartLink:
    """Open a link to the card on a serial port; see `UartSettings` for what may follow the device.

    Args:
        address: `DEVICE?NAME=VALUE&…`.
        timeout_s: how long one exchange may take, in seconds.

    Raises:
        ProtocolError: the address makes no sense.
        TransportError: the port can't be used, or there is no card.
    """
    settings = UartSettings.parse(address)
    return UartLink(SerialPort(settings), settings, timeout_s)


class UartLink:
    """A card on a line of characters; opening the link resets it.

    Args:
        port: the line.
        settings: what was asked for.
        timeout_s: how long one exchange may take, in seconds.

    Raises:
        CardRemovedError: no port, or no card.
        TransportError: the card can't be spoken to.
    """

    def __init__(self, port: ResettablePort, settings: UartSettings, timeout_s: float) -> None:
        self._port = port
        self._settings = settings
        self._timeout_s = timeout_s
        self._name = f"uart:{settings.device}"
        self._active: Active | None = None
        self._closed = False
        self.atr = b""
        self._long = LongCommands()
        self.rate_failure: str | None = None
        """Why the card is spoken to at the default rate, where its own was asked for and did not do; None otherwise."""
        try:
            self._follow(self._activate())
        except BaseException:
            self.close()
            raise

    @property
    def protocol(self) -> int | None:
        """T of the protocol that is spoken; None after a failure."""
        return None if self._active is None else self._active.protocol

    @property
    def retransmissions(self) -> int:
        """How many blocks of T=1 had to be sent or asked for again since the last reset."""
        return self._active.t1.retransmissions if self._active and self._active.t1 else 0

    def transmit(self, command: bytes) -> bytes:
        """Send one C-APDU and return its R-APDU, SW1 SW2 last; over T=0, 61xx and 6Cxx are followed up.

        Raises:
            ProtocolError: the protocol can't carry the C-APDU; nothing was sent.
            LinkTimeoutError: the card does not answer in time.
            CardRemovedError: the port is gone, or the link is closed.
            TransportError: the exchange failed; or it failed before, and the link was not reset since.
        """
        active = self._active
        if active is None:
            raise self._refusal()
        try:
            return transmit_long(self._transmit_one, command, self._long, t0=active.t1 is None)
        except TransportError as error:
            self._active = None
            raise self._named(error) from error

    def _transmit_one(self, command: bytes) -> bytes:
        """Send one C-APDU; over T=0 a short one."""
        assert self._active is not None
        if self._active.t1 is None:
            return transmit_t0(self._exchange_t0, command)
        self._listen()
        response = perform(self._active.t1.exchange(command), self._port, self._timeout_s)
        if len(response) < 2:
            raise TransportError(f"an R-APDU of {len(response)} bytes has no status word")
        return response

    def reset(self) -> bytes:
        """Reset the card and return its ATR.

        Raises:
            TransportError: the card can't be reset (`reset=none`), or can't be spoken to.
        """
        if self._closed:
            raise self._refusal()
        if self._settings.reset == "none":
            raise TransportError(f"{self._name}: with reset=none the card can't be reset from here")
        self._follow(self._activate())
        return self.atr

    def close(self) -> None:
        """Let the port go; safe to call twice."""
        self._closed = True
        self._active = None
        self._port.close()

    def __enter__(self) -> Self:
        """Return the link itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the link."""
        self.close()

    def _follow(self, atr: bytes) -> None:
        """Find out how a card that was not there before takes long commands."""
        known, self.atr = self.atr, atr
        if known == atr:
            return
        # What was selected by asking is deselected by a reset alone.
        exchange = None if self._settings.reset == "none" else self._transmit_one
        try:
            self._long, asked = LongCommands.learn(self._settings.long, atr, exchange)
        except TransportError as error:
            self._active, self.atr = None, b""
            raise self._named(error) from error
        if asked:
            self._activate()

    def _activate(self) -> bytes:
        """Reset the card and bring it to the point where it takes commands, in three attempts.

        Where the card's rate does not do in two, for the card or for the port, the third is without: behind a reset the
        default rate holds until PPS, or in specific mode TA2, says another (ISO/IEC 7816-3:2006, 6.3.1).
        """
        settings = self._settings
        self._active = None
        by_hand = settings.reset == "none"
        wants_rate = settings.rate == "card" and self.rate_failure is None
        failure = ""
        for attempt in range(1, _ATTEMPTS + 1):
            conversation = activate(
                settings.clock_hz,
                protocol=settings.protocol_number,
                fast=wants_rate and attempt < _ATTEMPTS,
                first_s=self._timeout_s if by_hand else 1.0,
            )
            try:
                self._port.power_up()
                self._active = perform(conversation, self._port, self._timeout_s)
            except TransportError as error:
                if by_hand or attempt == _ATTEMPTS or isinstance(error, CardRemovedError):
                    raise self._named(error) from error
                failure = str(error)
            else:
                break
        assert self._active is not None
        if wants_rate and attempt == _ATTEMPTS and self._active.rate == DEFAULT_RATE:
            self.rate_failure = failure
        return self._active.atr

    def _exchange_t0(self, tpdu: bytes) -> bytes:
        assert self._active is not None
        self._listen()
        conversation = exchange_t0(tpdu, self._active.wait_s, self._active.extra_guard_s, self._active.turn_s)
        return perform(conversation, self._port, self._timeout_s)

    def _listen(self) -> None:
        """Hear what the card said unasked."""
        if self.atr[:_ATR_BEGINS] in self._port.discard():
            raise TransportError("the card has reset itself since it was last asked: what was selected is gone")

    def _named(self, error: TransportError) -> TransportError:
        text = str(error)
        return error if text.startswith("uart:") else type(error)(f"{self._name}: {text}")

    def _refusal(self) -> TransportError:
        if self._closed:
            return CardRemovedError(f"{self._name}: the link is closed")
        return TransportError(f"{self._name}: an exchange failed; the link takes commands again once it is reset")
