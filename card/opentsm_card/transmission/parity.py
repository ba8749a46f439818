"""What a POSIX terminal says of characters with a wrong parity, in what it gives to read (INPCK and PARMRK).

FF 00 X is the character X with a wrong parity, FF FF the character FF with a right one. What was read may end anywhere.

Spec: POSIX.1-2017, 11.2.2 (Input Modes).
"""

from __future__ import annotations

__all__ = ["ParityMarks"]


class ParityMarks:
    """Takes the marks out of what is read; `garbled` tells whether there were any, until somebody clears it."""

    def __init__(self) -> None:
        self.garbled = False
        # The beginning of a mark that is not complete.
        self._begun = b""

    def clear(self) -> None:
        """Forget what came."""
        self.garbled = False
        self._begun = b""

    def take(self, chunk: bytes) -> bytes:
        """Return the characters of what was read."""
        if b"\xff" not in chunk and not self._begun:
            return chunk
        data = self._begun + chunk
        self._begun = b""
        plain = bytearray()
        index = 0
        while index < len(data):
            mark = data[index : index + 3]
            if mark[0] != 0xFF:
                plain.append(mark[0])
                index += 1
            elif mark[1:2] == b"\xff":
                plain.append(0xFF)
                index += 2
            elif mark[1:2] not in {b"", b"\x00"}:
                # No mark at all: somebody else has set the port up anew.
                plain.append(0xFF)
                index += 1
            elif len(mark) == 3:
                self.garbled = True
                plain.append(mark[2])
                index += 3
            else:
                self._begun = mark
                break
        return bytes(plain)
