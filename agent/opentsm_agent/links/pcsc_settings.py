"""What a `pcsc:` URI says: `pcsc:READER?share=exclusive|shared&protocol=auto|t0|t1&wait=SECONDS&long=auto|…`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from opentsm_agent.links.long_commands import LONG
from opentsm_agent.links.parameters import split_address
from opentsm_card.errors import ProtocolError

__all__ = ["USB", "PcscSettings"]

USB: Final = "usb:"
"""Before the path of a USB port in place of a reader's name."""

_CHOICES: Final = {
    "share": ("exclusive", "shared"),
    "protocol": ("auto", "t0", "t1"),
    "long": LONG,
}
_NAMES: Final = (*_CHOICES, "wait")
_MOST_WAIT_S: Final = 3600


@dataclass(frozen=True, slots=True)
class PcscSettings:
    """How a card is reached in a PC/SC reader.

    Args:
        reader: the reader's name, a part of it that fits one alone, or `usb:` and the path of its port (`1-2.3`).
        share: `exclusive`, or `shared` with other programs: they wait while the link is open.
        protocol: `t0`, `t1`, or `auto` for T=1 where the card has it.
        long: how commands with more than 255 bytes of data go; `auto` for what the card says.
        wait_s: how long to wait for reader and card when the link is opened, in seconds.
    """

    reader: str
    share: str = "exclusive"
    protocol: str = "auto"
    long: str = "auto"
    wait_s: float = 0.0

    @classmethod
    def parse(cls, address: str) -> Self:
        """Parse what follows `pcsc:`. A reader's name may have any character; parameters are what follows its last `?`.

        Raises:
            ProtocolError: no reader, an unknown parameter, one given twice, or a value that is not one of its.
        """
        name, mark, query = address.rpartition("?")
        if not mark or not query.partition("&")[0].partition("=")[1]:
            name, query = address, ""
        _, given = split_address("pcsc", f"x?{query}" if query else "x", _NAMES, "a reader")
        if not name.strip():
            raise ProtocolError(f"link 'pcsc:{address}': want a reader, such as pcsc:ACME, or pcsc:usb:1-2")
        for key, value in given.items():
            if key in _CHOICES and value not in _CHOICES[key]:
                raise ProtocolError(f"link 'pcsc:{address}': {key}={value}: want {', '.join(_CHOICES[key])}")
        wait = given.pop("wait", "0")
        if not (wait.isascii() and wait.isdigit() and int(wait) <= _MOST_WAIT_S):
            raise ProtocolError(f"link 'pcsc:{address}': wait={wait}: want 0 to {_MOST_WAIT_S} seconds")
        return cls(name, wait_s=float(wait), **given)
