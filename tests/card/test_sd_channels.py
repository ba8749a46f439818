"""Commands and sessions on logical channels 0 to 19 (GP Card Specification 2.3.1, 11.1.4, 11.7; ISO 7816-4, 5.4.1)."""

from __future__ import annotations

import pytest

from opentsm_card.apdu import CommandApdu
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.manage_channel import CloseChannel, OpenChannel
from opentsm_card.privileges import Privilege
from opentsm_card.scp03 import Scp03Session, SecurityLevel
from opentsm_card.select import Select
from opentsm_card.set_status import SetStatus
from probe_card import P1, P2, ProbeCard
from sd_host import CARD_1, CARD_2, ISD, ISD_KEYS, PPSE, Host

CHANNELS = [1, 2, 3, 4, 5, 11, 18, 19]
LIST = GetStatus(Scope.APPLICATIONS)


def select(host: Host, channel: int, aid: bytes) -> int:
    return host.plain(Select(aid).apdu().on_channel(channel)).sw


def opened(host: Host, channel: int) -> Scp03Session:
    """Open a session of level 33 with the issuer's domain on a channel."""
    challenge = bytes([channel]) * 8
    command = Scp03Session.initialize_update(ISD_KEYS.version, challenge).on_channel(channel)
    session = Scp03Session.open(ISD_KEYS, challenge, host.plain(command).require("INITIALIZE UPDATE"))
    host.plain(session.external_authenticate(SecurityLevel.ALL).on_channel(channel)).require("EXTERNAL AUTHENTICATE")
    return session


def sw(host: Host, session: Scp03Session, command: CommandApdu, channel: int) -> int:
    return session.unwrap(host.plain(session.wrap(command.on_channel(channel)))).sw


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_session_on_any_channel(host: Host, channel: int) -> None:
    host.plain(OpenChannel(channel)).require("MANAGE CHANNEL")
    assert select(host, channel, ISD) == 0x9000
    session = opened(host, channel)
    assert sw(host, session, LIST.apdu(), channel) == 0x9000
    assert host.plain(CommandApdu(0x80, 0xCA, 0x00, 0x66, ne=256).on_channel(channel)).sw == 0x9000
    assert sw(host, session, SetStatus.lock(PPSE).apdu(), channel) == 0x9000
    host.plain(CloseChannel(channel)).require("MANAGE CHANNEL")
    assert host.plain(LIST.apdu().on_channel(channel)).sw == 0x6881


def test_channels_are_opened_one_by_one_and_closed_in_any_order(host: Host) -> None:
    assert [host.plain(OpenChannel()).data for _ in range(19)] == [bytes([number]) for number in range(1, 20)]
    assert host.plain(OpenChannel()).sw == 0x6A81
    for number in (7, 19, 1):
        host.plain(CloseChannel(number)).require("MANAGE CHANNEL")
    assert host.plain(OpenChannel()).data == b"\x01"
    assert host.plain(OpenChannel(19)).sw == 0x9000
    assert host.plain(OpenChannel(19)).sw == 0x6A86
    assert host.plain(OpenChannel()).data == b"\x07"


@pytest.mark.parametrize("origin", [1, 4, 19])
def test_a_channel_may_open_and_close_others_and_itself(host: Host, origin: int) -> None:
    host.plain(OpenChannel(origin)).require("MANAGE CHANNEL")
    assert select(host, origin, ISD) == 0x9000
    first = 1 if origin != 1 else 2
    assert host.plain(OpenChannel().apdu().on_channel(origin)).data == bytes([first])
    assert host.plain(CloseChannel(first).apdu().on_channel(origin)).sw == 0x9000
    assert host.plain(CommandApdu(0x00, 0x70, 0x80, 0x00).on_channel(origin)).sw == 0x9000  # P2 00: this one
    assert host.plain(Select(ISD).apdu()).sw == 0x9000
    assert host.plain(CommandApdu(0x00, 0x70, 0x80, 0x00)).sw == 0x6A86  # the basic one stays


def test_what_manage_channel_refuses(host: Host) -> None:
    for command, expected in (
        ("00700014", 0x6A86),  # there is no channel 20
        ("00708014", 0x6A86),
        ("00704000", 0x6A86),
        ("0070000101AA", 0x6700),
        ("00708005", 0x6200),  # closed already: a warning
        ("80700000", 0x6D00),  # the proprietary class has no such command
    ):
        assert host.raw(bytes.fromhex(command)).sw == expected, command


@pytest.mark.parametrize("cla", [0x20, 0x2F, 0x3F, 0xFF])
def test_classes_that_are_none(host: Host, cla: int) -> None:
    assert host.raw(bytes((cla, 0xCA, 0x00, 0x66, 0x00))).sw == 0x6E00


@pytest.mark.parametrize("ins", ["CA0066", "F24002", "F08007", "E60C00", "E40000", "D80081", "E28000", "E88000"])
def test_an_interindustry_class_is_for_data_only(isd: Host, ins: str) -> None:
    """11.1.4: GET DATA and STORE DATA alone are of the interindustry class too."""
    answer = isd.raw(bytes.fromhex(f"00{ins}00"))
    assert answer.sw == {"CA0066": 0x9000, "E28000": 0x6982}.get(ins, 0x6E00)


def test_a_session_belongs_to_its_channel_and_selection(isd: Host) -> None:
    isd.plain(OpenChannel(5)).require("MANAGE CHANNEL")
    assert select(isd, 5, ISD) == 0x9000
    session = opened(isd, 5)
    assert isd.sw(LIST) == 0x9000  # the basic channel's goes on
    assert sw(isd, session, LIST.apdu(), 5) == 0x9000
    assert isd.plain(session.wrap(LIST.apdu())).sw == 0x6982  # on the basic channel it is nobody's
    assert select(isd, 5, ISD) == 0x9000
    assert isd.plain(session.wrap(LIST.apdu().on_channel(5))).sw == 0x6982


def test_locking_ends_selections_on_every_channel(isd: Host) -> None:
    isd.new_payment(CARD_1)
    isd.new_payment(CARD_2)
    for channel, aid in ((1, CARD_1), (4, CARD_1), (19, CARD_2)):
        assert select(isd, channel, aid) == 0x9000  # a SELECT opens its channel
    isd.done(SetStatus.lock(CARD_1))
    read = CommandApdu(0x80, 0xCA, 0xDF, 0x01, ne=256)
    assert [isd.plain(read.on_channel(channel)).sw for channel in (1, 4)] == [0x6985] * 2
    assert isd.plain(read.on_channel(19)).sw != 0x6985


@pytest.mark.parametrize("p2", [0x00, 0x04, 0x08, 0x0C])
@pytest.mark.parametrize("extended", [False, True])
def test_forms_of_select(host: Host, p2: int, *, extended: bool) -> None:
    lead = bytes((0x00, 0xA4, 0x04, p2)) + (b"\x00\x00\x08" if extended else b"\x08")
    for le in (b"", b"\x00\x00" if extended else b"\x00"):
        answer = host.raw(lead + ISD + le)
        assert answer.sw == 0x9000
        assert bool(answer.data) == (p2 != 0x0C)


def test_occurrences(host: Host) -> None:
    """11.9.2.2: the first, then each next one whose AID begins so, on each channel of its own."""
    beginning = bytes.fromhex("A000000151")
    for channel in (0, 4):
        if channel:
            host.plain(OpenChannel(channel)).require("MANAGE CHANNEL")
        found = [host.plain(Select(beginning).apdu().on_channel(channel))]
        while found[-1].sw == 0x9000:
            found.append(host.plain(Select(beginning, next=True).apdu().on_channel(channel)))
        assert found[-1].sw == 0x6A82
        assert len(found) == 3  # the issuer's domain and the CRS application
    assert host.raw(bytes.fromhex("00A4040105A000000151")).sw == 0x6A86  # last and previous are not known
    assert host.raw(bytes.fromhex("00A4040305A000000151")).sw == 0x6A86


class TestImplicitSelection:
    """Implicit selection parameters (CF) by interface and channel: clause 11.5.2.3.7, table 11-49; 6.4.2.1, 6.4.3.1."""

    @pytest.mark.parametrize("channel", [0, 1, 3, 4, 19])
    def test_by_channel(self, channel: int) -> None:
        card = ProbeCard()
        assert card.install(P1, implicit=0x40 | channel) == 0x9000
        host = Host(card.se.link())
        if channel:
            host.raw(bytes((0x00, 0x70, 0x00, channel))).require("MANAGE CHANNEL")
        cla = 0x80 | channel if channel < 4 else 0xC0 | channel - 4
        assert host.raw(bytes((cla, 0x1F, 0, 0))).data == bytes((channel,)) + P1
        other = (channel + 1) % 20
        if other:
            host.raw(bytes((0x00, 0x70, 0x00, other))).require("MANAGE CHANNEL")
            cla = 0x80 | other if other < 4 else 0xC0 | other - 4
            assert host.raw(bytes((cla, 0xCA, 0, 0x66))).sw == 0x9000  # the issuer's domain

    def test_by_interface(self) -> None:
        card = ProbeCard()
        card.install(P1, Privilege.CONTACTLESS_SELF_ACTIVATION, implicit=0x80)
        assert Host(card.se.link("contactless")).raw(bytes.fromhex("801F0000")).sw != 0x9000  # not activated
        assert card.probe(P1).set_contactless(1)
        assert Host(card.se.link("contactless")).raw(bytes.fromhex("801F0000")).data == b"\x00" + P1
        assert Host(card.se.link()).raw(bytes.fromhex("801F0000")).sw != 0x9000

    def test_it_comes_before_the_default_selected_application(self) -> None:
        card = ProbeCard()
        card.install(P1, Privilege.CARD_RESET)
        card.install(P2, implicit=0x40)
        assert Host(card.se.link()).raw(bytes.fromhex("801F0000")).data == b"\x00" + P2
        card.sw(SetStatus.lock(P2))
        assert Host(card.se.link()).raw(bytes.fromhex("801F0000")).data == b"\x00" + P1
