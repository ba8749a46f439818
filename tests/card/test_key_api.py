"""Keys that applets build: their kinds, and what clears them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptography_applet import (
    AES,
    DES,
    HMAC,
    ILLEGAL_VALUE,
    INVALID_INIT,
    MODULE,
    NO_SUCH_ALGORITHM,
    ON_DESELECT,
    ON_RESET,
    PERSISTENT,
    UNINITIALIZED_KEY,
    build,
    built,
    done,
    installed,
    refused,
    sent,
)
from opentsm_card.aid import Aid

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile
    from sd_host import Host

OTHER = Aid.from_text("A000000151000000")


@pytest.fixture(scope="module")
def cap(tmp_path_factory: pytest.TempPathFactory) -> CapFile:
    return built(tmp_path_factory.mktemp("caps"))


@pytest.fixture
def applet(isd: Host, cap: CapFile) -> Host:
    return installed(isd, cap)


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


def test_diffie_and_hellman(applet: Host) -> None:
    """KeyAgreement.ALG_DH_PLAIN: the secret is as long as the prime; no secret without a key."""
    prime = 2**1024 - 105  # odd is enough
    done(applet, 0x50, 7)
    assert refused(applet, 0x52, data=b"\2") == INVALID_INIT
    build(applet, 0, 15, 1024, ON_RESET)
    assert refused(applet, 0x51) == UNINITIALIZED_KEY
    for part, value in enumerate((prime.to_bytes(128, "big"), b"\2", b"\5")):
        done(applet, 0x53, 0, part, value)
    done(applet, 0x51)
    for other in (2, 3**100):
        data = other.to_bytes((other.bit_length() + 7) // 8, "big")
        assert done(applet, 0x52, data=data) == pow(other, 5, prime).to_bytes(128, "big")
    applet.link.reset()
    applet.select(MODULE)
    assert refused(applet, 0x52, data=b"\2") == UNINITIALIZED_KEY


def test_an_agreement_needs_a_point_of_the_curve(applet: Host) -> None:
    build(applet, 0, 7, 256)
    build(applet, 1, 8, 256)
    done(applet, 0x14, 0, 1)
    point = done(applet, 0x16, 0)
    done(applet, 0x50, 3)
    done(applet, 0x51, 1)
    assert len(done(applet, 0x52, data=point)) == 32
    assert refused(applet, 0x52, data=point[:-1] + bytes([point[-1] ^ 1])) == ILLEGAL_VALUE


KEY_BITS = (-1, 0, 1, 8, 56, 100, 128, 160, 256, 521, 1024, 32767)


def test_no_kind_of_key_and_no_length_is_more_than_refused(applet: Host) -> None:
    """KeyBuilder: what this card has not (XEC, shared domain parameters) is NO_SUCH_ALGORITHM."""
    answers = {0x9000, NO_SUCH_ALGORITHM, ILLEGAL_VALUE}
    for kind in range(-128, 128):
        for bits in KEY_BITS if 0 < kind < 44 else (128, 256):
            length = (bits & 0xFFFF).to_bytes(2, "big")
            assert sent(applet, 0x10, 3, kind, length)[1] in answers, (kind, bits)
            if 0 < kind < 24:
                assert sent(applet, 0x11, 3, kind, length + bytes([ON_RESET]))[1] in answers, (kind, bits)
    for kind in (-1, 0, 38, 39, 40, 41, 127):
        assert refused(applet, 0x10, 3, kind, b"\x01\x00") == NO_SUCH_ALGORITHM
    build(applet, 0, 7, 256)
    for kind in range(-1, 24):
        assert refused(applet, 0x1F, 3, kind, bytes([PERSISTENT])) == NO_SUCH_ALGORITHM
