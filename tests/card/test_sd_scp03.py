"""SCP03 of the security domain applet: sessions, levels, what ends them, key versions and counters."""

from __future__ import annotations

import pytest

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import OpenTsmError, SecureChannelError
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.initialize_update import InitializeUpdateAnswer
from opentsm_card.install import InstallForInstall
from opentsm_card.keys import KeySet
from opentsm_card.privileges import Privilege
from opentsm_card.scp03 import Scp03Session, SecurityLevel, predict
from opentsm_simulator import VirtualSe
from opentsm_simulator.provisioning import diversification_data
from sc_cards import card
from sd_host import ALIAS, BANK, CARD_1, ISD, ISD_KEYS, PPSE, SD_MODULE, SD_PACKAGE, Host, keys

CHALLENGE = bytes(range(8))
LIST = GetStatus.everything(Scope.APPLICATIONS)


def with_options(host: Host, i: int, key_set: KeySet) -> None:
    """Make a security domain whose SCP03 has an i parameter, with keys of its own."""
    parameters = bytes((0xC9, 4, 0x81, 2, 0x03, i))
    host.into(ISD, ISD_KEYS)
    host.done(InstallForInstall(SD_PACKAGE, SD_MODULE, BANK, Privilege.SECURITY_DOMAIN, parameters))
    host.into(BANK, ISD_KEYS)
    host.put_keys(key_set).require("PUT KEY")


@pytest.mark.parametrize("level", [0x01, 0x03, 0x11, 0x13, 0x33])
def test_each_level_runs_commands(host: Host, level: int) -> None:
    host.into(ISD, ISD_KEYS, SecurityLevel(level))
    for _ in range(3):
        registry = host.registry()
        assert registry.complete
        assert registry.find(PPSE) is not None


@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("level", [0x01, 0x33])
def test_each_aes_key_length(size: int, level: int) -> None:
    own = keys(0x30, 7, size)
    host = Host(VirtualSe.create("embedded", keys={"isd": own}).link()).into(ISD, own, SecurityLevel(level))
    other = keys(0x31, 99, size)
    host.put_keys(other).require("PUT KEY")
    host.into(ISD, other, SecurityLevel(level))
    assert host.sw(LIST) == 0x9000


@pytest.mark.parametrize(
    ("i", "allowed", "refused"),
    [
        (0x00, (0x01, 0x03), (0x11, 0x33)),
        (0x10, (0x01, 0x03), (0x11, 0x33)),
        (0x20, (0x01, 0x11), (0x33,)),
        (0x30, (0x03, 0x13), (0x33,)),
        (0x60, (0x11, 0x33), (0x30, 0x02)),
        (0x70, (0x03, 0x33), (0x31, 0x23)),
    ],
)
def test_i_parameter_says_what_levels_there_are(
    host: Host, i: int, allowed: tuple[int, ...], refused: tuple[int, ...]
) -> None:
    own = keys(0x31, 1)
    with_options(host, i, own)
    host.select(BANK)
    for level in allowed:
        assert host.open(own, SecurityLevel(level)).answer.i == i
        assert host.sw(LIST) == 0x9000
    for level in refused:
        session = host.begin(own)
        command = session.external_authenticate(SecurityLevel.C_MAC)
        changed = CommandApdu(command.cla, command.ins, level, 0, command.data)
        assert host.plain(changed).sw == 0x6A86


def test_i_parameter_that_means_nothing_is_refused(isd: Host) -> None:
    for i in (0x40, 0x50, 0x02, 0x80):
        parameters = bytes((0xC9, 4, 0x81, 2, 0x03, i))
        command = InstallForInstall(SD_PACKAGE, SD_MODULE, BANK, Privilege.SECURITY_DOMAIN, parameters)
        assert isd.sw(command) == 0x6A80
    assert isd.entry(BANK) is None


def test_s16_challenges_cryptograms_and_macs(host: Host) -> None:
    own = keys(0x31, 1, 32)
    with_options(host, 0x71, own)
    host.select(BANK)
    session = host.open(own, challenge=bytes(16))
    assert session.answer.i == 0x71
    for _ in range(3):
        assert host.sw(LIST) == 0x9000
    assert host.open(own, challenge=bytes(8)).answer.i == 0x70  # S8 goes on working
    assert host.sw(LIST) == 0x9000


def test_challenge_is_pseudo_random_and_bound_to_the_selected_aid(host: Host) -> None:
    diversification = diversification_data("se-1")
    for counter, aid in ((1, ISD), (2, ALIAS), (3, ISD)):
        host.select(aid).require("SELECT")
        answer = host.begin(ISD_KEYS, CHALLENGE).answer
        expected, _ = predict(
            ISD_KEYS, CHALLENGE, sequence_counter=counter, aid=aid, diversification_data=diversification
        )
        assert answer == expected


def test_random_challenges_differ(host: Host) -> None:
    own = keys(0x31, 1)
    with_options(host, 0x60, own)
    host.select(BANK)
    seen = {host.begin(own, CHALLENGE).answer.card_challenge for _ in range(3)}
    assert len(seen) == 3


def test_key_version_0_is_the_default_and_an_unknown_one_is_not_found(host: Host) -> None:
    host.select(ISD)
    assert host.begin(ISD_KEYS, version=0).answer.key_version == 0x30
    assert host.plain(Scp03Session.initialize_update(0x31, CHALLENGE)).sw == 0x6A88


def test_counter_is_kept_for_each_key_set_and_survives_a_reset(se: VirtualSe, host: Host) -> None:
    host.into(ISD, ISD_KEYS)
    second = keys(0x32, 3)
    host.put_keys(second).require("PUT KEY")
    assert host.begin(ISD_KEYS).answer.sequence_counter == 2
    assert host.begin(second).answer.sequence_counter == 1
    host = Host(se.link())
    host.select(ISD)
    assert host.begin(ISD_KEYS).answer.sequence_counter == 3
    assert host.plain(CommandApdu(0x80, 0xCA, 0x00, 0xC1, ne=256)).data == bytes.fromhex("C103000003")


def test_wrong_host_cryptogram_ends_the_session(host: Host) -> None:
    host.select(ISD)
    command = host.begin(ISD_KEYS).external_authenticate(SecurityLevel.C_MAC)
    wrong = CommandApdu(command.cla, command.ins, command.p1, 0, bytes([command.data[0] ^ 1]) + command.data[1:])
    assert host.plain(wrong).sw == 0x6300
    assert host.plain(command).sw == 0x6985


def test_wrong_mac_of_external_authenticate_ends_the_session(host: Host) -> None:
    host.select(ISD)
    command = host.begin(ISD_KEYS).external_authenticate(SecurityLevel.C_MAC)
    raised = CommandApdu(command.cla, command.ins, 0x03, 0, command.data)  # the MAC covers the level
    assert host.plain(raised).sw == 0x6982
    assert host.plain(command).sw == 0x6985


def test_wrong_keys_show_at_the_host_before_anything_is_sent(host: Host) -> None:
    host.select(ISD)
    with pytest.raises(SecureChannelError):
        host.begin(keys(0x30, 9))


def test_ten_failures_block_a_key_set_and_a_success_forgets_them(host: Host) -> None:
    host.select(ISD)

    def fail() -> int:
        host.begin(ISD_KEYS)
        return host.plain(CommandApdu(0x84, 0x82, 0x01, 0x00, bytes(16))).sw

    assert [fail() for _ in range(9)] == [0x6300] * 9
    host.open(ISD_KEYS)
    spare = keys(0x31, 1)
    host.put_keys(spare).require("PUT KEY")
    assert [fail() for _ in range(10)] == [0x6300] * 10
    assert host.plain(Scp03Session.initialize_update(0x30, CHALLENGE)).sw == 0x6983
    host.open(spare)
    host.put_keys(ISD_KEYS, replaces=0x30).require("PUT KEY")
    host.open(ISD_KEYS)


def test_session_keys_do_not_authenticate_twice(isd: Host) -> None:
    assert isd.session is not None
    assert isd.plain(CommandApdu(0x84, 0x82, 0x33, 0x00, bytes(16))).sw == 0x6985
    assert isd.plain(isd.session.wrap(LIST.apdu())).sw == 0x6982


@pytest.mark.parametrize("position", range(4, 20))
def test_a_changed_byte_ends_the_session(isd: Host, position: int) -> None:
    assert isd.session is not None
    wrapped = bytearray(isd.session.wrap(LIST.apdu()).encode())
    if position == 4:  # Lc itself would be a malformed APDU: change a header byte instead
        wrapped[2] ^= 0x80
    else:
        wrapped[position] ^= 0x01
    assert isd.raw(bytes(wrapped)).sw == 0x6982
    assert isd.plain(isd.session.wrap(LIST.apdu())).sw == 0x6982


def test_a_replayed_command_ends_the_session(isd: Host) -> None:
    assert isd.session is not None
    wrapped = isd.session.wrap(LIST.apdu()).encode()
    assert isd.raw(wrapped).sw == 0x9000
    assert isd.raw(wrapped).sw == 0x6982
    assert isd.plain(isd.session.wrap(LIST.apdu())).sw == 0x6982


def test_a_whole_session_replayed_is_refused(se: VirtualSe) -> None:
    host = Host(se.link())
    host.select(ISD)
    session = host.begin(ISD_KEYS, CHALLENGE)
    authenticate = session.external_authenticate(SecurityLevel.C_MAC)
    assert host.plain(authenticate).sw == 0x9000
    host = Host(se.link())
    host.select(ISD)
    host.plain(Scp03Session.initialize_update(0x30, CHALLENGE)).require("INITIALIZE UPDATE")
    assert host.plain(authenticate).sw == 0x6300  # another counter, another challenge


def test_an_unprotected_command_in_a_session_ends_it(isd: Host) -> None:
    assert isd.session is not None
    assert isd.plain(LIST).sw == 0x6982
    assert isd.plain(isd.session.wrap(LIST.apdu())).sw == 0x6982


def test_plain_get_data_leaves_a_session_alone(isd: Host) -> None:
    for cla in (0x80, 0x00):
        assert isd.plain(CommandApdu(cla, 0xCA, 0x00, 0x66, ne=256)).sw == 0x9000
        assert isd.sw(CommandApdu(cla, 0xCA, 0x00, 0x66, ne=256)) == 0x9000


def test_level_00_authenticates_and_manages_nothing(host: Host) -> None:
    host.into(ISD, ISD_KEYS, SecurityLevel.NONE)
    assert host.sw(LIST) == 0x6982


def test_an_error_status_is_not_protected_and_the_session_goes_on(isd: Host) -> None:
    assert isd.send(GetStatus.everything(Scope.APPLICATIONS, CARD_1)) == ResponseApdu(b"", 0x6A88)
    assert isd.sw(LIST) == 0x9000


@pytest.mark.parametrize("end", ["select", "select other", "reset"])
def test_selection_and_reset_end_a_session(isd: Host, end: str) -> None:
    assert isd.session is not None
    session = isd.session
    match end:
        case "select":
            isd.select(ISD)
        case "select other":
            isd.select(PPSE)
            isd.select(ISD)
        case _:
            isd.link.reset()
            isd.select(ISD)
    assert isd.plain(session.wrap(LIST.apdu())).sw == 0x6982


def test_sessions_on_both_interfaces_run_side_by_side(se: VirtualSe) -> None:
    contact = Host(se.link()).into(ISD, ISD_KEYS)
    contactless = Host(se.link("contactless")).into(ISD, ISD_KEYS)
    for _ in range(3):
        assert contact.sw(LIST) == 0x9000
        assert contactless.sw(LIST) == 0x9000
    contactless.select(ISD)
    assert contact.sw(LIST) == 0x9000


def test_sessions_on_logical_channels_are_apart(isd: Host) -> None:
    assert isd.session is not None
    first = isd.session
    number = isd.raw(bytes.fromhex("0070000001")).require("MANAGE CHANNEL")[0]
    isd.raw(bytes((number, 0xA4, 4, 0, len(ISD))) + ISD).require("SELECT")
    challenge = bytes(8)
    command = Scp03Session.initialize_update(0x30, challenge).on_channel(number)
    second = Scp03Session.open(ISD_KEYS, challenge, isd.plain(command).require("INITIALIZE UPDATE"))
    isd.plain(second.external_authenticate(SecurityLevel.ALL).on_channel(number)).require("EXTERNAL AUTHENTICATE")
    # The other channel's session does not take this one's commands.
    assert isd.sw(LIST) == 0x9000
    assert second.unwrap(isd.plain(second.wrap(LIST.apdu().on_channel(number)))).sw == 0x9000
    assert isd.plain(first.wrap(LIST.apdu()).on_channel(number)).sw == 0x6982
    # Closing the channel ends its session; the basic channel's next command has moved on in its host, so it is new.
    isd.raw(bytes((0x00, 0x70, 0x80, number))).require("MANAGE CHANNEL")


def test_initialize_update_is_checked(host: Host) -> None:
    host.select(ISD)
    assert host.raw(bytes.fromhex("8050300004 01020304")).sw == 0x6700
    assert host.raw(bytes.fromhex("8050300010") + bytes(16)).sw == 0x6700  # S16 is not offered with i=70
    assert host.raw(bytes.fromhex("8050300108") + bytes(8)).sw == 0x6A86
    assert host.raw(bytes.fromhex("8450300008") + bytes(8)).sw == 0x6E00
    assert host.raw(bytes.fromhex("0050300008") + bytes(8)).sw == 0x6E00


def test_external_authenticate_without_initialize_update(host: Host) -> None:
    host.select(ISD)
    assert host.plain(CommandApdu(0x84, 0x82, 0x01, 0x00, bytes(16))).sw == 0x6985


def test_answer_is_the_card_s_own(host: Host) -> None:
    host.select(ISD)
    answer = host.plain(Scp03Session.initialize_update(0x30, CHALLENGE))
    parsed = InitializeUpdateAnswer.parse(answer.data)
    assert parsed.diversification_data == diversification_data("se-1")
    assert (parsed.key_version, parsed.i, parsed.sequence_counter) == (0x30, 0x70, 1)


@pytest.mark.parametrize(("level", "encrypt"), [(0x01, False), (0x03, False), (0x03, True)])
def test_an_r_mac_session(host: Host, level: int, encrypt: bool) -> None:  # noqa: FBT001 - a parameter of the test
    session = host.into(ISD, ISD_KEYS, SecurityLevel(level)).session
    assert session is not None
    for _ in range(2):
        assert host.sw(LIST) == 0x9000
        assert session.unwrap(host.plain(session.begin_r_mac(bytes(8), encrypt=encrypt))) == ResponseApdu()
        session.r_mac_begun(encrypt=encrypt)
        for _ in range(3):
            assert host.sw(LIST) == 0x9000
        assert len(host.plain(session.wrap(LIST.apdu())).data) > 8
        assert session.unwrap(host.plain(session.end_r_mac(end=False))) == ResponseApdu()
        assert session.unwrap(host.plain(session.end_r_mac())) == ResponseApdu()
        session.r_mac_ended()
    assert host.sw(LIST) == 0x9000


@pytest.mark.parametrize(
    ("i", "level", "command", "sw"),
    [
        (0x10, 0x01, "807A100101 00", 0x6985),  # no R-MAC in i
        (0x30, 0x03, "807A300101 00", 0x6A86),  # no R-ENC in i
        (0x70, 0x01, "807A300101 00", 0x6A86),  # R-ENC without C-DECRYPTION
        (0x70, 0x11, "807A100101 00", 0x6985),  # R-MACs already
        (0x70, 0x01, "807A000101 00", 0x6A86),  # SCP02's alone
        (0x70, 0x01, "80780003", 0x6985),
        (0x70, 0x33, "80780003", 0x6985),
    ],
)
def test_r_mac_session_commands_are_checked(i: int, level: int, command: str, sw: int) -> None:
    host = Host(card(f"03{i:02X}", keys=(ISD_KEYS,)).link()).into(ISD, ISD_KEYS, SecurityLevel(level))
    assert host.sw(CommandApdu.parse(bytes.fromhex(command))) == sw
    assert host.sw(LIST) == 0x9000


@pytest.mark.parametrize("i", [0x00, 0x01, 0x10, 0x11, 0x20, 0x21, 0x30, 0x31, 0x60, 0x61, 0x70, 0x71])
@pytest.mark.parametrize("size", [16, 24, 32])
def test_every_i_with_every_key_length(i: int, size: int) -> None:
    own = keys(0x30, 7, size)
    host = Host(card(f"03{i:02X}", keys=(own,)).link())
    host.select(ISD)
    most = 0x33 if i & 0x40 else 0x13 if i & 0x20 else 0x03
    session = host.open(own, SecurityLevel(most), challenge=bytes(16 if i & 1 else 8))
    assert session.answer.i == i
    assert (session.answer.sequence_counter is not None) == bool(i & 0x10)
    for _ in range(3):
        assert host.sw(LIST) == 0x9000
        assert host.send(CommandApdu(0x80, 0xCA, 0x00, 0xD2, ne=256)) == ResponseApdu(b"", 0x6A88)


def test_a_counter_at_its_end_opens_nothing() -> None:
    host = Host(card("0370", keys=(ISD_KEYS,), counter=0xFFFFFE).link())
    host.select(ISD)
    assert host.begin(ISD_KEYS).answer.sequence_counter == 0xFFFFFF
    for _ in range(2):
        assert host.plain(Scp03Session.initialize_update(0x30, CHALLENGE)).sw == 0x6985
    assert host.plain(CommandApdu(0x80, 0xCA, 0x00, 0xC1, ne=256)).data == bytes.fromhex("C103FFFFFF")


def failures(host: Host, version: int, count: int) -> list[int]:
    """Fail to authenticate, and return the status words."""
    answers = []
    for _ in range(count):
        begun = host.plain(Scp03Session.initialize_update(version, CHALLENGE))
        failed = host.plain(CommandApdu(0x84, 0x82, 0x01, 0x00, bytes(16))) if begun.sw == 0x9000 else begun
        answers.append(failed.sw)
    return answers


def test_the_limit_of_failures_is_the_profile_s() -> None:
    host = Host(card("0370", keys=(ISD_KEYS, keys(0x31, 1)), limit=3).link())
    host.select(ISD)
    assert failures(host, 0x30, 5) == [0x6300] * 3 + [0x6983] * 2
    assert failures(host, 0x31, 2) == [0x6300] * 2  # each set has its own
    host.open(keys(0x31, 1))
    host.select(ISD)
    assert failures(host, 0x31, 3) == [0x6300] * 3


def test_without_a_limit_nothing_is_ever_blocked() -> None:
    host = Host(card("0370", keys=(ISD_KEYS,), limit=0).link())
    host.select(ISD)
    assert failures(host, 0x30, 200) == [0x6300] * 200
    host.open(ISD_KEYS)


def test_failures_survive_a_reset() -> None:
    se = card("0370", keys=(ISD_KEYS,), limit=3)
    for _ in range(3):
        host = Host(se.link())
        host.select(ISD)
        assert failures(host, 0x30, 1) == [0x6300]
    host = Host(se.link())
    host.select(ISD)
    assert failures(host, 0x30, 1) == [0x6983]


def test_initial_keys_may_be_exempt_and_are_replaced_by_the_first_set() -> None:
    initial = KeySet(0xFF, ISD_KEYS.enc, ISD_KEYS.mac, ISD_KEYS.dek)
    host = Host(card("0370", keys=(initial,), limit=3, initial_exempt=True).link())
    host.select(ISD)
    assert failures(host, 0xFF, 20) == [0x6300] * 20
    for version in (0xFF, 0x00):
        assert host.begin(initial, version=version).answer.key_version == 0xFF
    host.open(initial)
    own = keys(0x31, 5)
    host.put_keys(own).require("PUT KEY")
    assert host.sw(LIST) == 0x9000  # the session goes on
    host.select(ISD)
    assert host.plain(Scp03Session.initialize_update(0xFF, CHALLENGE)).sw == 0x6A88
    host.open(own)
    host.select(ISD)
    assert failures(host, 0x31, 4) == [0x6300] * 3 + [0x6983]


@pytest.mark.parametrize("parameters", ["0380", "0340", "0501", "1100", "1104"])
def test_profiles_that_make_no_card(parameters: str) -> None:
    with pytest.raises(OpenTsmError, match="6A80"):
        card(parameters, keys=(ISD_KEYS,))
