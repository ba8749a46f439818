"""The cryptography that applets call: keys that events clear, ciphers, signatures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as asymmetric_padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from opentsm_build.build import build_project
from opentsm_card.aid import Aid
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import load_blocks, load_file

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile
    from sd_host import Host

FOLDER = Path(__file__).parent / "packages" / "cryptography"
MODULE = Aid.from_text("F06F70656E74736D0E0501")
OTHER = Aid.from_text("A000000151000000")

PERSISTENT, ON_RESET, ON_DESELECT = 0, 1, 2
"""JCSystem.MEMORY_TYPE_*."""
ILLEGAL_VALUE, UNINITIALIZED_KEY, NO_SUCH_ALGORITHM, ILLEGAL_USE = 0x6601, 0x6602, 0x6603, 0x6605
DES, AES, HMAC = 1, 2, 9
"""KeyBuilder.ALG_TYPE_*."""


@pytest.fixture(scope="module")
def cap(tmp_path_factory: pytest.TempPathFactory) -> CapFile:
    return build_project(FOLDER, tmp_path_factory.mktemp("caps")).conversion.cap


@pytest.fixture
def applet(isd: Host, cap: CapFile) -> Host:
    isd.done(InstallForLoad(cap.package_aid))
    isd.done(*load_blocks(load_file(cap.load_file_data_block()), 200))
    isd.done(InstallForInstall(cap.package_aid, MODULE, MODULE))
    isd.select(MODULE)
    return isd


def sent(host: Host, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> tuple[bytes, int]:
    answer = host.raw(bytes((0x80, ins, p1 & 0xFF, p2 & 0xFF, len(data))) + data)
    return answer.data, answer.sw


def done(host: Host, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> bytes:
    answer, sw = sent(host, ins, p1, p2, data)
    assert sw == 0x9000, f"command {ins:02X}: {sw:04X}"
    return answer


def refused(host: Host, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> int:
    answer, sw = sent(host, ins, p1, p2, data)
    assert not answer
    return sw


def build(host: Host, slot: int, kind: int, bits: int, memory: int = PERSISTENT) -> None:
    done(host, 0x11, slot, kind, bits.to_bytes(2, "big") + bytes([memory]))


def make(host: Host, kind: int, key: bytes, memory: int = PERSISTENT) -> None:
    """Put a symmetric key into slot 0."""
    build(host, 0, kind, len(key) * 8, memory)
    done(host, 0x12, 0, data=key)


def initialized(host: Host, slot: int = 0) -> bool:
    return done(host, 0x13, slot)[0] == 1


KINDS = {1: 64, 2: 128, 9: 512, 10: 128, 4: 512, 6: 233, 8: 256, 12: 512, 13: 512, 15: 1024}
"""ALG_TYPE: bits; all that can be transient."""
TYPES = {
    1: (3, 1, 2), 2: (15, 13, 14), 9: (21, 19, 20), 10: (18, 16, 17), 4: (8, 26, 27), 6: (10, 28, 29), 8: (12, 30, 31),
    12: (5, 22, 23), 13: (6, 24, 25), 14: (32, 34, 33), 15: (35, 37, 36),
}  # fmt: skip
"""ALG_TYPE: TYPE in persistent memory, cleared on reset, cleared on deselect (KeyBuilder)."""


@pytest.mark.parametrize("kind", TYPES)
def test_a_key_can_be_built_for_each_memory(applet: Host, kind: int) -> None:
    for memory, kept in enumerate(TYPES[kind]):
        build(applet, 0, kind, KINDS.get(kind, 1024), memory)
        assert done(applet, 0x13)[1] == kept
        done(applet, 0x10, 0, kept, KINDS.get(kind, 1024).to_bytes(2, "big"))
        assert done(applet, 0x13) == bytes([0, kept])


def test_a_key_is_of_one_kind(applet: Host) -> None:
    kinds = ((DES, 192), (AES, 256), (HMAC, 512), (10, 128), (11, 1024), (12, 1024), (13, 1024))
    for at, (kind, bits) in enumerate(kinds):
        build(applet, 0, kind, bits)
        assert done(applet, 0x18) == bytes(int(each == at) for each in range(len(kinds)))


def test_ec_keys_and_their_domain_parameters(applet: Host) -> None:
    """ECKey.copyDomainParametersFrom; the cofactor need not be set; S is as long as the field."""
    for slot, kind in ((0, 7), (1, 8)):
        build(applet, slot, kind, 256)
    order = b"\5"
    done(applet, 0x19, 0, data=order)
    assert done(applet, 0x1B, 1) != order
    done(applet, 0x1C, 1, 0)
    assert done(applet, 0x1B, 1) == order
    done(applet, 0x14, 0, 1)
    secret = done(applet, 0x1A, 1)
    assert len(secret) == 32
    assert 0 < int.from_bytes(secret, "big") < 5
    assert done(applet, 0x1D, 1) == b"\0\1"
    done(applet, 0x15, 1)
    assert refused(applet, 0x1D, 1) == refused(applet, 0x1C, 0, 1) == UNINITIALIZED_KEY
    build(applet, 2, 8, 384)
    assert refused(applet, 0x1C, 2, 0) == ILLEGAL_VALUE
    build(applet, 2, 8, 512)  # for brainpoolP512r1, whose parameters the applet sets
    assert refused(applet, 0x1B, 2) == UNINITIALIZED_KEY
    assert refused(applet, 0x11, 2, 8, b"\1\1\0") == ILLEGAL_VALUE  # 257 bits


def test_public_keys_are_persistent(applet: Host) -> None:
    for kind in (3, 5, 7, 11):
        assert refused(applet, 0x11, 0, kind, b"\x02\x00\x01") == NO_SUCH_ALGORITHM
    assert refused(applet, 0x11, 0, 99, b"\x02\x00\x00") == NO_SUCH_ALGORITHM
    assert refused(applet, 0x11, 0, AES, b"\x00\x80\x03") == NO_SUCH_ALGORITHM
    assert refused(applet, 0x11, 0, AES, b"\x00\x40\x00") == ILLEGAL_VALUE


@pytest.mark.parametrize(("kind", "key"), [(DES, bytes(8)), (AES, bytes(range(16))), (HMAC, b"key")])
def test_what_clears_a_transient_key(applet: Host, kind: int, key: bytes) -> None:
    """KeyBuilder.TYPE_*_TRANSIENT_*: clearKey is done on card reset, or on applet deselection as well."""
    for slot, memory in enumerate((PERSISTENT, ON_RESET, ON_DESELECT)):
        build(applet, slot, kind, len(key) * 8, memory)
        done(applet, 0x12, slot, data=key)
    applet.select(MODULE)
    assert [initialized(applet, slot) for slot in range(3)] == [True, True, False]
    done(applet, 0x12, 2, data=key)
    assert initialized(applet, 2)
    applet.select(OTHER)
    applet.select(MODULE)
    assert [initialized(applet, slot) for slot in range(3)] == [True, True, False]
    applet.link.reset()
    applet.select(MODULE)
    assert [initialized(applet, slot) for slot in range(3)] == [True, False, False]
    done(applet, 0x12, 1, data=key)
    assert initialized(applet, 1)
    done(applet, 0x15, 1)
    assert not initialized(applet, 1)


def test_a_generated_private_key_that_a_reset_clears(applet: Host) -> None:
    build(applet, 0, 7, 256)
    build(applet, 1, 8, 256, ON_RESET)
    done(applet, 0x14, 0, 1)
    assert initialized(applet, 1)
    applet.link.reset()
    applet.select(MODULE)
    assert initialized(applet, 0)
    assert not initialized(applet, 1)
    build(applet, 1, 8, 256, ON_DESELECT)
    done(applet, 0x12, 1, data=bytes(range(1, 33)))
    assert initialized(applet, 1)
    applet.select(MODULE)
    assert not initialized(applet, 1)


ENCRYPT, DECRYPT = 2, 1
"""Cipher.MODE_*."""
CIPHERS = {
    1: (3, 1), 2: (3, 2), 3: (3, 3), 4: (3, 6), 5: (4, 1), 6: (4, 2), 7: (4, 3), 8: (4, 6),
    13: (1, 1), 22: (1, 2), 23: (1, 3), 24: (1, 6), 14: (2, 1), 25: (2, 2), 26: (2, 3), 27: (2, 6),
}  # fmt: skip
"""Cipher.ALG_*: CIPHER_*, PAD_*."""
KEYS = {DES: bytes(range(1, 25)), AES: bytes(range(16))}
NOPAD, METHOD_1, METHOD_2, PKCS5 = 1, 2, 3, 6


def padded(message: bytes, padding: int, block: int) -> bytes:
    """ISO/IEC 9797-1, 6.3.2 (as few zeros as needed; a block of them for nothing), 6.3.3; PKCS #5 (RFC 8018, 6.1.1)."""
    missing = -len(message) % block
    if padding == METHOD_1:
        return message + bytes(missing or (0 if message else block))
    if padding == METHOD_2:
        return message + b"\x80" + bytes(-(len(message) + 1) % block)
    if padding == PKCS5:
        missing = missing or block
        return message + bytes([missing]) * missing
    return message


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
    assert refused(applet, 0x23, data=bytes(16)) == 0x6604  # INVALID_INIT
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
        assert refused(applet, 0x34, length, data=message + expected) == 0x6604  # it was begun to sign
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
    assert refused(applet, 0x33, data=b"message") == 0x6604
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
