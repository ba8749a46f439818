"""Codes of card capability information.

Spec: GP Card Specification 2.3.1, H.4 (tables H-7 to H-10).
"""

from __future__ import annotations

__all__ = ["AES_SIZES", "ENCRYPTION", "HASHES", "SIGNATURES"]

AES_SIZES: dict[int, str] = {0x01: "AES-128", 0x02: "AES-192", 0x04: "AES-256"}

HASHES: dict[int, str] = {0x01: "SHA-1", 0x02: "SHA-256", 0x03: "SHA-384", 0x04: "SHA-512"}

ENCRYPTION: dict[int, str] = {
    0x01: "3DES with 2 keys",
    0x02: "AES-128",
    0x04: "AES-192",
    0x08: "AES-256",
    0x80: "ICV in the load file",
}

SIGNATURES: dict[int, str] = {
    0x0001: "RSA 1024, PKCS#1 v1.5, SHA-1",
    0x0002: "RSA above 1024, PSS, SHA-256",
    0x0004: "single DES plus final 3DES MAC",
    0x0008: "CMAC AES-128",
    0x0010: "CMAC AES-192",
    0x0020: "CMAC AES-256",
    0x0040: "ECDSA P-256, SHA-256",
    0x0080: "ECDSA P-384, SHA-384",
    0x0100: "ECDSA P-512, SHA-512",
    0x0200: "ECDSA P-521, SHA-512",
}
