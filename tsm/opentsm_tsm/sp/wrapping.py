"""How the temporary keys of a security domain come to the SP: a JWE for the SP's own key.

Spec: RFC 7516 (JWE, compact), RFC 7518, 4.6 (ECDH-ES+A256KW) and 5.3 (A256GCM).
"""

from __future__ import annotations

from typing import Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_tsm.messages import KeySetDocument
from opentsm_tsm.wire import decode

__all__ = ["unwrap_key_set"]

_ALGORITHMS: Final = ["ECDH-ES+A256KW", "A256GCM"]
_MAX_BYTES: Final = 4096


def unwrap_key_set(wrapped: str, private_key_pem: bytes) -> KeySetDocument:
    """Return the key set in a JWE.

    Args:
        wrapped: compact JWE.
        private_key_pem: PKCS #8 of the SP's key on P-256.

    Raises:
        SecureChannelError: it is not for this key, was changed, or uses other algorithms.
        ProtocolError: its content is no key set.
    """
    if len(wrapped) > _MAX_BYTES:
        raise ProtocolError("the wrapped key set is too long")
    try:
        opened = jwe.decrypt_compact(wrapped, ECKey.import_key(private_key_pem), algorithms=_ALGORITHMS)
    except (JoseError, ValueError) as error:
        raise SecureChannelError("the wrapped key set does not open with this SP's key") from error
    if opened.plaintext is None:
        raise ProtocolError("the wrapped key set is empty")
    return decode(opened.plaintext, KeySetDocument)
