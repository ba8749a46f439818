"""The access rule application (ARA-M): rules come through the security domain, and anyone reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from access_rules_card import OTHER, PAYMENT, WALLET, Rules, do, ref, rule
from opentsm_agent.access import RuleReader
from opentsm_card.access_rules import ARA_M, NEVER, Access, ApduFilter
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from sd_host import Host


@pytest.fixture
def rules(isd: Host) -> Rules:
    return Rules(isd)


def test_without_rules_nobody_may_do_anything(rules: Rules) -> None:
    assert rules.read() == (NEVER, NEVER, NEVER)


def test_rules_come_and_go(rules: Rules) -> None:
    assert (
        rules.store(do(0xF0, rule(PAYMENT, WALLET, "01")), do(0xF0, rule(b"", b"", "80CA0000FFFF0000"))) == [0x9000] * 2
    )
    filtered = Access((ApduFilter(bytes.fromhex("80CA0000"), bytes.fromhex("FFFF0000")),))
    assert rules.read() == (Access(True), NEVER, filtered)
    assert rules.store(do(0xF0, rule(PAYMENT, WALLET, "00"))) == [0x9000], "in place of the one before"
    assert rules.read() == (Access(False), NEVER, filtered)
    assert rules.store(do(0xF1, ref(PAYMENT, WALLET))) == [0x9000]
    assert rules.read() == (filtered, filtered, filtered)
    assert rules.store(do(0xF0, rule(PAYMENT, OTHER, "01")) + do(0xF1, do(0x4F))) == [0x9000], "two in a block"
    assert rules.read() == (NEVER, Access(True), NEVER)
    assert rules.store(do(0xF1)) == [0x9000]
    assert rules.read() == (NEVER, NEVER, NEVER)


def test_many_rules_are_read_in_parts(rules: Rules) -> None:
    many = [rule(PAYMENT, bytes((number,)) * 32, "01") for number in range(30)]
    assert set(rules.store(*(do(0xF0, each) for each in many))) == {0x9000}
    read = rules.reader.read(rules.exchange)
    assert len(read) == 30
    assert all(read.access(PAYMENT, bytes((number,)) * 32).apdus is True for number in range(30))


def test_the_refresh_tag_spares_reading_again(rules: Rules) -> None:
    rules.store(do(0xF0, rule(PAYMENT, WALLET, "01")))
    sent: list[bytes] = []

    def exchange(command: bytes) -> bytes:
        sent.append(command)
        return rules.exchange(command)

    rules.reader.read(exchange)
    first = len(sent)
    rules.reader.read(exchange)
    assert len(sent) - first == first - 1, "SELECT and the refresh tag, and not the rules"
    rules.store(do(0xF2))
    del sent[:]
    rules.reader.read(exchange)
    assert len(sent) == first


@pytest.mark.parametrize(
    ("data", "sw"),
    [
        (do(0xF0, rule(PAYMENT, WALLET, "01")[:-1]), 0x6A80),
        (do(0xF0, do(0xE3)), 0x6A80),
        (do(0xF0, do(0xE2, ref(PAYMENT, WALLET))), 0x6A80),
        (do(0xF0, do(0xE2, do(0xE3), ref(PAYMENT, WALLET))), 0x6A80),
        (do(0xF0, rule(PAYMENT, WALLET, "01"), b"\0\0"), 0x6A80),
        (do(0xF9), 0x6A80),
        (b"\xf0\x84\0\0\0\0", 0x6A80),
        (do(0xF1, ref(PAYMENT, OTHER)), 0x6A88),
    ],
)
def test_what_is_no_rule_is_refused_and_changes_nothing(rules: Rules, data: bytes, sw: int) -> None:
    rules.store(do(0xF0, rule(PAYMENT, WALLET, "01")))
    assert rules.store(data) == [sw]
    assert rules.read() == (Access(True), NEVER, NEVER)


def test_when_it_is_full_it_says_so_and_keeps_what_it_has(rules: Rules) -> None:
    answers = rules.store(*(do(0xF0, rule(PAYMENT, bytes((number,)) * 32, "01")) for number in range(60)))
    kept = answers.index(0x6A84)
    assert set(answers[:kept]) == {0x9000}
    assert len(rules.reader.read(rules.exchange)) == kept


def test_nobody_stores_rules_without_the_security_domain(rules: Rules) -> None:
    rules.exchange(bytes.fromhex("00A4040009") + ARA_M)
    assert rules.exchange(bytes.fromhex("80E2900002F100")) == bytes.fromhex("6D00")


def test_other_commands_are_refused(rules: Rules) -> None:
    rules.exchange(bytes.fromhex("00A4040009") + ARA_M)
    refused = {"80CAFF6000": "6985", "80CA004200": "6A88", "00CAFF4000": "6E00", "80B0000000": "6D00"}
    assert {each: rules.exchange(bytes.fromhex(each)).hex().upper() for each in refused} == refused


def test_a_card_with_rules_that_are_none_gives_nothing() -> None:
    answers = {0xA4: "9000", 0xCA: "FF4003E2019000"}
    reader = RuleReader()
    with pytest.raises(ProtocolError):
        reader.read(lambda command: bytes.fromhex(answers[command[1]]))


def test_the_built_in_domain_of_a_card_without_it_gives_nothing(isd: Host) -> None:
    assert RuleReader().read(isd.link.transmit).access(PAYMENT, WALLET) == NEVER
