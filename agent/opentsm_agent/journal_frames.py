"""How the journal lies on disk: frames with numbers and check sums, so that damage is told apart from a torn end.

A frame is `magic (4) | number (4) | durable (4) | length (4) | payload | CRC-32 (4)`, big-endian; the CRC
covers all before it. `number` counts frames from 0. `durable` is how many frames were known to be on the disk
when this one was written.

A power loss may tear what was written since the last fsync, in any order of its pages: the bytes then end
early, read as zeros, or have a hole with sound frames behind it. Such a torn end is cut off. Where any sound
frame says that the missing one was durable, it is damage: to go on from there would be to forget what has been
run, so reading stops with an error. A compacted file is on the disk as a whole before it gets its name, and
says so in each frame.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

from opentsm_card.errors import ProtocolError

__all__ = ["FRAME_OVERHEAD_BYTES", "JournalDamagedError", "JournalFrames", "encode_frame", "parse_frames"]

_MAGIC: Final = b"oTJ\x01"
_HEADER: Final = struct.Struct(">4sIII")
_CRC: Final = struct.Struct(">I")
FRAME_OVERHEAD_BYTES: Final = _HEADER.size + _CRC.size


class JournalDamagedError(ProtocolError):
    """The journal is no journal, or is damaged in a part that had been on the disk."""


class JournalFrames(NamedTuple):
    """What is sound in a journal file.

    Args:
        payloads: of the sound frames, in order.
        length: of the sound part, in bytes; what is behind it is torn.
    """

    payloads: tuple[bytes, ...]
    length: int


def encode_frame(number: int, durable: int, payload: bytes) -> bytes:
    """Encode one frame.

    Args:
        number: of this frame, from 0.
        durable: how many frames are known to be on the disk now.
        payload: its content.
    """
    body = _HEADER.pack(_MAGIC, number, durable, len(payload)) + payload
    return body + _CRC.pack(zlib.crc32(body))


def parse_frames(content: bytes) -> JournalFrames:
    """Parse a journal file up to its torn end.

    Raises:
        JournalDamagedError: it is no journal, or something durable is missing; the message names the offset.
    """
    payloads: list[bytes] = []
    offset = durable = 0
    while (frame := _frame_at(content, offset)) is not None and frame[0] == len(payloads):
        durable = max(durable, frame[1])
        payloads.append(frame[2])
        offset += FRAME_OVERHEAD_BYTES + len(frame[2])
    _check_torn(content, offset, len(payloads), durable)
    return JournalFrames(tuple(payloads), offset)


def _frame_at(content: bytes, offset: int) -> tuple[int, int, bytes] | None:
    """Return number, durable and payload of the sound frame at an offset, or None."""
    if len(content) - offset < FRAME_OVERHEAD_BYTES:
        return None
    magic, number, durable, length = _HEADER.unpack_from(content, offset)
    end = offset + _HEADER.size + length
    if magic != _MAGIC or end + _CRC.size > len(content):
        return None
    if _CRC.unpack_from(content, end)[0] != zlib.crc32(memoryview(content)[offset:end]):
        return None
    return number, durable, content[offset + _HEADER.size : end]


def _check_torn(content: bytes, offset: int, sound: int, durable: int) -> None:
    """Check that what follows the sound part can be the torn end of a journal.

    Raises:
        JournalDamagedError: it can't.
    """
    if sound == 0 and content[:4].strip(b"\0") and not _MAGIC.startswith(content[:4]):
        raise JournalDamagedError("the file is no journal of the agent: it starts with other bytes")
    search = offset
    while (search := content.find(_MAGIC, search)) != -1:
        later = _frame_at(content, search)
        if later is not None:
            durable = max(durable, later[1])
        search += 1
    if durable > sound:
        raise JournalDamagedError(
            f"damaged at byte {offset} (record {sound}), in a part that had been written safely; what was run can't "
            "be known from it: move the file away, and have the central TSM read the SE before anything else"
        )
