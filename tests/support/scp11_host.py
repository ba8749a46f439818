"""Our host in SCP11 sessions with a virtual SE, and an SE that has the keys for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ec

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.put_key import KeyData, PutKey
from opentsm_card.scp11 import Scp11Agreement, Scp11Parameters, Scp11Session, Variant
from opentsm_card.scp11_certificate import CertificateUsage, OwnCertificate
from opentsm_card.scp11_kdf import encode_point
from opentsm_card.select import Select
from sc_cards import card
from sd_host import ISD, ISD_KEYS, Host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_card.apdu import Command
    from opentsm_card.link import Link
    from opentsm_simulator import VirtualSe

__all__ = ["AUTHORITY_VERSION", "VERSION", "Scp11Host", "make", "own_chain"]

VERSION: Final = 0x03
AUTHORITY_VERSION: Final = 0x02


def own_chain(
    authority: ec.EllipticCurvePrivateKey,
    host: ec.EllipticCurvePrivateKey,
    intermediates: Sequence[ec.EllipticCurvePrivateKey] = (),
) -> list[bytes]:
    """Return certificates in GlobalPlatform's format, up to the host's."""
    chain = []
    signer, issuer = authority, b"authority"
    for number, key in enumerate((*intermediates, host)):
        last = number == len(intermediates)
        usage = CertificateUsage.AGREEMENT if last else CertificateUsage.AUTHORITY
        subject = b"key %d" % number
        point = encode_point(key.public_key())
        certificate = OwnCertificate(bytes((number + 1,)), issuer, subject, usage, "20541231", point)
        chain.append(certificate.signed(signer).encode())
        signer, issuer = key, subject
    return chain


@dataclass
class Scp11Host:
    """A card with SCP11 keys, and the host's end.

    Args:
        se: the card.
        domain: private keys of its issuer security domain.
        authority: who certifies hosts.
        key: the host's.
        link: to the card.
    """

    se: VirtualSe
    domain: dict[Variant, ec.EllipticCurvePrivateKey]
    authority: ec.EllipticCurvePrivateKey
    key: ec.EllipticCurvePrivateKey
    link: Link
    session: Scp11Session | None = None

    def plain(self, command: Command | CommandApdu) -> ResponseApdu:
        apdu = command if isinstance(command, CommandApdu) else command.apdu()
        return ResponseApdu.parse(self.link.transmit(apdu.encode()))

    def select(self) -> None:
        self.session = None
        self.plain(Select(ISD)).require("SELECT")

    def agreement(self, variant: Variant, parameters: Scp11Parameters | None = None) -> Scp11Agreement:
        key = None if variant is Variant.B else self.key
        public = self.domain[variant].public_key()
        return Scp11Agreement(variant, VERSION, public, key, parameters=parameters or Scp11Parameters())

    def certify(self, certificates: Sequence[bytes] | None = None, *, block_bytes: int = 0xFFFF) -> list[int]:
        """Send a chain of certificates, by default one of the host's, and return the status words."""
        chain = own_chain(self.authority, self.key) if certificates is None else certificates
        commands = Scp11Agreement.certificate_commands(chain, AUTHORITY_VERSION, block_bytes=block_bytes)
        return [self.plain(command).sw for command in commands]

    def open(self, variant: Variant, parameters: Scp11Parameters | None = None) -> Scp11Session:
        self.select()
        if variant is not Variant.B:
            assert set(self.certify()) == {0x9000}
        agreement = self.agreement(variant, parameters)
        self.session = agreement.open(self.plain(agreement.authenticate()).require("AUTHENTICATE"))
        return self.session

    def send(self, command: Command | CommandApdu) -> ResponseApdu:
        assert self.session is not None
        apdu = command if isinstance(command, CommandApdu) else command.apdu()
        return self.session.unwrap(self.plain(self.session.wrap(apdu)))


def make(i: str = "13") -> Scp11Host:
    """Make a card with a key of each variant and an authority's, all put in an SCP03 session."""
    se = card("0370", f"11{i}", keys=(ISD_KEYS,))
    host = Host(se.link()).into(ISD, ISD_KEYS)
    assert host.session is not None
    encrypt = host.session.encrypt_sensitive
    domain = {variant: ec.generate_private_key(ec.SECP256R1()) for variant in Variant}
    for variant, key in domain.items():
        scalar = key.private_numbers().private_value.to_bytes(32, "big")
        host.done(PutKey(0, VERSION, variant.key_id, (KeyData.ecc_private(scalar, encrypt),)))
    authority = ec.generate_private_key(ec.SECP256R1())
    host.done(PutKey(0, AUTHORITY_VERSION, 0x10, (KeyData.ecc_public(encode_point(authority.public_key())),)))
    return Scp11Host(se, domain, authority, ec.generate_private_key(ec.SECP256R1()), se.link())
