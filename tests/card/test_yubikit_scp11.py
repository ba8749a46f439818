"""yubikit, an independent host, in SCP11 sessions with the virtual SE: a, b, c; keys, certificates, allow lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from yubikit.core import TRANSPORT
from yubikit.core.smartcard import ApduError, SmartCardConnection
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, Scp11KeyParams, ScpKid, StaticKeys
from yubikit.securitydomain import SecurityDomainSession

from opentsm_card.apdu import ResponseApdu
from sc_cards import card
from scp11_pki import Certificates, certificate, chain
from sd_host import ISD_KEYS

if TYPE_CHECKING:
    from opentsm_card.link import Link

A, B, C = (KeyRef(kid, 0x03) for kid in (ScpKid.SCP11a, ScpKid.SCP11b, ScpKid.SCP11c))
OCE = KeyRef(0x10, 0x03)
STATIC = StaticKeys(ISD_KEYS.enc, ISD_KEYS.mac, ISD_KEYS.dek)


class Connection(SmartCardConnection):
    """A link as yubikit's connection."""

    def __init__(self, link: Link, transport: TRANSPORT) -> None:
        self._link = link
        self._transport = transport

    @property
    def transport(self) -> TRANSPORT:
        return self._transport

    def close(self) -> None:
        self._link.close()

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        answer = ResponseApdu.parse(self._link.transmit(apdu))
        return answer.data, answer.sw


@pytest.fixture(params=[TRANSPORT.USB, TRANSPORT.NFC], ids=["extended", "short"])
def connection(request: pytest.FixtureRequest) -> Connection:
    return Connection(card("0370", "1113", keys=(ISD_KEYS,)).link(), request.param)


def scp03(connection: Connection) -> SecurityDomainSession:
    session = SecurityDomainSession(connection)
    session.authenticate(Scp03KeyParams(KeyRef(1, 0x30), STATIC))
    return session


def provisioned(connection: Connection, ref: KeyRef, oce: Certificates | None = None) -> ec.EllipticCurvePrivateKey:
    """Import a private key of the domain, and the authority's; return the private key."""
    own = ec.generate_private_key(ec.SECP256R1())
    session = scp03(connection)
    session.put_key(ref, own)
    if oce is not None:
        session.put_key(OCE, oce.authority.public_key())
    return own


def params(ref: KeyRef, own: ec.EllipticCurvePrivateKey, oce: Certificates | None = None) -> Scp11KeyParams:
    if oce is None:
        return Scp11KeyParams(ref, own.public_key())
    return Scp11KeyParams(ref, own.public_key(), OCE, oce.entity, oce.sent)


def opened(connection: Connection, parameters: Scp11KeyParams) -> SecurityDomainSession:
    session = SecurityDomainSession(connection)
    session.authenticate(parameters)
    return session


def test_scp11b_authenticates_the_domain_alone(connection: Connection) -> None:
    own = provisioned(connection, B)
    session = opened(connection, params(B, own))
    assert KeyRef(1, 0x30) in session.get_key_information()
    with pytest.raises(ApduError, match="6982"):
        session.store_data(bytes.fromhex("420101"))
    with pytest.raises(ApduError, match="6982"):
        session.delete_key(kvn=0x30)
    assert KeyRef(1, 0x30) in session.get_key_information()


@pytest.mark.parametrize("intermediates", [0, 1, 2])
@pytest.mark.parametrize("ref", [A, C])
def test_scp11a_and_c_manage(connection: Connection, ref: KeyRef, intermediates: int) -> None:
    oce = chain(intermediates)
    own = provisioned(connection, ref, oce)
    session = opened(connection, params(ref, own, oce))
    for _ in range(3):
        assert session.get_key_information()[ref] == {0xB1: 32, 0xF0: 0}
    session.store_data(bytes.fromhex("42080102030405060708"))
    assert session.get_data(0x42) == bytes.fromhex("0102030405060708")
    session.put_key(KeyRef(1, 0x31), StaticKeys(bytes(16), bytes(16), bytes(16)))  # under the session's DEK
    session = SecurityDomainSession(connection)
    session.authenticate(Scp03KeyParams(KeyRef(1, 0x31), StaticKeys(bytes(16), bytes(16), bytes(16))))
    session.delete_key(kid=ref.kid, kvn=ref.kvn)
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):  # 6A88
        opened(connection, params(ref, own, oce))


def test_many_agreements_never_fail() -> None:
    """Numbers with leading zeros are still 32 bytes: one agreement in 64 has one."""
    connection = Connection(card("0370", "1113", keys=(ISD_KEYS,)).link(), TRANSPORT.USB)
    own = provisioned(connection, B)
    for _ in range(150):
        assert opened(connection, params(B, own)).get_data(0x45)


def test_keys_are_listed_replaced_and_deleted(connection: Connection) -> None:
    oce = chain()
    provisioned(connection, A, oce)
    session = scp03(connection)
    assert session.get_key_information() == {
        **{KeyRef(number, 0x30): {0x88: 16} for number in (1, 2, 3)},
        A: {0xB1: 32, 0xF0: 0},
        OCE: {0xB0: 64, 0xF0: 0},
    }
    own = ec.generate_private_key(ec.SECP256R1())
    session.put_key(KeyRef(A.kid, 0x04), own, replace_kvn=0x03)
    assert KeyRef(A.kid, 0x04) in session.get_key_information()
    opened(connection, params(KeyRef(A.kid, 0x04), own, oce))
    session = scp03(connection)
    session.delete_key(kid=OCE.kid)
    session.delete_key(kvn=0x04)
    assert session.get_key_information().keys() == {KeyRef(number, 0x30) for number in (1, 2, 3)}
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):  # 6A88
        opened(connection, params(KeyRef(A.kid, 0x04), own, oce))


def test_a_key_on_another_curve_is_refused(connection: Connection) -> None:
    with pytest.raises(ApduError, match="9484"):
        scp03(connection).put_key(OCE, ec.generate_private_key(ec.SECP521R1()).public_key())
    with pytest.raises(ApduError, match="9484"):
        scp03(connection).put_key(B, ec.generate_private_key(ec.BrainpoolP256R1()))
    scp03(connection).put_key(B, ec.generate_private_key(ec.SECP384R1()))  # kept, but not for SCP11
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):
        opened(connection, params(B, ec.generate_private_key(ec.SECP256R1())))


def test_the_certificate_store(connection: Connection) -> None:
    own = provisioned(connection, B)
    root = ec.generate_private_key(ec.SECP256R1())
    bundle = [
        certificate("cards", root.public_key(), "cards", root, authority=True),
        certificate("this card", own.public_key(), "cards", root),
    ]
    session = scp03(connection)
    assert session.get_certificate_bundle(B) == []
    session.store_certificate_bundle(B, bundle)
    assert session.get_certificate_bundle(B) == bundle
    assert session.get_certificate_bundle(A) == []
    assert SecurityDomainSession(connection).get_certificate_bundle(B) == bundle  # public
    session = scp03(connection)
    session.store_certificate_bundle(B, bundle[1:])
    assert session.get_certificate_bundle(B) == bundle[1:]
    verified = SecurityDomainSession(connection).get_certificate_bundle(B)[-1].public_key()
    assert isinstance(verified, ec.EllipticCurvePublicKey)
    opened(connection, Scp11KeyParams(B, verified))
    session = scp03(connection)
    with pytest.raises(ApduError, match="6a88"):
        session.store_certificate_bundle(A, bundle)  # there is no such key
    session.delete_key(kid=B.kid)
    assert session.get_certificate_bundle(B) == []


def test_the_allow_list(connection: Connection) -> None:
    oce = chain(serial=0x9F00000001)  # with a high bit: X.509 puts 00 before it
    own = provisioned(connection, A, oce)
    scp03(connection).store_allowlist(OCE, [5, 0x9F00000001])
    opened(connection, params(A, own, oce))
    scp03(connection).store_allowlist(OCE, [5, 0x9F00000002])
    with pytest.raises(ApduError, match="6640"):
        opened(connection, params(A, own, oce))
    scp03(connection).store_allowlist(OCE, [])
    opened(connection, params(A, own, oce))


def test_an_allow_list_is_of_the_first_certificate_of_a_chain(connection: Connection) -> None:
    oce = chain(1, serial=77)
    own = provisioned(connection, A, oce)
    scp03(connection).store_allowlist(OCE, [77])
    opened(connection, params(A, own, oce))
    scp03(connection).store_allowlist(OCE, [oce.sent[1].serial_number])
    with pytest.raises(ApduError, match="6640"):
        opened(connection, params(A, own, oce))


def test_names_of_authorities(connection: Connection) -> None:
    oce = chain()
    provisioned(connection, A, oce)
    session = scp03(connection)
    assert session.get_supported_ca_identifiers() == {}
    session.store_ca_issuer(OCE, b"authority of hosts..")
    session.store_ca_issuer(A, b"authority of cards..")
    assert session.get_supported_ca_identifiers(kloc=True) == {OCE: b"authority of hosts.."}
    assert session.get_supported_ca_identifiers(klcc=True) == {A: b"authority of cards.."}
    assert session.get_supported_ca_identifiers().keys() == {OCE, A}


def test_chains_that_do_not_verify(connection: Connection) -> None:
    oce = chain(1)
    own = provisioned(connection, A, oce)
    stranger = ec.generate_private_key(ec.SECP256R1())
    entity = oce.entity.public_key()
    for sent, sw in (
        (chain(1).sent, "6600"),  # another authority's
        ([oce.sent[0], certificate("entity", entity, "intermediate 0", stranger)], "6600"),
        ([oce.sent[0], certificate("entity", entity, "someone", oce.keys[0])], "6600"),  # names another issuer
        (oce.sent[:1], "6a80"),  # an authority's at the end
        ([certificate("entity", entity, "authority", oce.authority, agreement=False)], "6a80"),
        (
            [
                certificate("entity", entity, "authority", oce.authority),
                certificate("more", entity, "entity", oce.entity),
            ],
            "6a80",
        ),  # signed by who is no authority
    ):
        with pytest.raises(ApduError, match=sw):
            opened(connection, Scp11KeyParams(A, own.public_key(), OCE, oce.entity, sent))
    opened(connection, params(A, own, oce))


def test_an_entity_without_its_private_key_gets_no_session(connection: Connection) -> None:
    oce = chain()
    own = provisioned(connection, A, oce)
    stolen = Certificates(oce.authority, oce.sent, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(InvalidSignature):  # its receipt does not verify
        opened(connection, params(A, own, stolen))


def test_a_domain_with_another_key_is_found_out(connection: Connection) -> None:
    provisioned(connection, B)
    with pytest.raises(InvalidSignature):
        opened(connection, params(B, ec.generate_private_key(ec.SECP256R1())))


def test_its_key_generation_is_no_command_of_globalplatform(connection: Connection) -> None:
    with pytest.raises(ApduError, match="6d00"):
        scp03(connection).generate_ec_key(B)
