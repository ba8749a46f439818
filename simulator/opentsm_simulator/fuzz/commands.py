"""Commands for fuzzing: built by the rules of GP Card Specification 2.3.1, chapter 11, of pieces a card knows.

A command that is wrong in one place reaches further into a card than random bytes, so most are right but for one
mutation, and many are right altogether.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.apdu import CommandApdu

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

__all__ = ["CommandSource"]

_MAX_DATA: Final = 255
_PARTIAL: Final = (b"", bytes.fromhex("A000000151"), bytes.fromhex("F06F70656E74736D"))
_GET_DATA_TAGS: Final = (
    0x0042, 0x0045, 0x0066, 0x0067, 0x9F7F, 0x00C1, 0x00C2, 0x00CF, 0x00D3, 0x00E0, 0x2F00, 0xFF21, 0x5F50, 0xBF30,
    0xBF21, 0x7F21, 0x0000, 0xFFFF, 0x006E,
)  # fmt: skip
_STATES: Final = (0x01, 0x03, 0x07, 0x0F, 0x7F, 0x80, 0x83, 0x87, 0x8F, 0x00, 0x17, 0xF7)
_PRIVILEGES: Final = (
    b"\x00",
    b"\x80",
    b"\x04",
    b"\x10",
    *(
        bits.to_bytes(3, "big")
        for bits in (
            *(0, 0x800000, 0x804000, 0xA00000, 0xC00000, 0xC10000, 0x808000, 0x802000, 0x800080, 0x000100, 0x000200),
            *(0x001000, 0x000400, 0x000800, 0x020000, 0x000010, 0x800020, 0xFFFFF0),
        )
    ),
)
_PARAMETERS: Final = (
    b"\xc9\x00", b"", b"\xc9\x02\x50\x00", b"\xef\x04\xc7\x02\x00\x80\xc9\x00", b"\xef\x03\xcf\x01\x40\xc9\x00",
    b"\xef\x05\xa0\x03\x81\x01\x00\xc9\x00", b"\xef\x05\xa0\x03\x81\x01\x80\xc9\x00", b"\xc9\x04\x81\x02\x03\x70",
    b"\xc9\x04\x81\x02\x02\x15", b"\xef\x0a\xc6\x02\x01\x00\xc7\x02\x01\x00\xc8\x00\xc9\x00",
    b"\xc9\x0c\x50\x04Bank\x87\x01\x01\xc2\x01\x02", b"\xea\x02\x80\x00\xc9\x00",
)  # fmt: skip
_SECURITY_LEVELS: Final = (0x00, 0x01, 0x03, 0x11, 0x13, 0x33, 0x10, 0x30, 0xFF)


class CommandSource:
    """Makes commands.

    Args:
        random: where every choice comes from.
        aids: AIDs on the card: security domains, instances, load files and modules.
    """

    def __init__(self, random: Random, aids: Sequence[bytes]) -> None:
        self._random = random
        self._aids = list(aids)
        self._own = [bytes.fromhex("F06F70656E74736D0F") + bytes((number,)) for number in range(6)]
        self._builders: tuple[tuple[int, Callable[[], CommandApdu]], ...] = (
            (6, self._select),
            (3, self._manage_channel),
            (6, self._get_data),
            (6, self._get_status),
            (8, self._set_status),
            (16, self._install),
            (8, self._delete),
            (6, self._put_key),
            (6, self._store_data),
            (4, self._load),
            (2, self._get_response),
            (2, self._open_session),
            (2, self._certificates),
            (3, self._anything),
        )
        self._weights = [weight for weight, _ in self._builders]

    def command(self) -> CommandApdu:
        """Make a command; one in three is broken in one place."""
        build = self._random.choices(self._builders, self._weights)[0][1]
        made = build()
        return self._broken(made) if self._random.random() < 0.33 else made

    def encoded(self, command: CommandApdu) -> bytes:
        """Encode a command, now and then in the other form, or with bytes lost, added or changed."""
        random = self._random
        encoded = command.encode()
        chance = random.random()
        if chance < 0.85:
            return encoded
        if chance < 0.9:
            return encoded[: random.randrange(len(encoded) + 1)]
        if chance < 0.95:
            return encoded + random.randbytes(random.randrange(1, 5))
        at = random.randrange(len(encoded))
        return encoded[:at] + random.randbytes(1) + encoded[at + 1 :]

    # The rows of chapter 11.

    def _aid(self) -> bytes:
        pool = self._aids if self._random.random() < 0.7 else self._own
        return self._random.choice(pool)

    def _lv(self, value: bytes) -> bytes:
        return bytes((len(value),)) + value

    def _tlv(self, tag: bytes, value: bytes) -> bytes:
        if len(value) > 0x7F:
            return tag + b"\x81" + bytes((len(value),)) + value
        return tag + self._lv(value)

    def _ne(self) -> int | None:
        return self._random.choice((None, 256, 256, 256, 16))

    def _select(self) -> CommandApdu:
        aid = self._random.choice((self._aid(), self._aid()[: self._random.randrange(17)], b""))
        return CommandApdu(0x00, 0xA4, 0x04, self._random.choice((0, 0, 0, 2, 4)), aid, self._ne())

    def _manage_channel(self) -> CommandApdu:
        close = self._random.random() < 0.4
        number = self._random.choice((0, 0, 1, 2, 3, 4, 19, 20))
        return CommandApdu(0x00, 0x70, 0x80 if close else 0x00, number, b"", None if close else 1)

    def _get_data(self) -> CommandApdu:
        tag = self._random.choice(_GET_DATA_TAGS)
        cla, ins = self._random.choice(((0x80, 0xCA), (0x00, 0xCA), (0x00, 0xCB)))
        data = self._random.choice((b"", b"", b"\x5c\x00", b"\xa6\x04\x83\x02\x11\x01"))
        return CommandApdu(cla, ins, tag >> 8, tag & 0xFF, data, 256)

    def _get_status(self) -> CommandApdu:
        criterion = self._random.choice((*_PARTIAL, self._aid(), self._aid()[:6]))
        tags = self._random.choice((b"", b"", b"\x5c\x05\x4f\x9f\x70\xc5\xcc", b"\x5c\x01\x84", b"\x5c\x02\x9f\xff"))
        p1, p2 = self._random.choice((0x80, 0x40, 0x20, 0x10)), self._random.choice((0, 1, 2, 2, 3))
        return CommandApdu(0x80, 0xF2, p1, p2, self._tlv(b"\x4f", criterion) + tags, 256)

    def _set_status(self) -> CommandApdu:
        p1 = self._random.choice((0x80, 0x40, 0x40, 0x60, 0x01, 0x02, 0x04))
        # TERMINATED is left to mutation: a terminated card has little more to show.
        return CommandApdu(0x80, 0xF0, p1, self._random.choice(_STATES), self._aid(), self._ne())

    def _install(self) -> CommandApdu:
        random = self._random
        p1 = random.choice((0x02, 0x04, 0x08, 0x0C, 0x0C, 0x10, 0x20, 0x40, 0x0E, 0x50))
        privileges, parameters = random.choice(_PRIVILEGES), random.choice(_PARAMETERS)
        first, second, third = self._aid(), self._aid(), self._aid()
        if p1 in {0x08, 0x20}:
            first, second = b"", b""
        elif p1 in {0x10, 0x40}:
            second = b""
        fields = [first, second, third, privileges, parameters, random.choice((b"", b"", b"", random.randbytes(64)))]
        if p1 == 0x02:
            fields[2:] = [random.choice((b"", bytes(20), bytes(32))), b"\xef\x04\xc6\x02\x10\x00", b""]
        data = b"".join(self._lv(field) for field in fields)[:_MAX_DATA]
        return CommandApdu(0x80, 0xE6, p1, random.choice((0, 0, 0, 0, 1, 3)), data, 256)

    def _delete(self) -> CommandApdu:
        if self._random.random() < 0.2:
            data = (
                b"\xd0\x01" + self._random.randbytes(1) + b"\xd2\x01" + self._random.choice((b"\x31", b"\x20", b"\x7f"))
            )
        else:
            data = self._tlv(b"\x4f", self._aid())
        return CommandApdu(0x80, 0xE4, 0x00, self._random.choice((0, 0x80)), data, 256)

    def _put_key(self) -> CommandApdu:
        version = self._random.choice((0x31, 0x20, 0x70, 0x71, 0x73, 0x7F, 0x01))
        kind, size = self._random.choice(((0x88, 16), (0x88, 32), (0x80, 16), (0xA1, 64), (0xB0, 65), (0xF0, 1)))
        one = bytes((kind, size)) + self._random.randbytes(size) + b"\x00"
        p2 = self._random.choice((0x81, 0x01, 0x02, 0x11, 0x13))
        data = bytes((version,)) + one * (3 if p2 == 0x81 else 1)
        return CommandApdu(0x80, 0xD8, self._random.choice((0, 0, version)), p2, data[:_MAX_DATA], 256)

    def _store_data(self) -> CommandApdu:
        data = self._random.choice(
            (
                b"\x42\x04\x01\x02\x03\x04",
                b"\x45\x04\x01\x02\x03\x04",
                b"\x00\x70\x06\x42\x04\x01\x02\x03\x04",
                b"\x01\x01\x10" + self._random.randbytes(16) + b"\x02\x01\x04\xc0\x02\x00\x01",
                b"\xbf\x21\x04\x7f\x21\x01\x00",
                b"\xa6\x04\x83\x02\x11\x01",
                self._random.randbytes(self._random.randrange(40)),
            )
        )
        p1 = self._random.choice((0x00, 0x80, 0x88, 0x90, 0x08, 0x10, 0xE0))
        return CommandApdu(0x80, 0xE2, p1, self._random.choice((0, 0, 0, 1, 2)), data, self._ne())

    def _load(self) -> CommandApdu:
        body = b"\x01\x00\x0f\xde\xca\xff\xed\x01\x02\x04\x00\x01\x05" + self._own[0][:5]
        data = self._random.choice((self._tlv(b"\xc4", body), b"\xc4\x82\x10\x00" + body, b"\xe2\x00" + body, body))
        return CommandApdu(0x80, 0xE8, self._random.choice((0, 0x80)), self._random.choice((0, 0, 1, 2)), data, 256)

    def _get_response(self) -> CommandApdu:
        return CommandApdu(self._random.choice((0x00, 0x80)), 0xC0, 0, 0, b"", 256)

    def _open_session(self) -> CommandApdu:
        if self._random.random() < 0.5:
            size = self._random.choice((8, 8, 16, 7))
            version = self._random.choice((0, 0x30, 0x31, 0x20, 0xFF))
            return CommandApdu(0x80, 0x50, version, 0, self._random.randbytes(size), 256)
        # A guessed cryptogram counts as a failed authentication: only the structure is tried.
        level = self._random.choice(_SECURITY_LEVELS)
        return CommandApdu(0x84, 0x82, level, 0, self._random.randbytes(self._random.choice((0, 8, 15))), None)

    def _certificates(self) -> CommandApdu:
        data = self._random.choice(
            (
                b"\x7f\x21\x10" + self._random.randbytes(16),
                b"\xa6\x0d\x90\x02\x11\x00\x95\x01\x3c\x80\x01\x88\x81\x01\x10\x5f\x49\x41"
                + self._random.randbytes(65),
                b"",
            )
        )
        ins = self._random.choice((0x2A, 0x82, 0x88))
        return CommandApdu(
            0x80, ins, self._random.choice((0x10, 0x00, 0x01)), self._random.choice((0x11, 0x13)), data, 256
        )

    def _anything(self) -> CommandApdu:
        random = self._random
        cla, ins, p1, p2 = random.randbytes(4)
        return CommandApdu(cla, ins, p1, p2, random.randbytes(random.randrange(60)), self._ne())

    # Mutations.

    def _broken(self, command: CommandApdu) -> CommandApdu:
        random = self._random
        header, data, ne = bytearray(command.header), bytearray(command.data), command.ne
        match random.randrange(8):
            case 0:
                header[random.randrange(4)] = random.randrange(256)
            case 1:
                header[0] ^= random.choice((0x01, 0x03, 0x04, 0x0C, 0x10, 0x40, 0x80))
            case 2 if data:
                del data[random.randrange(len(data)) :]
            case 3:
                data += random.randbytes(random.randrange(1, 9))
            case 4 if data:
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            case 5 if data:
                at = random.randrange(len(data))
                data[at:at] = data[at : at + random.randrange(1, 20)]
            case 6 if data:
                data[random.randrange(len(data))] = random.choice((0x00, 0x7F, 0x80, 0x81, 0x82, 0xFF))
            case _:
                ne = random.choice((None, 1, 255, 256, 300))
        extended = len(data) > _MAX_DATA or random.random() < 0.05
        cla, ins, p1, p2 = header
        return CommandApdu(cla, ins, p1, p2, bytes(data[:600]), ne, extended)
