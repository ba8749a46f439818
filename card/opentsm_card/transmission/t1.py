"""T=1, the reader's side: C-APDUs in chains of blocks, errors mended by asking again.

Each block that is sent is answered by one. What is lost or garbled is asked for again by an R-block, twice; then the
reader resynchronises (11.6.3.2, rules 6 and 7). A command whose last block was sent before that may have run, and
is never given again; one whose last block was not sent can't have, and is given once more.

Spec: ISO/IEC 7816-3:2006, 11.4 (times), 11.6.2 and 11.6.3 (operation; its rules are named in the code).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.transmission.events import Send
from opentsm_card.transmission.t1_block import MOST_INFORMATION_BYTES, Block, Kind, S, read_block, split

if TYPE_CHECKING:
    from opentsm_card.transmission.events import Conversation

__all__ = ["T1Reader", "T1Times"]

_INITIAL_IFSD: Final = 32
_ATTEMPTS: Final = 3
# By name an enumeration's member is looked up by a function, each time (before Python 3.12).
_I, _R, _S = Kind
# Of an answer to reset; no block has such bytes at its start.
_ATR_BEGINS: Final = 3
_MOST_COMMAND_BYTES: Final = 4 + 3 + 65535 + 2
_MOST_RESPONSE_BYTES: Final = 65538


@dataclass(frozen=True, slots=True)
class T1Times:
    """T=1's waiting times, in seconds.

    Args:
        block_wait_s: BWT.
        character_wait_s: CWT.
        extra_guard_s: silence behind each character to the card, beyond 12 etu.
        block_guard_s: silence between blocks of opposite directions: what of BGT is left once a character has come.
    """

    block_wait_s: float
    character_wait_s: float
    extra_guard_s: float = 0.0
    block_guard_s: float = 0.0


class _LostError(Exception):
    """Three attempts in a row brought nothing that can be read; `silent` when nothing at all came."""

    def __init__(self, *, silent: bool) -> None:
        super().__init__()
        self.silent = silent


class _AbortedError(Exception):
    """The card gave up a chain."""


class T1Reader:
    """The reader's side of T=1 with one card, from a reset on.

    Args:
        times: waiting times.
        ifsc: the card's information field size, 1..254.
        crc: whether blocks end in a CRC.
        atr: the card's answer to reset. Heard in place of a block it says that the card has reset itself, and has
            forgotten which commands it ran: then nothing must be sent again.

    `retransmissions` counts the blocks that had to be asked for, or sent, again.
    """

    def __init__(self, times: T1Times, ifsc: int, *, crc: bool, atr: bytes = b"") -> None:
        self._times = times
        self._initial_ifsc = ifsc
        self._crc = crc
        self._alarm = atr[:_ATR_BEGINS]
        self.retransmissions = 0
        self._begin()

    def _begin(self) -> None:
        """Take the state in which a card is after reset, and after S(RESYNCH) (rule 6)."""
        self._ifsc = self._initial_ifsc
        self._ifsd = _INITIAL_IFSD
        self._sending = self._receiving = 0

    def start(self) -> Conversation[None]:
        """Tell the card how long its blocks may be (rule 4).

        Raises:
            LinkTimeoutError: it does not answer.
            TransportError: nothing that it answers can be read.
        """
        try:
            yield from self._announce()
        except _LostError as lost:
            # Rule 7.4.1: at the start there is nothing to resynchronise.
            raise self._failure(lost, "at the start") from None

    def exchange(self, command: bytes) -> Conversation[bytes]:
        """Send a C-APDU and return its R-APDU; what the card said unasked before has been taken off the line.

        Raises:
            ProtocolError: it is no C-APDU; nothing was sent.
            LinkTimeoutError: the card does not answer any more.
            TransportError: the exchange failed; whether the card ran the command is unknown, unless the message says.
        """
        if not 4 <= len(command) <= _MOST_COMMAND_BYTES:
            raise ProtocolError(f"a C-APDU of {len(command)} bytes: want 4 to {_MOST_COMMAND_BYTES}")
        for again in (False, True):
            complete = False
            try:
                if self._ifsd == _INITIAL_IFSD:
                    yield from self._announce()
                parts = split(command, self._ifsc)
                while len(parts) > 1:
                    yield from self._link_of_chain(parts)
                complete = True
                return (yield from self._final(parts[0]))
            except _LostError as lost:
                yield from self._resynchronise(lost)
                if complete or again:
                    doubt = "the card may or may not have run the command" if complete else "the card has not run it"
                    raise TransportError(f"T=1: no readable block after {_ATTEMPTS} attempts; {doubt}") from None
            except _AbortedError:
                raise TransportError("T=1: the card aborted a chain of blocks") from None
        raise AssertionError("unreachable")

    def _announce(self) -> Conversation[None]:
        yield from self._supervise(Block.s(S.IFS, MOST_INFORMATION_BYTES))
        self._ifsd = MOST_INFORMATION_BYTES

    # Chains.

    def _link_of_chain(self, parts: list[bytes]) -> Conversation[None]:
        """Send one I-block that is not the last (rule 5), and cut the rest anew where the card changed its IFS."""
        size = self._ifsc
        block = Block.i(self._sending, parts.pop(0), more=True)
        yield from self._converse(block)
        self._sending ^= 1
        if self._ifsc != size:
            parts[:] = split(b"".join(parts), self._ifsc)

    def _final(self, information: bytes) -> Conversation[bytes]:
        """Send the last I-block and collect the answer."""
        reply = yield from self._converse(Block.i(self._sending, information, more=False))
        self._sending ^= 1
        self._receiving ^= 1
        collected = bytearray(reply.information)
        while reply.more:
            if len(collected) > _MOST_RESPONSE_BYTES:
                # Rule 9.
                yield from self._supervise(Block.s(S.ABORT))
                raise TransportError(f"T=1: more than {_MOST_RESPONSE_BYTES} bytes of response")
            reply = yield from self._converse(Block.r(self._receiving))
            self._receiving ^= 1
            collected += reply.information
        return bytes(collected)

    # One block and what answers it.

    def _converse(self, block: Block) -> Conversation[Block]:
        """Send an I-block, or the R-block that asks for the next, and return what moves the exchange on.

        That is an I-block, or the R-block that acknowledges an I-block with the More bit.

        Raises:
            _LostError: three attempts brought nothing.
            _AbortedError: the card aborts.
        """
        times = self._times
        sending, wait_s, failures, sent = block, times.block_wait_s, 0, 0
        silent, aborted = True, False
        while True:
            yield self._block(sending)
            reply = yield from self._read(wait_s)
            wait_s = times.block_wait_s
            silent = silent and reply is None
            if isinstance(reply, Block):
                kind = reply.kind
                if kind is _S:
                    answer = self._answer(reply)
                    if answer is not None:
                        sending, failures = answer, 0
                        if reply.about is S.WTX:
                            # Rule 3: for the next block the time is so many BWT.
                            wait_s *= reply.information[0]
                        aborted = aborted or reply.about is S.ABORT
                        continue
                elif aborted:
                    raise self._after_abort(reply)
                elif self._moves_on(block, reply):
                    return reply
                elif kind is _R and block.kind is _I and reply.number == block.number:
                    # Rule 6 (11.6.3.2): the card asks for the I-block again.
                    reply = block
            self.retransmissions += 1
            if reply is block:
                # What asks for the I-block again can be read; three times is enough all the same.
                sent, failures, sending = sent + 1, 0, block
            else:
                failures += 1
                if sending.kind is not _R:
                    # Rule 7.1; an R-block is sent again as it is, by rule 7.2.
                    sending = Block.r(self._receiving, reply if isinstance(reply, int) else 2)
            if max(failures, sent) > _ATTEMPTS - 1:
                raise _LostError(silent=silent)

    def _block(self, block: Block) -> Send:
        times = self._times
        return Send(block.encode(crc=self._crc), times.extra_guard_s, times.block_guard_s, checked=False)

    def _read(self, wait_s: float) -> Conversation[Block | int | None]:
        return read_block(wait_s, self._times.character_wait_s, crc=self._crc, alarm=self._alarm)

    def _moves_on(self, block: Block, reply: Block) -> bool:
        if reply.kind is _I:
            return reply.number == self._receiving and not (block.kind is _I and block.more)
        return block.kind is _I and block.more and reply.number != block.number

    def _after_abort(self, reply: Block) -> _AbortedError:
        """Take the block by which the card gives the right to send back (rule 9)."""
        if reply.kind is _R:
            self._sending = reply.number
        return _AbortedError()

    def _answer(self, request: Block) -> Block | None:
        """Return the response to the card's request; None where it is none that a card makes."""
        if request.is_response or request.about is S.RESYNCH:
            return None
        if request.about is S.IFS:
            self._ifsc = request.information[0]
        return Block(request.pcb | 0x20, request.information)

    def _supervise(self, request: Block) -> Conversation[None]:
        """Make a request of our own until it is answered (rule 7.3).

        Raises:
            _LostError: three attempts brought no answer.
        """
        times, silent = self._times, True
        for attempt in range(_ATTEMPTS):
            self.retransmissions += attempt > 0
            yield self._block(request)
            reply = yield from self._read(times.block_wait_s)
            silent = silent and reply is None
            if isinstance(reply, Block) and reply == Block(request.pcb | 0x20, request.information):
                return
        raise _LostError(silent=silent)

    def _resynchronise(self, lost: _LostError) -> Conversation[None]:
        """Bring both sides back to their first state (rules 6.4 and 7.4.2).

        Raises:
            LinkTimeoutError: the card is silent; only a reset helps (rule 7.4.3).
            TransportError: nothing that it answers can be read.
        """
        try:
            yield from self._supervise(Block.s(S.RESYNCH))
        except _LostError as again:
            again.silent = again.silent and lost.silent
            raise self._failure(again, "nor does it resynchronise") from None
        self._begin()

    @staticmethod
    def _failure(lost: _LostError, where: str) -> TransportError:
        if lost.silent:
            return LinkTimeoutError(f"T=1: the card does not answer, {where}")
        return TransportError(f"T=1: what the card answers can't be read, {where}")
