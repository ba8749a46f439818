"""yubikit, an independent host, against our card side of SCP03 (it does AES-128, S8, level 33)."""

from __future__ import annotations

import pytest
from yubikit.core import TRANSPORT
from yubikit.core.smartcard import SmartCardConnection, SmartCardProtocol
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, StaticKeys
from yubikit.securitydomain import SecurityDomainSession

from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.commands import parse_command
from opentsm_card.errors import CardError, SecureChannelError
from opentsm_card.keys import KeySet
from opentsm_card.put_key import PutKey
from opentsm_card.scp03_card import Scp03Card
from opentsm_card.store_data import StoreData

ISD = Aid.from_text("A000000151000000")
KEYS = KeySet(0x30, b"\xe1" * 16, b"\xe2" * 16, b"\xe3" * 16)
NEW = KeySet(0x31, b"\xf1" * 16, b"\xf2" * 16, b"\xf3" * 16)
KEY_INFORMATION = bytes.fromhex("c00401308810c00402308810c00403308810")


class CardConnection(SmartCardConnection):
    """A security domain behind yubikit's connection: SELECT, SCP03, PUT KEY, STORE DATA and GET DATA."""

    def __init__(self, transport: TRANSPORT, i: int = 0x70) -> None:
        self._transport = transport
        self.channel = Scp03Card(KEYS, aid=ISD, diversification_data=bytes(10), i=i)
        self.keys: dict[int, KeySet] = {}
        self.stored: list[bytes] = []
        self.wrapped: list[CommandApdu] = []
        self._chained = b""

    @property
    def transport(self) -> TRANSPORT:
        return self._transport

    def close(self) -> None:
        """Nothing is held."""

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        command = CommandApdu.parse(apdu)
        if command.cla & 0x10:  # command chaining: yubikit wraps first, then splits
            self._chained += command.data
            return b"", 0x9000
        data, self._chained = self._chained + command.data, b""
        whole = CommandApdu(command.cla, command.ins, command.p1, command.p2, data, command.ne, command.extended)
        try:
            answer = self._answer(whole)
        except CardError as error:
            answer = ResponseApdu(b"", error.sw)
        except SecureChannelError:
            answer = ResponseApdu(b"", 0x6982)
        return answer.data, answer.sw

    def _answer(self, command: CommandApdu) -> ResponseApdu:
        if command.ins == 0xA4:
            self.channel.reset()
            return ResponseApdu(bytes.fromhex("6f00"))
        if command.ins == 0x50:
            return ResponseApdu(self.channel.initialize_update(command).encode())
        if command.ins == 0x82:
            self.channel.external_authenticate(command)
            return ResponseApdu()
        self.wrapped.append(command)
        return self.channel.wrap(self._run(self.channel.unwrap(command)))

    def _run(self, plain: CommandApdu) -> ResponseApdu:
        if plain.ins == 0xCA:
            return ResponseApdu(KEY_INFORMATION) if plain.p2 == 0xE0 else ResponseApdu(b"", 0x6A88)
        command = parse_command(plain)
        if isinstance(command, StoreData):
            self.stored.append(command.data)
            return ResponseApdu()
        assert isinstance(command, PutKey)
        enc, mac, dek = (key.decrypt_aes(KEYS.dek) for key in command.keys)
        self.keys[command.key_version] = KeySet(command.key_version, enc, mac, dek)
        return ResponseApdu(command.answer().encode())


def _params(keys: KeySet = KEYS) -> Scp03KeyParams:
    return Scp03KeyParams(KeyRef(0x01, keys.version), StaticKeys(keys.enc, keys.mac, keys.dek))


def _session(connection: CardConnection, keys: KeySet = KEYS) -> SecurityDomainSession:
    session = SecurityDomainSession(connection)
    session.authenticate(_params(keys))
    return session


both = pytest.mark.parametrize("transport", [TRANSPORT.USB, TRANSPORT.NFC])


@both
@pytest.mark.parametrize("i", [0x60, 0x70])
def test_yubikit_authenticates_and_reads(transport: TRANSPORT, i: int) -> None:
    connection = CardConnection(transport, i)
    session = _session(connection)
    assert connection.channel.level == 0x33
    assert set(session.get_key_information()) == {KeyRef(number, 0x30) for number in (1, 2, 3)}
    assert all(command.secured for command in connection.wrapped)


@both
@pytest.mark.parametrize("length", [1, 16, 200, 239, 240, 247, 248, 255, 256, 700])
def test_yubikit_stores_data_of_every_length(transport: TRANSPORT, length: int) -> None:
    connection = CardConnection(transport)
    data = bytes(number % 251 for number in range(length))
    _session(connection).store_data(data)
    assert connection.stored == [data]


def test_yubikit_splits_short_commands_when_it_has_to() -> None:
    connection = CardConnection(TRANSPORT.USB)
    protocol = SmartCardProtocol(connection)
    protocol.select(ISD)
    protocol.init_scp(_params())
    protocol.send_apdu(0, 0xE2, 0x90, 0, bytes(600))
    assert connection.stored == [bytes(600)]


@both
def test_yubikit_loads_keys_and_opens_a_session_with_them(transport: TRANSPORT) -> None:
    connection = CardConnection(transport)
    _session(connection).put_key(KeyRef(0x01, NEW.version), StaticKeys(NEW.enc, NEW.mac, NEW.dek))
    assert connection.keys == {0x31: NEW}
    connection.channel = Scp03Card(connection.keys[0x31], aid=ISD, diversification_data=bytes(10))
    assert _session(connection, NEW).get_key_information()


@both
def test_a_conversation_stays_in_step_over_errors(transport: TRANSPORT) -> None:
    connection = CardConnection(transport)
    session = _session(connection)
    for number in range(5):
        session.store_data(b"block %d" % number)
        assert session.get_supported_ca_identifiers() == {}  # answered 6A88, twice, without MAC
    assert len(connection.stored) == 5


def test_yubikit_finds_that_our_keys_are_others() -> None:
    connection = CardConnection(TRANSPORT.USB)
    session = SecurityDomainSession(connection)
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):
        session.authenticate(_params(KeySet(0x30, NEW.enc, NEW.mac, NEW.dek)))
    assert connection.channel.level is None
