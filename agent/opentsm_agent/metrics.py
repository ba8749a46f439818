"""Figures for Prometheus, from the events; off unless the configuration says where to listen.

The extra `metrics` brings prometheus-client; an agent without it does not import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from opentsm_agent.links.tcp import parse_host_port
from opentsm_card.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_agent.config import Metrics
    from opentsm_agent.events import Detail, Events

__all__ = ["MetricsServer"]

_BEGUN: Final = frozenset({"session-started", "session-resumed"})
_OVER: Final = frozenset({"session-ended", "session-suspended", "session-failed"})


class MetricsServer:
    """Counts events, and serves the figures over HTTP at `/metrics`.

    Args:
        metrics: from `agent.toml`.
        events: what is counted.

    Raises:
        ProtocolError: the address makes no sense.
        TransportError: nothing can listen there.
    """

    def __init__(self, metrics: Metrics, events: Events) -> None:
        registry = CollectorRegistry()
        self._events = Counter("opentsm_agent_events", "Events by name.", ["event"], registry=registry)
        self._orders = Counter("opentsm_agent_orders", "Orders by how they ended.", ["status"], registry=registry)
        self._answered = Counter("opentsm_agent_answered", "C-APDUs of orders that were answered.", registry=registry)
        self._doubts = Counter("opentsm_agent_in_doubt", "Orders with a C-APDU in doubt.", registry=registry)
        self._attached = Gauge(
            "opentsm_agent_attached", "1 while attached to the network's gateway.", registry=registry
        )
        self._sessions = Gauge("opentsm_agent_sessions", "Sessions that are open.", registry=registry)
        host, port = parse_host_port(metrics.listen)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise TransportError(f"metrics: cannot listen on {metrics.listen}: {error.strerror}") from error
        events.listen(self._count)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _count(self, event: str, details: Mapping[str, Detail]) -> None:
        self._events.labels(event).inc()
        if event == "order":
            self._orders.labels(str(details.get("status"))).inc()
            answered = details.get("answered", 0)
            self._answered.inc(answered if isinstance(answered, int) else 0)
            self._doubts.inc(bool(details.get("in_doubt")))
        elif event in {"attached", "detached"}:
            self._attached.set(event == "attached")
        elif event in _BEGUN:
            self._sessions.inc()
        elif event in _OVER:
            self._sessions.dec()
