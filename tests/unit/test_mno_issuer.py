"""The issuer's scripts against a card's own SCP03 side: what is verified, and what a counter that moved does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.diversification import diversify
from opentsm_card.errors import ProtocolError
from opentsm_card.lifecycle import CardState
from opentsm_card.registry import Kind, RegistryEntry
from opentsm_card.scp03_card import Scp03Card
from opentsm_card.set_status import SetStatus
from opentsm_tsm.mno.config import Uicc
from opentsm_tsm.mno.issuer import Issuer
from opentsm_tsm.mno.store import MnoStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentsm_tsm.messages import ScriptEntry

MASTER = bytes(range(16))
DATA = bytes(range(10))
ISD = Aid(bytes.fromhex("A000000151000000"))
UICC = Uicc(se="uicc-1", diversification_data=DATA.hex(), allow=("lock", "unlock", "terminate", "status"))


class Card:
    """An issuer security domain that knows SET STATUS and GET STATUS of the card."""

    def __init__(self) -> None:
        self.state = CardState.SECURED
        self.channel = Scp03Card(diversify(MASTER, "kdf3", DATA, version=48), aid=ISD, diversification_data=DATA)

    def run(self, script: tuple[ScriptEntry, ...]) -> list[bytes]:
        answers = []
        for entry in script:
            answer = self._transmit(CommandApdu.parse(bytes(entry.apdu)))
            answers.append(answer.encode())
            if answer.sw != 0x9000 or entry.expect.data not in {None, answer.data}:
                break
        return answers

    def _transmit(self, apdu: CommandApdu) -> ResponseApdu:
        if apdu.ins == 0x50:
            return ResponseApdu(self.channel.initialize_update(apdu).encode())
        if apdu.ins == 0x82:
            self.channel.external_authenticate(apdu)
            return ResponseApdu()
        plain = self.channel.unwrap(apdu)
        data = b""
        if plain.ins == 0xF0:
            self.state = CardState(SetStatus.parse(plain).state)
        else:
            data = RegistryEntry(ISD, self.state, kind=Kind.ISSUER_SECURITY_DOMAIN).encode()
        return self.channel.wrap(ResponseApdu(data))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MnoStore]:
    store = MnoStore(tmp_path / "mno.sqlite")
    yield store
    store.close()


@pytest.fixture
def issuer(store: MnoStore) -> Issuer:
    return Issuer(MASTER, [UICC], store)


def test_a_card_is_locked_unlocked_and_terminated(issuer: Issuer) -> None:
    card = Card()
    for action, state in (
        ("lock", "CARD_LOCKED"),
        ("unlock", "SECURED"),
        ("status", "SECURED"),
        ("terminate", "TERMINATED"),
    ):
        outcome = issuer.verify("uicc-1", card.run(issuer.script("uicc-1", action).entries))
        assert (outcome.verified, outcome.state, outcome.retry) == (True, state, False)
        assert card.state.name == state


def test_the_script_is_for_the_issuer_security_domain_and_shows_no_command(issuer: Issuer) -> None:
    script = issuer.script("uicc-1", "lock")
    assert bytes(script.target) == bytes(ISD)
    assert [bytes(entry.apdu)[1] for entry in script.entries] == [0x50, 0x82, 0xF0, 0xF2]
    assert script.entries[0].expect.data is not None


def test_a_counter_that_moved_stops_the_script_and_is_learnt(issuer: Issuer) -> None:
    card = Card()
    card.channel.sequence_counter = 7
    stopped = card.run(issuer.script("uicc-1", "lock").entries)
    assert len(stopped) == 1
    outcome = issuer.verify("uicc-1", stopped)
    assert (outcome.verified, outcome.retry) == (False, True)
    assert card.state is CardState.SECURED
    assert issuer.verify("uicc-1", card.run(issuer.script("uicc-1", "lock").entries)).verified


def test_a_counter_that_the_centre_claims_is_believed_for_one_script_only(issuer: Issuer, store: MnoStore) -> None:
    card = Card()
    card.channel.sequence_counter = 7
    assert issuer.verify("uicc-1", card.run(issuer.script("uicc-1", "lock", counter=7).entries)).verified
    issuer.script("uicc-1", "unlock", counter=0xFFFFF0)
    assert store.counter("uicc-1") == 8


def test_a_restart_still_verifies_the_answers(issuer: Issuer, store: MnoStore) -> None:
    answers = Card().run(issuer.script("uicc-1", "lock").entries)
    assert Issuer(MASTER, [UICC], store).verify("uicc-1", answers).state == "CARD_LOCKED"


def test_forged_answers_prove_nothing(issuer: Issuer, store: MnoStore) -> None:
    answers = Card().run(issuer.script("uicc-1", "lock").entries)
    forged = [*answers[:2], bytes([answers[2][0] ^ 1]) + answers[2][1:], answers[3]]
    assert issuer.verify("uicc-1", forged).verified is False
    assert issuer.verify("uicc-1", answers[:3]).verified is False
    assert issuer.verify("uicc-1", []).verified is False
    stranger = Card()
    stranger.channel = Scp03Card(diversify(bytes(16), "kdf3", DATA, version=48), aid=ISD, diversification_data=DATA)
    stranger.channel.sequence_counter = 100
    assert issuer.verify("uicc-1", stranger.run(issuer.script("uicc-1", "lock").entries)).retry is False
    assert store.counter("uicc-1") < 100


def test_nothing_is_verified_that_was_not_asked_for(issuer: Issuer) -> None:
    with pytest.raises(ProtocolError):
        issuer.verify("uicc-1", [b"\x90\x00"])


def test_an_issuer_shows_no_key(issuer: Issuer) -> None:
    assert MASTER.hex() not in repr(issuer)
