"""How an SP TSM's operation survives its own death: a run that is repeated from its start gives the same again.

An operation is a function of a `Run`. Whatever is random or read from elsewhere goes through `Run.once`, and every
request to the central TSM through `Run.call`; both keep what they got in the store. Run again, the function walks the
same way over what was kept, and goes on where it was cut off. A request is kept before it is sent, under an operation
id made from the run's: so it is repeated byte for byte, and the central TSM does it once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from opentsm_card.errors import OpenTsmError
from opentsm_tsm.messages import Operation, ResolveOperation
from opentsm_tsm.sp.client import RefusedError
from opentsm_tsm.wire import Request, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_tsm.sp.client import TsmClient
    from opentsm_tsm.sp.store import SpStore

__all__ = ["InDoubtError", "Run"]

_CONFLICT: Final = 409

R = TypeVar("R", bound=Request)


class InDoubtError(OpenTsmError):
    """What an operation did to the SE is not known, and its owner must decide.

    Args:
        operation: the central TSM's operation.
    """

    def __init__(self, operation: Operation) -> None:
        self.operation = operation.operation
        super().__init__(f"{operation.function} on {operation.se_id} is in doubt: probe it, accept it or reset it")


class Run:
    """One operation, being run or run again.

    Args:
        store: where its steps are kept.
        client: the central TSM.
        operation_id: 32 hexadecimal digits.
        se: the SE it concerns.
        observe: told of each operation of the central TSM that came to its end.
    """

    def __init__(
        self,
        store: SpStore,
        client: TsmClient,
        operation_id: str,
        se: str,
        observe: Callable[[Operation], None],
    ) -> None:
        self.store = store
        self.client = client
        self.operation_id = operation_id
        self.se = se
        self._observe = observe
        self._calls = 0
        self._names: dict[str, int] = {}
        self._at_end: list[Callable[[], None]] = []

    @property
    def card_id(self) -> bytes:
        """The operation's identifier as the SE keeps it, 16 bytes."""
        return bytes.fromhex(self.operation_id)

    def once(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return what `make` gave the first time the run came here.

        The name is completed by how often the run used it, so it may stand in a loop.
        """
        number = self._names.get(name, 0)
        self._names[name] = number + 1
        place = f"{name}-{number}"
        kept = self.store.step(self.operation_id, place)
        if kept is not None:
            return kept
        with self.store.transaction():
            # Another process may resume the same operation: the one that comes second takes what the first has made.
            kept = self.store.step(self.operation_id, place)
            if kept is None:
                kept = make()
                self.store.keep_step(self.operation_id, place, kept)
        return kept

    def call(self, request: R) -> Operation:
        """Have the central TSM do an operation, once, and return how it ended: done, failed or in doubt."""
        number = self._calls
        self._calls += 1
        operation_id = f"{self.operation_id}-{number}"
        body = self.once("request", lambda: encode(msgspec.structs.replace(request, operation_id=operation_id)))
        kept = self.store.step(self.operation_id, f"reply-{number}")
        if kept is not None:
            return decode(kept, Operation)
        self.client.start(type(request).__name__, body)
        ended = self.client.wait(operation_id)
        self._observe(ended)
        with self.store.transaction():
            if self.store.step(self.operation_id, f"reply-{number}") is None:
                self.store.keep_step(self.operation_id, f"reply-{number}", encode(ended))
        return ended

    def at_end(self, change: Callable[[], None]) -> None:
        """Have the store changed in the transaction that ends the run: what a repeated run still needs goes last."""
        self._at_end.append(change)

    def end(self) -> None:
        """Make the changes of `at_end`."""
        for change in self._at_end:
            change()

    def settle(self, operation_id: str, *, done: bool) -> None:
        """Tell the central TSM how an operation in doubt turned out; said twice is said once."""
        try:
            self.client.resolve(operation_id, ResolveOperation(decision="accept" if done else "reset"))
        except RefusedError as error:
            if error.problem.status != _CONFLICT:
                raise
