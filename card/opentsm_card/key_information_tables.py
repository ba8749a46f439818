"""Names of key types.

Spec: GP Card Specification 2.3.1, table 11-16; Amendment D 1.2 and E 1.0.1 (AES, ECC).
"""

from __future__ import annotations

__all__ = ["KEY_TYPES"]

KEY_TYPES: dict[int, str] = {
    0x80: "DES (mode implicitly known)",
    0x82: "triple DES in CBC mode",
    0x83: "DES in ECB mode",
    0x84: "DES in CBC mode",
    0x85: "pre-shared key for TLS",
    0x88: "AES",
    0x90: "HMAC-SHA1",
    0x91: "HMAC-SHA1-160",
    0xA0: "RSA public exponent e",
    0xA1: "RSA modulus N",
    0xA2: "RSA modulus N (private)",
    0xA3: "RSA private exponent d",
    0xA4: "RSA CRT P",
    0xA5: "RSA CRT Q",
    0xA6: "RSA CRT PQ",
    0xA7: "RSA CRT DP1",
    0xA8: "RSA CRT DQ1",
    0xB0: "ECC public key",
    0xB1: "ECC private key",
    0xB2: "ECC field parameter P",
    0xB3: "ECC field parameter A",
    0xB4: "ECC field parameter B",
    0xB5: "ECC field parameter G",
    0xB6: "ECC field parameter N",
    0xB7: "ECC field parameter k",
    0xF0: "ECC key parameters reference",
}
