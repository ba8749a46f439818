"""An SP TSM: a service provider's side of every sequence, as a library.

It holds the SP's keys, wraps its own scripts, and lets the central TSM relay them. Each method is one operation, kept
before it is sent; `resume` ends those that a killed process left.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, Self, TypeVar

from opentsm_card.aid import Aid
from opentsm_card.errors import OpenTsmError, ProtocolError, TransportError
from opentsm_tsm.keystore import KeyStore, read_passphrase
from opentsm_tsm.messages import (
    BeginConversation,
    CheckGlobalEligibility,
    ConversationResult,
    EndConversation,
    GetApplicationOrELFStatus,
    GetServiceState,
    ObjectStatus,
    ResolveOperation,
    SeData,
    ServiceView,
    SuspendOrResumeResult,
    SuspendOrResumeService,
    TerminateResult,
    TerminateService,
    UpgradeService,
)
from opentsm_tsm.sp import kinds
from opentsm_tsm.sp.client import TsmClient
from opentsm_tsm.sp.config import load_config
from opentsm_tsm.sp.durable import InDoubtError, Run
from opentsm_tsm.sp.personalization import UID_BYTES
from opentsm_tsm.sp.store import SpStore
from opentsm_tsm.sp.work import WORK, Provider
from opentsm_tsm.wire import Hex, Message, Request, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Literal

    from opentsm_tsm.messages import Operation
    from opentsm_tsm.sp.config import SpConfig
    from opentsm_tsm.sp.personalization import Account
    from opentsm_tsm.sp.store import OperationRow

__all__ = ["PRIVATE_KEY", "SpTsm"]

PRIVATE_KEY: Final = "transport-key"

M = TypeVar("M", bound=Message)


def _ignore(_operation: Operation) -> None:
    """Observe nothing."""


class SpTsm:
    """A service provider's TSM.

    State lives in its sqlite file and key store, so one may be opened where another was killed. It belongs to the
    thread that opened it.

    Args:
        config: its sp.toml.
        store: its sqlite file.
        client: the central TSM.
        private_key_pem: of the key to which temporary keys are encrypted.
        observe: told of each operation of the central TSM that came to its end.
    """

    def __init__(
        self,
        config: SpConfig,
        store: SpStore,
        client: TsmClient,
        private_key_pem: bytes,
        observe: Callable[[Operation], None] = _ignore,
    ) -> None:
        self.config = config
        self.sd = bytes.fromhex(config.sp.sd)
        self._observe = observe
        self._store = store
        self._client = client
        self._provider = Provider(config, self.sd, private_key_pem)

    @classmethod
    def open(cls, path: Path, observe: Callable[[Operation], None] = _ignore) -> Self:
        """Open the SP TSM of an sp.toml.

        Raises:
            ProtocolError, StorageError: the file, its key store or its certificates are not right.
        """
        config, folder = load_config(path), path.resolve().parent
        keys = KeyStore.open(folder / config.keys.store, read_passphrase(folder / config.keys.passphrase_file))
        client = TsmClient(
            config.tsm.url,
            folder / config.tls.certificate,
            folder / config.tls.key,
            folder / config.tsm.ca,
            patience_s=config.tsm.patience_s,
        )
        return cls(config, SpStore(folder / config.sp.database, keys), client, keys.get(PRIVATE_KEY), observe)

    def close(self) -> None:
        """Close connection and database."""
        self._client.close()
        self._store.close()

    def __enter__(self) -> Self:
        """Return the SP TSM itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close it."""
        self.close()

    # ---- questions

    def eligibility(self, msi: str) -> SeData:
        """Ask for the data of the SE of a subscriber (MSISDN or IMSI): the first request (fig. 2)."""
        return self._client.query(CheckGlobalEligibility(msi=msi), SeData)

    def service_state(self, se: str, service: str, qualifier: str) -> ServiceView:
        """Ask for the state of one of our services."""
        return self._client.query(GetServiceState(se_id=se, service=service, qualifier=qualifier), ServiceView)

    def object_status(self, se: str, aid: bytes) -> ObjectStatus:
        """Have the SE read over its network, and return the state of one of our objects."""
        return self._central(se, GetApplicationOrELFStatus(se_id=se, aid=Hex(aid), refresh=True), ObjectStatus)

    def key_versions(self, se: str) -> tuple[tuple[int, bool], ...]:
        """Return the key versions we hold for our security domain on an SE, each with whether it is temporary."""
        return tuple(self._store.versions(se, self.sd))

    # ---- conversations

    def begin(self, se: str) -> str:
        """Begin a conversation: the device is woken over its network. Return the conversation's id."""
        return self._central(se, BeginConversation(se_id=se), ConversationResult).conversation_id

    def end(self, se: str, conversation: str) -> None:
        """End a conversation."""
        self._central(se, EndConversation(conversation_id=conversation), ConversationResult)

    # ---- services

    def deploy(self, se: str, service: str, qualifier: str, *, conversation: str | None = None) -> kinds.DeployedResult:
        """Have our security domain made (with temporary keys) and the service's application installed in it."""
        self.config.find_service(service)
        params = kinds.DeployParams(service=service, qualifier=qualifier, conversation_id=conversation)
        return self._operate("deploy", se, params, kinds.DeployedResult)

    def rotate_keys(self, se: str, *, conversation: str | None = None) -> kinds.RotatedResult:
        """Replace the keys of our security domain by new ones that nobody else has."""
        return self._operate("rotate", se, kinds.RotateParams(conversation_id=conversation), kinds.RotatedResult)

    def personalize(
        self, se: str, service: str, qualifier: str, accounts: Sequence[Account], *, conversation: str | None = None
    ) -> kinds.AccountsResult:
        """Write accounts under a service qualifier, in our own secure channel."""
        self.config.find_service(service)
        if not 1 <= len(accounts) <= 255:
            raise ProtocolError(f"{len(accounts)} accounts: 1 to 255 at a time")
        params = kinds.PersonalizeParams(
            service=service,
            qualifier=qualifier,
            accounts=tuple(kinds.AccountData.of(account) for account in accounts),
            conversation_id=conversation,
        )
        return self._operate("personalize", se, params, kinds.AccountsResult)

    def delete_accounts(
        self, se: str, service: str, qualifier: str, uids: Sequence[bytes] = (), *, conversation: str | None = None
    ) -> kinds.AccountsResult:
        """Delete accounts by their unique identifiers, or all of a qualifier, in our own secure channel."""
        self.config.find_service(service)
        for uid in uids:
            if len(uid) != UID_BYTES:
                raise ProtocolError(f"account uid {uid.hex()}: {len(uid)} bytes, want {UID_BYTES}")
        params = kinds.AccountsParams(
            service=service,
            qualifier=qualifier,
            accounts=tuple(Hex(uid) for uid in uids),
            conversation_id=conversation,
        )
        return self._operate("delete-accounts", se, params, kinds.AccountsResult)

    def accounts(self, se: str, service: str, *, conversation: str | None = None) -> kinds.AccountListResult:
        """Read from the instance, under response MAC, which accounts it holds."""
        self.config.find_service(service)
        params = kinds.ReadParams(service=service, conversation_id=conversation)
        return self._operate("read-accounts", se, params, kinds.AccountListResult)

    def suspend_or_resume(
        self,
        se: str,
        action: Literal["activate", "deactivate", "lock", "unlock"],
        *,
        service: str | None = None,
        qualifier: str | None = None,
        conversation: str | None = None,
    ) -> SuspendOrResumeResult:
        """Activate, deactivate, lock or unlock one service, or (no service named) all we have on the SE."""
        request = SuspendOrResumeService(
            se_id=se,
            action=action,
            scope="sp" if service is None else "application",
            service=service,
            qualifier=qualifier,
            conversation_id=conversation,
        )
        return self._central(se, request, SuspendOrResumeResult)

    def delete_instance(self, se: str, aid: bytes, *, conversation: str | None = None) -> TerminateResult:
        """Have one instance of ours deleted."""
        request = TerminateService(se_id=se, scope="instance", aid=Hex(Aid(aid)), conversation_id=conversation)
        return self._central(se, request, TerminateResult)

    def delete_service(
        self, se: str, service: str, qualifier: str, *, conversation: str | None = None
    ) -> TerminateResult:
        """Have a service deleted with all that is its own."""
        request = TerminateService(
            se_id=se, scope="service", service=service, qualifier=qualifier, conversation_id=conversation
        )
        return self._central(se, request, TerminateResult)

    def terminate(self, se: str, *, conversation: str | None = None) -> TerminateResult:
        """Have everything of ours on an SE deleted, our security domain with it; its keys are then forgotten."""
        params = kinds.RotateParams(conversation_id=conversation)
        return self._operate("terminate", se, params, TerminateResult)

    def renew(
        self, service: str, qualifier: str, *, se: str | None = None, conversation: str | None = None
    ) -> ServiceView:
        """Renew a service by its qualifier: data deleted, installed anew, extradited, activated (fig. 10)."""
        request = UpgradeService(service=service, qualifier=qualifier, se_id=se, conversation_id=conversation)
        return self._central(se or "", request, ServiceView)

    # ---- operations

    def operations(self) -> tuple[OperationRow, ...]:
        """Return this SP TSM's operations, the oldest first."""
        return tuple(self._store.operations())

    def resume(self) -> tuple[OperationRow, ...]:
        """Bring every operation that a killed or cut-off process left to its end, and return them."""
        left = self._store.operations("running")
        for row in left:
            try:
                self._run(row.operation_id)
            except TransportError:
                raise
            except OpenTsmError:
                continue  # its state and error are in the store
        ended = (self._store.operation(row.operation_id) for row in left)
        return tuple(row for row in ended if row is not None)

    def resolve(self, operation_id: str, *, accept: bool) -> None:
        """Settle an operation in doubt that no probe could settle: accept it as done, or reset it.

        Raises:
            ProtocolError: there is no such operation in doubt.
        """
        row = self._store.operation(operation_id)
        if row is None or row.state != "in-doubt" or row.central is None:
            raise ProtocolError(f"no operation {operation_id!r} is in doubt")
        self._client.resolve(row.central, ResolveOperation(decision="accept" if accept else "reset"))
        self._store.set_operation(operation_id, "done" if accept else "failed", "settled by hand")
        self._store.forget_steps(operation_id)

    def _central(self, se: str, request: Request, result: type[M]) -> M:
        """Run an operation that is one request to the central TSM."""
        document = encode(request)
        # What the API can't take is found here, before it is kept and sent.
        decode(document, type(request))
        params = kinds.CentralParams(function=type(request).__name__, request=Hex(document))
        return self._operate("central", se, params, result)

    def _operate(self, kind: str, se: str, params: Message, result: type[M]) -> M:
        operation_id = secrets.token_hex(16)
        self._store.add_operation(operation_id, kind, se, encode(params))
        return decode(encode(self._run(operation_id)), result)

    def _run(self, operation_id: str) -> Message:
        """Run an operation, from its start or from where it was cut off, and keep how it ended.

        A `TransportError` leaves it running: `resume` goes on with it.
        """
        row = self._store.operation(operation_id)
        assert row is not None
        work = WORK[row.kind]
        run = Run(self._store, self._client, operation_id, row.se, self._observe)
        try:
            outcome = work.do(run, self._provider, decode(self._store.params(operation_id), work.params))
        except TransportError:
            raise
        except InDoubtError as error:
            self._store.set_operation(operation_id, "in-doubt", str(error), central=error.operation)
            raise
        except OpenTsmError as error:
            self._store.set_operation(operation_id, "failed", str(error))
            self._store.forget_steps(operation_id)
            raise
        with self._store.transaction():
            run.end()
            self._store.set_operation(operation_id, "done")
            self._store.forget_steps(operation_id)
        return outcome
