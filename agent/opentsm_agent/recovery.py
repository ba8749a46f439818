"""Telling the TSM of reports that no session of its own took: an endpoint of ours, outside of SERAM's sessions.

A session that could not be resumed within SERAM's five minutes, or that its TSM dropped, may leave a report behind that
says what became of C-APDUs. It is posted as soon as the network is there again, until the TSM has it; the next session
with that TSM brings it too. A TSM that has no such endpoint hears of it there alone.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from opentsm_agent.seram import encode_recovered
from opentsm_agent.timers import Backoff
from opentsm_card.errors import OpenTsmError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_agent.http import HttpsClient
    from opentsm_agent.journal_records import Orphan
    from opentsm_agent.session import Device

__all__ = ["PATH", "Recovery"]

PATH: Final = "/opentsm/recovered-reports"
_TIMEOUT_S: Final = 60.0
_TAKEN: Final = frozenset({200, 204})
_TRY_AGAIN: Final = frozenset({408, 425, 429})


class Recovery:
    """Tells of reports that are left over; `look` from any thread.

    Args:
        device: what the agent's sessions share.
        connect: makes a connection to the TSM.
        failed: is told when the journal can't be written any more.
    """

    def __init__(
        self, device: Device, connect: Callable[[], HttpsClient], failed: Callable[[OpenTsmError], None]
    ) -> None:
        self._device = device
        self._connect = connect
        self._failed = failed
        self._lock = threading.Lock()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._client: HttpsClient | None = None
        self._stopping = False

    def look(self) -> None:
        """Tell what there is to be told, in a thread of its own; hurry it up when it waits."""
        with self._lock:
            self._hurry.set()
            if self._stopping or not self._left() or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._run, name="recovery", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop, and wait for no longer than so many seconds."""
        with self._lock:
            self._stopping = True
            thread, client = self._thread, self._client
        self._hurry.set()
        if client is not None:
            client.interrupt()
        if thread is not None:
            thread.join(timeout_s)

    def _left(self) -> tuple[Orphan, ...]:
        journal, url = self._device.journal, self._device.tsm_url
        with journal.reading():
            return tuple(orphan for orphan in journal.state.orphans.values() if orphan.tsm == url)

    def _run(self) -> None:
        backoff = Backoff()
        try:
            while not self._stopping and (left := self._left()):
                self._hurry.clear()
                status = self._post(left)
                if status in _TAKEN:
                    self._device.journal.orphans_told([orphan.session for orphan in left])
                    self._device.events.emit("reports-recovered", reports=len(left))
                elif status is None or status >= 500 or status in _TRY_AGAIN:
                    self._device.timers.wait(self._hurry, backoff.pause_s())
                else:
                    return  # no such endpoint, or none for us: the next session has them
        except OpenTsmError as error:
            self._failed(error)

    def _post(self, left: tuple[Orphan, ...]) -> int | None:
        """Post reports once; return the answer's status, None without an answer."""
        with self._connect() as client:
            with self._lock:
                self._client = client
            try:
                return client.request("POST", PATH, body=encode_recovered(left), timeout_s=_TIMEOUT_S).status
            except TransportError:
                return None
            finally:
                with self._lock:
                    self._client = None
