"""The agent: woken over its network, one thread for each session that a wake-up or the journal asks for."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from opentsm_agent.clock import DeviceClock
from opentsm_agent.gateway import Gateway, GatewaySource
from opentsm_agent.http import HttpsClient, client_context
from opentsm_agent.journal import Journal
from opentsm_agent.links import check_uri, load_scheme
from opentsm_agent.policy import ANYTHING, load_policy
from opentsm_agent.recovery import Recovery
from opentsm_agent.secure_elements import SecureElements
from opentsm_agent.session import Device, Session
from opentsm_agent.timers import SYSTEM
from opentsm_card.errors import OpenTsmError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from opentsm_agent.config import AgentConfig
    from opentsm_agent.events import Events
    from opentsm_agent.links.traced import ApduTrace
    from opentsm_agent.timers import Timers

__all__ = ["Agent", "WakeSource"]

_MAX_SESSIONS: Final = 32
_STOP_TIMEOUT_S: Final = 30.0
_DETACH_TIMEOUT_S: Final = 1.0


class WakeSource(Protocol):
    """A way on which wake-ups come; it holds on, whatever fails, until it is stopped."""

    @property
    def name(self) -> str:
        """What it is, for people."""

    @property
    def attached(self) -> bool:
        """True while wake-ups can come this way, as far as is known."""

    def start(self) -> None:
        """Begin."""

    def is_alive(self) -> bool:
        """Tell whether its thread runs."""

    def nudge(self) -> None:
        """Try now what it waits to try."""

    def reopen(self) -> None:
        """Use the certificate that is on disk now."""

    def stop(self, timeout_s: float) -> None:
        """End, and wait for that no longer than so many seconds."""


class Agent:
    """A running agent: `start`, and later `stop`.

    Args:
        config: from `agent.toml`.
        events: what the operator sees.
        on_failure: called, in whatever thread, when the agent can't go on; `failure` then holds the error.
        timers: by which it waits for anything but its cards.

    Raises:
        ProtocolError: a certificate, key or CA file, the journal, or a link's URI is no good.
        JournalWriteError: another agent holds the journal, or it can't be written.
    """

    def __init__(
        self,
        config: AgentConfig,
        events: Events,
        on_failure: Callable[[], None] = lambda: None,
        timers: Timers = SYSTEM,
    ) -> None:
        identity = config.identity
        for se in config.secure_elements:
            load_scheme(check_uri(se.link)[0])
        policy = load_policy(config.policy) if config.policy is not None else ANYTHING
        self._config = config
        self._events = events
        self._on_failure = on_failure
        self._timers = timers
        self._clock = DeviceClock(config.clock) if config.clock is not None else None
        self._tsm_context = self._context(identity.ca)
        self._sources = self._make_sources()
        self._journal = Journal(config.journal)
        self._trace = self._open_trace()
        elements = SecureElements(
            config.secure_elements, policy=policy, trace=self._trace, timers=timers, events=events
        )
        self._device = Device(config.tsm_url, elements, self._journal, events, timers)
        self._recovery = Recovery(self._device, self._connect, self._fail)
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[Session, threading.Thread]] = {}
        self._stopping = False
        self.failure: OpenTsmError | None = None

    def start(self) -> None:
        """Go on with the sessions of the journal, and attach to the network."""
        self._events.emit("started", tsm=self._config.tsm_url, secure_elements=list(self._device.elements.configs))
        for name, session in tuple(self._journal.state.sessions.items()):
            if session.opened.tsm == self._config.tsm_url:
                self.wake(name)
        self._recovery.look()
        for source in self._sources:
            source.start()

    def wake(self, session: str) -> None:
        """Open the session that a wake-up names, or hurry it up when it runs."""
        self._recovery.look()
        with self._lock:
            running = self._sessions.get(session)
            if running is not None:
                running[0].kick()
                return
            if self._stopping:
                return
            # The TSM is there: one that waits out an error may be over by now, and must not hold the SE any longer.
            for waiting, _ in self._sessions.values():
                waiting.kick()
            if len(self._sessions) >= _MAX_SESSIONS:
                self._events.emit("wake-up-ignored", reason=f"{_MAX_SESSIONS} sessions are open")
                return
            opened = Session(self._device, session, self._connect())
            thread = threading.Thread(target=self._hold, args=(session, opened), name="session", daemon=True)
            self._sessions[session] = (opened, thread)
            thread.start()

    def hurry(self) -> None:
        """Try everything now that waits to be tried: the network's gateway, sessions in a pause, reports left over."""
        for source in self._sources:
            source.nudge()
        with self._lock:
            for session, _ in self._sessions.values():
                session.kick()
        self._recovery.look()

    def is_alive(self) -> bool:
        """Tell whether the threads that listen for wake-ups live, and nothing has stopped the agent."""
        return self.failure is None and all(source.is_alive() for source in self._sources)

    @property
    def journal(self) -> Journal:
        """The journal, to be looked at."""
        return self._journal

    def facts(self) -> dict[str, object]:
        """Return what an operator may know of the running agent."""
        with self._journal.reading() as state:
            reports = len(state.orphans)
        return {
            "tsm": self._config.tsm_url,
            "wake_up": {source.name: source.attached for source in self._sources},
            "secure_elements": {
                se_id: {"link": config.link, "busy": self._device.elements.locks[se_id].locked()}
                for se_id, config in self._device.elements.configs.items()
            },
            "sessions": self.session_facts(),
            "reports_to_tell": reports,
        }

    def session_facts(self) -> list[dict[str, object]]:
        """Return what an operator may know of the sessions that are open now."""
        with self._lock:
            sessions = [session for session, _ in self._sessions.values()]
        return [session.facts for session in sessions]

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """Detach, let running scripts end, and close everything; open sessions can be resumed.

        Args:
            timeout_s: how long to wait for a running script, in seconds; behind it the journal tells of the doubt.
        """
        with self._lock:
            self._stopping = True
            sessions = list(self._sessions.values())
        for session, _ in sessions:
            session.stop()
        for source in self._sources:
            source.stop(_DETACH_TIMEOUT_S)
        self._recovery.stop(_DETACH_TIMEOUT_S)
        for _, thread in sessions:
            thread.join(timeout_s)
        if not any(thread.is_alive() for _, thread in sessions):
            # Under a thread that still waits for its card the journal must stay open.
            self._journal.close()
            if self._trace is not None:
                self._trace.close()
        self._events.emit("stopped")

    @property
    def elements(self) -> SecureElements:
        """The device's secure elements."""
        return self._device.elements

    @property
    def busy(self) -> bool:
        """True while a session is open."""
        return bool(self._sessions)

    def now(self) -> float:
        """Return the time as the agent knows it, in seconds since 1970."""
        return time.time() if self._clock is None else self._clock.now()

    def reload_identity(self) -> None:
        """Use the certificate that is on disk now: for new sessions, and at the network's gateway.

        Raises:
            ProtocolError: a file is missing or is not what it should be; what was used before still is.
        """
        self._tsm_context = self._context(self._config.identity.ca)
        for source in self._sources:
            source.reopen()

    def _make_sources(self) -> list[WakeSource]:
        wake, events, timers = self._config.wake, self._events, self._timers
        sources: list[WakeSource] = [GatewaySource(self._open_gateway, self.wake, events, timers, wake.every_s)]
        if (mqtt := wake.mqtt) is not None:
            from opentsm_agent.mqtt import MqttSource  # noqa: PLC0415 - needs its extra

            elements = [se.element.se_id for se in self._config.secure_elements]
            ca = Path(mqtt.ca or self._config.network.ca)
            sources.append(MqttSource(mqtt, elements, lambda: self._context(ca), self.wake, events, timers))
        if wake.sms is not None:
            from opentsm_agent.sms import SmsSource  # noqa: PLC0415 - needs its extra

            sources.append(SmsSource(wake.sms, self.wake, events, timers))
        return sources

    def _open_gateway(self) -> Gateway:
        network = self._config.network
        own = network.ca != self._config.identity.ca
        context = self._context(network.ca) if own else self._tsm_context
        return Gateway(HttpsClient(network.gateway, context, clock=self._clock, timers=self._timers))

    def _open_trace(self) -> ApduTrace | None:
        if self._config.trace is None:
            return None
        from opentsm_agent.links.traced import ApduTrace  # noqa: PLC0415 - few devices record

        return ApduTrace(
            self._config.trace, on_failure=lambda failure: self._events.emit("trace-failed", error=str(failure))
        )

    def _context(self, ca: Path) -> ssl.SSLContext:
        identity = self._config.identity
        return client_context(ca, identity.certificate, identity.key, clock=self._clock)

    def _connect(self) -> HttpsClient:
        return HttpsClient(
            self._config.tsm_url, self._tsm_context, clock=self._clock, teaches=True, timers=self._timers
        )

    def _hold(self, name: str, session: Session) -> None:
        try:
            session.run()
        except OpenTsmError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a bug met by one session must not take the others with it
            # No message: it could hold anything. The journal has the rest, and a wake-up brings the session back.
            self._events.emit("session-failed", error=type(error).__name__)
        finally:
            with self._lock:
                del self._sessions[name]
        self._recovery.look()

    def _fail(self, error: OpenTsmError) -> None:
        if self.failure is None:
            self.failure = error
            self._on_failure()
