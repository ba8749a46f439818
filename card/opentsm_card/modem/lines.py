r"""The lines a modem sends, whatever ends them: `\r\n`, `\r\r\n`, `\r` or `\n`.

Spec: ITU-T V.250 (07/2003), 5.7.1: a result code stands between `\r\n` and `\r\n`; an echoed command ends in `\r`.
"""

from __future__ import annotations

import re
from typing import Final

from opentsm_card.errors import ProtocolError

__all__ = ["MAX_LINE_BYTES", "LineReader"]

MAX_LINE_BYTES: Final = 2 * (65536 + 2) + 64
"""An R-APDU of 65536 bytes in hex, its status word, and what stands before it."""

_ENDS: Final = re.compile(rb"[\r\n]+")


class LineReader:
    """Puts lines together from what arrives in pieces; empty lines are left out, bytes outside ASCII stay visible."""

    def __init__(self) -> None:
        self._begun = bytearray()

    @property
    def unfinished(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._begun)

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that `data` completes.

        Raises:
            ProtocolError: a line is longer than any answer.
        """
        *complete, rest = _ENDS.split(data)
        lines: list[str] = []
        for part in complete:
            self._add(part)
            if self._begun:
                lines.append(self._begun.decode("latin-1"))
                self._begun.clear()
        self._add(rest)
        return lines

    def _add(self, part: bytes) -> None:
        if len(self._begun) + len(part) > MAX_LINE_BYTES:
            self._begun.clear()
            raise ProtocolError(f"a line of the modem has more than {MAX_LINE_BYTES} bytes")
        self._begun += part
