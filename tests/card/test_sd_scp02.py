"""SCP02 of the security domain applet: every i, levels, R-MAC sessions, implicit initiation, counters, keys."""

from __future__ import annotations

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import SecureChannelError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.keys import KeySet, key_check_value
from opentsm_card.put_key import KeyData, KeyType, PutKey
from opentsm_card.scp02 import Scp02Session, predict
from opentsm_card.scp03 import Scp03Session
from opentsm_simulator.provisioning import diversification_data
from sc_cards import DES_KEYS, Scp02Host, card
from sd_host import ALIAS, CARD_1, ISD, ISD_KEYS, Host

EXPLICIT = (0x04, 0x05, 0x14, 0x15, 0x24, 0x25, 0x34, 0x35, 0x44, 0x45, 0x54, 0x55, 0x64, 0x65, 0x74, 0x75)
IMPLICIT = (0x0A, 0x0B, 0x1A, 0x1B, 0x2A, 0x2B, 0x3A, 0x3B, 0x39)
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


@pytest.mark.parametrize("i", [0x01, 0x02, 0x0C, 0x4B, 0x85])
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


@pytest.mark.parametrize("each", [True, False])
def test_r_macs_go_on_over_errors(each: bool) -> None:  # noqa: FBT001 - pytest's parameter
    host = host_of(0x75)
    session = host.open(0x01)
    assert session.unwrap(host.plain(session.begin_r_mac(b"challenge", each=each))) == ResponseApdu()
    session.r_mac_begun(each=each)
    for command, sw in (
        (GetStatus.everything(Scope.APPLICATIONS, CARD_1).apdu(), 0x6A88),
        (CommandApdu(0x80, 0x78, 0x00, 0x02), 0x6A86),
        (LIST.apdu(), 0x9000),
        (CommandApdu(0x80, 0xCA, 0x77, 0x77, ne=256), 0x6A88),
    ):
        if command.ins == 0x78:  # an END R-MAC SESSION that fails is no part of it either
            assert host.plain(session.wrap(command)).sw == sw
        else:
            assert host.send(command).sw == sw
    assert session.unwrap(host.plain(session.end_r_mac())) == ResponseApdu()


@pytest.mark.parametrize("i", [0x35, 0x75, 0x3B])
def test_the_r_mac_is_that_of_the_specification(i: int) -> None:
    # E.3.2, E.3.3, E.4.5 written out here, apart from host and card.
    host = host_of(i)
    aid = ISD
    if i & 4:
        session = host.open(0x01)
        counter = session.answer.sequence_counter
        icv = session.link.c_mac
    else:
        counter = host.counter() + 1
        session = host.implicit(aid)
    key = _triple_cbc(DES_KEYS.mac, b"\x01\x02" + counter.to_bytes(2, "big") + bytes(12))
    if not i & 4:
        icv = _mac(key, bytes(8), aid)
    assert host.send(LIST).sw == 0x9000  # before the R-MAC session
    session.unwrap(host.plain(session.begin_r_mac(b"abc", each=False)))
    session.r_mac_begun(each=False)
    keys = host.send(GET_KEYS).data
    refused = GetStatus.everything(Scope.APPLICATIONS, CARD_1).apdu()
    assert host.send(refused).sw == 0x6A88
    answer = host.plain(session.end_r_mac())
    icv = _mac(key, icv, bytes.fromhex("807A000104 03 616263 00 9000"))
    icv = _mac(key, icv, bytes.fromhex("80CA00E000") + bytes((len(keys),)) + keys + b"\x90\x00")
    head = bytes((0x80, refused.ins, refused.p1, refused.p2, len(refused.data)))
    icv = _mac(key, icv, head + refused.data + bytes.fromhex("00 6A88"))
    assert answer == ResponseApdu(icv)


def _triple_cbc(key: bytes, data: bytes) -> bytes:
    encryptor = Cipher(TripleDES(key + key[:8]), modes.CBC(bytes(8))).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def _mac(key: bytes, icv: bytes, message: bytes) -> bytes:
    padded = message + b"\x80" + bytes(-(len(message) + 1) % 8)
    for at in range(0, len(padded), 8):
        block = bytes(a ^ b for a, b in zip(icv, padded[at : at + 8], strict=True))
        last = at + 8 == len(padded)
        of_block = modes.CBC(bytes(8))  # one block
        icv = Cipher(TripleDES(key + key[:8] if last else key[:8] * 3), of_block).encryptor().update(block)
    return icv


@pytest.mark.parametrize("i", [0x1B, 0x3B])
def test_a_plain_command_leaves_an_implicit_session_without_c_mac(i: int) -> None:
    host = host_of(i)
    host.implicit()
    assert host.send(LIST).sw == 0x9000
    stale = host.session
    assert host.plain(LIST).sw == 0x6982  # refused, as any plain command that manages; the session is not over
    assert host.plain(GET_KEYS).sw == 0x9000
    assert stale is not None
    assert host.plain(stale.wrap(LIST.apdu())).sw == 0x6982  # a new session is wanted
    host.implicit()
    assert host.send(LIST).sw == 0x9000
    assert host.counter() == 2  # GET DATA is a plain command too
    host.implicit()
    assert host.send(LIST).sw == 0x9000


def _key_data(session: Scp02Session, key: bytes) -> KeyData:
    return KeyData(KeyType.DES, session.encrypt_sensitive(key), key_check_value(key, des=True))


@pytest.mark.parametrize("i", [0x15, 0x1B])
def test_keys_are_put_with_the_session_s_data_encryption(i: int) -> None:
    host = host_of(i)
    session = host.open(0x01) if i & 4 else host.implicit()
    assert host.send(LIST).sw == 0x9000
    key = bytes(range(0x40, 0x50))
    assert host.send(PutKey(0, 0x40, 1, (_key_data(session, key),))).sw == 0x9000
    wrong = KeyData(KeyType.DES, session.encrypt_sensitive(key)[:8] + bytes(8), key_check_value(key, des=True))
    assert host.send(PutKey(0, 0x41, 1, (wrong,))).sw == 0x9485


def test_replacing_one_key_of_a_set_sets_its_counter_to_zero() -> None:
    host = host_of(0x15)
    for _ in range(3):
        session = host.open(0x01)
    assert host.counter() == 3
    assert host.send(PutKey(0x20, 0x20, 2, (_key_data(session, bytes(range(16))),))).sw == 0x9000
    assert host.counter() == 0


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
    host = Scp02Host(card("0255", keys=(DES_KEYS,), counter=0xFFFE).link(), 0x55)
    host.select()
    assert host.open().answer.sequence_counter == 0xFFFE
    host.select()
    assert host.plain(Scp02Session.initialize_update(0x20, bytes(8))).sw == 0x6985


def test_a_session_takes_no_more_memory_the_longer_it_lasts() -> None:
    se = card("0275", keys=(DES_KEYS,))
    host = Scp02Host(se.link(), 0x75)
    host.select()
    host.open(0x13)
    assert host.send(LIST).sw == 0x9000
    before = se.figures()
    for _ in range(20):
        assert host.send(LIST).sw == 0x9000
    assert se.figures() == before


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
