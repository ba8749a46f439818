"""Profiles of real cards: each fact has a source, nothing is malformed, and cards are known by their ATR."""

from __future__ import annotations

import json

import pytest

from door import door
from opentsm_card.atr import Atr
from opentsm_card.card_profiles import load_card_profile, parse_card_profile, profile_names, recognize
from opentsm_card.errors import ProtocolError
from opentsm_card.initialize_update import InitializeUpdateAnswer

SOUND = """
title = "T"
vendor = "V"
[sources]
a = "https://example.org"
[[atr]]
pattern = "3B80800101"
card = "C"
source = "a"
"""


def test_every_family_asked_for_is_there() -> None:
    assert set(profile_names()) == {
        "feitian", "idcore", "jcop-2.4", "jcop-3", "jcop-4", "secora-id", "smartcafe-expert", "smartmx-ese",
        "sysmoisim-sja2", "sysmoisim-sja5",
    }  # fmt: skip


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_s_answers_to_reset_are_sound(name: str) -> None:
    """A digit mistyped would break the structure or the check byte."""
    profile = load_card_profile(name)
    assert len(profile.facts()) >= 2
    assert not profile.test_card  # that is for the owner of a card to say
    for fact in profile.atr:
        atr = Atr.parse(bytes.fromhex(fact.pattern))
        assert atr.check_ok, fact
        assert profile in [found for found, _ in recognize(atr.raw)]
    for channel in profile.secure_channel:
        if channel.scp == 3 and channel.i is not None:
            assert InitializeUpdateAnswer(bytes(10), 1, channel.i, bytes(8), bytes(8), 1).encode()[12] == channel.i


def test_no_two_families_claim_one_answer() -> None:
    patterns = [fact.pattern for name in profile_names() for fact in load_card_profile(name).atr]
    assert len(set(patterns)) == len(patterns)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('source = "a"', 'source = "b"'), "'b'"),
        (('a = "https://example.org"', 'a = "https://example.org"\nb = "https://example.com"'), "no fact"),
        (("https://", "http://"), "sources"),
        (("3B80800101", "3C80800101"), "pattern"),
        (('card = "C"', 'card = "C"\nweight = 3'), "weight"),
        (('title = "T"\n', ""), "title"),
        (("[[atr]]", '[[atr]]\npattern = "3B80800101"\ncard = "D"\nsource = "a"\n[[atr]]'), "twice"),
        (('vendor = "V"', 'vendor = "V"\nissuer = {aid = "00", source = "a"}'), "issuer.aid"),
    ],
)
def test_a_malformed_profile_is_refused(change: tuple[str, str], says: str) -> None:
    parse_card_profile(SOUND.encode(), "t.toml")
    with pytest.raises(ProtocolError, match=r"t\.toml") as caught:
        parse_card_profile(SOUND.replace(*change).encode(), "t.toml")
    assert says in str(caught.value)


def test_patterns_have_digits_that_vary() -> None:
    profile = parse_card_profile(SOUND.replace("3B80800101", "3B8XXX0101").encode(), "t.toml")
    assert profile.card_of(bytes.fromhex("3B8F120101")) == "C"
    assert profile.card_of(bytes.fromhex("3B9F120101")) is None
    assert profile.card_of(bytes.fromhex("3B8F12010100")) is None


def test_the_command_shows_facts_and_sources() -> None:
    listed = json.loads(door("card", "profiles", "--json").out)["profiles"]
    assert {"name": "jcop-4", "title": "NXP JCOP 4 on P71 (J3R110, J3R150, J3R180)"} in listed
    text = door("card", "profiles", "sysmoisim-sja2").out
    assert "SCP02 i=15, key version 0x70 [coims-8]" in text
    assert "[coims-8] https://github.com/" in text
    answer = door("card", "profiles", "nokia")
    assert answer.code == 4
    assert "jcop-3" in answer.err
