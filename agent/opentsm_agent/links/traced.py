"""APDU traces: what passes over links, as a pcapng file that Wireshark opens.

Data that are secured, or could be a secret, are zeros in it; the packet says so. The file is its owner's alone, and
begins anew when it is too big: the one before is kept beside it, with `.1` behind its name.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from opentsm_card.errors import StorageError, TransportError
from opentsm_card.gsmtap import apdu_packet, atr_packet, beginning
from opentsm_card.redaction import hide_data

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentsm_card.link import Link

__all__ = ["ApduTrace", "RecordedLink"]

_MOST_BYTES: Final = 16 * 1024 * 1024


class ApduTrace:
    """A trace file; links of any thread write to it.

    Args:
        path: the file; what it has is kept, a new section begins behind it.
        most_bytes: when it has so many it begins anew.
        on_failure: told when it can't be written any more, and is given up; without it that is raised.

    Raises:
        StorageError: it can't be opened.
    """

    def __init__(
        self, path: Path, most_bytes: int = _MOST_BYTES, *, on_failure: Callable[[StorageError], None] | None = None
    ) -> None:
        self._path = path
        self._on_failure = on_failure
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._file = self._open()

    def apdu(self, name: str, command: bytes, answer: bytes, failure: str = "") -> None:
        """Record an exchange; `answer` is empty and `failure` says why where none came."""
        command, answer, hidden = hide_data(command, answer)
        told = [name, "data left out" if hidden else "", failure]
        self._write(apdu_packet(_now_us(), command, answer, ", ".join(filter(None, told))))

    def atr(self, name: str, atr: bytes) -> None:
        """Record a reset."""
        self._write(atr_packet(_now_us(), atr, name))

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1

    def _open(self) -> int:
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            if stat.S_ISREG(os.fstat(file).st_mode):
                os.fchmod(file, 0o600)
            os.write(file, beginning("secure elements"))
        except OSError as error:
            raise StorageError(f"trace {self._path}: {error.strerror}") from error
        return file

    def _write(self, packet: bytes) -> None:
        with self._lock:
            if self._file < 0:
                return
            try:
                if os.fstat(self._file).st_size + len(packet) > self._most_bytes:
                    os.close(self._file)
                    self._file = -1
                    self._path.replace(self._path.with_name(self._path.name + ".1"))
                    self._file = self._open()
                os.write(self._file, packet)
            except (OSError, StorageError) as error:
                failure = StorageError(f"trace {self._path}: {getattr(error, 'strerror', None) or error}")
                if self._on_failure is None:
                    raise failure from error
                if self._file >= 0:
                    os.close(self._file)
                    self._file = -1
                self._on_failure(failure)


class RecordedLink:
    """A link whose exchanges are recorded.

    Args:
        link: the link itself.
        trace: where they go.
        name: of the secure element, beside each packet.
    """

    def __init__(self, link: Link, trace: ApduTrace, name: str) -> None:
        self._link = link
        self._trace = trace
        self._name = name

    def transmit(self, command: bytes) -> bytes:
        """Exchange one C-APDU, and record it."""
        try:
            answer = self._link.transmit(command)
        except TransportError as error:
            self._trace.apdu(self._name, command, b"", str(error))
            raise
        self._trace.apdu(self._name, command, answer)
        return answer

    def reset(self) -> bytes:
        """Reset the card, and record its ATR."""
        atr = self._link.reset()
        self._trace.atr(self._name, atr)
        return atr

    def close(self) -> None:
        """Close the link; the trace stays open."""
        self._link.close()

    def __enter__(self) -> Self:
        """Return the link itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the link."""
        self.close()


def _now_us() -> int:
    return time.time_ns() // 1000
