"""Derive the keys of one card from master keys and the card's diversification data.

Spec: NIST SP 800-108, 5.1 (KDF in counter mode, "kdf3"); EMV Card Personalization Specification 1.1, 4.1 ("emv");
VISA2 as card vendors use it for SCP02 ("visa2"). The data is what INITIALIZE UPDATE answers first (10 bytes).
"""

from __future__ import annotations

from typing import Literal

from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC

from opentsm_card.errors import ProtocolError
from opentsm_card.keys import KeySet, des_ecb_encrypt

__all__ = ["Method", "diversify"]

Method = Literal["kdf3", "visa2", "emv"]

_DATA_BYTES = 10
_BLOCK_BYTES = 16
# What tells the three keys of a set apart in the derivation input.
_ENC, _MAC, _DEK = 1, 2, 3


def _kdf3(master: bytes, data: bytes, purpose: int) -> bytes:
    """Derive one AES key as long as the master: CMAC over counter, label (key number), 00 and the data."""
    derived = b""
    counter = 0
    while len(derived) < len(master):
        counter += 1
        cmac = CMAC(algorithms.AES(master))
        cmac.update(bytes((counter, 0, 0, 0, purpose, 0)) + data)
        derived += cmac.finalize()
    return derived[: len(master)]


def _des(master: bytes, lead: bytes, purpose: int) -> bytes:
    """Derive one two-key 3DES key: the same 6 bytes, once with F0 and once with 0F behind them."""
    return des_ecb_encrypt(master, lead + bytes((0xF0, purpose)) + lead + bytes((0x0F, purpose)))


def diversify(
    master: KeySet | bytes, method: Method, diversification_data: bytes, *, version: int | None = None
) -> KeySet:
    """Return a card's key set.

    Args:
        master: one master key for all three, or a set with one for each. AES for kdf3, 3DES of 16 bytes for the others.
        method: `kdf3`, `visa2` or `emv`.
        diversification_data: 10 bytes.
        version: key version of the result; the master set's by default, or 0.

    Raises:
        ProtocolError: an unknown method, or a master key or data of a wrong length or kind.
    """
    if len(diversification_data) != _DATA_BYTES:
        raise ProtocolError(f"diversification data has 10 bytes, not {len(diversification_data)}")
    if method not in {"kdf3", "visa2", "emv"}:
        raise ProtocolError(f"diversification method {method!r} is not known (kdf3, visa2, emv)")
    des = method != "kdf3"
    masters = master if isinstance(master, KeySet) else KeySet(version or 0, master, master, master, des)
    if masters.des != des or (des and len(masters.enc) != _BLOCK_BYTES):
        raise ProtocolError(f"{method} needs {'3DES keys of 16 bytes' if des else 'AES keys'}")
    data = diversification_data
    if method == "kdf3":
        enc, mac, dek = _kdf3(masters.enc, data, _ENC), _kdf3(masters.mac, data, _MAC), _kdf3(masters.dek, data, _DEK)
    else:
        lead = data[4:10] if method == "emv" else data[0:2] + data[4:8]
        enc, mac, dek = _des(masters.enc, lead, _ENC), _des(masters.mac, lead, _MAC), _des(masters.dek, lead, _DEK)
    return KeySet(masters.version if version is None else version, enc, mac, dek, des)
