"""An applet that calls the cryptography of the API as it is told (`packages/cryptography`), and its commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentsm_build.build import build_project
from opentsm_card.aid import Aid
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import load_blocks, load_file

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile
    from sd_host import Host

_FOLDER: Final = Path(__file__).parents[1] / "card" / "packages" / "cryptography"
MODULE: Final = Aid.from_text("F06F70656E74736D0E0501")

PERSISTENT, ON_RESET, ON_DESELECT = 0, 1, 2
"""JCSystem.MEMORY_TYPE_*."""
ILLEGAL_VALUE, UNINITIALIZED_KEY, NO_SUCH_ALGORITHM, INVALID_INIT, ILLEGAL_USE = 0x6601, 0x6602, 0x6603, 0x6604, 0x6605
"""CryptoException's reasons, as the applet's status words."""
DES, AES, HMAC = 1, 2, 9
"""KeyBuilder.ALG_TYPE_*."""
KEYS: Final = {DES: bytes(range(1, 25)), AES: bytes(range(16))}
NOPAD, METHOD_1, METHOD_2, PKCS5 = 1, 2, 3, 6
"""Cipher.PAD_*."""


def built(folder: Path) -> CapFile:
    """Build the applet's CAP file in a folder."""
    return build_project(_FOLDER, folder).conversion.cap


def installed(isd: Host, cap: CapFile) -> Host:
    """Load, install and select it."""
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
