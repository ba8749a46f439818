"""SMS-DELIVER: a short message as the network gives it to a device, with 8-bit data and a user data header.

Spec: 3GPP TS 23.040 17.0: 9.1.2.5 (addresses), 9.2.2.1 (SMS-DELIVER), 9.2.3 (its elements), 9.2.3.24 (user data
header), 9.2.3.24.4 (16-bit application ports); TS 23.038, 4 (data coding); TS 27.005, 3.1 (the PDU with its SMSC).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from opentsm_card.errors import ProtocolError
from opentsm_card.reader import Reader

__all__ = ["Address", "SmsDeliver"]

_DELIVER: Final = 0x00
_TYPE: Final = 0x03
_NO_MORE_MESSAGES: Final = 0x04
_HEADER: Final = 0x40
_MAX_USER_DATA_BYTES: Final = 140
_MAX_ADDRESS_DIGITS: Final = 20
_TIMESTAMP_BYTES: Final = 7
_PORTS_16: Final = 0x05
_DIGITS: Final = "0123456789*#abc"
_FILL: Final = 0xF
_NUMBER: Final = re.compile(r"\A\+?[0-9*#abc]{0,20}\Z")
_INTERNATIONAL, _UNKNOWN, _ALPHANUMERIC = 0x91, 0x81, 0xD0
# The letters and digits of the GSM 7 bit default alphabet that ASCII has at the same place.
_SAME_AS_ASCII: Final = re.compile(r"[ -#%-?A-Za-z]")


@dataclass(frozen=True, slots=True)
class Address:
    """A telephone number, or a name.

    Args:
        kind: the type-of-address octet: 91 for an international number, D0 for a name, bit 8 always set.
        text: digits, `+` before an international number's; or the name, `?` for what ASCII has not.
    """

    kind: int
    text: str

    @classmethod
    def of(cls, number: str) -> Address:
        """Return the address of a number: digits, with `+` before an international one.

        Raises:
            ProtocolError: it is no number.
        """
        if not _NUMBER.match(number):
            raise ProtocolError(f"{number!r} is no telephone number")
        return cls(_INTERNATIONAL if number.startswith("+") else _UNKNOWN, number)


@dataclass(frozen=True, slots=True)
class SmsDeliver:
    """An SMS-DELIVER of 8-bit data.

    Args:
        originator: who sent it, as the network says.
        protocol: TP-PID.
        coding: TP-DCS; of 8-bit data.
        timestamp: TP-SCTS, 7 bytes as they came.
        data: user data behind the header.
        header: information elements of the user data header: identifier and data, in order.
        more: there are more messages to come.
        centre: SMSC address, or None where the PDU has none.
    """

    originator: Address
    data: bytes
    header: tuple[tuple[int, bytes], ...] = ()
    protocol: int = 0
    coding: int = 0x04
    timestamp: bytes = bytes(_TIMESTAMP_BYTES)
    more: bool = False
    centre: Address | None = field(default=None)

    @property
    def ports(self) -> tuple[int, int] | None:
        """Destination and originator port (16 bits each); None without exactly one such element.

        Spec: TS 23.040, 9.2.3.24.4.
        """
        found = [data for identifier, data in self.header if identifier == _PORTS_16]
        if len(found) != 1 or len(found[0]) != 4:
            return None
        return int.from_bytes(found[0][:2], "big"), int.from_bytes(found[0][2:], "big")

    @classmethod
    def parse(cls, pdu: bytes, tpdu_bytes: int | None = None) -> SmsDeliver:
        """Parse a PDU as a modem gives it: SMSC address and TPDU, and nothing behind them.

        Args:
            pdu: the PDU.
            tpdu_bytes: how long the modem says the TPDU is, where it does.

        Raises:
            ProtocolError: it is no SMS-DELIVER of 8-bit data, or malformed.
        """
        reader = Reader(pdu, "SMS")
        centre = _parse_centre(reader)
        if tpdu_bytes is not None and reader.remaining != tpdu_bytes:
            raise ProtocolError(f"SMS: a TPDU of {reader.remaining} bytes, and the modem says {tpdu_bytes}")
        first = reader.byte()
        if first & _TYPE != _DELIVER:
            raise ProtocolError("SMS: not an SMS-DELIVER")
        originator = _parse_address(reader)
        protocol, coding = reader.byte(), reader.byte()
        if not _is_8_bit(coding):
            raise ProtocolError(f"SMS: data coding {coding:02X} is not 8-bit data")
        timestamp = reader.take(_TIMESTAMP_BYTES)
        length = reader.byte()
        if length > _MAX_USER_DATA_BYTES or length != reader.remaining:
            raise ProtocolError(f"SMS: user data of {length} bytes, and {reader.remaining} follow")
        header = _parse_header(reader) if first & _HEADER else ()
        return cls(
            originator,
            reader.take(reader.remaining),
            header,
            protocol,
            coding,
            timestamp,
            not first & _NO_MORE_MESSAGES,
            centre,
        )

    def encode(self) -> bytes:
        """Encode as a modem gives it: SMSC address (one zero byte where there is none) and TPDU."""
        elements = b"".join(bytes((identifier, len(data))) + data for identifier, data in self.header)
        header = bytes((len(elements),)) + elements if self.header else b""
        user_data = header + self.data
        if len(user_data) > _MAX_USER_DATA_BYTES:
            raise ProtocolError(f"SMS: user data of {len(user_data)} bytes, {_MAX_USER_DATA_BYTES} at most")
        first = _DELIVER | (0 if self.more else _NO_MORE_MESSAGES) | (_HEADER if self.header else 0)
        number = _encode_number(self.originator)
        digits = len(self.originator.text.removeprefix("+"))
        tpdu = bytes((first, digits, self.originator.kind)) + number
        tpdu += bytes((self.protocol, self.coding)) + self.timestamp + bytes((len(user_data),)) + user_data
        if self.centre is None:
            return b"\0" + tpdu
        centre = bytes((self.centre.kind,)) + _encode_number(self.centre)
        return bytes((len(centre),)) + centre + tpdu


def _is_8_bit(coding: int) -> bool:
    """Tell whether a data coding is of 8-bit data, uncompressed. Spec: TS 23.038, 4."""
    general = coding & 0xE0 == 0x00 and coding & 0x0C == 0x04
    return general or coding & 0xFC == 0xF4


def _parse_centre(reader: Reader) -> Address | None:
    """Parse the SMSC address: its length in bytes, type included. Spec: TS 24.011, 8.2.5.1."""
    length = reader.byte()
    if length == 0:
        return None
    if not 2 <= length <= 1 + _MAX_ADDRESS_DIGITS // 2:
        raise ProtocolError(f"SMS: an SMSC address of {length} bytes")
    kind = reader.byte()
    semi_octets = _semi_octets(reader.take(length - 1))
    digits = semi_octets[:-1] if semi_octets[-1] == _FILL else semi_octets
    return Address(kind, _number(kind, digits))


def _parse_address(reader: Reader) -> Address:
    """Parse an address: its length in semi-octets, type, digits. Spec: TS 23.040, 9.1.2.5."""
    length, kind = reader.byte(), reader.byte()
    if length > _MAX_ADDRESS_DIGITS or not kind & 0x80:
        raise ProtocolError("SMS: the originator's address is malformed")
    packed = reader.take((length + 1) // 2)
    if kind & 0x70 == _ALPHANUMERIC & 0x70:
        return Address(kind, _name(packed, length * 4 // 7))
    semi_octets = _semi_octets(packed)
    if length % 2 and semi_octets.pop() != _FILL:
        raise ProtocolError("SMS: the originator's address is malformed")
    return Address(kind, _number(kind, semi_octets))


def _parse_header(reader: Reader) -> tuple[tuple[int, bytes], ...]:
    """Parse the user data header. Spec: TS 23.040, 9.2.3.24."""
    header = Reader(reader.take(reader.byte()), "SMS user data header")
    elements = []
    while header.remaining:
        identifier = header.byte()
        elements.append((identifier, header.take(header.byte())))
    if not elements:
        raise ProtocolError("SMS: an empty user data header")
    return tuple(elements)


def _semi_octets(packed: bytes) -> list[int]:
    return [half for byte in packed for half in (byte & 0xF, byte >> 4)]


def _number(kind: int, digits: list[int]) -> str:
    if any(digit >= len(_DIGITS) for digit in digits):
        raise ProtocolError("SMS: a number with a digit that is none")
    plus = "+" if kind & 0x70 == _INTERNATIONAL & 0x70 else ""
    return plus + "".join(_DIGITS[digit] for digit in digits)


def _name(packed: bytes, length: int) -> str:
    bits = int.from_bytes(packed, "little")
    letters = (chr(bits >> (7 * place) & 0x7F) for place in range(length))
    return "".join(letter if _SAME_AS_ASCII.match(letter) else "?" for letter in letters)


def _encode_number(address: Address) -> bytes:
    if address.kind & 0x70 == _ALPHANUMERIC & 0x70:
        raise ProtocolError("SMS: a name can't be encoded")
    digits = [_DIGITS.index(digit) for digit in address.text.removeprefix("+")]
    digits += [_FILL] * (len(digits) % 2)
    return bytes(low | high << 4 for low, high in zip(digits[::2], digits[1::2], strict=True))
