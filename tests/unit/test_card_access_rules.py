"""Access rules of secure elements: from an ARA-M and from files, and what they give to whom."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card import arf, tlv
from opentsm_card.access_rules import (
    ALWAYS,
    NEVER,
    Access,
    AccessRule,
    AccessRules,
    ApduFilter,
    parse_all,
    parse_refresh_tag,
)
from opentsm_card.errors import ProtocolError

AID, OTHER_AID = bytes.fromhex("A000000151AA"), bytes.fromhex("A000000151BB")
APP, OTHER_APP = bytes(20), bytes(range(32))
READ = ApduFilter(bytes.fromhex("80CA0000"), bytes.fromhex("FFFF0000"))


def do(tag: int, *parts: bytes) -> bytes:
    return tlv.encode(tag, b"".join(parts))


def rule(aid: bytes | None, digest: bytes, apdus: str, nfc: str = "") -> bytes:
    target = do(0xC0) if aid is None else do(0x4F, aid)
    rights = [do(0xD0, bytes.fromhex(apdus))] if apdus else []
    rights += [do(0xD1, bytes.fromhex(nfc))] if nfc else []
    return do(0xE2, do(0xE1, target, do(0xC1, digest)), do(0xE3, *rights))


def test_rules_of_an_ara_m_are_read() -> None:
    data = do(
        0xFF40,
        rule(AID, APP, "01", "00"),
        rule(b"", b"", "00"),
        rule(None, OTHER_APP, "80CA0000FFFF0000"),
        rule(AID, OTHER_APP, "", "01"),
        # Android's carrier privileges: a rule about a package, without AID.
        do(0xE2, do(0xE1, do(0xC1, APP), do(0xCA, b"com.example")), do(0xE3, do(0xDB, bytes(8)))),
    )
    assert parse_all(data) == (
        AccessRule(AID, APP, Access(True, False)),
        AccessRule(b"", b"", Access(False)),
        AccessRule(None, OTHER_APP, Access((READ,))),
        AccessRule(AID, OTHER_APP, Access(False, True)),
    )
    assert parse_all(do(0xFF40)) == ()
    assert parse_refresh_tag(bytes.fromhex("DF20080102030405060708")) == bytes(range(1, 9))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        do(0xFF50, rule(AID, APP, "01")),
        do(0xFF40, do(0xE3)),
        do(0xFF40, do(0xE2, do(0xE1))),
        do(0xFF40, rule(AID, bytes(19), "01")),
        do(0xFF40, rule(AID[:4], APP, "01")),
        do(0xFF40, rule(AID, APP, "02")),
        do(0xFF40, rule(AID, APP, "80CA0000FFFF00")),
        do(0xFF40, rule(AID, APP, "01", "0101")),
        do(0xFF40, rule(AID, APP, "01"))[:-1],
    ],
)
def test_malformed_rules_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_all(data)


@given(st.binary(max_size=64))
def test_any_bytes_are_rules_or_an_error(data: bytes) -> None:
    for parse in (parse_all, parse_refresh_tag, arf.parse_odf, arf.parse_dodf, arf.parse_acmain, arf.parse_rules):
        with contextlib.suppress(ProtocolError):
            parse(data)
    with contextlib.suppress(ProtocolError):
        arf.parse_conditions(data, AID)


class TestWhichRuleHolds:
    """GPD_SPE_013 1.1, 3.2.1: specific rules stand before generic ones."""

    def access(self, *rules: tuple[bytes | None, bytes, Access], aid: bytes | None = AID, app: bytes = APP) -> Access:
        return AccessRules(AccessRule(*each) for each in rules).access(aid, app)

    def test_without_a_rule_nothing_is_given(self) -> None:
        assert self.access() == NEVER

    def test_the_rule_for_both_holds(self) -> None:
        assert self.access((AID, APP, ALWAYS), (AID, b"", NEVER), (b"", b"", NEVER)) == ALWAYS

    def test_another_device_application_s_rule_for_the_application_shuts_out(self) -> None:
        assert self.access((AID, OTHER_APP, ALWAYS), (AID, b"", ALWAYS), (b"", APP, ALWAYS)) == NEVER

    def test_then_the_application_s_rule_for_any_device_application(self) -> None:
        assert self.access((AID, b"", ALWAYS), (b"", APP, NEVER)) == ALWAYS

    def test_then_the_device_application_s_rule_for_any_application(self) -> None:
        assert self.access((OTHER_AID, b"", NEVER), (b"", APP, ALWAYS), (b"", b"", NEVER)) == ALWAYS

    def test_another_device_application_s_rule_for_any_application_shuts_out(self) -> None:
        assert self.access((b"", OTHER_APP, ALWAYS), (b"", b"", ALWAYS)) == NEVER

    def test_then_the_rule_for_any(self) -> None:
        assert self.access((OTHER_AID, APP, NEVER), (b"", b"", ALWAYS)) == ALWAYS

    def test_the_default_application_is_one_of_its_own(self) -> None:
        assert self.access((None, APP, ALWAYS), aid=None) == ALWAYS
        assert self.access((AID, APP, ALWAYS), aid=None) == NEVER

    def test_two_rules_for_the_same_are_merged(self) -> None:
        assert self.access((AID, APP, ALWAYS), (AID, APP, NEVER)).apdus is False
        assert self.access((AID, APP, Access((READ,))), (AID, APP, ALWAYS)).apdus == (READ,)
        other = ApduFilter(b"\0" * 4, b"\xff" * 4)
        assert self.access((AID, APP, Access((READ,))), (AID, APP, Access((other,)))).apdus == (READ, other)
        assert self.access((AID, APP, Access(True)), (AID, APP, Access(True, False))).nfc is False


def test_a_filter_looks_at_the_header_under_its_mask() -> None:
    access = Access((READ, ApduFilter(bytes.fromhex("00B00000"), bytes.fromhex("FFFFFF00"))))
    allowed = ["80CA9F7F00", "80CA0000", "00B0000A10"]
    refused = ["81CA9F7F00", "80CB9F7F00", "00B0010010", "80CA", ""]
    assert [access.allows(bytes.fromhex(each)) for each in allowed + refused] == [True] * 3 + [False] * 5
    assert ALWAYS.allows(b"\x80\xca\x00\x00")
    assert not NEVER.allows(b"\x80\xca\x00\x00")


class TestFiles:
    """The files of clause 7: padded with FF, paths relative to the application."""

    def path(self, fid: str) -> bytes:
        return do(0x30, do(0x04, bytes.fromhex(fid)))

    def test_the_way_to_the_rules(self) -> None:
        assert arf.parse_odf(do(0xA5, self.path("4401")) + do(0xA7, self.path("5207")) + b"\xff" * 40) == b"\x52\x07"
        main = do(
            0xA1,
            do(0x30, b""),
            do(0x30, do(0x0C, b"GP SE Acc Ctl")),
            do(0xA1, do(0x30, do(0x06, bytes.fromhex("2A864886FC6B81480101")), self.path("4200"))),
        )
        other = do(0xA1, do(0x30), do(0x30), do(0xA1, do(0x30, do(0x06, b"\x2a\x03"), self.path("4204"))))
        assert arf.parse_dodf(other + main + b"\xff\xff") == b"\x42\x00"
        assert arf.parse_acmain(do(0x30, do(0x04, bytes(8)), self.path("4300"))) == (bytes(8), b"\x43\x00")
        rules = (
            do(0x30, do(0xA0, do(0x04, AID)), self.path("4310"))
            + do(0x30, do(0x81), self.path("4311"))
            + do(0x30, do(0x82), self.path("4312"))
        )
        assert arf.parse_rules(rules + b"\xff") == ((AID, b"\x43\x10"), (None, b"\x43\x11"), (b"", b"\x43\x12"))

    @pytest.mark.parametrize(
        ("file", "rules"),
        [
            (b"", [AccessRule(AID, b"", NEVER)]),
            (b"\xff\xff", [AccessRule(AID, b"", NEVER)]),
            (do(0x30), [AccessRule(AID, b"", ALWAYS)]),
            (
                do(0x30, do(0x04, APP)) + do(0x30, do(0x04, OTHER_APP)),
                [AccessRule(AID, APP, ALWAYS), AccessRule(AID, OTHER_APP, ALWAYS)],
            ),
            (do(0x30, do(0x04, APP), do(0xA0, do(0xA0, do(0x80, b"\0")))), [AccessRule(AID, APP, Access(False, True))]),
            (do(0x30, do(0xA0, do(0xA1, do(0x80, b"\0")))), [AccessRule(AID, b"", Access(True, False))]),
            (
                do(0x30, do(0x04, APP), do(0xA0, do(0xA0, do(0xA1, do(0x04, READ.header + READ.mask))))),
                [AccessRule(AID, APP, Access((READ,), True))],
            ),
        ],
    )
    def test_conditions(self, file: bytes, rules: list[AccessRule]) -> None:
        assert list(arf.parse_conditions(file, AID)) == rules

    @pytest.mark.parametrize(
        "file",
        [
            do(0x31),
            do(0x30, do(0x05)),
            do(0x30, do(0x04, b"\0" * 19)),
            do(0x30, do(0xA0, do(0xA0, do(0xA1, do(0x04, bytes(7)))))),
            do(0x30, do(0xA0, do(0xA2, do(0x80, b"\0")))),
            do(0x30, do(0x04, APP))[:-1],
            do(0x30, do(0xA0, do(0xA0, do(0x80, b"\0"), do(0x80, b"\0")))),
            b"\x30",
            b"\x30\x80",
        ],
    )
    def test_malformed_conditions_are_refused(self, file: bytes) -> None:
        with pytest.raises(ProtocolError):
            arf.parse_conditions(file, AID)

    @pytest.mark.parametrize("parse", [arf.parse_odf, arf.parse_dodf, arf.parse_acmain])
    def test_a_file_without_what_is_looked_for_is_refused(self, parse: object) -> None:
        assert callable(parse)
        with pytest.raises(ProtocolError):
            parse(b"\xff" * 8)
