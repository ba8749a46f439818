"""The inventory: every SE, whose it is, and what was last read from it under its own keys."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from opentsm_card.configurations import Role, configuration
from opentsm_card.errors import ProtocolError
from opentsm_card.reader import Reader

if TYPE_CHECKING:
    import sqlite3

    from opentsm_card.configurations import ConfigurationName
    from opentsm_tsm.config import SeSeed
    from opentsm_tsm.store import Store

__all__ = ["SeRecord", "add", "by_msi", "counter", "every", "find", "set_counter", "subscriptions", "update"]

# The central SD's AID on a UICC, where the issuer SD is the MNO's: "opentsm" under a proprietary RID, 0001.
_UICC_CENTRAL: Final = bytes.fromhex("F06F70656E74736D0001")
_DIVERSIFICATION_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class SeRecord:
    """What is known of one SE.

    Args:
        id: its identifier.
        type: "eSE" or "uicc".
        configuration: by its name, as `opentsm_card.configurations` has it.
        mno: its network.
        imei: its device's.
        key_version: of the central SD's keys.
        diversification: its 10 bytes of diversification data; None until learnt.
        scp03_i: the SCP03 parameter of its security domains.
        issuer, central: AIDs of the issuer SD and the central SD (the same on an embedded SE).
        packages: AIDs of built-in load files.
        status: "ok", "locked", "terminated" or "keys-wrong".
        life_cycle: the card's, as a word.
        registry: the last complete read, as `opentsm_tsm.reading` writes it.
        registry_at: when that was, seconds since 1970.
        stale: True when the SE may differ from `registry`: it is read before it is believed.
        reset: True when the next order must reset the link first (a doubt is to be settled).
    """

    id: str
    type: Literal["eSE", "uicc"]
    configuration: ConfigurationName
    mno: str
    imei: str | None
    key_version: int
    diversification: bytes | None
    scp03_i: int
    issuer: bytes
    central: bytes
    packages: tuple[bytes, ...]
    status: Literal["ok", "locked", "terminated", "keys-wrong"]
    life_cycle: str
    registry: str | None
    registry_at: float | None
    stale: bool
    reset: bool


def _record(row: sqlite3.Row) -> SeRecord:
    packages = tuple(bytes.fromhex(aid) for aid in json.loads(row["packages"]))
    plain = {name: row[name] for name in SeRecord.__dataclass_fields__ if name not in {"packages", "stale", "reset"}}
    return SeRecord(**plain, packages=packages, stale=bool(row["stale"]), reset=bool(row["reset"]))


def find(store: Store, se: str) -> SeRecord | None:
    """Return an SE, or None."""
    row = store.row("SELECT * FROM se WHERE id = ?", se)
    return None if row is None else _record(row)


def every(store: Store) -> tuple[SeRecord, ...]:
    """Return all SEs."""
    return tuple(_record(row) for row in store.rows("SELECT * FROM se ORDER BY id"))


def by_msi(store: Store, msi: str) -> tuple[SeRecord, ...]:
    """Return the SEs of a subscription, by MSISDN (with or without "+") or IMSI."""
    rows = store.rows(
        "SELECT se.* FROM se JOIN subscription ON subscription.se = se.id WHERE msi = ? ORDER BY se.id", msi.lstrip("+")
    )
    return tuple(_record(row) for row in rows)


def subscriptions(store: Store, se: str) -> tuple[str, ...]:
    """Return the MSIs of an SE."""
    return tuple(row["msi"] for row in store.rows("SELECT msi FROM subscription WHERE se = ? ORDER BY msi", se))


def add(store: Store, seed: SeSeed, key_version: int) -> bool:
    """Add an SE to the inventory; False when there is one of this id already (it is left as it is).

    Args:
        store: the database, with a transaction under way.
        seed: what is known of it.
        key_version: of its central SD's keys, where the seed says nothing else.

    Raises:
        ProtocolError: an AID or the diversification data has a wrong length.
    """
    if find(store, seed.id) is not None:
        return False
    issuer = bytes.fromhex(seed.issuer)
    default = issuer if configuration(seed.configuration).central_role is Role.ISSUER else _UICC_CENTRAL
    central = bytes.fromhex(seed.central) if seed.central else default
    for aid in (issuer, central, *(bytes.fromhex(package) for package in seed.packages)):
        Reader(aid, f"se {seed.id}: AID").take(5)
        if len(aid) > 16:
            raise ProtocolError(f"se {seed.id}: an AID has at most 16 bytes")
    diversification = bytes.fromhex(seed.diversification_data) if seed.diversification_data else None
    if diversification is not None and len(diversification) != _DIVERSIFICATION_BYTES:
        raise ProtocolError(f"se {seed.id}: diversification_data has {_DIVERSIFICATION_BYTES} bytes")
    store.insert(
        "se",
        id=seed.id,
        type=seed.type,
        configuration=seed.configuration,
        mno=seed.mno,
        imei=seed.imei,
        key_version=seed.key_version or key_version,
        diversification=diversification,
        issuer=issuer,
        central=central,
        packages=json.dumps(seed.packages),
    )
    for msi in (seed.msisdn, seed.imsi):
        if msi:
            store.run("INSERT OR IGNORE INTO subscription VALUES (?, ?)", msi.lstrip("+"), seed.id)
    return True


_UPDATABLE: Final = frozenset(
    {"diversification", "scp03_i", "status", "life_cycle", "registry", "registry_at", "stale", "reset", "key_version"}
)


def update(store: Store, se: str, **columns: object) -> None:
    """Change columns of an SE, inside the transaction under way."""
    assert columns.keys() <= _UPDATABLE
    assignments = ", ".join(f"{name} = ?" for name in columns)
    store.run(f"UPDATE se SET {assignments} WHERE id = ?", *columns.values(), se)  # noqa: S608 - names checked above


def counter(store: Store, se: str, sd: bytes, version: int) -> int:
    """Return the sequence counter that the key set of a security domain showed last (0: none yet)."""
    row = store.row("SELECT value FROM counter WHERE se = ? AND sd = ? AND version = ?", se, sd, version)
    return 0 if row is None else int(row["value"])


def set_counter(store: Store, se: str, sd: bytes, version: int, value: int) -> None:
    """Keep the sequence counter that a key set showed, inside the transaction under way."""
    store.run(
        "INSERT INTO counter VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        se,
        sd,
        version,
        value,
    )
