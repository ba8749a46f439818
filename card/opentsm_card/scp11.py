"""SCP11, host side: certificates, key agreement, and the session that comes of it.

`Scp11Agreement` makes the commands: `certificate_commands` for SCP11a and c, then `authenticate`; `open` checks the
card's answer and returns the session, with which `wrap` and `unwrap` alternate as in SCP03. Ahead: with SCP11c nothing
of the agreement is the card's to choose, so `predict` says what it will answer, before anything is sent.

Keys are on P-256. Whose the security domain's public key is, its certificates say (`opentsm_card.scp11_store`), or
whoever wrote it down.

Spec: GP Card Specification Amendment F 1.3, 3.1, 6.4 to 6.6.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ec

from opentsm_card import tlv
from opentsm_card.aes_session import AesSession
from opentsm_card.apdu import CommandApdu
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.scp03 import max_data_bytes
from opentsm_card.scp11_kdf import AgreedKeys, KeyUsage, Variant, decode_point, encode_point, receipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_card.external_authenticate import SecurityLevel

__all__ = ["KeyUsage", "Scp11Agreement", "Scp11Parameters", "Scp11Session", "Variant"]

_TAG_REFERENCE: Final = 0xA6
_TAG_PROTOCOL: Final = 0x90
_TAG_USAGE: Final = 0x95
_TAG_KEY_TYPE: Final = 0x80
_TAG_KEY_LENGTH: Final = 0x81
_TAG_PUBLIC_KEY: Final = 0x5F49
_TAG_RECEIPT: Final = 0x86
_INS_PERFORM_SECURITY_OPERATION: Final = 0x2A
_SCP11: Final = 0x11
_AES: Final = 0x88
_MORE: Final = 0x80
_MAX_SHORT_DATA: Final = 255
_BLOCK_BYTES: Final = 16


class Scp11Session(AesSession):
    """The host's end of one SCP11 session; not shared between threads. `Scp11Agreement.open` makes it."""

    __slots__ = ("_variant",)

    def __init__(
        self, keys: AgreedKeys, mac_bytes: int, chaining_value: bytes, level: SecurityLevel, variant: Variant
    ) -> None:
        super().__init__(keys.session, mac_bytes, chaining_value, keys.dek)
        self._level = level
        self._variant = variant

    def __repr__(self) -> str:
        """Show variant and level."""
        level = 0 if self._level is None else int(self._level)
        return f"Scp11Session(SCP11{self._variant.name.lower()}, level {level:02X}, alive={self._alive})"

    @property
    def max_data_bytes(self) -> int:
        """How much plain data one short command takes."""
        assert self._level is not None  # set when the session is made
        return max_data_bytes(self._level, 0x01 if self._mac_bytes == _BLOCK_BYTES else 0x00)


@dataclass(frozen=True, slots=True)
class Scp11Parameters:
    """What a session is to be like.

    Args:
        usage: what the keys are for.
        key_bytes: their length, 16, 24 or 32.
        mac_bytes: length of MACs: 16 if the security domain's i has bit 40, else 8.

    Raises:
        ProtocolError: another length.
    """

    usage: KeyUsage = KeyUsage.ALL
    key_bytes: int = 16
    mac_bytes: int = 8

    def __post_init__(self) -> None:
        """Check the lengths."""
        if self.mac_bytes not in {8, 16} or self.key_bytes not in {16, 24, 32}:
            raise ProtocolError("SCP11: MACs of 8 or 16 bytes, keys of 16, 24 or 32 bytes wanted")


_DEFAULT: Final = Scp11Parameters()


class Scp11Agreement:
    """One agreement on session keys, the host's side.

    Args:
        variant: SCP11a, b or c.
        key_version: of the security domain's private key, 0 for any.
        domain_key: its public key, verified.
        host_key: the host's private key, which its last certificate is of; None for SCP11b.
        parameters: of the session.
        ephemeral: for this agreement alone, never used twice; made here by default.

    Raises:
        ProtocolError: a host key that is missing, or not wanted; keys of another curve than P-256.
    """

    __slots__ = ("_ephemeral", "_host_key", "_key_bytes", "_key_version", "_mac_bytes", "_point", "_usage", "_variant")

    def __init__(
        self,
        variant: Variant,
        key_version: int,
        domain_key: ec.EllipticCurvePublicKey,
        host_key: ec.EllipticCurvePrivateKey | None = None,
        *,
        parameters: Scp11Parameters = _DEFAULT,
        ephemeral: ec.EllipticCurvePrivateKey | None = None,
    ) -> None:
        if (host_key is None) != (variant is Variant.B):
            raise ProtocolError(f"SCP11{variant.name.lower()} {'needs a' if host_key is None else 'has no'} host key")
        if not 0 <= key_version <= 0x7F:
            raise ProtocolError(f"key version {key_version} is not in 0..127")
        self._variant = variant
        self._key_version = key_version
        self._point = encode_point(domain_key)
        self._ephemeral = ephemeral or ec.generate_private_key(ec.SECP256R1())
        self._host_key = self._ephemeral if host_key is None else host_key
        encode_point(self._host_key.public_key())
        self._usage = parameters.usage
        self._key_bytes = parameters.key_bytes
        self._mac_bytes = parameters.mac_bytes

    def __repr__(self) -> str:
        """Show variant and key version."""
        return f"Scp11Agreement(SCP11{self._variant.name.lower()}, key version {self._key_version:#04x})"

    @staticmethod
    def certificate_commands(
        certificates: Sequence[bytes], key_version: int, key_id: int = 0x10, *, block_bytes: int = 0xFFFF
    ) -> tuple[CommandApdu, ...]:
        """Return PERFORM SECURITY OPERATION for a chain of certificates.

        Args:
            certificates: encoded; the first signed by the authority whose key the domain has, the last the host's.
            key_version: of the authority's key.
            key_id: its identifier, 10 or 20..2F.
            block_bytes: data of one command at most; a longer certificate comes in several (P1 b8).

        Raises:
            ProtocolError: no certificate.

        Spec: GP Card Specification Amendment F 1.3, 6.4.
        """
        if not certificates or block_bytes < 1:
            raise ProtocolError("PERFORM SECURITY OPERATION: no certificate")
        commands = []
        for number, certificate in enumerate(certificates):
            p2 = key_id | (_MORE if number < len(certificates) - 1 else 0)
            for start in range(0, len(certificate), block_bytes):
                block = certificate[start : start + block_bytes]
                p1 = key_version | (_MORE if start + block_bytes < len(certificate) else 0)
                extended = len(block) > _MAX_SHORT_DATA
                commands.append(CommandApdu(0x80, _INS_PERFORM_SECURITY_OPERATION, p1, p2, block, extended=extended))
        return tuple(commands)

    def _request(self) -> bytes:
        reference = (
            tlv.encode(_TAG_PROTOCOL, bytes((_SCP11, self._variant.parameter)))
            + tlv.encode(_TAG_USAGE, bytes((self._usage.value,)))
            + tlv.encode(_TAG_KEY_TYPE, bytes((_AES,)))
            + tlv.encode(_TAG_KEY_LENGTH, bytes((self._key_bytes,)))
        )
        point = encode_point(self._ephemeral.public_key())
        return tlv.encode(_TAG_REFERENCE, reference) + tlv.encode(_TAG_PUBLIC_KEY, point)

    def authenticate(self) -> CommandApdu:
        """Return MUTUAL AUTHENTICATE, or INTERNAL AUTHENTICATE for SCP11b.

        Spec: GP Card Specification Amendment F 1.3, 6.5, 6.6.
        """
        return CommandApdu(0x80, self._variant.ins, self._key_version, self._variant.key_id, self._request(), 256)

    def _agree(self, point: bytes) -> AgreedKeys:
        first = self._ephemeral.exchange(ec.ECDH(), decode_point(point))
        second = self._host_key.exchange(ec.ECDH(), decode_point(self._point))
        return AgreedKeys.derive(first, second, self._usage, self._key_bytes)

    def _finish(self, point: bytes) -> tuple[bytes, Scp11Session]:
        keys = self._agree(point)
        expected = receipt(keys.receipt, self._request(), tlv.encode(_TAG_PUBLIC_KEY, point))
        return expected, Scp11Session(keys, self._mac_bytes, expected, self._usage.level, self._variant)

    def open(self, answer: bytes) -> Scp11Session:
        """Check the card's answer and return the session.

        Args:
            answer: response data of `authenticate`, without the status word.

        Raises:
            SecureChannelError: the receipt is wrong: the card does not hold the private key of the public one, or the
                host does not hold the one of its certificate.
            ProtocolError: malformed.
        """
        objects = tlv.parse_all(answer)
        if [found.tag for found in objects] != [_TAG_PUBLIC_KEY, _TAG_RECEIPT]:
            raise ProtocolError("SCP11 answer: a public key (5F49) and a receipt (86) wanted")
        point, given = objects[0].value, objects[1].value
        if self._variant is Variant.C and point != self._point:
            raise SecureChannelError("the card answers with another static key than is known of it")
        expected, session = self._finish(point)
        if not hmac.compare_digest(expected, given):
            raise SecureChannelError("the receipt does not verify")
        return session

    def predict(self) -> tuple[bytes, Scp11Session]:
        """Return what the card will answer to `authenticate`, and the session: SCP11c alone can be known ahead.

        Raises:
            ProtocolError: SCP11a or b, whose card has an ephemeral key.
        """
        if self._variant is not Variant.C:
            raise ProtocolError(
                f"SCP11{self._variant.name.lower()}: the card's key is ephemeral and can't be known ahead"
            )
        expected, session = self._finish(self._point)
        return tlv.encode(_TAG_PUBLIC_KEY, self._point) + tlv.encode(_TAG_RECEIPT, expected), session
