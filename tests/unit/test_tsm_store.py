from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from opentsm_card.errors import ProtocolError
from opentsm_tsm import audit, holdings, inventory, operations
from opentsm_tsm.config import SeSeed
from opentsm_tsm.holdings import Domain
from opentsm_tsm.messages import BeginConversation, ConversationResult
from opentsm_tsm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "tsm.sqlite") as store:
        seed = SeSeed(id="ese-1", type="eSE", configuration="embedded", mno="north", msisdn="+4917")
        with store.transaction():
            assert inventory.add(store, seed, 48)
            assert not inventory.add(store, seed, 48)
        yield store


def test_a_block_that_raises_leaves_nothing(store: Store) -> None:
    def half() -> None:
        with store.transaction():
            inventory.update(store, "ese-1", status="locked")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    se = inventory.find(store, "ese-1")
    assert se is not None
    assert se.status == "ok"


def test_every_transaction_commits_in_one_place(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = []
    real = store.commit

    def commit() -> None:
        commits.append(1)
        real()

    monkeypatch.setattr(store, "commit", commit)
    with store.transaction():
        audit.record(store, "tsm", "test", "done")
        audit.record(store, "tsm", "test", "done")
    assert len(commits) == 1
    assert len(audit.read(store)) == 2


def test_a_change_outside_of_a_transaction_is_a_fault(store: Store) -> None:
    with pytest.raises(AssertionError):
        store.run("UPDATE se SET status = 'locked'")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no database" * 100)
    with pytest.raises(ProtocolError, match="not a database"):
        Store(tmp_path / "text")
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("PRAGMA user_version = 77")
    other.close()
    with pytest.raises(ProtocolError, match="version 77"):
        Store(tmp_path / "other")


def test_the_database_is_its_owners(tmp_path: Path) -> None:
    with Store(tmp_path / "tsm.sqlite"):
        assert (tmp_path / "tsm.sqlite").stat().st_mode & 0o077 == 0


def test_an_operation_is_kept_as_it_is(store: Store) -> None:
    params = BeginConversation(se_id="ese-1", operation_id="mine")
    with store.transaction():
        made = operations.add(store, "sp:bank", "ese-1", "BeginConversation", params, "wake")
        made.work["note"] = ["a", 1]
        made.enter("talk")
        made.finish(store, ConversationResult(conversation_id="c"))
    found = operations.find(store, "sp:bank", "mine")
    assert found is not None
    assert (found.params, found.work, found.state) == (params, {"note": ["a", 1]}, "done")
    assert [step.name for step in found.steps] == ["wake", "talk"]
    assert operations.find(store, "sp:transit", "mine") is None
    assert operations.view(found).result == {"conversationId": "c"}
    assert operations.ses_with_work(store) == ()


def test_a_deleted_secret_is_in_no_file(store: Store, tmp_path: Path) -> None:
    sealed = b"SEALED-TEMPORARY-KEYS" * 3
    with store.transaction():
        holdings.put_domain(store, Domain("ese-1", b"12345", "bank", "temporary", 48, sealed))
    assert any(sealed in path.read_bytes() for path in tmp_path.iterdir())
    with store.transaction():
        holdings.put_domain(store, Domain("ese-1", b"12345", "bank", "own", 49, None))
    store.forget()
    assert not any(sealed in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("field", [{"issuer": "A000"}, {"packages": ("A0" * 17,)}, {"diversification_data": "00"}])
def test_a_malformed_se_is_refused(store: Store, field: dict[str, str]) -> None:
    seed = SeSeed(id="new", type="eSE", configuration="embedded", mno="north", **field)  # type: ignore[arg-type] # wrong on purpose
    with pytest.raises(ProtocolError), store.transaction():
        inventory.add(store, seed, 48)
    assert inventory.find(store, "new") is None
