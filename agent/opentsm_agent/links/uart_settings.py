"""What a `uart:` URI says: `uart:DEVICE?protocol=auto&baud=9600&reset=auto&echo=auto&wiring=phoenix&…`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Self

from opentsm_agent.links.long_commands import LONG
from opentsm_agent.links.parameters import split_address
from opentsm_card.errors import ProtocolError

__all__ = ["UartSettings"]

_CHOICES: Final = {
    "protocol": ("auto", "t0", "t1"),
    "reset": ("auto", "rts", "dtr", "open", "none"),
    "echo": ("auto", "yes", "no"),
    "wiring": ("phoenix", "smartmouse", "season"),
    "rate": ("default", "card"),
    "long": LONG,
}
_LEAST_BAUD: Final = 300
_MOST_BAUD: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class UartSettings:
    """How a card is reached over a serial port.

    Args:
        device: the port's path.
        protocol: `t0`, `t1`, or `auto` for the card's first choice.
        baud: bits a second while the card answers a reset: its clock divided by 372.
        reset: what resets the card: `rts`, `dtr`, opening the port (`open`), somebody else (`none`); `auto` is `rts`
            where the port has that line, and `open` where it has none.
        echo: whether the reader returns what is sent, `yes`, `no`, or `auto` to find out.
        wiring: `phoenix`, where the line asserted holds the card in reset; `smartmouse` or `season`, where released.
        rate: `default`, or `card` for the highest that the card offers.
        long: how commands with more than 255 bytes of data go; `auto` for what the card says.
    """

    device: str
    protocol: str = "auto"
    baud: int = 9600
    reset: str = "auto"
    echo: str = "auto"
    wiring: str = "phoenix"
    rate: str = "default"
    long: str = "auto"

    @classmethod
    def parse(cls, address: str) -> Self:
        """Parse what follows `uart:`.

        Raises:
            ProtocolError: no device, an unknown parameter, one given twice, or a value that is not one of its.
        """
        names = tuple(field.name for field in fields(cls)[1:])
        device, given = split_address("uart", address, names, "uart:/dev/ttyS0")
        for name, value in given.items():
            if name in _CHOICES and value not in _CHOICES[name]:
                raise ProtocolError(f"link 'uart:{address}': {name}={value}: want {', '.join(_CHOICES[name])}")
        text = given.pop("baud", "9600")
        if not (text.isascii() and text.isdigit() and len(text) < 9 and _LEAST_BAUD <= int(text) <= _MOST_BAUD):
            raise ProtocolError(f"link 'uart:{address}': baud={text}: want {_LEAST_BAUD} to {_MOST_BAUD}")
        return cls(device, baud=int(text), **given)

    @property
    def clock_hz(self) -> float:
        """The card's clock: a bit of the answer to reset lasts 372 cycles of it (ISO/IEC 7816-3:2006, 8.1)."""
        return 372.0 * self.baud

    @property
    def protocol_number(self) -> int | None:
        """T, or None for the card's choice."""
        return None if self.protocol == "auto" else int(self.protocol[1])
