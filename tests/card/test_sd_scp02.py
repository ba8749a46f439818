"""SCP02 of the security domain applet: every i, levels, R-MAC sessions, implicit initiation, counters, keys."""

from __future__ import annotations

import pytest

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import SecureChannelError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.keys import KeySet, key_check_value
from opentsm_card.put_key import KeyData, KeyType, PutKey
from opentsm_card.scp02 import Scp02Session, predict
from opentsm_card.scp03 import Scp03Session
from opentsm_simulator.virtual_se import diversification_data
from sc_cards import DES_KEYS, Scp02Host, card, set_counter
from sd_host import ALIAS, CARD_1, ISD, ISD_KEYS, Host

EXPLICIT = (0x04, 0x05, 0x14, 0x15, 0x24, 0x25, 0x34, 0x35, 0x44, 0x45, 0x54, 0x55, 0x64, 0x65, 0x74, 0x75)
IMPLICIT = (0x0A, 0x0B, 0x1A, 0x1B)
LIST = GetStatus.everything(Scope.APPLICATIONS)
GET_KEYS = CommandApdu(0x80, 0xCA, 0x00, 0xE0, ne=256)
BASE = KeySet(0x20, DES_KEYS.enc, DES_KEYS.enc, DES_KEYS.enc, des=True)


def host_of(i: int) -> Scp02Host:
    keys = DES_KEYS if i & 1 else BASE
    host = Scp02Host(card(f"02{i:02X}", keys=(keys,)).link(), i, keys)
    host.select()
    return host


def levels(i: int) -> tuple[int, ...]:
    return (0x01, 0x03, 0x11, 0x13) if i & 0x20 else (0x01, 0x03)


@pytest.mark.parametrize("i", EXPLICIT)
def test_every_explicit_i_at_every_level(i: int) -> None:
    host = host_of(i)
    for level in levels(i):
        host.open(level)
        for _ in range(3):
            assert host.send(LIST).sw == 0x9000
            assert host.send(GET_KEYS).data.startswith(b"\xe0")
        assert host.send(GetStatus.everything(Scope.APPLICATIONS, CARD_1)) == ResponseApdu(b"", 0x6A88)
        assert host.send(LIST).sw == 0x9000


@pytest.mark.parametrize("i", IMPLICIT)
def test_every_implicit_i(i: int) -> None:
    host = host_of(i)
    assert host.plain(Scp02Session.initialize_update(0x20, bytes(8))).sw == 0x6985
    for number, aid in enumerate((ISD, ALIAS)):
        host.select(aid)
        assert host.counter() == number
        host.implicit(aid)
        for _ in range(3):
            assert host.send(LIST).sw == 0x9000
    assert host.counter() == 2


def test_an_implicit_session_is_bound_to_aid_and_counter() -> None:
    host = host_of(0x1B)
    for _ in range(2):
        wrong = host.implicit(CARD_1)
        assert host.plain(wrong.wrap(LIST.apdu())).sw == 0x6982
    assert host.counter() == 0
    stale = host.implicit()
    host.implicit()
    assert host.send(LIST).sw == 0x9000
    host.select()
    assert host.plain(stale.wrap(LIST.apdu())).sw == 0x6982


@pytest.mark.parametrize("i", [0x15, 0x04])
def test_levels_beyond_i_are_refused(i: int) -> None:
    host = host_of(i)
    for level in (0x10, 0x11, 0x13, 0x33, 0x02):
        command = host.begin().external_authenticate(SecurityLevel.C_MAC)
        assert host.plain(CommandApdu(command.cla, command.ins, level, 0, command.data)).sw == 0x6A86


@pytest.mark.parametrize("i", [0x01, 0x02, 0x06, 0x0C, 0x2A, 0x4B, 0x85])
def test_parameters_that_table_e_1_does_not_have(i: int) -> None:
    with pytest.raises(Exception, match="6A80"):
        card(f"02{i:02X}", keys=(DES_KEYS,))


def test_level_10_protects_responses_alone() -> None:
    host = host_of(0x35)
    host.open(0x10)
    for _ in range(3):
        answer = host.send(GET_KEYS)
        assert answer.data.startswith(b"\xe0")
    assert host.send(LIST).sw == 0x6982  # nothing is managed without C-MAC


def test_level_00_manages_nothing() -> None:
    host = host_of(0x15)
    host.open(0x00)
    assert host.send(LIST).sw == 0x6982


@pytest.mark.parametrize("level", [0x01, 0x03])
def test_an_r_mac_session_with_each_response(level: int) -> None:
    host = host_of(0x75)
    session = host.open(level)
    for _ in range(2):
        assert host.send(LIST).sw == 0x9000
        assert session.unwrap(host.plain(session.begin_r_mac(bytes(8)))) == ResponseApdu()
        session.r_mac_begun()
        for _ in range(3):
            assert host.send(GET_KEYS).data.startswith(b"\xe0")
        assert session.unwrap(host.plain(session.end_r_mac(end=False))) == ResponseApdu()
        assert host.send(LIST).sw == 0x9000
        assert session.unwrap(host.plain(session.end_r_mac())) == ResponseApdu()
        session.r_mac_ended()
    assert host.send(LIST).sw == 0x9000


@pytest.mark.parametrize("level", [0x00, 0x01])
def test_an_r_mac_session_with_one_mac_at_its_end(level: int) -> None:
    host = host_of(0x75)
    session = host.open(level)
    assert session.unwrap(host.plain(session.begin_r_mac(each=False))) == ResponseApdu()
    session.r_mac_begun(each=False)
    for _ in range(3):
        assert host.send(GET_KEYS).data.startswith(b"\xe0")
    answer = host.plain(session.end_r_mac())
    assert len(answer.data) == 8
    assert session.unwrap(answer) == ResponseApdu()
    session.r_mac_ended()
    assert host.send(GET_KEYS).data.startswith(b"\xe0")


def test_an_r_mac_session_shows_a_changed_response() -> None:
    host = host_of(0x75)
    session = host.open(0x01)
    session.unwrap(host.plain(session.begin_r_mac(each=False)))
    session.r_mac_begun(each=False)
    answer = host.plain(session.wrap(GET_KEYS))
    session.unwrap(ResponseApdu(answer.data[:-1] + b"\x11", answer.sw))
    with pytest.raises(SecureChannelError):
        session.unwrap(host.plain(session.end_r_mac()))


@pytest.mark.parametrize(
    ("i", "level", "command", "sw"),
    [
        (0x55, 0x01, "807A100101 00", 0x6985),  # no R-MAC in i
        (0x75, 0x11, "807A100101 00", 0x6985),  # R-MACs already
        (0x75, 0x01, "807A300101 00", 0x6A86),  # SCP02 has no R-ENC
        (0x75, 0x01, "807A100201 00", 0x6A86),
        (0x75, 0x01, "807A100102 0200", 0x6A80),
        (0x75, 0x01, "80780003", 0x6985),  # none has begun
        (0x75, 0x11, "80780003", 0x6985),  # EXTERNAL AUTHENTICATE began it
    ],
)
def test_r_mac_session_commands_are_checked(i: int, level: int, command: str, sw: int) -> None:
    host = host_of(i)
    host.open(level)
    assert host.send(CommandApdu.parse(bytes.fromhex(command))).sw == sw


def test_r_mac_session_without_a_session() -> None:
    host = host_of(0x75)
    assert host.plain(CommandApdu(0x80, 0x7A, 0x10, 0x01, b"\0")).sw == 0x6985


def test_the_challenge_is_pseudo_random_and_bound_to_aid_and_counter() -> None:
    host = host_of(0x55)
    for counter, aid in ((0, ISD), (1, ALIAS)):
        host.select(aid)
        answer = host.begin(bytes(8)).answer
        expected, _ = predict(
            DES_KEYS, bytes(8), sequence_counter=counter, aid=aid, diversification_data=diversification_data("se-1")
        )
        assert answer == expected
        assert host.begin(bytes(8)).answer == answer  # counted with authentication alone
        host.open()


def test_random_challenges_differ() -> None:
    host = host_of(0x15)
    assert len({host.begin(bytes(8)).answer.card_challenge for _ in range(4)}) == 4


def test_a_counter_at_its_end_opens_nothing() -> None:
    se = card("0255", keys=(DES_KEYS,))
    host = Scp02Host(se.link(), 0x55)
    host.select()
    set_counter(se, 0x20, bytes.fromhex("00FFFE"))
    assert host.open().answer.sequence_counter == 0xFFFE
    host.select()
    assert host.plain(Scp02Session.initialize_update(0x20, bytes(8))).sw == 0x6985


def test_keys_go_through_its_dek() -> None:
    host = host_of(0x15)
    session = host.open()
    new = bytes(range(0x70, 0x80))
    data = KeyData(KeyType.DES, session.encrypt_sensitive(new), key_check_value(new, des=True))
    assert host.send(PutKey(0, 0x21, 1, (data, data, data))).sw == 0x9000
    host.keys = KeySet(0x21, new, new, new, des=True)
    host.open()
    assert host.send(LIST).sw == 0x9000


def test_a_domain_of_both_protocols_takes_what_the_key_set_is_of() -> None:
    link = card("0370", "0255", keys=(ISD_KEYS, DES_KEYS)).link()
    host, des = Host(link), Scp02Host(link, 0x55)
    host.into(ISD, ISD_KEYS)
    assert host.sw(LIST) == 0x9000
    recognition = host.plain(CommandApdu(0x80, 0xCA, 0x00, 0x66, ne=256)).data
    assert recognition.index(bytes.fromhex("06092A864886FC6B040370")) < recognition.index(
        bytes.fromhex("06092A864886FC6B040255")
    )
    des.select()
    des.open()
    assert des.send(LIST).sw == 0x9000
    assert host.begin(ISD_KEYS, version=0).answer.key_version == 0x30  # the first set is the default
    assert des.plain(CommandApdu(0x80, 0x50, 0x20, 0x00, bytes(16), 256)).sw == 0x6700  # S16 is SCP03's


def test_sets_of_a_protocol_that_the_domain_does_not_know_open_nothing() -> None:
    link = card("0370", keys=(ISD_KEYS, DES_KEYS)).link()
    host = Host(link)
    host.select(ISD)
    assert host.plain(Scp03Session.initialize_update(0x20, bytes(8))).sw == 0x6A88
