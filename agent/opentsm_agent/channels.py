"""Logical channels: one link to a card, shared by those who each have a channel of their own.

A channel looks like a link: C-APDUs are written for the basic channel, and their class byte is rewritten here. Commands
of SCP03 may be: their MACs are computed as if the channel were the basic one (GP Amendment D 1.2, 6.2.4). In SCP02
hosts and cards differ, so a device says in its configuration that its card allows it.

Spec: ISO/IEC 7816-4:2020 clauses 5.4.1 (class byte), 11.1.2 (MANAGE CHANNEL); GP Card 2.3.1 clause 11.7.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Self

from opentsm_card.apdu import cla_on_channel
from opentsm_card.errors import CardRemovedError, ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.link import Link

__all__ = ["CardChannel", "HeldError", "NoChannelError", "SharedCard", "on_channel"]

_OPEN: Final = bytes.fromhex("0070000001")
_OK: Final = b"\x90\x00"
_HIGHEST: Final = 19
_INS_MANAGE_CHANNEL: Final = 0x70
# Links that were opened are counted from 1.
_NO_LINK: Final = 0


class NoChannelError(TransportError):
    """The card has no logical channel left, or has none; nothing was done."""


class HeldError(NoChannelError):
    """Somebody holds the whole card; nothing was done."""


def on_channel(command: bytes, number: int) -> bytes:
    """Return a C-APDU for the basic channel as one for another.

    Args:
        command: the C-APDU.
        number: of the channel, 0 to 19.

    Raises:
        ProtocolError: it is for a channel already, or manages channels: that is for who owns the link.
    """
    if len(command) < 4:
        raise ProtocolError(f"a C-APDU of {len(command)} bytes")
    cla = command[0]
    # Classes of the first interindustry form and GlobalPlatform's: channel 0, secure messaging 04 at most.
    if number and cla & 0x6B:
        raise ProtocolError(f"a C-APDU of class {cla:02X}: it can't be sent on another channel than it is written for")
    if number and command[1] == _INS_MANAGE_CHANNEL and not cla & 0x80:
        raise ProtocolError("MANAGE CHANNEL: the channels are the agent's")
    return bytes((cla_on_channel(cla, number),)) + command[1:] if number else command


class SharedCard:
    """A card whose link is open while somebody has a channel; for any thread, one exchange at a time.

    Args:
        open_link: opens the link; the card is freshly reset then.
    """

    def __init__(self, open_link: Callable[[], Link]) -> None:
        self._open_link = open_link
        self._lock = threading.RLock()
        self._link: Link | None = None
        self._opened = 0
        self._users = 0
        self._held = False
        self._basic = False

    @property
    def users(self) -> int:
        """How many logical channels there are."""
        return 0 if self._basic else self._users

    def channel(self) -> CardChannel:
        """Open a logical channel.

        Raises:
            HeldError: somebody holds the card.
            NoChannelError: the card gives none.
            TransportError: the card can't be reached.
            ProtocolError: the link's URI makes no sense to its scheme.
        """
        with self._lock:
            opened = self._ensure()
            try:
                number = self._open_channel(opened)
            except TransportError:
                self._leave()
                raise
            self._users += 1
            return CardChannel(self, number, opened)

    def take(self) -> None:
        """Close the link: somebody holds the card. Channels are gone with it."""
        with self._lock:
            self._held = True
            self._drop()

    def give_back(self) -> None:
        """Let channels be opened again."""
        with self._lock:
            self._held = False

    def basic(self) -> CardChannel:
        """Return the basic channel, where nobody has any.

        Raises:
            HeldError: somebody holds the card, or has a channel.
            TransportError: the card can't be reached.
            ProtocolError: the link's URI makes no sense to its scheme.
        """
        with self._lock:
            if self._users:
                raise HeldError("somebody else has the card's channel")
            opened = self._ensure()
            self._users, self._basic = 1, True
            return CardChannel(self, 0, opened)

    def exchange(self, command: bytes, opened: int) -> bytes:
        """Exchange a C-APDU over the link that was opened as the so many-th.

        Raises:
            CardRemovedError: that link is gone, and every channel with it.
            TransportError: the link failed; it is closed.
        """
        with self._lock:
            if self._link is None or opened != self._opened:
                raise CardRemovedError("the card was reset or taken away meanwhile: its channels are gone")
            try:
                return self._link.transmit(command)
            except TransportError:
                self._drop()
                raise

    def is_open(self, opened: int) -> bool:
        """Tell whether the link that was opened as the so many-th is still the one."""
        with self._lock:
            return self._link is not None and opened == self._opened

    def release(self, number: int, opened: int) -> None:
        """Close a channel; the last one closes the link. Nothing is raised: it may be gone already."""
        with self._lock:
            self._users -= 1
            self._basic &= number != 0
            if number and opened == self._opened and self._link is not None:
                self._close_channel(number)
            self._leave()

    def renew(self, number: int, opened: int) -> tuple[int, int]:
        """Close a channel and open another: what was selected and every session on it is gone.

        Returns:
            The number of the new channel, and which link it is on.

        Raises:
            NoChannelError, TransportError, ProtocolError: as `channel`; the basic one is reset with its card.
        """
        with self._lock:
            if number == 0:
                self._drop()
                return 0, self._ensure()
            if opened == self._opened and self._link is not None:
                self._close_channel(number)
            again = self._ensure()
            return self._open_channel(again), again

    def _ensure(self) -> int:
        if self._held:
            raise HeldError("a session holds the card")
        if self._link is None:
            self._link = self._open_link()
            self._opened += 1
        return self._opened

    def _open_channel(self, opened: int) -> int:
        answer = self.exchange(_OPEN, opened)
        if answer[-2:] != _OK or len(answer) != 3 or not 1 <= answer[0] <= _HIGHEST:
            raise NoChannelError(f"the card gives no logical channel: it answers {answer[-2:].hex().upper()}")
        return answer[0]

    def _close_channel(self, number: int) -> None:
        try:
            self.exchange(bytes((0x00, _INS_MANAGE_CHANNEL, 0x80, number)), self._opened)
        except TransportError:
            return  # the link is closed, and the channel with it

    def _leave(self) -> None:
        if not self._users:
            self._drop()

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()


class CardChannel:
    """A logical channel, as a link; for one thread.

    Args:
        card: whose channel it is.
        number: of the channel.
        opened: which of the card's links it is on.
    """

    def __init__(self, card: SharedCard, number: int, opened: int) -> None:
        self._card = card
        self._opened = opened
        self._closed = False
        self.number = number

    @property
    def alive(self) -> bool:
        """False when the link it was opened on is gone."""
        return not self._closed and self._card.is_open(self._opened)

    def transmit(self, command: bytes) -> bytes:
        """Exchange a C-APDU that is written for the basic channel.

        Raises:
            CardRemovedError: the channel is gone.
            TransportError: the link failed.
            ProtocolError: the C-APDU is for another channel; nothing of it was sent.
        """
        if self._closed:
            raise CardRemovedError("the channel is closed")
        return self._card.exchange(on_channel(command, self.number), self._opened)

    def reset(self) -> bytes:
        """Close the channel and open another, which is as one of a card that was reset; there is no ATR."""
        if self._closed:
            raise CardRemovedError("the channel is closed")
        number, opened = self.number, self._opened
        # Until there is another it has none: the number may be somebody else's by the time this one is closed.
        self._opened = _NO_LINK
        self.number, self._opened = self._card.renew(number, opened)
        return b""

    def close(self) -> None:
        """Close the channel; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._card.release(self.number, self._opened)

    def __enter__(self) -> Self:
        """Return the channel itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the channel."""
        self.close()
