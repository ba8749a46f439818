"""Ciphers, signatures, digests and checksums that the end of a session meets in the middle of a message.

Behind a reset, a power cut or a card image they are as init() left them, without an initial vector or a nonce; digests
and checksums as they were made. Checked against implementations of their own.

Spec: JC API 3.0.5, Cipher, Signature, MessageDigest, Checksum ("a tear or card reset event"); 3.2, AEADCipher.
"""

from __future__ import annotations

import binascii
import hashlib
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.cmac import CMAC

from cryptography_applet import (
    AES,
    HMAC,
    ILLEGAL_USE,
    INVALID_INIT,
    KEYS,
    MODULE,
    ON_RESET,
    UNINITIALIZED_KEY,
    build,
    built,
    done,
    installed,
    make,
    refused,
)
from opentsm_card.errors import LinkTimeoutError
from sd_host import ISD

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_build.cap import CapFile
    from opentsm_simulator import VirtualSe
    from sd_host import Host

ENCRYPT, SIGN = 2, 1
BEGUN: bytes = b"what came before the end"
MESSAGE: bytes = b"all that comes behind it is this"
VECTOR: bytes = bytes(range(0x40, 0x50))


@pytest.fixture(scope="module")
def cap(tmp_path_factory: pytest.TempPathFactory) -> CapFile:
    return built(tmp_path_factory.mktemp("caps"))


@pytest.fixture
def applet(isd: Host, cap: CapFile) -> Host:
    return installed(isd, cap)


def reset(_se: VirtualSe, host: Host) -> None:
    host.link.reset()


def power_cut(se: VirtualSe, host: Host) -> None:
    se.cut_power(at_write=1)
    with pytest.raises(LinkTimeoutError):
        host.raw(bytes.fromhex("80110301 03 0080 00"))
    host.link.reset()


def image(se: VirtualSe, _host: Host) -> None:
    se.restore(se.snapshot())


@pytest.fixture(params=[reset, power_cut, image])
def ended(request: pytest.FixtureRequest, se: VirtualSe, applet: Host) -> Callable[[], None]:
    """End the session, and select the applet in another."""

    def end() -> None:
        request.param(se, applet)
        applet.select(MODULE).require("SELECT")

    return end


def cbc(message: bytes) -> bytes:
    """Encipher from an initial vector of zeros."""
    encryptor = Cipher(algorithms.AES(KEYS[AES]), modes.CBC(bytes(16))).encryptor()
    return encryptor.update(message) + encryptor.finalize()


def test_a_cipher_of_blocks(applet: Host, ended: Callable[[], None]) -> None:
    make(applet, AES, KEYS[AES])
    done(applet, 0x20, 13)
    done(applet, 0x21, ENCRYPT, 0, VECTOR)
    assert len(done(applet, 0x22, data=BEGUN)) == 16
    ended()
    assert done(applet, 0x22, data=MESSAGE[:20]) + done(applet, 0x23, data=MESSAGE[20:]) == cbc(MESSAGE)
    done(applet, 0x21, ENCRYPT, 0, VECTOR)
    ended()
    assert done(applet, 0x23, data=MESSAGE) == cbc(MESSAGE)


def test_a_cipher_of_rsa(applet: Host, ended: Callable[[], None]) -> None:
    build(applet, 0, 11, 1024)
    build(applet, 1, 12, 1024)
    done(applet, 0x14, 0, 1)
    modulus = int.from_bytes(done(applet, 0x17, 0), "big")
    done(applet, 0x20, 12)
    done(applet, 0x21, ENCRYPT, 0)
    done(applet, 0x22, data=BEGUN)
    ended()
    padded = MESSAGE.rjust(128, b"\0")
    assert int.from_bytes(done(applet, 0x23, data=padded), "big") == pow(int.from_bytes(padded, "big"), 65537, modulus)


@pytest.mark.parametrize("algorithm", [18, 49])
def test_a_mac(applet: Host, ended: Callable[[], None], algorithm: int) -> None:
    """ALG_AES_MAC_128_NOPAD, ALG_AES_CMAC_128."""
    make(applet, AES, KEYS[AES])
    if algorithm == 18:
        expected = cbc(MESSAGE)[-16:]
    else:
        mac = CMAC(algorithms.AES(KEYS[AES]))
        mac.update(MESSAGE)
        expected = mac.finalize()
    done(applet, 0x30, algorithm)
    done(applet, 0x31, SIGN, 0, VECTOR if algorithm == 18 else b"")
    done(applet, 0x32, data=BEGUN)
    ended()
    assert done(applet, 0x33, data=MESSAGE) == expected
    done(applet, 0x32, data=BEGUN)
    ended()
    done(applet, 0x32, data=MESSAGE[:5])
    assert done(applet, 0x33, data=MESSAGE[5:]) == expected


def test_an_hmac(applet: Host, ended: Callable[[], None]) -> None:
    make(applet, HMAC, KEYS[AES])
    mac = hmac.HMAC(KEYS[AES], hashes.SHA256())
    mac.update(MESSAGE)
    done(applet, 0x30, 25)
    done(applet, 0x31, SIGN, 0)
    done(applet, 0x32, data=BEGUN)
    ended()
    assert done(applet, 0x33, data=MESSAGE) == mac.finalize()


@pytest.mark.parametrize("algorithm", [40, 44])
def test_a_signature_of_rsa(applet: Host, ended: Callable[[], None], algorithm: int) -> None:
    """ALG_RSA_SHA_256_PKCS1, ALG_RSA_SHA_256_PKCS1_PSS."""
    build(applet, 1, 11, 1024)
    build(applet, 2, 12, 1024)
    done(applet, 0x14, 1, 2)
    public = rsa.RSAPublicNumbers(65537, int.from_bytes(done(applet, 0x17, 1), "big")).public_key()
    kind = padding.PKCS1v15() if algorithm == 40 else padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    done(applet, 0x30, algorithm)
    done(applet, 0x31, SIGN, 2)
    done(applet, 0x32, data=BEGUN)
    ended()
    public.verify(done(applet, 0x33, data=MESSAGE), MESSAGE, kind, hashes.SHA256())
    done(applet, 0x32, data=BEGUN)
    ended()
    signed = done(applet, 0x35, data=hashlib.sha256(MESSAGE).digest())
    public.verify(signed, MESSAGE, kind, hashes.SHA256())


def test_a_signature_of_ecdsa(applet: Host, ended: Callable[[], None]) -> None:
    build(applet, 1, 7, 256)
    build(applet, 2, 8, 256)
    done(applet, 0x14, 1, 2)
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), done(applet, 0x16, 1))
    done(applet, 0x30, 33)
    done(applet, 0x31, SIGN, 2)
    done(applet, 0x32, data=BEGUN)
    ended()
    public.verify(done(applet, 0x33, data=MESSAGE), MESSAGE, ec.ECDSA(hashes.SHA256()))


def test_authenticated_encryption(applet: Host, ended: Callable[[], None]) -> None:
    """The key and the direction stay; CCM has no beginning without a nonce and lengths."""
    make(applet, AES, KEYS[AES])
    sizes = bytes((3, len(BEGUN)))
    done(applet, 0x20, 0xF3)
    done(applet, 0x25, ENCRYPT, 16, sizes + VECTOR[:12])
    done(applet, 0x26, data=b"and")
    done(applet, 0x22, data=BEGUN)
    ended()
    whole = AESGCM(KEYS[AES]).encrypt(bytes(12), MESSAGE, None)
    assert done(applet, 0x23, data=MESSAGE) + done(applet, 0x27, 16) == whole
    ended()
    assert refused(applet, 0x27, 16) == ILLEGAL_USE

    done(applet, 0x20, 0xF4)
    done(applet, 0x25, ENCRYPT, 16, sizes + VECTOR[:12])
    done(applet, 0x26, data=b"and")
    ended()
    assert refused(applet, 0x23, data=BEGUN) == INVALID_INIT


def test_digests_and_checksums(applet: Host, ended: Callable[[], None]) -> None:
    """MessageDigest.ALG_SHA_256; Checksum.ALG_ISO3309_CRC16. A deselection takes nothing."""
    done(applet, 0x42, 4)
    done(applet, 0x43, data=BEGUN)
    done(applet, 0x45, 1)
    done(applet, 0x46, data=BEGUN)
    ended()
    done(applet, 0x43, data=MESSAGE[:5])
    done(applet, 0x46, data=MESSAGE[:5])
    applet.select(ISD).require("SELECT")
    applet.select(MODULE).require("SELECT")
    assert done(applet, 0x44, data=MESSAGE[5:]) == hashlib.sha256(MESSAGE).digest()
    assert int.from_bytes(done(applet, 0x47, data=MESSAGE[5:]), "big") == binascii.crc_hqx(MESSAGE, 0) ^ 0xFFFF


@pytest.mark.parametrize("algorithm", [13, 0xF3])
def test_with_a_key_that_a_reset_clears(applet: Host, ended: Callable[[], None], algorithm: int) -> None:
    make(applet, AES, KEYS[AES], ON_RESET)
    done(applet, 0x20, algorithm)
    done(applet, 0x21, ENCRYPT, 0)
    done(applet, 0x22, data=BEGUN)
    ended()
    assert refused(applet, 0x23, data=MESSAGE) == UNINITIALIZED_KEY
