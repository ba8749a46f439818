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
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.initialize_update import Scp02Answer, answer_protocol
from opentsm_card.keys import KeySet
from opentsm_card.r_mac_session import BeginRMacSession, EndRMacSession
from opentsm_card.scp02 import Scp02Session, max_data_bytes, predict
from opentsm_card.scp02_card import Scp02Card
from opentsm_card.scp02_kdf import Parameter, SessionKeys, retail_mac
from opentsm_card.scp02_script import precompute, read_answers

SESSIONS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "scp02-dialogues.json").read_text(encoding="utf-8")
)["sessions"]
AID = Aid.from_text("A000000151000000")
COMMAND = CommandApdu(0x80, 0xE2, 0x90, 0x00, b"a secret thing", 256)
EXPLICIT = (0x04, 0x05, 0x14, 0x15, 0x24, 0x25, 0x34, 0x35, 0x44, 0x45, 0x54, 0x55, 0x64, 0x65, 0x74, 0x75)
KEYS = KeySet(0x20, bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)), des=True)

dialogue = pytest.mark.parametrize("vector", SESSIONS, ids=lambda vector: vector["name"])


def _vector_host(vector: dict[str, Any]) -> Scp02Session:
    enc, mac, dek = (bytes.fromhex(vector["keys"][name]) for name in ("enc", "mac", "dek"))
    begin = CommandApdu.parse(bytes.fromhex(vector["initialize_update"]["command"]))
    answer = bytes.fromhex(vector["initialize_update"]["response_data"])
    assert answer_protocol(answer) == 2
    return Scp02Session.open(KeySet(0, enc, mac, dek, des=True), begin.data, answer, int(vector["i"], 16))


@dialogue
def test_the_dialogue_of_a_real_card(vector: dict[str, Any]) -> None:
    host = _vector_host(vector)
    level = SecurityLevel(int(vector["security_level"], 16))
    assert host.external_authenticate(level).encode().hex() == vector["external_authenticate"]
    for exchange in vector["exchanges"]:
        plain = CommandApdu.parse(bytes.fromhex(exchange["plain_command"]))
        assert host.wrap(plain).encode().hex() == exchange["wrapped_command"]


@dialogue
def test_the_answer_cut_anywhere_is_an_error(vector: dict[str, Any]) -> None:
    answer = bytes.fromhex(vector["initialize_update"]["response_data"])
    assert Scp02Answer.parse(answer).encode() == answer
    for length in range(len(answer)):
        with pytest.raises(ProtocolError):
            Scp02Answer.parse(answer[:length])


def _opened(i: int, level: int) -> tuple[Scp02Session, Scp02Card]:
    card = Scp02Card(KEYS, aid=AID, diversification_data=bytes(10), i=i, sequence_counter=7)
    answer = card.initialize_update(Scp02Session.initialize_update(0x20, bytes(8)))
    host = Scp02Session.open(KEYS, bytes(8), answer.encode(), i)
    assert card.external_authenticate(host.external_authenticate(SecurityLevel(level))) == level
    assert card.sequence_counter == 8
    return host, card


@pytest.mark.parametrize("i", EXPLICIT)
@pytest.mark.parametrize("level", [0x00, 0x01, 0x03, 0x10, 0x11, 0x13])
def test_both_sides_agree(i: int, level: int) -> None:
    if level & 0x10 and not i & 0x20:
        with pytest.raises(SecureChannelError, match="does not allow"):
            _opened(i, level)
        return
    host, card = _opened(i, level)
    for channel in (0, 3, 4):
        for data in (b"", b"1234567", b"12345678", bytes(200)):
            plain = CommandApdu(0x80, 0xE2, 0x90, 0x00, data, 256).on_channel(channel)
            assert card.unwrap(host.wrap(plain)) == plain
            answer = ResponseApdu(data[:20])
            assert host.unwrap(card.wrap(answer)) == answer
    assert host.unwrap(card.wrap(ResponseApdu(b"", 0x6985))) == ResponseApdu(b"", 0x6985)


@given(st.integers(0, 21), st.integers(0, 7))
def test_a_flipped_bit_of_a_command_is_found(position: int, bit: int) -> None:
    host, card = _opened(0x15, 0x03)
    wrapped = host.wrap(COMMAND)
    data = bytearray(wrapped.data)
    data[position] ^= 1 << bit
    with pytest.raises(SecureChannelError):
        card.unwrap(CommandApdu(wrapped.cla, wrapped.ins, wrapped.p1, wrapped.p2, bytes(data), wrapped.ne))
    with pytest.raises(SecureChannelError):
        card.unwrap(wrapped)


def test_a_changed_response_kills_the_session() -> None:
    host, card = _opened(0x35, 0x11)
    card.unwrap(host.wrap(COMMAND))
    answer = card.wrap(ResponseApdu(b"data"))
    with pytest.raises(SecureChannelError):
        host.unwrap(ResponseApdu(b"dat0" + answer.data[4:], answer.sw))
    with pytest.raises(SecureChannelError, match="dead"):
        host.wrap(COMMAND)


@pytest.mark.parametrize("i", [0x00, 0x02, 0x0C, 0x4A, 0x84, 0x0E, -1])
def test_no_such_parameter(i: int) -> None:
    with pytest.raises(ProtocolError, match="no parameter"):
        Parameter.parse(i)


def test_a_session_goes_on_from_its_state() -> None:
    host, card = _opened(0x35, 0x13)
    for _ in range(3):
        host = Scp02Session.resume(KEYS, host.state())
        assert card.unwrap(host.wrap(COMMAND)) == COMMAND
        assert host.unwrap(card.wrap(ResponseApdu(b"data"))) == ResponseApdu(b"data")


def test_nothing_of_a_session_shows_or_is_pickled() -> None:
    host, _ = _opened(0x15, 0x01)
    assert repr(host) == "Scp02Session(key version 0x20, level 01, alive=True)"
    assert repr(SessionKeys.derive(KEYS, 1, 0x15)) == "SessionKeys(…)"
    with pytest.raises(TypeError):
        pickle.dumps(host)


def test_a_script_is_computed_ahead() -> None:
    answer, session = predict(KEYS, bytes(8), sequence_counter=7, aid=AID, diversification_data=bytes(10))
    script, record = precompute(session, [COMMAND, COMMAND], SecurityLevel(0x03), select=AID)
    card = Scp02Card(KEYS, aid=AID, diversification_data=bytes(10), sequence_counter=7)
    commands = [CommandApdu.parse(command.c_apdu) for command in script]
    begun = card.initialize_update(commands[1])
    assert begun == answer
    card.external_authenticate(commands[2])
    assert [card.unwrap(command) for command in commands[3:]] == [COMMAND, COMMAND]
    answers = (b"\x90\0", begun.encode() + b"\x90\0", b"\x90\0", b"one\x90\0", b"\x69\x85")
    read = read_answers(KEYS, record, answers)
    assert [response.data for response in read[3:]] == [b"one", b""]
    with pytest.raises(SecureChannelError, match="went on"):
        read_answers(KEYS, record, (b"\x90\0", begun.encode()[:-1] + b"\0\x90\0", b"\x90\0"))


def test_a_script_has_no_response_macs() -> None:
    _, session = predict(KEYS, bytes(8), sequence_counter=0, aid=AID, diversification_data=bytes(10), i=0x75)
    with pytest.raises(SecureChannelError, match="level 01 or 03"):
        precompute(session, [COMMAND], SecurityLevel(0x11))


def test_what_can_not_be_predicted() -> None:
    for counter, i in ((0, 0x15), (0xFFFF, 0x55), (-1, 0x55)):
        with pytest.raises(ProtocolError):
            predict(KEYS, bytes(8), sequence_counter=counter, aid=AID, diversification_data=bytes(10), i=i)


def test_room_for_data() -> None:
    assert [max_data_bytes(SecurityLevel(level)) for level in (0x00, 0x01, 0x03)] == [255, 247, 239]
    host, card = _opened(0x15, 0x03)
    plain = CommandApdu(0x80, 0xE2, 0x90, 0x00, bytes(239))
    assert card.unwrap(host.wrap(plain)) == plain
    with pytest.raises(ProtocolError, match="short commands"):
        host.wrap(CommandApdu(0x80, 0xE2, 0x90, 0x00, bytes(255)))


def test_retail_mac_is_iso_9797_algorithm_3() -> None:
    # ISO/IEC 9797-1:2011, annex B, MAC algorithm 3 with padding method 2 and DES: data string 1, 8 bytes of the MAC.
    key = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    assert retail_mac(key, b"Now is the time for all ").hex().upper() == "E9086230CA3BE796"


@pytest.mark.parametrize(
    "command",
    [BeginRMacSession(SecurityLevel.R_MAC), BeginRMacSession(SecurityLevel(0), bytes(24)), EndRMacSession(end=False)],
)
def test_r_mac_session_commands(command: BeginRMacSession | EndRMacSession) -> None:
    assert type(command).parse(command.apdu()) == command
    with pytest.raises(ProtocolError):
        type(command).parse(CommandApdu(0x80, command.INS, 0x01, 0x07))


def test_a_challenge_that_is_too_long() -> None:
    with pytest.raises(ProtocolError):
        BeginRMacSession(SecurityLevel.R_MAC, bytes(25)).apdu()
