"""SCP03: wrapping a command of 200 bytes at level 33, against yubikit and against the bare cipher calls.

The floor does what any implementation must (one ICV, one CBC encryption, one CMAC) and nothing else: once with fresh
objects of `cryptography` for every command, once with contexts that are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from yubikit.core.smartcard import ApduProcessor, ScpProcessor, ShortApduFormatter
from yubikit.core.smartcard.scp import ScpState
from yubikit.core.smartcard.scp import SessionKeys as YubikitKeys

from harness import Comparison, alternate, report
from opentsm_card.apdu import CommandApdu
from opentsm_card.keys import KeySet
from opentsm_card.scp03 import Scp03Session, SecurityLevel, predict

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 3000
DATA = bytes(range(200))
KEYS = KeySet(0x30, b"\xe1" * 16, b"\xe2" * 16, b"\xe3" * 16)
HEADER = bytes.fromhex("84e28000d8")  # Lc: 208 bytes encrypted, 8 of MAC


def _session() -> Scp03Session:
    _, session = predict(KEYS, bytes(8), sequence_counter=1, aid=bytes(8), diversification_data=bytes(10))
    session.external_authenticate(SecurityLevel.ALL)
    return session


def ours() -> int:
    """Wrap commands in one session, from their fields to the bytes to send."""
    session = _session()
    for _ in range(COUNT):
        session.wrap(CommandApdu(0x80, 0xE2, 0x80, 0x00, DATA)).encode()
    return COUNT


class _Sink(ApduProcessor):
    """Where yubikit's processor sends what it has wrapped."""

    def __init__(self) -> None:
        self.formatter = ShortApduFormatter()

    def send_apdu(self, cla: int, ins: int, p1: int, p2: int, data: bytes, le: int) -> tuple[bytes, int]:
        """Format the command, as the processor behind does, and answer nothing."""
        self.formatter.format_apdu(cla, ins, p1, p2, data, le)  # type: ignore[no-untyped-call] # yubikit's
        return b"", 0x9000


def yubikit() -> int:
    """Wrap the same by yubikit's secure channel processor."""
    sink = _Sink()
    state = ScpState(YubikitKeys(KEYS.enc, KEYS.mac, KEYS.dek))
    processor = ScpProcessor(sink, sink.formatter, state)
    for _ in range(COUNT):
        processor.send_apdu(0x80, 0xE2, 0x80, 0x00, DATA, 0)
    return COUNT


def yubikit_ciphers() -> int:
    """Encrypt and MAC the same by yubikit's channel state alone, without its processor's formatting and logging."""
    state = ScpState(YubikitKeys(KEYS.enc, KEYS.mac, KEYS.dek))
    for _ in range(COUNT):
        encrypted = state.encrypt(DATA)
        _ = HEADER + encrypted + state.mac(HEADER + encrypted)
    return COUNT


def fresh_objects() -> int:
    """Do the cipher calls alone, with new objects for each command."""
    chaining_value = bytes(16)
    message = DATA + b"\x80" + bytes(7)
    aes = algorithms.AES(KEYS.enc)
    for counter in range(1, COUNT + 1):
        icv = Cipher(aes, modes.ECB()).encryptor().update(counter.to_bytes(16, "big"))  # noqa: S305 - one block
        encrypted = Cipher(aes, modes.CBC(icv)).encryptor().update(message)
        mac = CMAC(algorithms.AES(KEYS.mac))
        mac.update(chaining_value + HEADER + encrypted)
        chaining_value = mac.finalize()
    return COUNT


def kept_contexts() -> int:
    """Do the cipher calls alone, with contexts that are kept: the floor."""
    chaining_value = bytes(16)
    message = DATA + b"\x80" + bytes(7)
    encryptor = Cipher(algorithms.AES(KEYS.enc), modes.CBC(bytes(16))).encryptor()
    base = CMAC(algorithms.AES(KEYS.mac))
    for counter in range(1, COUNT + 1):
        encrypted = encryptor.update(counter.to_bytes(16, "big") + message)
        mac = base.copy()
        mac.update(chaining_value + HEADER + encrypted[16:])
        chaining_value = mac.finalize()
    return COUNT


def main() -> None:
    """Run the comparisons and print them."""
    peers: list[tuple[str, Callable[[], int], float | None]] = [
        ("SCP03 wrap of 200 bytes / yubikit", yubikit, 2.0),
        ("SCP03 wrap of 200 bytes / yubikit's ciphers alone", yubikit_ciphers, None),
        ("SCP03 wrap of 200 bytes / fresh cipher objects alone", fresh_objects, None),
        ("SCP03 wrap of 200 bytes / kept cipher contexts alone", kept_contexts, None),
    ]
    results: list[Comparison] = [alternate(name, ours, peer, unit="commands", goal=goal) for name, peer, goal in peers]
    report(results)


if __name__ == "__main__":
    main()
