"""A seeded sample of `opentsm se fuzz`: the card answers everything, and its registry stays sound."""

from __future__ import annotations

import dataclasses

import pytest

from door import door
from opentsm_card.aid import Aid
from opentsm_card.lifecycle import ContactlessState
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, Registry, RegistryEntry
from opentsm_simulator.fuzz.campaign import run_campaign
from opentsm_simulator.fuzz.invariants import violations
from opentsm_simulator.fuzz.loading import Attempt, LoadEpisode
from opentsm_simulator.profile import load_profile, profile_names

COMMANDS = 25_000
LOAD_COMMANDS = 4_000


@pytest.mark.parametrize("name", profile_names())
def test_the_card_answers_everything_and_its_registry_stays_sound(name: str) -> None:
    report = run_campaign([load_profile(name)], COMMANDS, seed=20261126)
    assert [(finding.episode, finding.what, finding.commands[-3:]) for finding in report.findings] == []
    assert report.commands >= COMMANDS
    # It reaches into the card: a sizeable part is accepted, and the registry was readable after most bursts.
    assert report.answers[0x9000] > COMMANDS // 10
    assert report.secured > COMMANDS // 5
    assert report.inspections > COMMANDS // 200


@pytest.mark.parametrize("name", profile_names())
def test_a_load_leaves_the_load_file_or_what_was_before(name: str) -> None:
    """Blocks of any size and order, broken inside, with commands, channels and power cuts in between."""
    report = run_campaign([load_profile(name)], LOAD_COMMANDS, seed=20261127, loads=True)
    assert [(finding.episode, finding.what, finding.commands[-3:]) for finding in report.findings] == []
    assert report.inspections > LOAD_COMMANDS // 50
    assert report.loaded > LOAD_COMMANDS // 400
    assert report.answers[0x6A80] > LOAD_COMMANDS // 100


def test_what_a_load_changed_beside_its_load_file_is_found() -> None:
    episode = LoadEpisode(0, 1, load_profile("embedded"), 1)
    attempt = Attempt(FILE.aid, [], whole=False)
    episode.judge(attempt, SOUND, changed(DOMAIN, state=0x8F))
    episode.judge(attempt, dataclasses.replace(SOUND, applications=()), SOUND)
    attempt.last = 0x9000
    episode.judge(Attempt(Aid.from_text("F000000009"), [], whole=True, last=0x9000), SOUND, SOUND)
    said = [finding.what for finding in episode.findings]
    assert said[0] == "F000000002 changed while F000000001 was loaded"
    assert sorted(said[1:-1]) == [f"F00000000{n} came or went while F000000001 was loaded" for n in (2, 3)]
    assert said[-1] == "F000000009 was loaded by its answers, and is not there"


def test_a_seed_decides_everything() -> None:
    profile = [load_profile("embedded")]
    whole = run_campaign(profile, 1_200, seed=5)
    last = run_campaign(profile, 400, seed=5, first_episode=2)
    first = run_campaign(profile, 800, seed=5)
    assert whole.answers == first.answers + last.answers


def test_the_command_says_what_it_did() -> None:
    answer = door("se", "fuzz", "--profile", "embedded", "--commands", "500", "--seed", "1")
    assert answer.code == 0
    assert "seed 1" in answer.out
    assert answer.out.rstrip().endswith("nothing found")


ISSUER = RegistryEntry(
    Aid.from_text("A000000151000000"),
    0x0F,
    Privilege.SECURITY_DOMAIN,
    Aid.from_text("A000000151000000"),
    kind=Kind.ISSUER_SECURITY_DOMAIN,
)
FILE = RegistryEntry(Aid.from_text("F000000001"), 0x01, associated_sd=ISSUER.aid, kind=Kind.LOAD_FILE)
DOMAIN = RegistryEntry(
    Aid.from_text("F000000002"), 0x0F, Privilege.SECURITY_DOMAIN, ISSUER.aid, FILE.aid, kind=Kind.SECURITY_DOMAIN
)
APPLICATION = RegistryEntry(Aid.from_text("F000000003"), 0x07, Privilege.NONE, DOMAIN.aid, FILE.aid)
SOUND = Registry(ISSUER, (DOMAIN, APPLICATION), (FILE,), complete=True)


def changed(entry: RegistryEntry, **changes: object) -> Registry:
    return dataclasses.replace(
        SOUND,
        applications=tuple(
            dataclasses.replace(other, **changes) if other is entry else other  # type: ignore[arg-type] # by name
            for other in SOUND.applications
        ),
    )


def test_a_sound_registry_breaks_no_rule() -> None:
    assert violations(SOUND) == ()


@pytest.mark.parametrize(
    ("registry", "said"),
    [
        (dataclasses.replace(SOUND, isd=None), "no issuer security domain"),
        (dataclasses.replace(SOUND, isd=dataclasses.replace(ISSUER, state=0x55)), "card's life cycle is 55"),
        (dataclasses.replace(SOUND, applications=(DOMAIN, APPLICATION, APPLICATION)), "is there 2 times"),
        (dataclasses.replace(SOUND, load_files=()), "which is not on the card"),
        (dataclasses.replace(SOUND, load_files=(dataclasses.replace(FILE, state=3),)), "has the life cycle 03"),
        (
            dataclasses.replace(
                SOUND, load_files=(dataclasses.replace(FILE, modules=(APPLICATION.aid, APPLICATION.aid)),)
            ),
            "has a module twice",
        ),
        (changed(APPLICATION, state=0x01), "has the life cycle 01"),
        (changed(DOMAIN, state=0x17), "has the life cycle 17"),
        (changed(APPLICATION, associated_sd=None), "hangs on no security domain"),
        (changed(APPLICATION, associated_sd=Aid.from_text("F0000000FF")), "hangs on no security domain"),
        (changed(DOMAIN, associated_sd=APPLICATION.aid), "hangs on no security domain"),
        (changed(APPLICATION, associated_sd=APPLICATION.aid), "hangs on no security domain"),
        (changed(APPLICATION, privileges=Privilege.AUTHORIZED_MANAGEMENT), "is no security domain and has"),
        (
            changed(DOMAIN, privileges=Privilege.SECURITY_DOMAIN | Privilege.MANDATED_DAP_VERIFICATION),
            "without DAP Verification",
        ),
        (changed(APPLICATION, state=0x03, contactless=ContactlessState.ACTIVATED), "activated before it is selectable"),
        (
            dataclasses.replace(
                SOUND,
                applications=tuple(
                    dataclasses.replace(entry, privileges=entry.privileges | Privilege.FINAL_APPLICATION)
                    for entry in SOUND.applications
                ),
            ),
            "FINAL_APPLICATION is held by",
        ),
    ],
)
def test_each_broken_rule_is_named(registry: Registry, said: str) -> None:
    assert any(said in sentence for sentence in violations(registry)), violations(registry)
