"""yubikit as a host of the security domain applet: its readers, its storing, replaced keys, and each refusal.

`test_yubikit_virtual_se.py` has its sessions and its rotation of keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from yubikit.core import TRANSPORT
from yubikit.core.smartcard import ApduError, SmartCardConnection
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, StaticKeys
from yubikit.securitydomain import SecurityDomainSession

from opentsm_card.apdu import ResponseApdu
from sd_host import ISD_KEYS, keys

if TYPE_CHECKING:
    from opentsm_card.keys import KeySet
    from opentsm_card.link import Link
    from opentsm_simulator import VirtualSe


class HostConnection(SmartCardConnection):
    """A link as yubikit's connection, and a record of what it sent."""

    def __init__(self, link: Link, transport: TRANSPORT) -> None:
        self._link = link
        self._transport = transport
        self.sent: list[bytes] = []

    @property
    def transport(self) -> TRANSPORT:
        return self._transport

    def close(self) -> None:
        self._link.close()

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        self.sent.append(apdu)
        answer = ResponseApdu.parse(self._link.transmit(apdu))
        return answer.data, answer.sw


@pytest.fixture(params=[TRANSPORT.USB, TRANSPORT.NFC], ids=["extended", "short"])
def connection(se: VirtualSe, request: pytest.FixtureRequest) -> HostConnection:
    return HostConnection(se.link(), request.param)


def static(key_set: KeySet) -> StaticKeys:
    return StaticKeys(key_set.enc, key_set.mac, key_set.dek)


def authenticated(connection: HostConnection, key_set: KeySet = ISD_KEYS) -> SecurityDomainSession:
    session = SecurityDomainSession(connection)
    session.authenticate(Scp03KeyParams(KeyRef(1, key_set.version), static(key_set)))
    return session


@pytest.mark.parametrize("secured", [False, True])
def test_its_readers(connection: HostConnection, secured: bool) -> None:  # noqa: FBT001 - a parameter of the test
    session = authenticated(connection) if secured else SecurityDomainSession(connection)
    assert session.get_key_information() == {KeyRef(number, 0x30): {0x88: 16} for number in (1, 2, 3)}
    assert bytes.fromhex("06092A864886FC6B040370") in session.get_card_recognition_data()
    assert session.get_supported_ca_identifiers() == {}
    assert session.get_certificate_bundle(KeyRef(0x13, 1)) == []


def test_it_stores_data(connection: HostConnection) -> None:
    session = authenticated(connection)
    session.store_data(bytes.fromhex("42080102030405060708"))
    assert session.get_data(0x42) == bytes.fromhex("0102030405060708")
    with pytest.raises(ApduError, match="6a88"):
        session.store_data(bytes.fromhex("BF210100"))


def test_it_replaces_keys(connection: HostConnection) -> None:
    new = keys(0x30, 7)
    authenticated(connection).put_key(KeyRef(1, 0x30), static(new), replace_kvn=0x30)
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):
        authenticated(connection)
    assert authenticated(connection, new).get_key_information().keys() == {KeyRef(n, 0x30) for n in (1, 2, 3)}


def test_wrong_keys_and_versions_are_refused(connection: HostConnection) -> None:
    for wrong in (keys(0x30, 1), keys(0x31, 1)):
        with pytest.raises(ValueError, match="Incorrect SCP parameters"):
            authenticated(connection, wrong)
    authenticated(connection)


def test_nothing_changes_without_a_session(connection: HostConnection) -> None:
    session = SecurityDomainSession(connection)
    with pytest.raises(ApduError, match="6982"):
        session.delete_key(kvn=0x30)
    with pytest.raises(ApduError, match="6982"):
        session.store_data(bytes.fromhex("420101"))


def test_the_last_key_set_stays(connection: HostConnection) -> None:
    session = authenticated(connection)
    for last in (False, True):
        with pytest.raises(ApduError, match="6985"):
            session.delete_key(kvn=0x30, delete_last=last)
    with pytest.raises(ApduError, match="6a88"):
        session.delete_key(kvn=0x35)


def test_a_replayed_command_of_its_is_refused(connection: HostConnection) -> None:
    session = authenticated(connection)
    session.get_data(0x66)
    replayed = connection.sent[-1]
    assert connection.send_and_receive(replayed) == (b"", 0x6982)
    with pytest.raises(ApduError, match="6982"):
        session.get_data(0x66)
