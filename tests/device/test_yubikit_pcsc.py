"""yubikit over pcscd and vpcd, in SCP03 and SCP11 sessions with a virtual SE: short in chains and extended, by ATR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from ykman.pcsc import ScardSmartCardConnection
from yubikit.core import TRANSPORT
from yubikit.core.smartcard import ApduError, SmartCardConnection
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, Scp11KeyParams, ScpKid, StaticKeys
from yubikit.securitydomain import SecurityDomainSession

from opentsm_simulator import VirtualSe
from opentsm_simulator.profile import load_profile
from pcsc_bench import Inserted, connect
from scp11_pki import certificate, chain
from sd_host import ISD_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pcsc_rig import Slot

# Both are T=1; yubikit takes one whose T0 begins with F as a USB token's and sends it extended APDUs.
ATRS: Final = {TRANSPORT.USB: "3BF013000081" + "31FE15B8", TRANSPORT.NFC: "3B800181"}
STATIC: Final = StaticKeys(ISD_KEYS.enc, ISD_KEYS.mac, ISD_KEYS.dek)
OCE: Final = KeyRef(0x10, 0x03)


@pytest.fixture(params=list(ATRS), ids=["extended", "short"])
def connection(request: pytest.FixtureRequest, used_slot: Slot) -> Iterator[SmartCardConnection]:
    profile = load_profile("embedded")
    domain = msgspec.structs.replace(profile.instances[0], scp=("0370", "1113"))
    profile = msgspec.structs.replace(profile, atr=ATRS[request.param], instances=(domain, *profile.instances[1:]))
    used_slot.card = Inserted(VirtualSe.create(profile))
    reader = connect(used_slot.reader)
    opened: SmartCardConnection = ScardSmartCardConnection(reader.createConnection())  # type: ignore[no-untyped-call]
    assert opened.transport == request.param
    yield opened
    opened.close()


def scp03(connection: SmartCardConnection, version: int = 0x30, keys: StaticKeys = STATIC) -> SecurityDomainSession:
    session = SecurityDomainSession(connection)
    session.authenticate(Scp03KeyParams(KeyRef(1, version), keys))
    return session


def test_yubikit_manages_a_virtual_se_over_pcscd(connection: SmartCardConnection) -> None:
    """SCP03 at its level 33, keys imported and deleted; SCP11a, b, c; certificates; GET DATA. One reader for all."""
    session = scp03(connection)
    assert session.get_key_information() == {KeyRef(number, 0x30): {0x88: 16} for number in (1, 2, 3)}
    assert bytes.fromhex("06092A864886FC6B041113") in session.get_card_recognition_data()
    new = StaticKeys(bytes(16), bytes(range(16)), b"\x01" * 16)
    session.put_key(KeyRef(1, 0x31), new)
    scp03(connection, 0x31, new).delete_key(kvn=0x31)
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):
        scp03(connection, 0x31, new)

    oce = chain(1)
    own = {kid: ec.generate_private_key(ec.SECP256R1()) for kid in (ScpKid.SCP11a, ScpKid.SCP11b, ScpKid.SCP11c)}
    session = scp03(connection)
    session.put_key(OCE, oce.authority.public_key())
    session.store_ca_issuer(OCE, b"authority of hosts..")
    for kid, key in own.items():
        session.put_key(KeyRef(kid, 0x03), key)
    root = ec.generate_private_key(ec.SECP256R1())
    bundle = [
        certificate("cards", root.public_key(), "cards", root, authority=True),
        certificate("this card", own[ScpKid.SCP11b].public_key(), "cards", root),
    ]
    session.store_certificate_bundle(KeyRef(ScpKid.SCP11b, 0x03), bundle)

    public = SecurityDomainSession(connection)
    assert public.get_supported_ca_identifiers(kloc=True) == {OCE: b"authority of hosts.."}
    stored = public.get_certificate_bundle(KeyRef(ScpKid.SCP11b, 0x03))
    assert stored == bundle
    leaf = stored[-1].public_key()
    assert isinstance(leaf, ec.EllipticCurvePublicKey)
    public.authenticate(Scp11KeyParams(KeyRef(ScpKid.SCP11b, 0x03), leaf))
    assert OCE in public.get_key_information()
    with pytest.raises(ApduError, match="6982"):
        public.delete_key(kvn=0x30)

    for kid in (ScpKid.SCP11a, ScpKid.SCP11c):
        session = SecurityDomainSession(connection)
        session.authenticate(Scp11KeyParams(KeyRef(kid, 0x03), own[kid].public_key(), OCE, oce.entity, oce.sent))
        assert session.get_certificate_bundle(KeyRef(ScpKid.SCP11b, 0x03)) == bundle  # longer than a short response
        session.store_data(bytes.fromhex("42080102030405060708"))
        assert session.get_data(0x42) == bytes.fromhex("0102030405060708")
    session.store_allowlist(OCE, [1])
    session = SecurityDomainSession(connection)
    with pytest.raises(ApduError, match="6640"):
        session.authenticate(
            Scp11KeyParams(KeyRef(0x11, 0x03), own[ScpKid.SCP11a].public_key(), OCE, oce.entity, oce.sent)
        )
    session = scp03(connection)
    session.delete_key(kvn=0x03)
    assert session.get_key_information().keys() == {KeyRef(number, 0x30) for number in (1, 2, 3)}
