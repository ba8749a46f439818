"""The cryptography that applets call: keys that events clear, ciphers, signatures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
