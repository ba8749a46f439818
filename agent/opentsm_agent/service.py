"""The agent as a service: its configuration checked whole, everything around it started and stopped, signals.

SIGTERM and SIGINT stop it, after the script that is running; a second one ends the process at once: the journal is made
for that. SIGUSR1 has it try at once whatever waits: the gateway, sessions in a pause.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from opentsm_agent.agent import Agent
from opentsm_agent.events import Events
from opentsm_agent.links import check_uri, load_scheme
from opentsm_agent.logs import EVENTS
from opentsm_agent.policy import load_policy
from opentsm_agent.renewal import Renewal
from opentsm_agent.supervision import Watchdog, notify
from opentsm_card.documents import check_all
from opentsm_card.errors import OpenTsmError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentsm_agent.config import AgentConfig

__all__ = ["check", "run"]

# From within where something has failed; from without it hurries the agent up.
_FAILED: Final = signal.SIGUSR1


def check(config: AgentConfig, path: Path) -> None:
    """See that what the configuration names is there: certificate and key, policy, links' packages.

    Args:
        config: from the file.
        path: the file, for the errors.

    Raises:
        ProtocolError: it is not; the message has all that is wrong.
    """
    check_all(str(path), list(_missing(config, path)))


def _missing(config: AgentConfig, path: Path) -> Iterator[str]:
    from opentsm_agent.http import client_context  # noqa: PLC0415 - imports ssl, which `enrol` has use for later

    identity = config.identity
    if identity.certificate.exists():
        for ca in dict.fromkeys((identity.ca, config.network.ca)):
            try:
                client_context(ca, identity.certificate, identity.key)
            except ProtocolError as error:
                yield str(error)
    else:
        yield f"{identity.certificate}: no such file; to get it: opentsm agent enrol --config {path} --code CODE"
    for index, se in enumerate(config.secure_elements):
        try:
            load_scheme(check_uri(se.link)[0])
        except ProtocolError as error:
            yield f"{error} - at `$.se[{index}].link`"
    if config.policy is not None:
        try:
            load_policy(config.policy)
        except ProtocolError as error:
            yield str(error)
    yield from _missing_extras(config)
    for name in config.hook.events if config.hook else ():
        if name not in EVENTS:
            yield f"no event {name!r}; there are: {', '.join(sorted(EVENTS))} - at `$.hook.events`"


def _missing_extras(config: AgentConfig) -> Iterator[str]:
    """Say which packages are missing for what the configuration asks for."""
    wanted = (
        (config.metrics is not None, "metrics", "metrics", "$.metrics"),
        (config.wake.mqtt is not None, "mqtt", "mqtt", "$.wake.mqtt"),
        (config.wake.sms is not None, "sms", "serial", "$.wake.sms"),
    )
    for is_wanted, module, extra, place in wanted:
        if not is_wanted:
            continue
        try:
            importlib.import_module(f"opentsm_agent.{module}")
        except ModuleNotFoundError as error:
            yield f"{module}: need {error.name}; install it with: pip install 'opentsm[{extra}]' - at `{place}`"


def run(config: AgentConfig, path: Path, *, as_json: bool = False) -> None:
    """Run the agent until SIGTERM or SIGINT.

    Args:
        config: from the file.
        path: the file, for the errors.
        as_json: write events as JSON, whatever the configuration says.

    Raises:
        ProtocolError: something that the configuration names is not as it must be.
        OpenTsmError: the agent can't go on.
    """
    check(config, path)
    log = config.log
    events = Events(sys.stdout, as_json=as_json or log.format == "json", level=log.level, areas=log.areas)
    awaited = {signal.SIGTERM, signal.SIGINT, _FAILED}
    # They wait for sigwait below, in this thread: a handler could interrupt the journal anywhere.
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    failure: OpenTsmError | None = None
    try:
        with ExitStack() as around:
            if config.hook is not None:
                from opentsm_agent.hooks import HookRunner  # noqa: PLC0415 - few devices have one

                around.callback(HookRunner(config.hook, events).stop)
            if config.metrics is not None:
                from opentsm_agent.metrics import MetricsServer  # noqa: PLC0415 - needs its extra

                around.callback(MetricsServer(config.metrics, events).stop)
            running = Agent(config, events, on_failure=lambda: os.kill(os.getpid(), _FAILED))
            if config.control is not None:
                from opentsm_agent.control import ControlServer  # noqa: PLC0415 - not every device has one

                around.callback(ControlServer(config.control, running).stop)
            running.start()
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
