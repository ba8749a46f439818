"""Access rules read from the files of a UICC that has no ARA-M, and from an ARA-M whose answers come in parts."""

from __future__ import annotations

import pytest

from opentsm_agent.access import RuleReader
from opentsm_card import tlv
from opentsm_card.access_rules import ALWAYS, ARA_M, NEVER, Access
from opentsm_card.arf import PKCS15
from opentsm_card.errors import ProtocolError

AID, WALLET = bytes.fromhex("A000000151AA"), bytes(range(20))
OK, NOT_FOUND = b"\x90\x00", b"\x6a\x82"


def do(tag: int, *parts: bytes) -> bytes:
    return tlv.encode(tag, b"".join(parts))


def path(*fids: str) -> bytes:
    return do(0x30, do(0x04, *(bytes.fromhex(fid) for fid in fids)))


def files() -> dict[str, bytes]:
    """The files of a PKCS #15 application: padded, as cards make them, and the conditions longer than one answer."""
    others = [do(0x30, do(0x04, bytes((number,)) * 20)) for number in range(40)]
    access_control = do(0xA1, do(0x30, do(0x06, bytes.fromhex("2A864886FC6B81480101")), path("4200")))
    return {
        "5031": do(0xA7, path("5207")) + b"\xff" * 30,
        "5207": do(0xA1, do(0x30), do(0x30), access_control) + b"\xff" * 30,
        "4200": do(0x30, do(0x04, bytes(8)), path("4300")),
        "4300": do(0x30, do(0xA0, do(0x04, AID)), path("7F10", "4310")) + do(0x30, do(0x82), path("4311")),
        "7F10": b"",
        "4310": b"".join(others) + do(0x30, do(0x04, WALLET)) + b"\xff" * 100,
        "4311": b"\xff" * 20,
    }


class Uicc:
    """Transparent files below a PKCS #15 application; no ARA-M."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content
        self.selected = ""
        self.application = b""

    def exchange(self, command: bytes) -> bytes:
        ins, p1, p2 = command[1:4]
        if ins == 0xA4 and p1 == 0x04:
            self.application = command[5 : 5 + command[4]]
            return OK if self.application == PKCS15 else NOT_FOUND
        if self.application != PKCS15:
            return NOT_FOUND
        if ins == 0xA4:
            self.selected = command[5:7].hex().upper()
            return OK if self.selected in self.content else NOT_FOUND
        assert ins == 0xB0
        content, offset = self.content[self.selected], p1 << 8 | p2
        part = content[offset : offset + command[4]]
        # 6282: the file ends before what was asked for (ISO/IEC 7816-4).
        return part + (OK if len(part) == command[4] else b"\x62\x82")


def test_without_an_ara_m_the_files_are_read() -> None:
    rules = RuleReader().read(Uicc(files()).exchange)
    assert rules.access(AID, WALLET) == ALWAYS
    assert rules.access(AID, b"\x07" * 20) == ALWAYS
    assert rules.access(AID, bytes(range(32))) == NEVER
    assert rules.access(bytes(5), WALLET) == Access(False, False)


@pytest.mark.parametrize("missing", ["5031", "5207", "4200", "4300", "4310", "7F10"])
def test_a_file_that_is_missing_is_an_error_and_gives_nothing(missing: str) -> None:
    content = files()
    del content[missing]
    with pytest.raises(ProtocolError, match="no file"):
        RuleReader().read(Uicc(content).exchange)


def test_a_card_with_neither_gives_nothing() -> None:
    assert len(RuleReader().read(lambda _: NOT_FOUND)) == 0


class AraM:
    """An ARA-M that gives 20 bytes at a time."""

    def __init__(self, rules: bytes) -> None:
        self.data = do(0xFF40, rules)
        self.at = 0

    def exchange(self, command: bytes) -> bytes:
        if command[1] == 0xA4:
            return OK if command[5:-1] == ARA_M else NOT_FOUND
        what = command[2:4].hex().upper()
        if what == "DF20":
            return NOT_FOUND
        self.at = 0 if what == "FF40" else self.at
        part = self.data[self.at : self.at + 20]
        self.at += len(part)
        return part + OK


def rule(number: int) -> bytes:
    return do(0xE2, do(0xE1, do(0x4F, AID), do(0xC1, bytes((number,)) * 32)), do(0xE3, do(0xD0, b"\1")))


@pytest.mark.parametrize("count", [0, 1, 5, 20])
def test_answers_in_parts_are_put_together(count: int) -> None:
    rules = RuleReader().read(AraM(b"".join(map(rule, range(count)))).exchange)
    assert len(rules) == count
    assert all(rules.access(AID, bytes((number,)) * 32).apdus is True for number in range(count))


def test_an_ara_m_that_ends_early_is_an_error() -> None:
    card = AraM(rule(1) + rule(2))
    card.data = card.data[:-10]
    with pytest.raises(ProtocolError, match="bytes of"):
        RuleReader().read(card.exchange)
