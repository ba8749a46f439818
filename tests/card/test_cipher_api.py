"""Ciphers that applets call, against an implementation of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding as asymmetric_padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

from cryptography_applet import (
    AES,
    DES,
    ILLEGAL_USE,
    ILLEGAL_VALUE,
    INVALID_INIT,
    KEYS,
    METHOD_1,
    MODULE,
    NO_SUCH_ALGORITHM,
    NOPAD,
    ON_RESET,
    PERSISTENT,
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


ENCRYPT, DECRYPT = 2, 1
"""Cipher.MODE_*."""
CIPHERS = {
    1: (3, 1), 2: (3, 2), 3: (3, 3), 4: (3, 6), 5: (4, 1), 6: (4, 2), 7: (4, 3), 8: (4, 6),
    13: (1, 1), 22: (1, 2), 23: (1, 3), 24: (1, 6), 14: (2, 1), 25: (2, 2), 26: (2, 3), 27: (2, 6),
}  # fmt: skip
"""Cipher.ALG_*: CIPHER_*, PAD_*."""


def reference(algorithm: int, vector: bytes, message: bytes) -> bytes:
    cipher, padding = CIPHERS[algorithm]
    algorithm_of = algorithms.AES(KEYS[AES]) if cipher in (1, 2) else TripleDES(KEYS[DES])
    mode = modes.CBC(vector) if cipher in (1, 3) else modes.ECB()  # noqa: S305 - what cards offer
    block = algorithm_of.block_size // 8
    encryptor = Cipher(algorithm_of, mode).encryptor()
    return encryptor.update(padded(message, padding, block)) + encryptor.finalize()


@pytest.mark.parametrize("algorithm", CIPHERS)
def test_a_cipher_of_blocks(applet: Host, algorithm: int) -> None:
    """By its number, and by cipher and padding; any length, in parts; an initial vector holds for one message."""
    cipher, padding = CIPHERS[algorithm]
    kind, block = (AES, 16) if cipher in (1, 2) else (DES, 8)
    make(applet, kind, KEYS[kind])
    named = bytes([algorithm, cipher, padding])
    assert done(applet, 0x20, algorithm) == named
    assert done(applet, 0x20, cipher, padding, b"\0") == named
    vector = bytes(range(0x40, 0x40 + block)) if cipher in (1, 3) else b""
    for length in (0, 1, block - 1, block, block + 3, 3 * block):
        message = bytes(range(0x61, 0x61 + length))
        done(applet, 0x21, ENCRYPT, 0, vector)
        if padding == NOPAD and (length % block or not length):
            assert refused(applet, 0x23, data=message) == ILLEGAL_USE
            continue
        expected = reference(algorithm, vector, message)
        assert done(applet, 0x23, data=message) == expected
        assert done(applet, 0x23, data=message) == reference(algorithm, bytes(block), message)
        done(applet, 0x21, ENCRYPT, 0, vector)
        first = done(applet, 0x22, data=message[: length // 2])
        assert first + done(applet, 0x23, data=message[length // 2 :]) == expected
        done(applet, 0x21, DECRYPT, 0, vector)
        kept = padded(message, padding, block) if padding == METHOD_1 else message
        assert done(applet, 0x23, data=expected) == kept


def test_a_cipher_says_what_is_wrong(applet: Host) -> None:
    make(applet, AES, KEYS[AES])
    assert refused(applet, 0x20, 99) == NO_SUCH_ALGORITHM
    assert refused(applet, 0x20, 1, 7, b"\0") == NO_SUCH_ALGORITHM  # AES with the padding of RSA
    done(applet, 0x20, 24)
    assert refused(applet, 0x23, data=bytes(16)) == INVALID_INIT  # INVALID_INIT
    assert refused(applet, 0x21, 3, 0) == ILLEGAL_VALUE
    assert refused(applet, 0x21, ENCRYPT, 0, bytes(8)) == ILLEGAL_VALUE
    done(applet, 0x21, DECRYPT, 0)
    assert refused(applet, 0x23, data=bytes(15)) == ILLEGAL_USE
    assert refused(applet, 0x23, data=bytes(16)) == ILLEGAL_USE  # no padding there
    done(applet, 0x20, 14)
    assert refused(applet, 0x21, ENCRYPT, 0, bytes(16)) == ILLEGAL_VALUE  # ECB has no vector
    build(applet, 1, DES, 64)
    assert refused(applet, 0x21, ENCRYPT, 1) == UNINITIALIZED_KEY
    done(applet, 0x12, 1, data=bytes(8))
    assert refused(applet, 0x21, ENCRYPT, 1) == ILLEGAL_VALUE


def test_a_cipher_goes_with_its_key(applet: Host) -> None:
    """Cipher: it becomes uninitialized with its transient key."""
    for memory in (PERSISTENT, ON_RESET):
        make(applet, AES, KEYS[AES], memory)
        done(applet, 0x20, 14)
        done(applet, 0x21, ENCRYPT, 0)
        applet.link.reset()
        applet.select(MODULE)
        if memory == PERSISTENT:
            assert done(applet, 0x23, data=bytes(16)) == reference(14, b"", bytes(16))
        else:
            assert refused(applet, 0x23, data=bytes(16)) == UNINITIALIZED_KEY


def test_a_cipher_for_one_use(applet: Host) -> None:
    make(applet, AES, KEYS[AES])
    assert done(applet, 0x24, *CIPHERS[24], b"message") == reference(24, bytes(16), b"message")
    assert refused(applet, 0x24, 1, 7, b"message") == NO_SUCH_ALGORITHM


GCM, CCM = 0xF3, 0xF4
"""AEADCipher.ALG_*."""


def finished(host: Host, data: bytes, parts: int) -> bytes:
    """Have a message processed in so many parts."""
    size = len(data) // parts
    cuts = [data[at * size : (at + 1) * size] for at in range(parts - 1)] + [data[(parts - 1) * size :]]
    return b"".join(done(host, 0x22, data=cut) for cut in cuts[:-1]) + done(host, 0x23, data=cuts[-1])


@pytest.mark.parametrize("length", [0, 1, 16, 40])
@pytest.mark.parametrize("algorithm", [GCM, CCM])
def test_authenticated_encryption(applet: Host, algorithm: int, length: int) -> None:
    """AEADCipher: the tag goes its own way; in parts or not; additional data or none."""
    make(applet, AES, KEYS[AES])
    named = bytes([algorithm, algorithm - 2, 0])
    assert done(applet, 0x20, algorithm) == named
    assert done(applet, 0x20, algorithm - 2, 0, b"\0") == named
    message = bytes(range(0x61, 0x61 + length))
    for nonce_length, tag_length in ((12, 16), (12, 4), (13, 10), (7, 8)):
        if algorithm == GCM and nonce_length != 12:
            continue
        nonce = bytes(range(nonce_length))
        for extra in (b"", b"additional"):
            sizes = bytes([len(extra), length])
            if algorithm == GCM:
                whole = AESGCM(KEYS[AES]).encrypt(nonce, message, extra)
                expected, tag = whole[:length], whole[length:][:tag_length]
            else:
                whole = AESCCM(KEYS[AES], tag_length).encrypt(nonce, message, extra)
                expected, tag = whole[:length], whole[length:]
            for parts in (1, 2, 3):
                done(applet, 0x25, ENCRYPT, tag_length, sizes + nonce)
                assert refused(applet, 0x27, tag_length) == ILLEGAL_USE  # not yet
                done(applet, 0x26, data=extra)
                assert finished(applet, message, parts) == expected
                assert done(applet, 0x27, tag_length) == tag
                assert refused(applet, 0x27, 5) == ILLEGAL_VALUE
                assert refused(applet, 0x23, data=message) == INVALID_INIT  # a nonce is for one message
                done(applet, 0x25, DECRYPT, tag_length, sizes + nonce)
                done(applet, 0x26, data=extra)
                assert finished(applet, expected, parts) == message
                assert refused(applet, 0x27, tag_length) == ILLEGAL_USE
                assert done(applet, 0x28, tag_length, data=tag) == b"\1"
                assert done(applet, 0x28, tag_length, data=tag[:-1]) == b"\0"
                assert done(applet, 0x28, tag_length, data=bytes([tag[0] ^ 1]) + tag[1:]) == b"\0"


def test_what_authenticated_encryption_refuses(applet: Host) -> None:
    make(applet, AES, KEYS[AES])
    done(applet, 0x20, CCM)
    assert refused(applet, 0x23, data=b"message") == INVALID_INIT
    assert refused(applet, 0x21, ENCRYPT, 0) == INVALID_INIT  # CCM has to know the lengths
    assert refused(applet, 0x25, ENCRYPT, 5, b"\0\0" + bytes(12)) == ILLEGAL_VALUE
    assert refused(applet, 0x25, ENCRYPT, 8, b"\0\0" + bytes(6)) == ILLEGAL_VALUE
    done(applet, 0x25, ENCRYPT, 8, b"\2\3" + bytes(12))
    assert refused(applet, 0x26, data=b"abc") == ILLEGAL_VALUE
    done(applet, 0x25, ENCRYPT, 8, b"\2\3" + bytes(12))
    assert refused(applet, 0x23, data=b"abc") == ILLEGAL_USE  # the additional data is missing
    done(applet, 0x25, ENCRYPT, 8, b"\0\3" + bytes(12))
    assert refused(applet, 0x23, data=b"ab") == ILLEGAL_USE
    done(applet, 0x20, GCM)
    assert refused(applet, 0x21, ENCRYPT, 0, bytes(13)) == ILLEGAL_VALUE
    done(applet, 0x21, ENCRYPT, 0, bytes(12))
    assert done(applet, 0x23, data=b"ab") + done(applet, 0x27, 16) == AESGCM(KEYS[AES]).encrypt(bytes(12), b"ab", None)
    make(applet, DES, bytes(8))
    assert refused(applet, 0x21, ENCRYPT, 0) == ILLEGAL_VALUE


def test_rsa_ciphers(applet: Host) -> None:
    """Cipher.CIPHER_RSA with its paddings; UNINITIALIZED_KEY, ILLEGAL_USE as for the others."""
    build(applet, 0, 11, 1024)
    build(applet, 1, 12, 1024, ON_RESET)
    done(applet, 0x14, 0, 1)
    modulus = int.from_bytes(done(applet, 0x17, 0), "big")
    oaep = asymmetric_padding.OAEP(asymmetric_padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303
    for padding, algorithm, padding_of in ((7, 10, asymmetric_padding.PKCS1v15()), (9, 15, oaep)):
        public = rsa.RSAPublicNumbers(65537, modulus).public_key()
        assert done(applet, 0x20, 7, padding, b"\0") == bytes([algorithm, 7, padding])
        done(applet, 0x21, DECRYPT, 1)
        assert done(applet, 0x23, data=public.encrypt(b"message", padding_of)) == b"message"
        assert refused(applet, 0x23, data=bytes(128)) == ILLEGAL_USE
    assert done(applet, 0x20, 7, NOPAD, b"\0") == bytes([12, 7, NOPAD])
    done(applet, 0x21, ENCRYPT, 0)
    two = (2).to_bytes(128, "big")
    assert done(applet, 0x23, data=two) == pow(2, 65537, modulus).to_bytes(128, "big")
    assert refused(applet, 0x23, data=modulus.to_bytes(128, "big")) == ILLEGAL_USE
    done(applet, 0x21, DECRYPT, 1)
    assert done(applet, 0x23, data=pow(2, 65537, modulus).to_bytes(128, "big")) == two
    applet.link.reset()
    applet.select(MODULE)
    assert refused(applet, 0x21, DECRYPT, 1) == UNINITIALIZED_KEY


@pytest.mark.parametrize("kind", [11, 12])
def test_rsa_blocks_are_as_long_as_the_modulus_as_it_was_set(applet: Host, kind: int) -> None:
    """Cipher.doFinal: others are ILLEGAL_USE. A modulus may be shorter than the key is for, and begin with zeros."""
    build(applet, 0, kind, 512)
    modulus = bytes.fromhex("FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF")
    done(applet, 0x20, 12)
    for length, exponent in ((64, 3), (32, 2), (40, 5), (33, 3)):
        done(applet, 0x1E, 0, 0, modulus.rjust(length, b"\0"))
        done(applet, 0x1E, 0, 1, bytes([exponent]))
        done(applet, 0x21, DECRYPT, 0)
        base = bytes(range(1, 33)).rjust(length, b"\0")
        power = pow(int.from_bytes(base, "big"), exponent, int.from_bytes(modulus, "big"))
        assert done(applet, 0x23, data=base) == power.to_bytes(length, "big")
        one = (1).to_bytes(length, "big")
        assert done(applet, 0x22, data=one[:-1]) == b""
        assert done(applet, 0x23, data=one[-1:]) == one
        for wrong in (length - 1, length + 1, 64 if length < 64 else 32):
            assert refused(applet, 0x23, data=bytes(wrong)) == ILLEGAL_USE
        # Neither a block's rest nor a refusal is left for the next.
        assert done(applet, 0x23, data=one) == one


def test_an_even_exponent_raises_to_a_power_and_enciphers_nothing(applet: Host) -> None:
    build(applet, 0, 11, 512)
    done(applet, 0x1E, 0, 0, b"\xff" * 64)
    done(applet, 0x1E, 0, 1, b"\2")
    done(applet, 0x20, 12)
    done(applet, 0x21, ENCRYPT, 0)
    assert done(applet, 0x23, data=bytes(63) + b"\5") == bytes(63) + b"\x19"
    done(applet, 0x20, 10)
    assert refused(applet, 0x21, ENCRYPT, 0) == ILLEGAL_VALUE
