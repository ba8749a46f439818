"""The agent as a service: its configuration checked whole, everything around it started and stopped, signals.

SIGTERM and SIGINT stop it, after the script that is running; a second one ends the process at once: the journal is made
for that. SIGUSR1 has it try at once whatever waits: the gateway, sessions in a pause.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from opentsm_agent.agent import Agent
from opentsm_agent.checks import check, exposed_key
from opentsm_agent.events import Events
from opentsm_agent.renewal import Renewal
from opentsm_agent.supervision import Watchdog, notify

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_card.errors import OpenTsmError

__all__ = ["run"]

# From within where something has failed; from without it hurries the agent up.
_FAILED: Final = signal.SIGUSR1


def run(path: Path, *, as_json: bool = False) -> None:
    """Run the agent until SIGTERM or SIGINT.

    Args:
        path: `agent.toml`.
        as_json: write events as JSON, whatever the configuration says.

    Raises:
        ProtocolError: the configuration, or something that it names, is not as it must be.
        OpenTsmError: the agent can't go on.
    """
    config = check(path)
    log = config.log
    events = Events(sys.stdout, as_json=as_json or log.format == "json", level=log.level, areas=log.areas)
    awaited = {signal.SIGTERM, signal.SIGINT, _FAILED}
    # They wait for sigwait below, in this thread: a handler could interrupt the journal anywhere.
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    failure: OpenTsmError | None = None
    try:
        with ExitStack() as around:
            makes_folder = not config.journal.parent.is_dir()
            # Before anything else that is one agent's alone: where another runs, the journal is what tells.
            running = Agent(config, events, on_failure=lambda: os.kill(os.getpid(), _FAILED))
            if config.hook is not None:
                from opentsm_agent.hooks import HookRunner  # noqa: PLC0415 - few devices have one

                around.callback(HookRunner(config.hook, events).stop)
            if config.metrics is not None:
                from opentsm_agent.metrics import MetricsServer  # noqa: PLC0415 - needs its extra

                around.callback(MetricsServer(config.metrics, events).stop)
            if config.control is not None:
                from opentsm_agent.control import ControlServer  # noqa: PLC0415 - not every device has one

                around.callback(ControlServer(config.control, running).stop)
            running.start()
            if makes_folder:
                events.emit("journal-folder-made", folder=str(config.journal.parent))
            if (exposed := exposed_key(config)) is not None:
                events.emit("key-exposed", warning=exposed)
            around.callback(Watchdog(running.is_alive).stop)
            if config.identity.renew:
                certificate = config.identity.certificate
                around.callback(Renewal(running, path, certificate, events, now=running.now).stop)
            if config.local is not None:
                from opentsm_agent.local import LocalServer  # noqa: PLC0415 - few devices have one

                around.callback(LocalServer.of(config.local, running.elements, events).stop)
            notify("READY=1")
            while signal.sigwait(awaited) == _FAILED and running.failure is None:
                running.hurry()
            notify("STOPPING=1")
            signal.pthread_sigmask(signal.SIG_UNBLOCK, awaited)
            running.stop()
            failure = running.failure
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, awaited)
    if failure is not None:
        raise failure
