"""What service providers hold on SEs: their security domains, with temporary keys until they rotate them, and services.

Temporary keys are random, one set for each security domain, sealed under the key store while they are needed (until the
SP says that it has rotated them), and then overwritten in the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from opentsm_tsm.messages import DeployApplication, InstanceView, ServiceState, ServiceView
from opentsm_tsm.wire import Hex, decode, encode

if TYPE_CHECKING:
    import sqlite3

    from opentsm_tsm.store import Store

__all__ = [
    "Domain",
    "Service",
    "delete_domain",
    "delete_service",
    "domain",
    "domains",
    "put_domain",
    "put_service",
    "service",
    "services",
    "services_on",
    "view",
]


@dataclass(frozen=True, slots=True)
class Domain:
    """A security domain of a service provider on an SE.

    Args:
        se, aid, sp: where it is, its AID, whose it is.
        state: "planned" (a name only: what is on the SE may be someone else's), "claimed" (it was not on the SE when
            the centre began to create it), "temporary" (holds temporary keys), or "own" (the SP rotated them).
        version: key version of the temporary keys.
        sealed: the temporary keys, sealed; None once destroyed.
    """

    se: str
    aid: bytes
    sp: str
    state: str
    version: int | None = None
    sealed: bytes | None = None

    def __repr__(self) -> str:
        """Show nothing of the keys, sealed or not."""
        return f"Domain({self.se}, {self.aid.hex().upper()}, {self.sp}, {self.state})"


@dataclass(frozen=True, slots=True)
class Service:
    """A service of a service provider: a qualifier tells one customer's instance of it from another's."""

    sp: str
    service: str
    qualifier: str
    se: str
    domain: bytes
    state: ServiceState
    version: int
    applications: tuple[DeployApplication, ...]


def _domain(row: sqlite3.Row) -> Domain:
    return Domain(**{name: row[name] for name in Domain.__dataclass_fields__})


def domain(store: Store, se: str, aid: bytes) -> Domain | None:
    """Return a security domain, or None."""
    row = store.row("SELECT * FROM domain WHERE se = ? AND aid = ?", se, aid)
    return None if row is None else _domain(row)


def domains(store: Store, se: str, sp: str | None = None) -> tuple[Domain, ...]:
    """Return the security domains of an SP, or of all, on an SE."""
    rows = store.rows("SELECT * FROM domain WHERE se = ?1 AND (?2 IS NULL OR sp = ?2) ORDER BY aid", se, sp)
    return tuple(_domain(row) for row in rows)


def put_domain(store: Store, held: Domain) -> None:
    """Store a security domain, new or changed."""
    store.run(
        "INSERT INTO domain VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET state = excluded.state, version = excluded.version, sealed = excluded.sealed",
        held.se,
        held.aid,
        held.sp,
        held.state,
        held.version,
        held.sealed,
    )


def delete_domain(store: Store, se: str, aid: bytes) -> None:
    """Forget a security domain that is gone from the SE, and its counters."""
    store.run("DELETE FROM domain WHERE se = ? AND aid = ?", se, aid)
    store.run("DELETE FROM counter WHERE se = ? AND sd = ?", se, aid)


def _service(row: sqlite3.Row) -> Service:
    plain = {name: row[name] for name in Service.__dataclass_fields__ if name not in {"applications", "state"}}
    applications = decode(row["applications"].encode(), tuple[DeployApplication, ...])
    return Service(**plain, state=cast("ServiceState", row["state"]), applications=applications)


def service(store: Store, sp: str, name: str, qualifier: str) -> Service | None:
    """Return an SP's service by its qualifier, wherever it is."""
    row = store.row("SELECT * FROM service WHERE sp = ? AND service = ? AND qualifier = ?", sp, name, qualifier)
    return None if row is None else _service(row)


def services(store: Store, se: str, sp: str | None = None) -> tuple[Service, ...]:
    """Return the services of an SP, or of all, on an SE."""
    rows = store.rows(
        "SELECT * FROM service WHERE se = ?1 AND (?2 IS NULL OR sp = ?2) ORDER BY sp, service, qualifier", se, sp
    )
    return tuple(_service(row) for row in rows)


def services_on(store: Store, se: str, instance: bytes) -> tuple[Service, ...]:
    """Return the services that an application instance belongs to."""
    return tuple(s for s in services(store, se) if any(a.instance == instance for a in s.applications))


def put_service(store: Store, held: Service) -> None:
    """Store a service, new or changed."""
    store.run(
        "INSERT INTO service VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET domain = excluded.domain,"
        " state = excluded.state, version = excluded.version, applications = excluded.applications",
        held.sp,
        held.service,
        held.qualifier,
        held.se,
        held.domain,
        held.state,
        held.version,
        encode(held.applications).decode(),
    )


def delete_service(store: Store, held: Service) -> None:
    """Forget a service whose data is gone from the SE."""
    store.run(
        "DELETE FROM service WHERE sp = ? AND service = ? AND qualifier = ?", held.sp, held.service, held.qualifier
    )


def view(held: Service, states: dict[bytes, str]) -> ServiceView:
    """Return a service as its SP sees it; `states` are the life cycles of the SE's applications, as last read."""
    instances = tuple(
        InstanceView(aid=a.instance, package=a.package, module=a.module, state=states.get(a.instance, "absent"))
        for a in held.applications
    )
    return ServiceView(
        service=held.service,
        qualifier=held.qualifier,
        version=held.version,
        state=held.state,
        sd=Hex(held.domain),
        instances=instances,
    )
