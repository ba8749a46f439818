"""Signatures, message authentication codes and digests that applets call, against an implementation of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as asymmetric_padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from cryptography_applet import (
    AES,
    DES,
    HMAC,
    ILLEGAL_USE,
    ILLEGAL_VALUE,
    INVALID_INIT,
    KEYS,
    METHOD_1,
    METHOD_2,
    NO_SUCH_ALGORITHM,
    NOPAD,
    ON_DESELECT,
    PKCS5,
    UNINITIALIZED_KEY,
    build,
    built,
    done,
    installed,
    make,
    padded,
    refused,
)

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile
    from sd_host import Host


@pytest.fixture(scope="module")
def cap(tmp_path_factory: pytest.TempPathFactory) -> CapFile:
    return built(tmp_path_factory.mktemp("caps"))


@pytest.fixture
def applet(isd: Host, cap: CapFile) -> Host:
    return installed(isd, cap)


SIGN, VERIFY = 1, 2
"""Signature.MODE_*."""
DIGESTS = {1: hashes.SHA1(), 7: hashes.SHA224(), 4: hashes.SHA256(), 5: hashes.SHA384(), 6: hashes.SHA512()}  # noqa: S303
"""MessageDigest.ALG_*."""
MACS = {
    1: (1, NOPAD), 3: (1, METHOD_1), 5: (1, METHOD_2), 7: (1, PKCS5),
    2: (2, NOPAD), 4: (2, METHOD_1), 6: (2, METHOD_2), 8: (2, PKCS5),
    18: (6, NOPAD), 47: (1, 4), 19: (1, 5), 48: (2, 4), 20: (2, 5),
}  # fmt: skip
"""Signature.ALG_*: SIG_CIPHER_*, PAD_*."""


def mac(algorithm: int, vector: bytes, message: bytes) -> bytes:
    """ISO/IEC 9797-1: algorithm 1, by DES, triple DES or AES; algorithm 3 by two keys of DES."""
    cipher, padding = MACS[algorithm]
    block = 16 if cipher == 6 else 8
    retail = padding in (4, 5)
    message = padded(message, {4: METHOD_1, 5: METHOD_2}.get(padding, padding), block)
    if cipher == 6:
        algorithm_of: Any = algorithms.AES(KEYS[AES])
    else:
        algorithm_of = TripleDES(KEYS[DES][:8] * 3 if retail else KEYS[DES])
    encryptor = Cipher(algorithm_of, modes.CBC(vector)).encryptor()
    value = (encryptor.update(message) + encryptor.finalize())[-block:]
    if retail:
        left, right = TripleDES(KEYS[DES][:8] * 3), TripleDES(KEYS[DES][8:16] * 3)
        decryptor = Cipher(right, modes.ECB()).decryptor()  # noqa: S305 - one block
        encryptor = Cipher(left, modes.ECB()).encryptor()  # noqa: S305 - one block
        value = encryptor.update(decryptor.update(value))
    return value[:4] if cipher == 1 else value


@pytest.mark.parametrize("algorithm", MACS)
def test_a_mac_of_blocks(applet: Host, algorithm: int) -> None:
    cipher, padding = MACS[algorithm]
    block = 16 if cipher == 6 else 8
    if cipher == 6:
        make(applet, AES, KEYS[AES])
    else:
        make(applet, DES, KEYS[DES][:16] if padding in (4, 5) else KEYS[DES])
    named = bytes([algorithm, 0, cipher, padding])
    assert done(applet, 0x30, algorithm) == named
    assert done(applet, 0x30, 0, cipher, bytes([padding])) == named
    vector = bytes(range(0x40, 0x40 + block))
    for length in (0, 1, block, block + 3, 3 * block):
        message = bytes(range(0x61, 0x61 + length))
        assert done(applet, 0x31, SIGN, 0, vector) == bytes([0, 4 if cipher == 1 else block])
        if padding == NOPAD and (length % block or not length):
            assert refused(applet, 0x33, data=message) == ILLEGAL_USE
            continue
        expected = mac(algorithm, vector, message)
        assert done(applet, 0x33, data=message) == expected
        again = mac(algorithm, bytes(block), message)
        assert done(applet, 0x33, data=message) == again
        done(applet, 0x32, data=message[: length // 2])
        assert done(applet, 0x33, data=message[length // 2 :]) == again
        assert refused(applet, 0x34, length, data=message + expected) == INVALID_INIT  # it was begun to sign
        done(applet, 0x31, VERIFY, 0, vector)
        assert done(applet, 0x34, length, data=message + expected) == b"\1"
        assert done(applet, 0x34, length, data=message + again) == b"\1"
        assert done(applet, 0x34, length, data=message + again[:-1]) == b"\0"
        assert done(applet, 0x34, length, data=message + bytes([again[0] ^ 1]) + again[1:]) == b"\0"


def test_hmac_and_cmac(applet: Host) -> None:
    key = bytes(range(20))
    make(applet, HMAC, key)
    for algorithm, digest in ((24, 1), (25, 4), (26, 5), (27, 6)):
        assert done(applet, 0x30, digest, 7, b"\0") == bytes([algorithm, digest, 7, 0])
        done(applet, 0x31, SIGN)
        made = hmac.HMAC(key, DIGESTS[digest])
        made.update(b"message")
        assert done(applet, 0x33, data=b"message") == made.finalize()
    make(applet, AES, KEYS[AES])
    done(applet, 0x30, 49)
    done(applet, 0x31, SIGN)
    cmac = CMAC(algorithms.AES(KEYS[AES]))
    cmac.update(b"message")
    assert done(applet, 0x33, data=b"message") == cmac.finalize()
    assert refused(applet, 0x31, SIGN, 0, bytes(16)) == ILLEGAL_VALUE


@pytest.mark.parametrize(("bits", "curve"), [(256, ec.SECP256R1()), (384, ec.SECP384R1()), (521, ec.SECP521R1())])
def test_ecdsa(applet: Host, bits: int, curve: ec.EllipticCurve) -> None:
    """By digest and cipher; getLength is what the longest signature takes."""
    build(applet, 0, 7, bits)
    build(applet, 1, 8, bits, ON_DESELECT)
    done(applet, 0x14, 0, 1)
    public = ec.EllipticCurvePublicKey.from_encoded_point(curve, done(applet, 0x16, 0))
    for algorithm, digest in ((17, 1), (37, 7), (33, 4), (34, 5), (38, 6)):
        assert done(applet, 0x30, digest, 5, b"\0") == bytes([algorithm, digest, 5, 0])
        longest = {256: 72, 384: 104, 521: 139}[bits]
        assert int.from_bytes(done(applet, 0x31, SIGN, 1), "big") == longest
        signature = done(applet, 0x33, data=b"message")
        public.verify(signature, b"message", ec.ECDSA(DIGESTS[digest]))
        assert longest - 6 <= len(signature) <= longest
    hashed = hashes.Hash(hashes.SHA256())
    hashed.update(b"message")
    value = hashed.finalize()
    done(applet, 0x30, 0, 5, b"\0")  # without a digest
    done(applet, 0x31, SIGN, 1)
    public.verify(done(applet, 0x33, data=value), b"message", ec.ECDSA(hashes.SHA256()))
    done(applet, 0x30, 33)
    done(applet, 0x31, SIGN, 1)
    public.verify(done(applet, 0x35, data=value), b"message", ec.ECDSA(hashes.SHA256()))
    assert refused(applet, 0x35, data=value[1:]) == ILLEGAL_USE
    done(applet, 0x31, SIGN, 1)
    done(applet, 0x15, 1)
    assert refused(applet, 0x33, data=b"message") == UNINITIALIZED_KEY


def test_rsa_signatures(applet: Host) -> None:
    """Signature.ALG_RSA_*_PKCS1 and _PSS; the salt of PSS is as long as the digest."""
    build(applet, 0, 11, 1536)
    build(applet, 1, 13, 1536)
    done(applet, 0x14, 0, 1)
    modulus = int.from_bytes(done(applet, 0x17, 0), "big")
    public = rsa.RSAPublicNumbers(65537, modulus).public_key()
    for digest, digest_of in DIGESTS.items():
        for padding, padding_of in (
            (7, asymmetric_padding.PKCS1v15()),
            (8, asymmetric_padding.PSS(asymmetric_padding.MGF1(digest_of), digest_of.digest_size)),
        ):
            done(applet, 0x30, digest, 3, bytes([padding]))
            assert done(applet, 0x31, SIGN, 1) == b"\0\xc0"
            signature = done(applet, 0x33, data=b"message")
            public.verify(signature, b"message", padding_of, digest_of)
            done(applet, 0x31, VERIFY, 0)
            assert done(applet, 0x34, 7, data=b"message" + signature) == b"\1"
            assert done(applet, 0x34, 7, data=b"massage" + signature) == b"\0"


def test_what_there_is_no_signature_of(applet: Host) -> None:
    for algorithm in (0, 15, 16, 31, 35, 99):
        assert refused(applet, 0x30, algorithm) == NO_SUCH_ALGORITHM
    assert refused(applet, 0x30, 9, 3, b"\7") == NO_SUCH_ALGORITHM  # SHA3-256, whose number is that of an algorithm
    make(applet, AES, KEYS[AES])
    done(applet, 0x30, 20)
    assert refused(applet, 0x33, data=b"message") == INVALID_INIT
    assert refused(applet, 0x31, SIGN, 0) == ILLEGAL_VALUE
    make(applet, DES, bytes(8))
    assert refused(applet, 0x31, SIGN, 0) == ILLEGAL_VALUE  # algorithm 3 wants two keys


def test_digests_and_signatures_for_one_use(applet: Host) -> None:
    for digest, digest_of in DIGESTS.items():
        hashed = hashes.Hash(digest_of)
        hashed.update(b"message")
        assert done(applet, 0x40, digest, data=b"message") == hashed.finalize()
    make(applet, AES, KEYS[AES])
    assert done(applet, 0x41, 0, 6, bytes([NOPAD]) + bytes(16)) == mac(18, bytes(16), bytes(16))
    assert refused(applet, 0x41, 0, 99, bytes([NOPAD]) + bytes(16)) == NO_SUCH_ALGORITHM
