"""Attacks on sessions of every protocol: refused with the specification's status word, session gone, nothing changed.

Each attack is run at every level of every protocol that protects against it. The card's state (registry, keys, names)
is read before and after over a link of its own.

Spec: GP Card 2.3.1 clauses 10.2.3 (session termination), E.1.5, E.4.4; GP Amendment D clauses 5.6, 6.2.4; GP Amendment
F clause 4.8 (which is Amendment D's).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import pytest

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import SecureChannelError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.install import InstallForInstall
from opentsm_card.privileges import Privilege
from opentsm_card.scp02 import Scp02Session
from opentsm_card.scp03 import Scp03Session
from opentsm_card.scp11 import KeyUsage, Scp11Agreement, Scp11Parameters, Variant
from opentsm_card.select import Select
from opentsm_card.store_data import StoreData
from sc_cards import DES_KEYS, card
from scp11_host import AUTHORITY_VERSION, VERSION, own_chain
from scp11_host import make as make_scp11
from sd_host import BANK, ISD, ISD_KEYS, SD_MODULE, SD_PACKAGE, Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.link import Link
    from opentsm_simulator import VirtualSe

GET_DATA = CommandApdu(0x80, 0xCA, 0x00, 0x66, ne=256)
STORE = StoreData(0, bytes.fromhex("42080102030405060708"), last=True).apdu()
INSTALL = InstallForInstall(SD_PACKAGE, SD_MODULE, BANK, Privilege.SECURITY_DOMAIN).apdu()
SECURITY_STATUS = 0x6982
CONDITIONS = 0x6985


class Session(Protocol):
    """What an attack needs of a host's session."""

    def wrap(self, command: CommandApdu) -> CommandApdu:
        """Protect a command."""

    def unwrap(self, response: ResponseApdu) -> ResponseApdu:
        """Verify a response."""


def transmit(link: Link, command: CommandApdu) -> ResponseApdu:
    return ResponseApdu.parse(link.transmit(command.encode()))


@dataclass
class Target:
    """A card, and how a session with it is opened."""

    se: VirtualSe
    opener: Callable[[Link, int], Session]

    def open(self, link: Link, channel: int = 0) -> Session:
        """Open a session on a channel."""
        transmit(link, Select(ISD).apdu().on_channel(channel)).require("SELECT")
        return self.opener(link, channel)

    def state(self) -> tuple[object, ...]:
        """Read what could have been changed, over the contactless interface, in a session of its own."""
        host = Host(self.se.link("contactless"))
        host.into(ISD, ISD_KEYS)
        names = [host.send(CommandApdu(0x80, 0xCA, 0x00, tag, ne=256)).data for tag in (0x42, 0x45, 0xE0)]
        return host.registry(), names


def _scp02(i: int, level: int) -> Target:
    def open_session(link: Link, channel: int) -> Session:
        if i & 0x04 == 0:
            counter = transmit(link, CommandApdu(0x80, 0xCA, 0x00, 0xC1, ne=256).on_channel(channel)).data
            session = Scp02Session.implicit(
                DES_KEYS, sequence_counter=int.from_bytes(counter[-2:], "big"), aid=ISD, i=i
            )
            # Such a session is none before its first command.
            transmit(link, session.wrap(GET_DATA.on_channel(channel))).require("GET DATA")
            return session
        begin = Scp02Session.initialize_update(DES_KEYS.version, bytes(8)).on_channel(channel)
        session = Scp02Session.open(DES_KEYS, bytes(8), transmit(link, begin).require("INITIALIZE UPDATE"), i)
        command = session.external_authenticate(SecurityLevel(level)).on_channel(channel)
        transmit(link, command).require("EXTERNAL AUTHENTICATE")
        return session

    return Target(card(f"02{i:02X}", "0370", keys=(DES_KEYS, ISD_KEYS)), open_session)


def _scp03(level: int, i: int = 0x70) -> Target:
    size = 16 if i & 0x01 else 8

    def open_session(link: Link, channel: int) -> Session:
        begin = Scp03Session.initialize_update(0x30, bytes(size)).on_channel(channel)
        session = Scp03Session.open(ISD_KEYS, bytes(size), transmit(link, begin).require("INITIALIZE UPDATE"))
        command = session.external_authenticate(SecurityLevel(level)).on_channel(channel)
        transmit(link, command).require("EXTERNAL AUTHENTICATE")
        return session

    return Target(card(f"03{i:02X}", keys=(ISD_KEYS,)), open_session)


def _scp11(variant: Variant, usage: KeyUsage) -> Target:
    made = make_scp11()

    def open_session(link: Link, channel: int) -> Session:
        key = None if variant is Variant.B else made.key
        if key is not None:
            chain = own_chain(made.authority, key)
            for command in Scp11Agreement.certificate_commands(chain, AUTHORITY_VERSION):
                transmit(link, command.on_channel(channel)).require("PERFORM SECURITY OPERATION")
        public = made.domain[variant].public_key()
        agreement = Scp11Agreement(variant, VERSION, public, key, parameters=Scp11Parameters(usage))
        answer = transmit(link, agreement.authenticate().on_channel(channel)).require("AUTHENTICATE")
        return agreement.open(answer)

    return Target(made.se, open_session)


SCP02 = ((0x15, 0x01), (0x15, 0x03), (0x05, 0x03), (0x55, 0x03), (0x75, 0x11), (0x75, 0x13), (0x0B, 0x01), (0x1B, 0x01))
TARGETS: dict[str, Callable[[], Target]] = {
    **{f"scp02-{i:02X}-{level:02X}": partial(_scp02, i, level) for i, level in SCP02},
    **{f"scp03-{level:02X}": partial(_scp03, level) for level in (0x01, 0x03, 0x11, 0x13, 0x33)},
    "scp03-s16-33": partial(_scp03, 0x33, 0x71),
    "scp11a-34": partial(_scp11, Variant.A, KeyUsage.MAC),
    "scp11a-3C": partial(_scp11, Variant.A, KeyUsage.ALL),
    "scp11c-3C": partial(_scp11, Variant.C, KeyUsage.ALL),
}
# Those whose responses are protected.
RESPONSES = [name for name in TARGETS if name.split("-")[-1] in {"11", "13", "33", "34", "3C"}]


@pytest.fixture(params=list(TARGETS))
def target(request: pytest.FixtureRequest) -> Target:
    return TARGETS[request.param]()


def expect_refused(
    target: Target, link: Link, session: Session, attack: CommandApdu, sw: int = SECURITY_STATUS
) -> None:
    """Send what an attacker sends: refused, the session gone for its own host too, nothing changed."""
    before = target.state()
    assert transmit(link, attack) == ResponseApdu(b"", sw)
    assert transmit(link, session.wrap(GET_DATA)) == ResponseApdu(b"", SECURITY_STATUS)
    assert target.state() == before
    # The card goes on: another session opens and manages.
    again = target.open(link)
    assert again.unwrap(transmit(link, again.wrap(GET_DATA))).sw == 0x9000


def test_a_replayed_command(target: Target) -> None:
    link = target.se.link()
    session = target.open(link)
    wrapped = session.wrap(GET_DATA)
    assert session.unwrap(transmit(link, wrapped)).sw == 0x9000
    expect_refused(target, link, session, wrapped)


def test_a_replayed_command_that_changes_something(target: Target) -> None:
    link = target.se.link()
    session = target.open(link)
    wrapped = session.wrap(STORE)
    assert session.unwrap(transmit(link, wrapped)).sw == 0x9000
    expect_refused(target, link, session, wrapped)


def test_commands_out_of_order(target: Target) -> None:
    link = target.se.link()
    session = target.open(link)
    session.unwrap(transmit(link, session.wrap(GET_DATA)))
    session.wrap(GET_DATA)
    expect_refused(target, link, session, session.wrap(INSTALL))


@pytest.mark.parametrize("keep", [-1, -8])
def test_a_truncated_command(target: Target, keep: int) -> None:
    link = target.se.link()
    session = target.open(link)
    wrapped = session.wrap(STORE)
    cut = CommandApdu(wrapped.cla, wrapped.ins, wrapped.p1, wrapped.p2, wrapped.data[:keep], wrapped.ne)
    expect_refused(target, link, session, cut)


def test_a_command_without_data_and_mac(target: Target) -> None:
    link = target.se.link()
    session = target.open(link)
    expect_refused(target, link, session, CommandApdu(0x84, 0xE2, 0x80, 0x00))


@pytest.mark.parametrize("place", ["ins", "p1", "p2", "first", "mac", "last"])
def test_a_flipped_bit(target: Target, place: str) -> None:
    link = target.se.link()
    session = target.open(link)
    wrapped = session.wrap(STORE)
    flip = 0x01
    data = bytearray(wrapped.data)
    header = [wrapped.ins, wrapped.p1, wrapped.p2]
    if place in {"ins", "p1", "p2"}:
        header[["ins", "p1", "p2"].index(place)] ^= flip
    else:
        data[{"first": 0, "mac": -8, "last": -1}[place]] ^= flip
    ins, p1, p2 = header
    expect_refused(target, link, session, CommandApdu(wrapped.cla, ins, p1, p2, bytes(data), wrapped.ne))


def test_a_longer_command(target: Target) -> None:
    link = target.se.link()
    session = target.open(link)
    wrapped = session.wrap(STORE)
    longer = wrapped.data[:-8] + b"\x00" + wrapped.data[-8:]
    expect_refused(target, link, session, CommandApdu(wrapped.cla, wrapped.ins, wrapped.p1, wrapped.p2, longer))


def test_the_class_byte_without_secure_messaging(target: Target) -> None:
    link = target.se.link()
    session = target.open(link)
    wrapped = session.wrap(STORE)
    plain = CommandApdu(0x80, wrapped.ins, wrapped.p1, wrapped.p2, wrapped.data, wrapped.ne)
    expect_refused(target, link, session, plain)


def test_a_plain_command_in_a_session(target: Target) -> None:
    link = target.se.link()
    session = target.open(link)
    expect_refused(target, link, session, STORE)


def test_the_proprietary_class_made_interindustry(target: Target) -> None:
    """A MAC covers b8 of the class byte: GET DATA of one class is none of the other's."""
    link = target.se.link()
    session = target.open(link)
    wrapped = session.wrap(STORE)
    other = CommandApdu(wrapped.cla & 0x7F, wrapped.ins, wrapped.p1, wrapped.p2, wrapped.data, wrapped.ne)
    expect_refused(target, link, session, other)


def open_channel(link: Link) -> int:
    return ResponseApdu.parse(link.transmit(bytes.fromhex("0070000001"))).require("MANAGE CHANNEL")[0]


def test_another_channel_s_command(target: Target) -> None:
    link = target.se.link()
    first = target.open(link)
    channel = open_channel(link)
    second = target.open(link, channel)
    before = target.state()
    # The basic channel's command on the other channel: its session ends, the basic channel's own is not touched.
    wrapped = first.wrap(STORE)
    assert transmit(link, wrapped.on_channel(channel)).sw == SECURITY_STATUS
    assert transmit(link, second.wrap(GET_DATA.on_channel(channel))).sw == SECURITY_STATUS
    assert target.state() == before
    assert first.unwrap(transmit(link, wrapped)).sw == 0x9000


def test_a_command_on_a_channel_without_a_session(target: Target) -> None:
    link = target.se.link()
    session = target.open(link)
    channel = open_channel(link)
    transmit(link, Select(ISD).apdu().on_channel(channel)).require("SELECT")
    before = target.state()
    wrapped = session.wrap(STORE)
    assert transmit(link, wrapped.on_channel(channel)).sw == SECURITY_STATUS
    assert target.state() == before
    assert session.unwrap(transmit(link, wrapped)).sw == 0x9000


def test_another_interface_s_command(target: Target) -> None:
    link = target.se.link()
    session = target.open(link)
    other = target.se.link("contactless")
    transmit(other, Select(ISD).apdu()).require("SELECT")
    wrapped = session.wrap(STORE)
    assert transmit(other, wrapped).sw == SECURITY_STATUS
    assert session.unwrap(transmit(link, wrapped)).sw == 0x9000


def test_another_card_s_command(target: Target, request: pytest.FixtureRequest) -> None:
    twin = TARGETS[request.node.callspec.params["target"]]()
    link = target.se.link()
    session = target.open(link)
    foreign = twin.open(twin.se.link())
    foreign.wrap(GET_DATA)
    expect_refused(target, link, session, foreign.wrap(INSTALL))


@pytest.mark.parametrize("end", ["select", "another", "reset", "failed command"])
def test_a_session_that_has_ended(target: Target, end: str) -> None:
    link = target.se.link()
    session = target.open(link)
    match end:
        case "select":
            transmit(link, Select(ISD).apdu()).require("SELECT")
        case "another":
            transmit(link, Select(bytes.fromhex("325041592E5359532E4444463031")).apdu()).require("SELECT")
            transmit(link, Select(ISD).apdu()).require("SELECT")
        case "reset":
            link.reset()
            transmit(link, Select(ISD).apdu()).require("SELECT")
        case _:
            transmit(link, CommandApdu(0x84, 0xF2, 0x40, 0x02, bytes(10)))
    before = target.state()
    assert transmit(link, session.wrap(STORE)).sw == SECURITY_STATUS
    assert target.state() == before


@pytest.mark.parametrize("target", RESPONSES, indirect=True)
def test_a_response_that_was_kept_and_is_given_again(target: Target) -> None:
    link = target.se.link()
    session = target.open(link)
    kept = transmit(link, session.wrap(GET_DATA))
    plain = session.unwrap(kept)
    assert plain.sw == 0x9000
    session.wrap(GET_DATA)
    with pytest.raises(SecureChannelError):
        session.unwrap(kept)


# The beginning of sessions.


@pytest.mark.parametrize("i", [0x00, 0x20, 0x60, 0x70])
def test_a_recorded_scp03_session_is_of_no_use(i: int) -> None:
    """The host's challenge comes again, the card's does not."""
    se = card(f"03{i:02X}", keys=(ISD_KEYS,))
    link = se.link()
    transmit(link, Select(ISD).apdu()).require("SELECT")
    begin = Scp03Session.initialize_update(0x30, bytes(8))
    session = Scp03Session.open(ISD_KEYS, bytes(8), transmit(link, begin).require("INITIALIZE UPDATE"))
    authenticate = session.external_authenticate(SecurityLevel.C_MAC)
    recorded = [authenticate, session.wrap(STORE)]
    assert transmit(link, authenticate).sw == 0x9000
    transmit(link, Select(ISD).apdu()).require("SELECT")
    transmit(link, begin).require("INITIALIZE UPDATE")
    assert transmit(link, recorded[0]) == ResponseApdu(b"", 0x6300)
    assert transmit(link, recorded[1]) == ResponseApdu(b"", SECURITY_STATUS)
    assert transmit(link, recorded[0]) == ResponseApdu(b"", CONDITIONS)


@pytest.mark.parametrize("i", [0x15, 0x55])
def test_a_recorded_scp02_session_is_of_no_use(i: int) -> None:
    se = card(f"02{i:02X}", keys=(DES_KEYS,))
    link = se.link()
    transmit(link, Select(ISD).apdu()).require("SELECT")
    begin = Scp02Session.initialize_update(0x20, bytes(8))
    session = Scp02Session.open(DES_KEYS, bytes(8), transmit(link, begin).require("INITIALIZE UPDATE"), i)
    authenticate = session.external_authenticate(SecurityLevel.C_MAC)
    wrapped = session.wrap(STORE)
    assert transmit(link, authenticate).sw == 0x9000
    transmit(link, Select(ISD).apdu()).require("SELECT")
    transmit(link, begin).require("INITIALIZE UPDATE")
    assert transmit(link, authenticate) == ResponseApdu(b"", 0x6300)
    assert transmit(link, wrapped) == ResponseApdu(b"", SECURITY_STATUS)


@pytest.mark.parametrize("i", [0x0B, 0x1B])
def test_a_recorded_implicit_session_is_of_no_use(i: int) -> None:
    target = _scp02(i, 0x01)
    link = target.se.link()
    session = target.open(link)
    wrapped = session.wrap(STORE)
    assert transmit(link, wrapped).sw == 0x9000
    transmit(link, Select(ISD).apdu()).require("SELECT")
    assert transmit(link, wrapped) == ResponseApdu(b"", SECURITY_STATUS)


def test_a_recorded_scp11_session_is_of_no_use() -> None:
    """The card's key is ephemeral: what was recorded does not fit the keys that are agreed on again."""
    made = make_scp11()
    link = made.se.link()
    transmit(link, Select(ISD).apdu()).require("SELECT")
    chain = own_chain(made.authority, made.key)
    agreement = Scp11Agreement(Variant.A, VERSION, made.domain[Variant.A].public_key(), made.key)
    begin = [*Scp11Agreement.certificate_commands(chain, AUTHORITY_VERSION), agreement.authenticate()]
    session = agreement.open([transmit(link, command) for command in begin][-1].require("MUTUAL AUTHENTICATE"))
    wrapped = session.wrap(STORE)
    assert transmit(link, wrapped).sw == 0x9000
    transmit(link, Select(ISD).apdu()).require("SELECT")
    assert [transmit(link, command).sw for command in begin] == [0x9000, 0x9000]
    assert transmit(link, wrapped) == ResponseApdu(b"", SECURITY_STATUS)


@pytest.mark.parametrize("protocol", ["scp02", "scp03"])
@pytest.mark.parametrize("level", [0x00, 0x01, 0x03, 0x11, 0x13, 0x33])
def test_a_downgraded_level(protocol: str, level: int) -> None:
    """EXTERNAL AUTHENTICATE's MAC covers the level that it asks for."""
    target = _scp02(0x75, 0x13) if protocol == "scp02" else _scp03(0x33)
    link = target.se.link()
    transmit(link, Select(ISD).apdu()).require("SELECT")
    session: Scp02Session | Scp03Session
    if protocol == "scp02":
        begun = transmit(link, Scp02Session.initialize_update(0x20, bytes(8))).require("INITIALIZE UPDATE")
        session = Scp02Session.open(DES_KEYS, bytes(8), begun, 0x75)
        wanted = SecurityLevel(0x13)
    else:
        begun = transmit(link, Scp03Session.initialize_update(0x30, bytes(8))).require("INITIALIZE UPDATE")
        session = Scp03Session.open(ISD_KEYS, bytes(8), begun)
        wanted = SecurityLevel.ALL
    command = session.external_authenticate(wanted)
    lower = CommandApdu(command.cla, command.ins, level, 0, command.data)
    if level == wanted:
        assert transmit(link, lower).sw == 0x9000
        return
    known = level != 0x33 or protocol == "scp03"
    assert transmit(link, lower) == ResponseApdu(b"", SECURITY_STATUS if known else 0x6A86)
    assert transmit(link, command) == ResponseApdu(b"", CONDITIONS)
    assert transmit(link, STORE) == ResponseApdu(b"", SECURITY_STATUS)


@pytest.mark.parametrize("level", [0x00, 0x10])
def test_a_level_without_c_mac_manages_nothing(level: int) -> None:
    target = _scp02(0x75, level)
    link = target.se.link()
    session = target.open(link)
    before = target.state()
    assert transmit(link, session.wrap(STORE)).sw == SECURITY_STATUS
    assert target.state() == before


def test_an_empty_level_of_scp03_manages_nothing() -> None:
    target = _scp03(0x00)
    link = target.se.link()
    session = target.open(link)
    before = target.state()
    assert transmit(link, session.wrap(STORE)).sw == SECURITY_STATUS
    assert target.state() == before


def test_initialize_update_twice_makes_the_first_void() -> None:
    link = card("0370", keys=(ISD_KEYS,)).link()
    transmit(link, Select(ISD).apdu()).require("SELECT")
    begin = Scp03Session.initialize_update(0x30, bytes(8))
    first = Scp03Session.open(ISD_KEYS, bytes(8), transmit(link, begin).require("INITIALIZE UPDATE"))
    transmit(link, begin).require("INITIALIZE UPDATE")
    assert transmit(link, first.external_authenticate(SecurityLevel.C_MAC)).sw == 0x6300
