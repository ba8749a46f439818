from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from opentsm_card.aid import Aid
from opentsm_card.apdu import Command, CommandApdu, ResponseApdu
from opentsm_card.errors import SecureChannelError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.get_data import GetData
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.keys import KeySet
from opentsm_card.put_key import put_key_set
from opentsm_card.scp03 import Scp03Session, next_sequence_counter, predict
from opentsm_card.scp03_card import Scp03Card
from opentsm_card.scp03_script import ScriptRecord, ScriptWriter, precompute, read_answers

if TYPE_CHECKING:
    from opentsm_card.script import Script

AID = Aid.from_text("F06F70656E74736D0A0001")
DATA = bytes(range(10))
KEYS = KeySet(0x30, b"\xe1" * 16, b"\xe2" * 16, b"\xe3" * 16)
NEW = KeySet(0x31, b"\xf1" * 32, b"\xf2" * 32, b"\xf3" * 32)
CHALLENGE = b"\xc1" * 8
LIST = GetStatus.everything(Scope.APPLICATIONS)


class Card:
    """A security domain that answers each wrapped command with its plain data, reversed."""

    def __init__(self, *, counter: int = 4) -> None:
        self.channel = Scp03Card(KEYS, aid=AID, diversification_data=DATA, sequence_counter=counter)
        self.plain: list[CommandApdu] = []
        self.sw = 0x9000

    def transmit(self, c_apdu: bytes) -> bytes:
        apdu = CommandApdu.parse(c_apdu)
        if apdu.ins == 0xA4:
            return ResponseApdu(b"\x6f\x00").encode()
        if apdu.ins == 0x50:
            return ResponseApdu(self.channel.initialize_update(apdu.on_channel(0)).encode()).encode()
        if apdu.ins == 0x82:
            self.channel.external_authenticate(apdu)
            return ResponseApdu().encode()
        plain = self.channel.unwrap(apdu)
        self.plain.append(plain)
        return self.channel.wrap(ResponseApdu(plain.data[::-1], self.sw)).encode()

    def run(self, script: Script) -> tuple[bytes, ...]:
        answers: list[bytes] = []
        for command in script:
            answers.append(self.transmit(command.c_apdu))
            if not command.expect.allows(answers[-1]):
                break
        return tuple(answers)


def _session(counter: int = 5, keys: KeySet = KEYS) -> Scp03Session:
    _, session = predict(keys, CHALLENGE, sequence_counter=counter, aid=AID, diversification_data=DATA)
    return session


def test_a_whole_session_is_one_script() -> None:
    commands: list[Command] = [LIST, put_key_set(NEW, KEYS.dek), GetData(0xE0)]
    script, record = precompute(_session(), commands, select=AID)
    assert [command.c_apdu[1] for command in script] == [0xA4, 0x50, 0x82, 0xF2, 0xD8, 0xCA]
    card = Card()
    answers = card.run(script)
    assert card.plain == [command.apdu() for command in commands]
    plain = read_answers(KEYS, record, answers)
    assert [answer.data for answer in plain[3:]] == [command.apdu().data[::-1] for command in commands]


def test_answers_are_read_in_another_process_from_keys_and_record() -> None:
    script, record = precompute(_session(), [LIST, LIST], SecurityLevel.ALL)
    answers = Card().run(script)
    stored = msgspec.json.encode(record)
    plain = read_answers(KEYS, msgspec.json.decode(stored, type=ScriptRecord), answers)
    assert plain[-1].data == LIST.apdu().data[::-1]
    for key in (KEYS.enc, KEYS.mac, KEYS.dek):
        assert key not in stored
        assert key.hex().encode() not in stored


@pytest.mark.parametrize("channel", [1, 3, 4, 19])
def test_a_script_for_a_logical_channel(channel: int) -> None:
    script, record = precompute(_session(), [LIST], select=AID, channel=channel)
    assert {CommandApdu.parse(command.c_apdu).channel for command in script} == {channel}
    plain = read_answers(KEYS, record, Card().run(script))
    assert plain[-1].data == LIST.apdu().data[::-1]


def test_a_stale_counter_stops_the_script_before_authentication_and_shows_the_true_one() -> None:
    script, record = precompute(_session(counter=5), [LIST], select=AID)
    card = Card(counter=7)
    answers = card.run(script)
    assert len(answers) == 2
    assert card.channel.level is None
    shown = read_answers(KEYS, record, answers)[1].data
    true_counter = Scp03Session.open(KEYS, CHALLENGE, shown).answer.sequence_counter
    assert true_counter == 8
    script, record = precompute(_session(next_sequence_counter(true_counter)), [LIST])
    assert read_answers(KEYS, record, card.run(script))[-1].sw == 0x9000


def test_a_script_that_ended_early_is_read_as_far_as_it_came() -> None:
    script, record = precompute(_session(), [LIST, LIST])
    card = Card()
    card.sw = 0x6A88
    answers = card.run(script)
    assert len(answers) == 3
    assert read_answers(KEYS, record, answers)[-1] == ResponseApdu(b"", 0x6A88)


def test_a_script_goes_on_with_status_words_it_was_told() -> None:
    writer = ScriptWriter(_session())
    assert writer.add(LIST, frozenset({0x9000, 0x6310})) == 2
    assert writer.add(LIST.following()) == 3
    card = Card()
    card.sw = 0x6310
    answers = card.run(writer.script())
    assert len(answers) == 4
    assert read_answers(KEYS, writer.record(), answers)[2].sw == 0x6310


def test_a_session_spans_several_scripts() -> None:
    card = Card()
    writer = ScriptWriter(_session(), select=AID)
    writer.add(LIST)
    record = writer.record()
    read_answers(KEYS, record, card.run(writer.script()))
    going_on = ScriptWriter(Scp03Session.resume(KEYS, record.state))
    going_on.add(GetData(0x66))
    script = going_on.script()
    assert [command.c_apdu[:2].hex() for command in script] == ["84ca"]
    assert read_answers(KEYS, going_on.record(), card.run(script)) == (ResponseApdu(),)


def test_forged_answers_are_refused_with_their_position() -> None:
    script, record = precompute(_session(), [LIST, LIST], select=AID)
    answers = list(Card().run(script))
    answers[4] = answers[4][:-3] + bytes((answers[4][-3] ^ 1,)) + answers[4][-2:]
    with pytest.raises(SecureChannelError, match="C-APDU 4: response MAC"):
        read_answers(KEYS, record, answers)
    swapped = list(Card().run(script))
    swapped[3], swapped[4] = swapped[4], swapped[3]
    with pytest.raises(SecureChannelError, match="C-APDU 3"):
        read_answers(KEYS, record, swapped)


def test_a_script_that_went_on_after_an_unexpected_answer_is_not_believed() -> None:
    script, record = precompute(_session(), [LIST])
    answers = list(Card().run(script))
    answers[0] = Card(counter=9).transmit(script[0].c_apdu)
    with pytest.raises(SecureChannelError, match="C-APDU 0"):
        read_answers(KEYS, record, answers)


def test_more_answers_than_commands_are_refused() -> None:
    script, record = precompute(_session(), [LIST])
    answers = Card().run(script)
    with pytest.raises(SecureChannelError, match="4 answers to 3"):
        read_answers(KEYS, record, (*answers, b"\x90\x00"))


def test_other_keys_do_not_read_a_script() -> None:
    script, record = precompute(_session(), [LIST])
    with pytest.raises(SecureChannelError):
        read_answers(KeySet(0x30, NEW.enc, NEW.mac, NEW.dek), record, Card().run(script))


def test_a_locked_cards_issuer_may_answer_select_with_a_warning() -> None:
    script, _ = precompute(_session(), [], select=AID)
    assert script[0].expect.allows(b"\x62\x83")
    assert not script[0].expect.allows(b"\x6a\x82")
