"""`tests/vectors/delegated-management.json`: tokens and DAPs of another implementation, and their public keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

if TYPE_CHECKING:
    from opentsm_card.signatures import VerificationKey

VECTORS: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "delegated-management.json").read_text(encoding="utf-8")
)
KEYS: Final = tuple(VECTORS["keys"])


def public_key(kind: str) -> VerificationKey:
    """Return the key of a kind with which the signatures verify."""
    numbers = {name: int(value, 16) for name, value in VECTORS["keys"][kind].items()}
    if kind.startswith("rsa"):
        return rsa.RSAPublicNumbers(65537, numbers["n"]).public_key()
    curve = ec.SECP256R1() if kind == "p-256" else ec.SECP384R1()
    return ec.EllipticCurvePublicNumbers(numbers["x"], numbers["y"], curve).public_key()
