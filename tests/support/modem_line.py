"""A virtual modem on a line in virtual time, with a card that only counts: no pseudo-terminal, no Java, no waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from opentsm_agent.links.modem import ModemLink
from opentsm_agent.links.modem_line import ModemLine
from opentsm_agent.links.modem_settings import ModemSettings
from opentsm_simulator.modem import STANDARD, VirtualModem
from opentsm_simulator.modem_faults import ModemFaults

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.modem import ModemEntry

__all__ = ["T0_ATR", "CountingCard", "VirtualPort", "open_link_to"]

T0_ATR = bytes.fromhex("3B00")
_ISSUER_DOMAIN = bytes.fromhex("A000000151000000")


class CountingCard:
    """A card with four channels. ECHO (80 10) answers the command data, GIVE (80 12) Le bytes; both count."""

    def __init__(self, *, channels: int = 3) -> None:
        self.open: set[int] = set()
        self.ran: list[bytes] = []
        self.resets = 0
        self._channels = channels

    def transmit(self, command: bytes) -> bytes:
        cla, ins = command[:2]
        if cla & 3 and cla & 3 not in self.open:
            return b"\x68\x81"
        if ins == 0x70:
            return self._manage(command)
        if ins == 0xA4:
            if command[2] == 0 or (len(command) > 5 and command[5 : 5 + command[4]] != _ISSUER_DOMAIN):
                return b"\x6a\x82"
            return b"\x6f\x00\x90\x00"
        self.ran.append(command)
        if ins == 0x10:
            return command[5 : 5 + command[4]] + b"\x90\x00"
        return bytes(command[4] or 256) + b"\x90\x00"

    def _manage(self, command: bytes) -> bytes:
        if command[2] == 0x80:
            self.open.discard(command[3])
            return b"\x90\x00"
        free = [channel for channel in range(1, self._channels + 1) if channel not in self.open]
        if not free:
            return b"\x6a\x81"
        self.open.add(free[0])
        return bytes((free[0], 0x90, 0x00))

    def reset(self) -> bytes:
        self.open.clear()
        self.resets += 1
        return T0_ATR

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class VirtualPort:
    """The line; time passes only while somebody waits.

    Args:
        card: in the modem.
        entry: the modem to be.
        faults: of its lines.
        spoil: makes of what crosses, either way, what arrives.
    """

    def __init__(
        self,
        card: CountingCard,
        entry: ModemEntry = STANDARD,
        faults: str | None = None,
        spoil: Callable[[bytes], bytes] = lambda data: data,
    ) -> None:
        self.modem = VirtualModem(card, T0_ATR, entry, ModemFaults.parse(faults) if faults else None)
        self.clock = 0.0
        self.coming: list[tuple[float, bytes]] = []
        self.sent: list[bytes] = []
        self.closed = False
        self.spoil = spoil

    def now(self) -> float:
        return self.clock

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        at = max([self.clock, *(moment for moment, _ in self.coming)])
        for delay_s, answer in self.modem.feed(self.spoil(data)):
            at += delay_s
            if at < float("inf"):
                self.coming.append((at, self.spoil(answer)))
            else:
                self.coming.append((at, b""))

    def read(self, until: float) -> bytes:
        if self.coming and self.coming[0][0] <= max(until, self.clock):
            moment, data = self.coming.pop(0)
            self.clock = max(self.clock, moment)
            return data or self.read(until)
        self.clock = max(self.clock, until)
        return b""

    def close(self) -> None:
        self.closed = True


def open_link_to(port: VirtualPort, query: str = "", timeout_s: float = 5.0) -> ModemLink:
    line = ModemLine(port, "modem:virtual", timeout_s)
    return ModemLink(line, ModemSettings.parse(f"virtual{query}"), timeout_s, "modem:virtual")
