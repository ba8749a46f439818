from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import CardError, ProtocolError, SecureChannelError
from opentsm_card.external_authenticate import ExternalAuthenticate, SecurityLevel
from opentsm_card.initialize_update import InitializeUpdateAnswer
from opentsm_card.keys import KeySet
from opentsm_card.scp03 import Scp03Session, max_data_bytes, next_sequence_counter, predict
from opentsm_card.scp03_card import Scp03Card
from opentsm_card.scp03_kdf import Parameter, SessionKeys

SESSIONS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "scp03-dialogues.json").read_text(encoding="utf-8")
)["sessions"]
AID = Aid.from_text("A000000151000000")
DATA = bytes(range(10))
COMMAND = CommandApdu(0x80, 0xE2, 0x90, 0x00, b"a secret thing", 256)
LEVELS = [SecurityLevel(level) for level in (0x00, 0x01, 0x03, 0x11, 0x13, 0x33)]
PARAMETERS = [base | size for base in (0x00, 0x10, 0x20, 0x30, 0x60, 0x70) for size in (0x00, 0x01)]

dialogue = pytest.mark.parametrize("vector", SESSIONS, ids=lambda vector: vector["name"])


def _keys(size: int = 16, version: int = 0x30) -> KeySet:
    return KeySet(version, bytes(range(size)), bytes(range(16, size + 16)), bytes(range(32, size + 32)))


def _vector_keys(vector: dict[str, Any]) -> KeySet:
    keys = vector["keys"]
    enc, mac, dek = (bytes.fromhex(keys[name]) for name in ("enc", "mac", "dek"))
    return KeySet(keys["key_version"], enc, mac, dek)


def _vector_host(vector: dict[str, Any]) -> Scp03Session:
    begin = CommandApdu.parse(bytes.fromhex(vector["initialize_update"]["command"]))
    answer = bytes.fromhex(vector["initialize_update"]["response_data"])
    return Scp03Session.open(_vector_keys(vector), begin.data, answer)


def _vector_card(vector: dict[str, Any]) -> Scp03Card:
    answer = InitializeUpdateAnswer.parse(bytes.fromhex(vector["initialize_update"]["response_data"]))
    assert answer.sequence_counter is not None
    return Scp03Card(
        _vector_keys(vector),
        aid=bytes.fromhex(vector["selected_aid"]),
        diversification_data=answer.diversification_data,
        i=answer.i,
        sequence_counter=answer.sequence_counter - 1,
    )


def _pair(level: int, i: int = 0x70, keys: KeySet | None = None) -> tuple[Scp03Session, Scp03Card]:
    """Open a session between our host and our card, live."""
    keys = keys or _keys()
    card = Scp03Card(keys, aid=AID, diversification_data=DATA, i=i, random_bytes=lambda count: b"\x5a" * count)
    challenge = b"\xc1" * Parameter(i).size_bytes
    answer = card.initialize_update(Scp03Session.initialize_update(keys.version, challenge))
    host = Scp03Session.open(keys, challenge, answer.encode())
    assert card.external_authenticate(host.external_authenticate(SecurityLevel(level))) == level
    return host, card


@dialogue
def test_dialogues_with_real_cards_host_side(vector: dict[str, Any]) -> None:
    host = _vector_host(vector)
    begin = Scp03Session.initialize_update(vector["keys"]["key_version"], host.state().host_challenge)
    assert begin.encode().hex() == vector["initialize_update"]["command"]
    level = SecurityLevel(int(vector["security_level"], 16))
    assert host.external_authenticate(level).encode().hex() == vector["external_authenticate"]
    for exchange in vector["exchanges"]:
        wrapped = host.wrap(CommandApdu.parse(bytes.fromhex(exchange["plain_command"])))
        assert wrapped.encode().hex() == exchange["wrapped_command"]
        if "wrapped_response_data" in exchange:
            received = bytes.fromhex(exchange["wrapped_response_data"] + exchange["status"])
            assert host.unwrap(ResponseApdu.parse(received)).data.hex() == exchange["plain_response_data"]


@dialogue
def test_dialogues_with_real_cards_card_side(vector: dict[str, Any]) -> None:
    card = _vector_card(vector)
    answer = card.initialize_update(CommandApdu.parse(bytes.fromhex(vector["initialize_update"]["command"])))
    assert answer.encode().hex() == vector["initialize_update"]["response_data"]
    card.external_authenticate(CommandApdu.parse(bytes.fromhex(vector["external_authenticate"])))
    for exchange in vector["exchanges"]:
        plain = CommandApdu.parse(bytes.fromhex(exchange["plain_command"]))
        assert card.unwrap(CommandApdu.parse(bytes.fromhex(exchange["wrapped_command"]))) == plain
        if "wrapped_response_data" in exchange:
            wrapped = card.wrap(ResponseApdu(bytes.fromhex(exchange["plain_response_data"])))
            assert wrapped.encode().hex() == exchange["wrapped_response_data"] + exchange["status"]


@dialogue
def test_dialogues_with_real_cards_are_predicted(vector: dict[str, Any]) -> None:
    received = bytes.fromhex(vector["initialize_update"]["response_data"])
    answer = InitializeUpdateAnswer.parse(received)
    assert answer.encode() == received
    assert answer.sequence_counter is not None
    predicted, host = predict(
        _vector_keys(vector),
        CommandApdu.parse(bytes.fromhex(vector["initialize_update"]["command"])).data,
        sequence_counter=answer.sequence_counter,
        aid=bytes.fromhex(vector["selected_aid"]),
        diversification_data=answer.diversification_data,
        i=answer.i,
    )
    assert predicted.encode() == received
    level = SecurityLevel(int(vector["security_level"], 16))
    assert host.external_authenticate(level).encode().hex() == vector["external_authenticate"]


@dialogue
def test_a_truncated_dialogue_is_refused_at_every_offset(vector: dict[str, Any]) -> None:
    answer = bytes.fromhex(vector["initialize_update"]["response_data"])
    begin = CommandApdu.parse(bytes.fromhex(vector["initialize_update"]["command"]))
    for end in range(len(answer)):
        with pytest.raises(ProtocolError):
            Scp03Session.open(_vector_keys(vector), begin.data, answer[:end])
    exchange = vector["exchanges"][0]
    wrapped = CommandApdu.parse(bytes.fromhex(exchange["wrapped_command"]))
    authenticate = CommandApdu.parse(bytes.fromhex(vector["external_authenticate"]))
    for end in range(len(wrapped.data)):
        card = _vector_card(vector)
        card.initialize_update(begin)
        card.external_authenticate(authenticate)
        with pytest.raises(SecureChannelError):
            card.unwrap(CommandApdu(0x84, wrapped.ins, wrapped.p1, wrapped.p2, wrapped.data[:end], wrapped.ne))
    response = bytes.fromhex(exchange["wrapped_response_data"])
    if not int(vector["security_level"], 16) & SecurityLevel.R_MAC:
        return
    for end in range(len(response)):
        host = _vector_host(vector)
        host.external_authenticate(SecurityLevel(int(vector["security_level"], 16)))
        host.wrap(CommandApdu.parse(bytes.fromhex(exchange["plain_command"])))
        with pytest.raises(SecureChannelError):
            host.unwrap(ResponseApdu(response[:end], 0x9000))


@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("i", PARAMETERS)
@pytest.mark.parametrize("level", LEVELS)
def test_every_parameter_level_and_key_size(level: SecurityLevel, i: int, size: int) -> None:
    allowed = (not level & 0x10 or i & 0x20) and (not level & 0x20 or i & 0x40)
    if not allowed:
        with pytest.raises(SecureChannelError, match="does not allow"):
            _pair(level, i, _keys(size))
        return
    host, card = _pair(level, i, _keys(size))
    assert card.level == level
    for length in (0, 1, 15, 16, 200, 255, 1000):
        command = CommandApdu(0x80, 0xE2, 0x80, 0x00, bytes(length), 256)
        wrapped = host.wrap(command)
        mac = (16 if i & 1 else 8) if level & 1 else 0
        body = (length // 16 + 1) * 16 if length and level & 2 else length
        assert len(wrapped.data) == body + mac
        assert card.unwrap(CommandApdu.parse(wrapped.encode())) == command
        answer = ResponseApdu(bytes(length), 0x9000)
        assert host.unwrap(ResponseApdu.parse(card.wrap(answer).encode())) == answer


@pytest.mark.parametrize("channel", range(20))
def test_every_logical_channel(channel: int) -> None:
    host, card = _pair(0x33)
    command = COMMAND.on_channel(channel)
    wrapped = host.wrap(command)
    assert (wrapped.channel, wrapped.secured) == (channel, True)
    assert card.unwrap(wrapped) == command


def test_the_channel_is_no_part_of_the_mac() -> None:
    (first, _), (second, _) = _pair(0x33), _pair(0x33)
    assert first.wrap(COMMAND).data == second.wrap(COMMAND.on_channel(7)).data


def test_an_interindustry_class_stays_one() -> None:
    host, card = _pair(0x11)
    command = CommandApdu(0x00, 0xCA, 0x00, 0x66, ne=256)
    wrapped = host.wrap(command)
    assert wrapped.cla == 0x04
    assert card.unwrap(wrapped) == command


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300)), max_size=6), st.sampled_from(LEVELS))
def test_conversations_round_trip(exchanges: list[tuple[bytes, bytes]], level: SecurityLevel) -> None:
    host, card = _pair(level)
    for data, answer in exchanges:
        command = CommandApdu(0x80, 0xE2, 0x00, 0x00, data, 256)
        assert card.unwrap(host.wrap(command)) == command
        response = ResponseApdu(answer, 0x9000)
        assert host.unwrap(card.wrap(response)) == response


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_of_a_command_ends_the_session(position: int, bit: int) -> None:
    host, card = _pair(0x33)
    encoded = bytearray(host.wrap(COMMAND).encode()[:-1])
    place = position % len(encoded)
    if place == 4 or (place == 0 and bit != 7):  # Lc, and class bits that say the channel
        return
    encoded[place] ^= 1 << bit
    with pytest.raises(SecureChannelError):
        card.unwrap(CommandApdu.parse(bytes(encoded)))
    with pytest.raises(SecureChannelError, match="no session"):
        card.unwrap(host.wrap(COMMAND))


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_of_a_response_ends_the_session(position: int, bit: int) -> None:
    host, card = _pair(0x33)
    card.unwrap(host.wrap(COMMAND))
    good = card.wrap(ResponseApdu(b"the answer")).encode()
    bad = bytearray(good)
    bad[position % (len(bad) - 2)] ^= 1 << bit
    with pytest.raises(SecureChannelError):
        host.unwrap(ResponseApdu.parse(bytes(bad)))
    for call in (lambda: host.unwrap(ResponseApdu.parse(good)), lambda: host.wrap(COMMAND), host.state):
        with pytest.raises(SecureChannelError, match="dead"):
            call()


def test_a_changed_status_word_is_noticed() -> None:
    host, card = _pair(0x11)
    card.unwrap(host.wrap(COMMAND))
    wrapped = card.wrap(ResponseApdu(b"", 0x6310))
    with pytest.raises(SecureChannelError, match="response MAC"):
        host.unwrap(ResponseApdu(wrapped.data, 0x9000))


def test_an_error_status_word_comes_bare_and_the_session_goes_on() -> None:
    host, card = _pair(0x33)
    card.unwrap(host.wrap(COMMAND))
    refused = card.wrap(ResponseApdu(b"never sent", 0x6985))
    assert refused == ResponseApdu(b"", 0x6985)
    assert host.unwrap(refused) == refused
    assert card.unwrap(host.wrap(COMMAND)) == COMMAND


def test_an_error_status_word_with_data_is_refused() -> None:
    host, _ = _pair(0x33)
    host.wrap(COMMAND)
    with pytest.raises(SecureChannelError, match="6985 with data"):
        host.unwrap(ResponseApdu(b"x", 0x6985))


def test_a_bare_success_is_no_success() -> None:
    host, _ = _pair(0x11)
    host.wrap(COMMAND)
    with pytest.raises(SecureChannelError):
        host.unwrap(ResponseApdu(b"", 0x9000))


def test_a_replayed_command_ends_the_session() -> None:
    host, card = _pair(0x01)
    wrapped = host.wrap(COMMAND)
    card.unwrap(wrapped)
    with pytest.raises(SecureChannelError):
        card.unwrap(wrapped)
    assert card.level is None


def test_a_bare_command_ends_the_session() -> None:
    host, card = _pair(0x01)
    with pytest.raises(SecureChannelError, match="without MAC"):
        card.unwrap(COMMAND)
    with pytest.raises(SecureChannelError, match="no session"):
        card.unwrap(host.wrap(COMMAND))


def test_wrong_keys_are_found_before_anything_is_sent() -> None:
    card = Scp03Card(_keys(), aid=AID, diversification_data=DATA)
    answer = card.initialize_update(Scp03Session.initialize_update(0x30, bytes(8)))
    wrong = KeySet(0x30, bytes(16), bytes(16), bytes(16))
    with pytest.raises(SecureChannelError, match="key version 0x30"):
        Scp03Session.open(wrong, bytes(8), answer.encode())


def test_another_key_version_than_asked_for_is_refused() -> None:
    card = Scp03Card(_keys(version=0x31), aid=AID, diversification_data=DATA)
    answer = card.initialize_update(Scp03Session.initialize_update(0, bytes(8)))
    with pytest.raises(SecureChannelError, match="0x31, not 0x30"):
        Scp03Session.open(_keys(), bytes(8), answer.encode())
    assert Scp03Session.open(_keys(version=0), bytes(8), answer.encode()).answer.key_version == 0x31


@pytest.mark.parametrize("place", [4, 12, 20])
def test_a_wrong_host_cryptogram_or_mac_is_refused_and_the_session_gone(place: int) -> None:
    keys = _keys()
    card = Scp03Card(keys, aid=AID, diversification_data=DATA)
    answer = card.initialize_update(Scp03Session.initialize_update(0x30, bytes(8)))
    good = Scp03Session.open(keys, bytes(8), answer.encode()).external_authenticate(SecurityLevel.ALL).encode()
    bad = bytearray(good)
    bad[place + 1 if place == 4 else place] ^= 0x01
    with pytest.raises(SecureChannelError):
        card.external_authenticate(CommandApdu.parse(bytes(bad)))
    with pytest.raises(SecureChannelError, match="without INITIALIZE UPDATE"):
        card.external_authenticate(CommandApdu.parse(good))


def test_the_level_is_part_of_the_mac() -> None:
    keys = _keys()
    card = Scp03Card(keys, aid=AID, diversification_data=DATA)
    answer = card.initialize_update(Scp03Session.initialize_update(0x30, bytes(8)))
    host = Scp03Session.open(keys, bytes(8), answer.encode())
    sent = ExternalAuthenticate.parse(host.external_authenticate(SecurityLevel.ALL))
    weaker = ExternalAuthenticate(SecurityLevel.C_MAC, sent.host_cryptogram, sent.c_mac)
    with pytest.raises(SecureChannelError):
        card.external_authenticate(weaker.apdu())


def test_steps_out_of_order_are_refused() -> None:
    keys = _keys()
    card = Scp03Card(keys, aid=AID, diversification_data=DATA)
    for call in (lambda: card.unwrap(COMMAND), lambda: card.wrap(ResponseApdu())):
        with pytest.raises(SecureChannelError, match="no session"):
            call()
    answer = card.initialize_update(Scp03Session.initialize_update(0x30, bytes(8)))
    host = Scp03Session.open(keys, bytes(8), answer.encode())
    for call in (lambda: host.wrap(COMMAND), lambda: host.unwrap(ResponseApdu())):
        with pytest.raises(SecureChannelError, match="not authenticated"):
            call()
    host.external_authenticate(SecurityLevel.ALL)
    with pytest.raises(SecureChannelError, match="already"):
        host.external_authenticate(SecurityLevel.ALL)
    with pytest.raises(ProtocolError, match="level 30"):
        SecurityLevel.parse(0x30)


def test_the_sequence_counter_counts_every_initialize_update_from_one() -> None:
    card = Scp03Card(_keys(), aid=AID, diversification_data=DATA)
    begin = Scp03Session.initialize_update(0x30, bytes(8))
    assert [card.initialize_update(begin).sequence_counter for _ in range(3)] == [1, 2, 3]
    assert card.sequence_counter == 3


def test_a_used_up_counter_refuses() -> None:
    card = Scp03Card(_keys(), aid=AID, diversification_data=DATA, sequence_counter=0xFFFFFE)
    begin = Scp03Session.initialize_update(0x30, bytes(8))
    assert card.initialize_update(begin).sequence_counter == 0xFFFFFF
    with pytest.raises(CardError) as caught:
        card.initialize_update(begin)
    assert caught.value.sw == 0x6985
    with pytest.raises(ProtocolError):
        next_sequence_counter(0xFFFFFF)
    assert next_sequence_counter(0) == 1


def test_random_challenges_show_no_counter_and_can_not_be_predicted() -> None:
    card = Scp03Card(_keys(), aid=AID, diversification_data=DATA, i=0x60)
    begin = Scp03Session.initialize_update(0x30, bytes(8))
    first, second = card.initialize_update(begin), card.initialize_update(begin)
    assert first.sequence_counter is None
    assert first.card_challenge != second.card_challenge
    with pytest.raises(ProtocolError, match="random"):
        predict(_keys(), bytes(8), sequence_counter=1, aid=AID, diversification_data=DATA, i=0x60)


@pytest.mark.parametrize(("challenge", "version", "sw"), [(bytes(16), 0x30, 0x6A80), (bytes(8), 0x31, 0x6A88)])
def test_initialize_update_refusals(challenge: bytes, version: int, sw: int) -> None:
    card = Scp03Card(_keys(), aid=AID, diversification_data=DATA)
    with pytest.raises(CardError) as caught:
        card.initialize_update(Scp03Session.initialize_update(version, challenge))
    assert caught.value.sw == sw
    assert card.sequence_counter == 0


@pytest.mark.parametrize("i", [0x40, 0x50, 0x02, 0x80])
def test_parameters_that_scp03_does_not_have(i: int) -> None:
    with pytest.raises(ProtocolError):
        Scp03Card(_keys(), aid=AID, diversification_data=DATA, i=i)


def test_the_challenge_depends_on_counter_and_selected_application() -> None:
    values = {"sequence_counter": 5, "aid": AID, "diversification_data": DATA}
    base, _ = predict(_keys(), bytes(8), **values)  # type: ignore[arg-type] # one value is changed below
    for change in ({"sequence_counter": 6}, {"aid": AID + b"\x01"}):
        other, _ = predict(_keys(), bytes(8), **values | change)  # type: ignore[arg-type] # as above
        assert other.card_challenge != base.card_challenge


@pytest.mark.parametrize("level", LEVELS)
def test_a_session_resumed_from_its_state_goes_on(level: SecurityLevel) -> None:
    host, card = _pair(level)
    for number in range(3):
        command = CommandApdu(0x80, 0xE2, 0x00, number, b"part %d" % number, 256)
        assert card.unwrap(host.wrap(command)) == command
        answer = card.wrap(ResponseApdu(b"answer %d" % number))
        host = Scp03Session.resume(_keys(), host.state())  # between command and answer
        assert host.unwrap(answer).data == b"answer %d" % number
        host = Scp03Session.resume(_keys(), host.state())  # and between answer and command
    assert host.level == level


def test_a_state_needs_the_same_keys() -> None:
    host, _ = _pair(0x33)
    with pytest.raises(SecureChannelError):
        Scp03Session.resume(KeySet(0x30, bytes(16), bytes(16), bytes(16)), host.state())


def test_a_session_shows_no_secret() -> None:
    host, _ = _pair(0x33)
    assert repr(host) == "Scp03Session(key version 0x30, level 33, alive=True)"
    assert repr(SessionKeys.derive(_keys(), bytes(8), bytes(8))) == "SessionKeys(…)"
    with pytest.raises(TypeError):
        pickle.dumps(host)
    state = repr(host.state())
    keys = SessionKeys.derive(_keys(), b"\xc1" * 8, host.answer.card_challenge)
    for key in (_keys().enc, _keys().mac, _keys().dek, keys.enc, keys.mac, keys.rmac):
        assert repr(key)[2:-1] not in state


@pytest.mark.parametrize(
    ("level", "i", "room"),
    [(0x00, 0x70, 255), (0x01, 0x70, 247), (0x33, 0x70, 239), (0x11, 0x71, 239), (0x33, 0x71, 223)],
)
def test_what_fits_a_short_command_does_and_one_byte_more_does_not(level: int, i: int, room: int) -> None:
    assert max_data_bytes(SecurityLevel(level), i) == room
    host, _ = _pair(level, i)
    assert host.max_data_bytes == room
    assert not host.wrap(CommandApdu(0x80, 0xE2, 0, 0, bytes(room))).extended
    if level:
        assert host.wrap(CommandApdu(0x80, 0xE2, 0, 0, bytes(room + 1))).extended


def test_r_mac_sessions_begin_where_they_can() -> None:
    host, card = _pair(0x03, 0x30)
    with pytest.raises(SecureChannelError, match="can begin"):
        host.begin_r_mac(encrypt=True)
    with pytest.raises(SecureChannelError, match="in no R-MAC session"):
        host.end_r_mac()
    assert card.unwrap(host.begin_r_mac(b"challenge")).data == b"\x09challenge"
    host.r_mac_begun()
    with pytest.raises(SecureChannelError, match="can begin"):
        host.begin_r_mac()
    assert card.unwrap(host.end_r_mac()).p2 == 0x03
    host.r_mac_ended()
    assert host.level == 0x03
