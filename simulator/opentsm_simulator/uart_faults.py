"""Faults of a line between a reader and a card, at the n-th character that crosses it, either way.

    drop@12          character 12 is lost
    corrupt@12       one of its bits turns; corrupt@12=FF: these bits turn
    delay@12=2.5     it and what follows come so many seconds later
    stick@12         from it on nothing crosses any more, until the card is reset
    remove@12        from it on there is no card any more
    reset@12         before it the card resets itself: sessions are gone, and it sends its answer to reset unasked
    brownout@12      before it the card loses its power, in whatever it does, until it is reset

Several are separated by commas. Characters are counted from 1, since the card was first powered; the echo of a one-wire
reader is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from opentsm_card.errors import ProtocolError

__all__ = ["KINDS", "Fault", "Faults", "Garbled"]

KINDS: Final = ("drop", "corrupt", "delay", "stick", "remove", "reset", "brownout")
_DEFAULT_BITS: Final = 0x10
_DEFAULT_DELAY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Args:
        kind: one of `KINDS`.
        at: the character it happens at, from 1.
        value: the bits that `corrupt` turns, or the seconds of `delay`.
    """

    kind: str
    at: int
    value: float = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `KIND@N` or `KIND@N=VALUE`.

        Raises:
            ProtocolError: it is neither.
        """
        kind, _, rest = text.strip().partition("@")
        number, equals, value = rest.partition("=")
        if kind not in KINDS or not (number.isascii() and number.isdigit()) or int(number) == 0:
            raise ProtocolError(f"fault {text!r}: want KIND@N with N from 1, KIND one of {', '.join(KINDS)}")
        if equals and kind not in {"corrupt", "delay"}:
            raise ProtocolError(f"fault {text!r}: {kind} takes no value")
        try:
            if kind == "corrupt":
                return cls(kind, int(number), int.from_bytes(bytes.fromhex(value)[:1]) if equals else _DEFAULT_BITS)
            given = float(value) if equals else _DEFAULT_DELAY_S
        except ValueError as error:
            raise ProtocolError(f"fault {text!r}: {error}") from error
        if not 0 <= given <= 3600:
            raise ProtocolError(f"fault {text!r}: a delay is 0 to 3600 seconds")
        return cls(kind, int(number), given if kind == "delay" else 0)


@dataclass(frozen=True, slots=True)
class Garbled:
    """A character some of whose bits turned on the way.

    Args:
        byte: what arrives.
        parity_fits: whether its parity does not tell.
    """

    byte: int
    parity_fits: bool


class Faults:
    """The faults of one line; counts what crosses it.

    Args:
        faults: what is to happen, each once.
    """

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._faults = sorted(faults, key=lambda fault: fault.at)
        self._crossed = 0

    @property
    def left(self) -> int:
        """How many have not happened yet."""
        return len(self._faults)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse faults separated by commas; see the module.

        Raises:
            ProtocolError: one makes no sense.
        """
        return cls(tuple(Fault.parse(part) for part in text.split(",")))

    def cross(self, data: bytes) -> list[bytes | Garbled | Fault]:
        """Return what becomes of characters that are sent: what arrives, and between it what happens."""
        begin, self._crossed = self._crossed, self._crossed + len(data)
        if not self._faults or self._faults[0].at > self._crossed:
            return [data]
        pieces: list[bytes | Garbled | Fault] = []
        arriving = bytearray()
        done = 0
        while self._faults and self._faults[0].at <= self._crossed:
            fault = self._faults.pop(0)
            at = max(fault.at - begin - 1, done)
            if fault.at - begin - 1 < done and fault.kind in {"drop", "corrupt"}:
                # Another had this character already.
                continue
            arriving += data[done:at]
            done = at
            if fault.kind == "drop":
                done = at + 1
                continue
            pieces.append(bytes(arriving))
            arriving.clear()
            if fault.kind != "corrupt":
                pieces.append(fault)
            elif at < len(data):
                bits = int(fault.value)
                pieces.append(Garbled(data[at] ^ bits, bits.bit_count() % 2 == 0))
                done = at + 1
        return [*pieces, bytes(arriving) + data[done:]]
