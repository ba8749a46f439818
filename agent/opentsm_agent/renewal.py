"""The device's certificate, renewed in time: in the last third of its life, while no session is open.

The work is done by a process of its own, `python -m opentsm_agent.renewal CONFIG`: what makes certificate requests
would stay in the agent's memory for years.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentsm_agent.clock import DeviceClock, certificate_from_pem, validity
from opentsm_card.errors import OpenTsmError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_agent.agent import Agent
    from opentsm_agent.events import Events

__all__ = ["Renewal", "due_at"]

_LOOK_EVERY_S: Final = 3600.0
_TIMEOUT_S: Final = 120.0


def due_at(certificate: Path) -> float:
    """Return from when on a certificate is to be renewed, in seconds since 1970: two thirds of its life are over.

    Raises:
        ProtocolError: the file can't be read, or holds no certificate.
    """
    try:
        pem = certificate.read_bytes()
    except OSError as error:
        raise ProtocolError(f"{certificate}: {error.strerror}") from error
    begin, end = validity(certificate_from_pem(pem, str(certificate)))
    return begin + (end - begin) * 2 / 3


class Renewal:
    """Renews the certificate of a running agent.

    Args:
        agent: takes the new certificate; asked whether a session is open.
        config_path: its configuration, for the process that does it.
        certificate: PEM file of the certificate.
        events: where it is told.
        now: the time, in seconds since 1970.
        every_s: how often it looks, in seconds.
    """

    def __init__(
        self,
        agent: Agent,
        config_path: Path,
        certificate: Path,
        events: Events,
        *,
        now: Callable[[], float] = time.time,
        every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self._agent = agent
        self._config_path = config_path
        self._certificate = certificate
        self._events = events
        self._now = now
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewal", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; a renewal that is under way is let go on."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                if self._now() < due_at(self._certificate) or self._agent.busy:
                    continue
                self._renew()
                self._agent.reload_identity()
            except OpenTsmError as error:
                self._events.emit("certificate-not-renewed", error=str(error))
            else:
                self._events.emit("certificate-renewed", certificate=str(self._certificate))

    def _renew(self) -> None:
        """Have the other process do it.

        Raises:
            ProtocolError: it did not; the message is its own.
        """
        command = [sys.executable, "-m", "opentsm_agent.renewal", str(self._config_path)]
        try:
            ended = subprocess.run(  # noqa: S603 - this very program
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProtocolError(f"renewal: {type(error).__name__}") from error
        if ended.returncode:
            raise ProtocolError(ended.stderr.strip()[-500:] or f"renewal: exit code {ended.returncode}")


def main(arguments: list[str]) -> int:
    """Renew the certificate of the agent whose configuration is named; return 0, or 1 and say why not."""
    from opentsm_agent.config import load_config  # noqa: PLC0415 - this is the other process
    from opentsm_agent.enrol import renew  # noqa: PLC0415 - as above

    try:
        config = load_config(Path(arguments[0]))
        clock = DeviceClock(config.clock) if config.clock is not None else None
        renew(config.tsm_url, config.identity, clock)
    except OpenTsmError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
