"""yubikit, an independent host, against the virtual SE's security domain, and our host against the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from yubikit.core import TRANSPORT
from yubikit.core.smartcard import SmartCardConnection
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, StaticKeys
from yubikit.securitydomain import SecurityDomainSession

from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.delete import DeleteKey
from opentsm_card.errors import SecureChannelError
from opentsm_card.get_data import DataTag, GetData
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.keys import KeySet
from opentsm_card.put_key import PutKeyAnswer, put_key_set
from opentsm_card.registry import Registry
from opentsm_card.scp03 import Scp03Session, SecurityLevel, next_sequence_counter, predict
from opentsm_card.scp03_script import precompute, read_answers
from opentsm_card.select import Select
from opentsm_simulator import VirtualSe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentsm_card.link import Link

ISD = Aid.from_text("A000000151000000")
KEYS = KeySet(0x30, b"\xe1" * 16, b"\xe2" * 16, b"\xe3" * 16)
CHALLENGE = b"\xc1" * 8

# Over what it takes for USB yubikit sends extended APDUs, else short ones in chains.
both = pytest.mark.parametrize("transport", [TRANSPORT.USB, TRANSPORT.NFC])


def _new_keys(size: int, version: int = 0x31) -> KeySet:
    return KeySet(version, b"\xf1" * size, b"\xf2" * size, b"\xf3" * size)


class LinkConnection(SmartCardConnection):
    """A link of ours as a connection of yubikit's."""

    def __init__(self, link: Link, transport: TRANSPORT) -> None:
        self._link = link
        self._transport = transport

    @property
    def transport(self) -> TRANSPORT:
        return self._transport

    def close(self) -> None:
        """The fixture closes the link."""

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        answer = ResponseApdu.parse(self._link.transmit(apdu))
        return answer.data, answer.sw


@pytest.fixture
def link() -> Iterator[Link]:
    se = VirtualSe.create("embedded", se_id="yubikit", keys={"isd": KEYS})
    with se.link("contact") as opened:
        yield opened


def _ask(link: Link, command: CommandApdu) -> ResponseApdu:
    return ResponseApdu.parse(link.transmit(command.encode()))


def _open(link: Link, keys: KeySet, level: SecurityLevel = SecurityLevel.ALL) -> Scp03Session:
    _ask(link, Select(ISD).apdu()).require("SELECT")
    begun = _ask(link, Scp03Session.initialize_update(keys.version, CHALLENGE)).require("INITIALIZE UPDATE")
    session = Scp03Session.open(keys, CHALLENGE, begun)
    _ask(link, session.external_authenticate(level)).require("EXTERNAL AUTHENTICATE")
    return session


def _yubikit(link: Link, transport: TRANSPORT, keys: KeySet = KEYS) -> SecurityDomainSession:
    session = SecurityDomainSession(LinkConnection(link, transport))
    session.authenticate(Scp03KeyParams(KeyRef(0x01, keys.version), StaticKeys(keys.enc, keys.mac, keys.dek)))
    return session


@both
def test_yubikit_reads_under_its_own_session(link: Link, transport: TRANSPORT) -> None:
    session = _yubikit(link, transport)
    keys = session.protocol.send_apdu(0x80, 0xCA, 0x00, 0xE0)
    assert keys.hex() == "e012c00401308810c00402308810c00403308810"
    assert bytes.fromhex("060a2a864886fc6b02020301") in session.protocol.send_apdu(0x80, 0xCA, 0x00, 0x66)  # GP 2.3.1


@both
def test_yubikit_rotates_keys(link: Link, transport: TRANSPORT) -> None:
    new = _new_keys(16)
    _yubikit(link, transport).put_key(KeyRef(0x01, 0x31), StaticKeys(new.enc, new.mac, new.dek))
    session = _yubikit(link, transport, new)
    session.delete_key(kvn=0x30)
    assert session.protocol.send_apdu(0x80, 0xCA, 0x00, 0xE0).hex() == "e012c00401318810c00402318810c00403318810"
    assert _ask(link, Scp03Session.initialize_update(0x30, CHALLENGE)).sw == 0x6A88


@pytest.mark.parametrize("level", [0x01, 0x03, 0x11, 0x13, 0x33])
def test_our_host_at_every_level(link: Link, level: int) -> None:
    session = _open(link, KEYS, SecurityLevel(level))
    for _ in range(3):
        answer = session.unwrap(_ask(link, session.wrap(GetData(DataTag.KEY_INFORMATION).apdu())))
        assert answer.require("GET DATA").hex() == "e012c00401308810c00402308810c00403308810"


@pytest.mark.parametrize("size", [16, 24, 32])
def test_our_host_rotates_to_every_key_size(link: Link, size: int) -> None:
    new = _new_keys(size)
    session = _open(link, KEYS)
    put = put_key_set(new, KEYS.dek)
    answer = session.unwrap(_ask(link, session.wrap(put.apdu()))).require("PUT KEY")
    assert PutKeyAnswer.parse(answer) == put.answer()
    session = _open(link, new)
    session.unwrap(_ask(link, session.wrap(DeleteKey(0x30).apdu()))).require("DELETE [key]")
    assert _ask(link, Scp03Session.initialize_update(0x30, CHALLENGE)).sw == 0x6A88
    assert _open(link, new).level == 0x33


@pytest.mark.parametrize("level", [0x01, 0x11, 0x33])
@pytest.mark.parametrize("ne", [None, 256, 65536])
def test_extended_commands_in_a_session(link: Link, level: int, ne: int | None) -> None:
    session = _open(link, KEYS, SecurityLevel(level))
    for data in (b"\x5c\x00", b""):
        if data or ne:
            wrapped = session.wrap(CommandApdu(0x80, 0xCA, 0x00, 0xE0, data, ne, extended=True))
            assert wrapped.extended
            answer = session.unwrap(_ask(link, wrapped))
            assert answer.require("GET DATA").hex() == "e012c00401308810c00402308810c00403308810"


def test_a_registry_read_under_response_macs_is_complete(link: Link) -> None:
    session = _open(link, KEYS)

    def listing(scope: Scope) -> list[ResponseApdu]:
        command = GetStatus.everything(scope)
        answers = [session.unwrap(_ask(link, session.wrap(command.apdu())))]
        while answers[-1].sw == 0x6310:
            answers.append(session.unwrap(_ask(link, session.wrap(command.following().apdu()))))
        return answers

    scopes = (Scope.APPLICATIONS, Scope.LOAD_FILES_AND_MODULES, Scope.ISSUER_SECURITY_DOMAIN)
    registry = Registry.parse(*(listing(scope) for scope in scopes))
    assert registry.complete
    assert registry.isd is not None
    assert registry.isd.aid == ISD
    assert {entry.associated_sd for entry in registry.applications} == {ISD}


def test_a_session_computed_ahead_runs_as_one_script(link: Link) -> None:
    shown = _open(link, KEYS).answer
    assert shown.sequence_counter is not None
    expected, session = predict(
        KEYS,
        CHALLENGE,
        sequence_counter=next_sequence_counter(shown.sequence_counter),
        aid=ISD,
        diversification_data=shown.diversification_data,
        i=shown.i,
    )
    commands = [GetData(DataTag.CARD_DATA), GetData(DataTag.KEY_INFORMATION)]
    script, record = precompute(session, commands, select=ISD)
    answers = []
    for command in script:
        answers.append(link.transmit(command.c_apdu))
        assert command.expect.allows(answers[-1])
    assert answers[1][:-2] == expected.encode()
    assert [answer.data[0] for answer in read_answers(KEYS, record, answers)[3:]] == [0x66, 0xE0]


def test_a_tampered_command_ends_the_session_on_the_card(link: Link) -> None:
    session = _open(link, KEYS)
    wrapped = bytearray(session.wrap(GetData(DataTag.CARD_DATA).apdu()).encode())
    wrapped[-2] ^= 0x01
    assert ResponseApdu.parse(link.transmit(bytes(wrapped))).sw in {0x6982, 0x6988}
    answer = _ask(link, session.wrap(GetData(DataTag.CARD_DATA).apdu()))
    assert answer.sw != 0x9000
    with pytest.raises(SecureChannelError):
        session.unwrap(ResponseApdu(b"", 0x9000))
