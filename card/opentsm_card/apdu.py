"""Command and response APDUs, short and extended, all four cases; class bytes with logical channels.

Spec: ISO/IEC 7816-4:2013, 5.1 to 5.4; GP Card Specification 2.3.1, 11.1.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

from opentsm_card.errors import CardError, ProtocolError

__all__ = ["Command", "CommandApdu", "ResponseApdu", "check_header", "cla_on_channel"]

_MAX_SHORT_DATA = 255
_MAX_SHORT_NE = 256
_MAX_EXTENDED_DATA = 65535
_MAX_EXTENDED_NE = 65536
_MAX_CHANNEL = 19


def cla_on_channel(cla: int, channel: int) -> int:
    """Return the class byte for a logical channel, other bits kept.

    Channels 0..3 use the first interindustry form (secure messaging bit 04), 4..19 the further one (bit 20).

    Args:
        cla: class byte of channel 0..3 form or further form.
        channel: 0..19.

    Raises:
        ProtocolError: no such channel.

    Spec: ISO/IEC 7816-4:2013, 5.4.1; GP Card Specification 2.3.1, 11.1.4.
    """
    if not 0 <= channel <= _MAX_CHANNEL:
        raise ProtocolError(f"logical channel {channel} does not exist (0..19)")
    further = bool(cla & 0x40)
    secured = bool(cla & (0x20 if further else 0x0C))
    chained = cla & 0x10
    kind = cla & 0x80
    if channel < 4:
        return kind | chained | (0x04 if secured else 0) | channel
    return kind | 0x40 | (0x20 if secured else 0) | chained | (channel - 4)


@dataclass(frozen=True, slots=True)
class CommandApdu:
    """A command APDU.

    Args:
        cla: class byte.
        ins: instruction byte.
        p1: parameter 1.
        p2: parameter 2.
        data: command data, at most 65535 bytes.
        ne: bytes expected at most, 1..65536; None when no Le is sent. 256 and 65536 are the maxima of the two forms.
        extended: the extended form; always True where data or ne do not fit the short form.

    Raises:
        ProtocolError: a field is out of range.
    """

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    ne: int | None = None
    extended: bool = False

    def __post_init__(self) -> None:
        """Check ranges and settle the form."""
        if (self.cla | self.ins | self.p1 | self.p2) >> 8:  # also true for a negative number
            raise ProtocolError("CLA, INS, P1 and P2 are one byte each")
        if len(self.data) > _MAX_SHORT_DATA or (self.ne is not None and not 1 <= self.ne <= _MAX_SHORT_NE):
            if len(self.data) > _MAX_EXTENDED_DATA:
                raise ProtocolError(f"command data of {len(self.data)} bytes exceeds 65535")
            if self.ne is not None and not 1 <= self.ne <= _MAX_EXTENDED_NE:
                raise ProtocolError(f"Ne {self.ne} is not in 1..65536")
            object.__setattr__(self, "extended", True)
        elif self.extended and not self.data and self.ne is None:
            object.__setattr__(self, "extended", False)  # case 1 has one form only

    def __repr__(self) -> str:
        """Show header and lengths only: command data may be a secret."""
        return (
            f"CommandApdu({self.cla:02X} {self.ins:02X} {self.p1:02X} {self.p2:02X}, "
            f"{len(self.data)} bytes, ne={self.ne})"
        )

    @property
    def header(self) -> bytes:
        """CLA INS P1 P2."""
        return bytes((self.cla, self.ins, self.p1, self.p2))

    @property
    def channel(self) -> int:
        """Logical channel of the class byte, 0..19."""
        return (self.cla & 0x0F) + 4 if self.cla & 0x40 else self.cla & 0x03

    @property
    def secured(self) -> bool:
        """True when the class byte says secure messaging."""
        return bool(self.cla & (0x20 if self.cla & 0x40 else 0x0C))

    def on_channel(self, channel: int) -> Self:
        """Return the same command for a logical channel 0..19."""
        return replace(self, cla=cla_on_channel(self.cla, channel))

    def lc(self) -> bytes:
        """Return Lc as encoded: 1 byte, 3 in the extended form, none without data."""
        if not self.data:
            return b""
        if self.extended:
            return b"\x00" + len(self.data).to_bytes(2, "big")
        return bytes((len(self.data),))

    def encode(self) -> bytes:
        """Return the bytes to send."""
        encoded = self.header + self.lc() + self.data
        if self.ne is None:
            return encoded
        if not self.extended:
            return encoded + bytes((self.ne & 0xFF,))
        le = (self.ne & 0xFFFF).to_bytes(2, "big")
        return encoded + (le if self.data else b"\x00" + le)

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse a command APDU of any case, short or extended.

        Raises:
            ProtocolError: the bytes are no command APDU.
        """
        if len(encoded) < 4:
            raise ProtocolError(f"command APDU of {len(encoded)} bytes is shorter than its header")
        cla, ins, p1, p2 = encoded[:4]
        body = encoded[4:]
        data, ne, extended = _parse_body(body)
        return cls(cla, ins, p1, p2, data, ne, extended)


def _parse_body(body: bytes) -> tuple[bytes, int | None, bool]:
    """Return data, Ne and whether the form is extended."""
    if not body:
        return b"", None, False
    if len(body) == 1:
        return b"", body[0] or _MAX_SHORT_NE, False
    if body[0]:
        return (*_split(body, 1, body[0]), False)
    if len(body) < 3:
        raise ProtocolError("command APDU: extended length field is cut short")
    number = int.from_bytes(body[1:3], "big")
    if len(body) == 3:
        return b"", number or _MAX_EXTENDED_NE, True
    return (*_split(body, 3, number), True)


def _split(body: bytes, lc_bytes: int, nc: int) -> tuple[bytes, int | None]:
    """Split what follows the header into data and Ne; Le has 1 byte, 2 in the extended form."""
    end = lc_bytes + nc
    le_bytes = 2 if lc_bytes == 3 else 1
    if nc and len(body) == end:
        return body[lc_bytes:], None
    if nc and len(body) == end + le_bytes:
        return body[lc_bytes:end], int.from_bytes(body[end:], "big") or 256**le_bytes
    raise ProtocolError(f"command APDU: Lc {nc} does not fit the {len(body) - lc_bytes} bytes behind it")


@dataclass(frozen=True, slots=True)
class ResponseApdu:
    """A response APDU.

    Args:
        data: response data, at most 65536 bytes.
        sw: status word, SW1 in the high byte.
    """

    data: bytes = b""
    sw: int = 0x9000

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.sw <= 0xFFFF:
            raise ProtocolError("a status word has two bytes")
        if len(self.data) > _MAX_EXTENDED_NE:
            raise ProtocolError(f"response data of {len(self.data)} bytes exceeds 65536")

    def __repr__(self) -> str:
        """Show the status word and length only: response data may be a secret."""
        return f"ResponseApdu({self.sw:04X}, {len(self.data)} bytes)"

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse a response APDU.

        Raises:
            ProtocolError: shorter than a status word, or too long.
        """
        if len(encoded) < 2:
            raise ProtocolError(f"response APDU of {len(encoded)} bytes has no status word")
        return cls(encoded[:-2], int.from_bytes(encoded[-2:], "big"))

    def encode(self) -> bytes:
        """Return data and status word as bytes."""
        return self.data + self.sw.to_bytes(2, "big")

    def require(self, command_name: str, ok: tuple[int, ...] = (0x9000,)) -> bytes:
        """Return the data if the status word is one of those accepted.

        Args:
            command_name: what was asked, for the error (no command data).
            ok: status words that count as done.

        Raises:
            CardError: the card refused.
        """
        if self.sw not in ok:
            raise CardError(self.sw, command_name)
        return self.data


class Command(Protocol):
    """What every command dataclass offers."""

    def apdu(self) -> CommandApdu:
        """Return the command APDU, unsecured, for the basic channel."""


def check_header(apdu: CommandApdu, ins: int, name: str, *, proprietary: bool = True) -> None:
    """Check class and instruction of an APDU that a command's `parse` was given.

    Any logical channel is fine, secure messaging is not: unwrap first.

    Raises:
        ProtocolError: another command, or still secured.
    """
    if apdu.ins != ins or (proprietary and not apdu.cla & 0x80) or apdu.cla == 0xFF:
        raise ProtocolError(f"not {name}: {apdu.cla:02X} {apdu.ins:02X}")
    if apdu.secured:
        raise ProtocolError(f"{name} is still secured: unwrap it first")
