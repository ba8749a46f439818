"""What passed between a test and its secure element, to be shown when the test fails.

Data that are secured, or could be a PIN or another secret, are not shown (`opentsm_card.redaction`).
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from opentsm_card.apdu import CommandApdu
from opentsm_card.errors import ProtocolError, TransportError
from opentsm_card.redaction import hide_data
from opentsm_card.status import meaning
from opentsm_tools.card.answers import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentsm_card.link import Link

__all__ = ["Exchange", "ObservedLink"]

_MOST_LINES: Final = 200
_LINE_BYTES: Final = 48
_DONE: Final = b"\x90\x00"

# Spec: ISO/IEC 7816-4:2020, table 4; what GlobalPlatform's commands leave.
_INTERINDUSTRY: Final = {
    0x20: "VERIFY", 0x21: "VERIFY", 0x22: "MANAGE SECURITY ENVIRONMENT", 0x24: "CHANGE REFERENCE DATA",
    0x2A: "PERFORM SECURITY OPERATION", 0x2C: "RESET RETRY COUNTER", 0x47: "GENERATE ASYMMETRIC KEY PAIR",
    0x84: "GET CHALLENGE", 0x87: "GENERAL AUTHENTICATE", 0x88: "INTERNAL AUTHENTICATE", 0xB0: "READ BINARY",
    0xB2: "READ RECORD", 0xC0: "GET RESPONSE", 0xD6: "UPDATE BINARY", 0xDA: "PUT DATA", 0xDB: "PUT DATA",
    0xDC: "UPDATE RECORD", 0xE2: "APPEND RECORD",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exchange:
    """One C-APDU and what came of it.

    Args:
        command: the C-APDU; empty for a reset.
        answer: the R-APDU, or the ATR of a reset; empty where none came.
        failure: why none came.
        fault: what ended the applet, where the virtual SE knows more than the status word tells.
        aside: it is the plugin's own, which brings the applet where the test begins.
    """

    command: bytes
    answer: bytes = b""
    failure: str = ""
    fault: str = ""
    aside: bool = False

    @property
    def in_order(self) -> bool:
        """Whether it is the plugin's own, and was answered as it should be."""
        return self.aside and (not self.command or self.answer[-2:] == _DONE) and not self.failure

    @property
    def name(self) -> str:
        """What the command is called."""
        if not self.command:
            return "reset"
        try:
            return _name(CommandApdu.parse(self.command))
        except ProtocolError:
            return "malformed"

    def lines(self) -> Iterator[str]:
        """Say what was sent and answered, in words where they are known."""
        if not self.command:
            yield f"reset: {self.failure or 'ATR ' + _spaced(self.answer)}"
            return
        shown, answer, hidden = hide_data(self.command, self.answer)
        try:
            apdu = CommandApdu.parse(shown)
            data = _data(apdu.data, hidden=hidden)
            le = "" if apdu.ne is None else f", Le {apdu.ne}"
        except ProtocolError:
            data, le = "" if hidden else _data(shown[4:], hidden=False), ""
        yield f"> {_spaced(shown[:4])}  {self.name}{data}{le}"
        if self.failure:
            yield f"< nothing: {self.failure}"
        else:
            sw = int.from_bytes(answer[-2:], "big")
            yield f"< {sw:04X} {meaning(sw)}{_data(answer[:-2], hidden=hidden)}"
        yield from (f"  {line}" for line in self.fault.splitlines())


def _name(apdu: CommandApdu) -> str:
    """Return a command's name: as GlobalPlatform has it, or ISO/IEC 7816-4 where the class byte is interindustry."""
    name = name_of(apdu)
    return _INTERINDUSTRY.get(apdu.ins, name) if name.startswith("INS ") and not apdu.cla & 0x80 else name


def _data(data: bytes, *, hidden: bool) -> str:
    if not data:
        return ""
    if hidden:
        return f", {len(data)} bytes that are not shown"
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
    shown = _spaced(data[:_LINE_BYTES]) + (f" … ({len(data)} bytes)" if len(data) > _LINE_BYTES else "")
    return f", {shown}  |{text[:_LINE_BYTES]}|"


def _spaced(data: bytes) -> str:
    return data.hex(" ").upper()


class ObservedLink:
    """A link that remembers what passed since `forget` was called last.

    Args:
        link: the link itself.
        fault: tells what ended the last command's applet, if anything did; empty for nothing.
    """

    def __init__(self, link: Link, fault: Callable[[], str] = lambda: "") -> None:
        self._link = link
        self._fault = fault
        self._exchanges: list[Exchange] = []
        self._aside = 0

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take what passes meanwhile as the plugin's own: it is shown in short, unless something is wrong with it."""
        self._aside += 1
        try:
            yield
        finally:
            self._aside -= 1

    def _keep(self, command: bytes, answer: bytes = b"", failure: str = "") -> None:
        fault = self._fault() if command else ""
        self._exchanges.append(Exchange(command, answer, failure, fault, bool(self._aside)))

    def transmit(self, command: bytes) -> bytes:
        """Exchange one C-APDU."""
        try:
            answer = self._link.transmit(command)
        except TransportError as error:
            self._keep(command, failure=str(error))
            raise
        self._keep(command, answer)
        return answer

    def reset(self) -> bytes:
        """Reset the card."""
        try:
            atr = self._link.reset()
        except TransportError as error:
            self._keep(b"", failure=str(error))
            raise
        self._keep(b"", atr)
        return atr

    def close(self) -> None:
        """Close the link; safe to call twice."""
        self._link.close()

    def __enter__(self) -> Self:
        """Return the link itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the link."""
        self.close()

    def forget(self) -> None:
        """Begin anew: a test begins."""
        self._exchanges.clear()

    def text(self) -> str:
        """Return what passed, for people; the last of it where it is much."""
        lines: list[str] = []
        for in_order, group in itertools.groupby(self._exchanges, lambda each: each.in_order):
            if in_order:
                names = (f"{name}{f' x{len(list(same))}'}" for name, same in itertools.groupby(group, _name_of))
                lines.append(f"(opentsm: {', '.join(name.removesuffix(' x1') for name in names)}: in order)")
            else:
                lines += (line for each in group for line in each.lines())
        left_out = len(lines) - _MOST_LINES
        return "\n".join([f"({left_out} lines before)", *lines[left_out:]] if left_out > 0 else lines)


def _name_of(exchange: Exchange) -> str:
    return exchange.name
