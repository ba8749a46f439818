"""T=1, the card's side.

The card speaks only when it was spoken to: whatever it can't read it answers by an R-block, and it sends again what it
is asked for; it never gives up by itself. While a command runs longer than BWT allows it asks for time by S(WTX).

Spec: ISO/IEC 7816-3:2006, 11.6.2 and 11.6.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Never

from opentsm_card.transmission.events import FOREVER_S, Execute, Send
from opentsm_card.transmission.t1_block import Block, Kind, S, read_block, split

if TYPE_CHECKING:
    from opentsm_card.transmission.events import Conversation
    from opentsm_card.transmission.t1 import T1Times

__all__ = ["T1CardSide"]

_INITIAL_IFSD: Final = 32
_MOST_COMMAND_BYTES: Final = 4 + 3 + 65535 + 2
_WTX_FACTOR: Final = 2
# Of BWT, after which a card asks for more.
_PATIENCE: Final = 0.4


class T1CardSide:
    """A card that speaks T=1.

    Args:
        times: waiting times.
        ifsc: what its ATR says, 1..254.
        crc: whether blocks end in a CRC.
    """

    def __init__(self, times: T1Times, ifsc: int, *, crc: bool) -> None:
        self._times = times
        self._ifsc = ifsc
        self._crc = crc
        self._begin()

    def _begin(self) -> None:
        self._ifsd = _INITIAL_IFSD
        self._sending = self._receiving = 0
        self._command = bytearray()
        # The I-block that was sent and may be asked for again, what follows it, the request that waits for a response.
        self._outstanding: Block | None = None
        self._following: list[bytes] = []
        self._request: Block | None = None
        self._last = Block.r(0)

    def serve(self, first: bytes = b"") -> Conversation[Never]:
        """Answer blocks.

        Args:
            first: what came already.
        """
        while True:
            received = yield from self._receive(first)
            first = b""
            reply = self._react(received)
            if reply is None:
                reply = yield from self._run()
            yield from self._send(reply)

    def _receive(self, first: bytes = b"") -> Conversation[Block | int | None]:
        return (yield from read_block(FOREVER_S, self._times.character_wait_s, crc=self._crc, first=first))

    def _send(self, block: Block) -> Conversation[None]:
        self._last = block
        yield Send(block.encode(crc=self._crc), after_s=self._times.block_guard_s)

    def _react(self, received: Block | int | None) -> Block | None:
        """Return the answer to what came; None when a command is complete and is to be run."""
        if not isinstance(received, Block):
            return self._complain(received or 2)
        if received.kind is Kind.S:
            return self._supervised(received)
        if self._request is not None:
            return self._request
        return self._informed(received) if received.kind is Kind.I else self._asked(received)

    def _complain(self, error: int) -> Block:
        """Return what answers a block that can't be read, or is out of place (rules 7.1 to 7.3)."""
        return self._request or Block.r(self._receiving, error)

    def _informed(self, block: Block) -> Block | None:
        if block.number != self._receiving or self._following:
            return self._complain(2)
        self._receiving ^= 1
        self._outstanding = None
        self._command += block.information
        if len(self._command) > _MOST_COMMAND_BYTES:
            self._command.clear()
            self._request = Block.s(S.ABORT)
            return self._request
        return Block.r(self._receiving) if block.more else None

    def _asked(self, block: Block) -> Block:
        if self._outstanding is not None:
            if block.number == self._outstanding.number:
                return self._outstanding
            if self._following:
                return self._next()
        return self._last if self._last.kind is Kind.R else self._complain(2)

    def _next(self) -> Block:
        """Take the next I-block of the response."""
        information = self._following.pop(0)
        self._outstanding = Block.i(self._sending, information, more=bool(self._following))
        self._sending ^= 1
        return self._outstanding

    def _supervised(self, block: Block) -> Block:
        if block.is_response:
            if self._request is not None and block == Block(self._request.pcb | 0x20, self._request.information):
                self._request = None
                # An aborted chain gives the right to send back (rule 9).
                return Block.r(self._receiving)
            return self._complain(2)
        if block.about is S.WTX:
            return self._complain(2)
        if block.about is S.RESYNCH:
            self._begin()
        elif block.about is S.IFS:
            self._ifsd = block.information[0]
        else:
            self._command.clear()
            self._following.clear()
            self._outstanding = self._request = None
        return Block(block.pcb | 0x20, block.information)

    def _run(self) -> Conversation[Block]:
        """Run the command that has come and return the first block of its response."""
        command = bytes(self._command)
        self._command.clear()
        within_s = self._times.block_wait_s * _PATIENCE
        response = yield Execute(command, within_s)
        while response is None:
            if (interruption := (yield from self._extend())) is not None:
                # The reader gave the command up; it can't be stopped, and nobody wants its response.
                yield Execute(None, FOREVER_S)
                return interruption
            response = yield Execute(None, within_s * _WTX_FACTOR)
        self._following = split(response, self._ifsd)
        return self._next()

    def _waits_for(self, request: Block) -> bool:
        return self._request is request

    def _extend(self) -> Conversation[Block | None]:
        """Ask for time until it is given (rule 3); return the answer to what ended that instead."""
        request = self._request = Block.s(S.WTX, _WTX_FACTOR)
        reply: Block = request
        while True:
            yield from self._send(reply)
            received = yield from self._receive()
            granted = Block(request.pcb | 0x20, request.information)
            if received == granted:
                self._request = None
                return None
            reply = self._react(received) or request
            if not self._waits_for(request):
                return reply
