"""What all functions of the central TSM work with, and what a function is to the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentsm_tsm import inventory

if TYPE_CHECKING:
    from opentsm_card.script import Script, ScriptOutcome
    from opentsm_tsm.config import TsmConfig
    from opentsm_tsm.inventory import SeRecord
    from opentsm_tsm.keystore import KeyStore
    from opentsm_tsm.operations import OperationRow
    from opentsm_tsm.signals import Signals
    from opentsm_tsm.store import Store
    from opentsm_tsm.wire import Request

__all__ = ["WAIT", "Action", "Caller", "Centre", "Handler", "Send", "Wait"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls a function: a role and an id of a verified certificate."""

    role: str
    id: str

    def __str__(self) -> str:
        """Return `role:id`, as operations and the audit log name callers."""
        return f"{self.role}:{self.id}"


@dataclass(slots=True)
class Centre:
    """The database, the keys and the configuration, which all functions share.

    `overwrite` is set by who deletes a secret from the database: the write-ahead log is truncated then.
    """

    store: Store
    keystore: KeyStore
    config: TsmConfig
    signals: Signals
    overwrite: bool = False

    def leave_no_trace(self) -> None:
        """Truncate the write-ahead log if a secret was deleted; outside of a transaction."""
        if self.overwrite:
            self.overwrite = not self.store.forget()

    def se(self, name: str) -> SeRecord:
        """Return an SE that is known to be there."""
        record = inventory.find(self.store, name)
        assert record is not None, "an operation names an SE that is not there"
        return record


@dataclass(frozen=True, slots=True)
class Send:
    """The next thing to do is a script.

    Args:
        script: what to run on the SE.
        context: what its function needs to take the report; JSON values, no secrets.
        opaque_from: index from which the script is a service provider's, if any.
    """

    script: Script
    context: dict[str, Any]
    opaque_from: int | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """There is nothing to send: something other than the SE is waited for."""


WAIT: Final = Wait()
Action = Send | Wait | None


class Handler(ABC):
    """One function of the messaging API, as the engine carries its operations forward.

    All methods run inside a transaction; a handler keeps no state of its own.
    """

    @abstractmethod
    def admit(self, centre: Centre, caller: Caller, params: Request) -> tuple[str, str]:
        """Check a request against the state of things.

        Returns:
            The SE that it concerns, and the first phase.

        Raises:
            RefusalError: it can't be done, or not by this caller.
        """

    def begin(self, centre: Centre, operation: OperationRow) -> None:
        """Check again, before anything was sent, what an operation in front may have changed since `admit`.

        Raises:
            RefusalError: the operation ends here.
        """
        del centre, operation

    @abstractmethod
    def step(self, centre: Centre, operation: OperationRow) -> Action:
        """Return what comes next; None when the operation was changed (ended, or entered another phase)."""

    def reported(
        self, centre: Centre, operation: OperationRow, context: dict[str, Any], outcome: ScriptOutcome
    ) -> None:
        """Take what came of a script that `step` sent; a function that sends none never gets here."""
        del centre, context, outcome
        raise AssertionError(f"{operation.function} has sent no script")
