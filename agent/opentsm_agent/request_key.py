"""A key in a token or TPM as `cryptography` takes it for certificate requests: it signs, and tells its public key."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from opentsm_agent.hardware_keys import HardwareKey

__all__ = ["RequestKey"]


class RequestKey(ec.EllipticCurvePrivateKey):
    """A private key on P-256 that never leaves where it is.

    Args:
        key: the key.

    Raises:
        ProtocolError: it is not on P-256.
    """

    def __init__(self, key: HardwareKey) -> None:
        self._key = key
        public = serialization.load_der_public_key(key.public_der())
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            raise ProtocolError(f"key {key.name}: want one on P-256")
        self._public = public

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return its public key."""
        return self._public

    def sign(
        self,
        data: bytes,  # type: ignore[override] # cryptography's own type for it differs between versions
        signature_algorithm: ec.EllipticCurveSignatureAlgorithm,
    ) -> bytes:
        """Sign data with SHA-256; nothing else is asked for here."""
        algorithm = signature_algorithm.algorithm
        if not isinstance(algorithm, hashes.SHA256):
            self._never()
        return self._key.sign(data)

    @property
    def curve(self) -> ec.EllipticCurve:
        """Its curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Its size in bits."""
        return self._public.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Not for requests."""
        del algorithm, peer_public_key
        self._never()

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """Never."""
        self._never()

    def private_bytes(
        self,
        encoding: serialization.Encoding,
        format: serialization.PrivateFormat,  # noqa: A002 - cryptography's name
        encryption_algorithm: serialization.KeySerializationEncryption,
    ) -> bytes:
        """Never."""
        del encoding, format, encryption_algorithm
        self._never()

    def __copy__(self) -> RequestKey:
        """Return itself: there is one."""
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> RequestKey:
        """Return itself, as `__copy__`."""
        del memo
        return self

    def _never(self) -> NoReturn:
        raise ProtocolError(f"key {self._key.name}: it never leaves where it is")
