"""What of an APDU may be shown: headers, lengths and status words always, data not where they could be secret."""

from __future__ import annotations

from typing import Final

__all__ = ["hide_data", "is_secured", "tells_secret"]

# Their data can be a secret even though no key protects it: STORE DATA, PUT DATA, VERIFY, CHANGE REFERENCE DATA, RESET
# RETRY COUNTER, each with its odd form.
_SECRET_DATA: Final = frozenset({0xE2, 0xDA, 0xDB, 0x20, 0x21, 0x24, 0x25, 0x2C, 0x2D})
_HEADER_BYTES: Final = 4
_SW_BYTES: Final = 2


def is_secured(cla: int) -> bool:
    """Tell whether a class byte says secure messaging.

    Spec: ISO/IEC 7816-4:2020 5.4.1; GP Card 2.3.1 11.1.4.
    """
    return bool(cla & (0x20 if cla & 0x40 else 0x0C))


def tells_secret(command: bytes) -> bool:
    """Tell whether a C-APDU's data could be a secret that anyone reads: of such a command, without secure messaging."""
    if len(command) <= _HEADER_BYTES + 1 or command[1] not in _SECRET_DATA:
        return False
    return not is_secured(command[0])


def hide_data(command: bytes, answer: bytes) -> tuple[bytes, bytes, bool]:
    """Return a C-APDU and its R-APDU with zeros for data that are secured, or could be a secret, and whether any are.

    Lengths stay as they are.

    Args:
        command: the C-APDU.
        answer: the R-APDU; empty where none came.
    """
    if len(command) < _HEADER_BYTES or not (is_secured(command[0]) or tells_secret(command)):
        return command, answer, False
    lengths = 1 if len(command) < _HEADER_BYTES + 3 or command[_HEADER_BYTES] else 3
    shown = command[: _HEADER_BYTES + lengths].ljust(len(command), b"\0")
    return shown, bytes(max(len(answer) - _SW_BYTES, 0)) + answer[-_SW_BYTES:], True
