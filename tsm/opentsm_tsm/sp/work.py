"""What each kind of an SP TSM's operation does: functions of a `Run`, so that each can be run again after a kill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentsm_card.errors import OpenTsmError, ProtocolError
from opentsm_tsm.messages import (
    FUNCTIONS,
    ActionReceipt,
    DeployApplication,
    DeployResult,
    DeployService,
    HandleActionDoneOnServiceNotification,
    Operation,
    TerminateResult,
    TerminateService,
)
from opentsm_tsm.sp import kinds
from opentsm_tsm.sp.accounts import read_accounts, store_blocks
from opentsm_tsm.sp.client import result_of
from opentsm_tsm.sp.durable import InDoubtError
from opentsm_tsm.sp.personalization import (
    block_id,
    delete_account_block,
    delete_qualifier_block,
    install_parameters,
    put_account_block,
)
from opentsm_tsm.sp.rotation import rotate
from opentsm_tsm.sp.session import send_script
from opentsm_tsm.sp.wrapping import unwrap_key_set
from opentsm_tsm.wire import Hex, Message, decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_tsm.messages import ScriptEntry
    from opentsm_tsm.sp.config import SpConfig
    from opentsm_tsm.sp.durable import Run

__all__ = ["WORK", "Provider", "Work"]


@dataclass(frozen=True)
class Provider:
    """What operations need to know of the service provider.

    Args:
        config: its sp.toml.
        sd: AID of its security domain.
        private_key_pem: of the key to which temporary keys are encrypted.
    """

    config: SpConfig
    sd: bytes
    private_key_pem: bytes

    def __repr__(self) -> str:
        """Show no key."""
        return f"Provider({self.config.sp.id})"

    def instance(self, service: str) -> bytes:
        """Return the AID of a service's instance."""
        return bytes.fromhex(self.config.find_service(service).instance)


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of operation: the type of its parameters, and what it does."""

    params: type[Message]
    do: Callable[[Run, Provider, Any], Message]


def ended(operation: Operation, kind: type[Message]) -> Message:
    """Return the result of an operation of the central TSM.

    Raises:
        InDoubtError: it is in doubt, and that is not ours to settle here.
        RefusedError: it failed.
    """
    if operation.state == "in-doubt":
        raise InDoubtError(operation)
    return result_of(operation, kind)


def _central(run: Run, _provider: Provider, params: kinds.CentralParams) -> Message:
    function = FUNCTIONS[params.function]
    return ended(run.call(decode(bytes(params.request), function.request)), function.reply)


def _deploy(run: Run, provider: Provider, params: kinds.DeployParams) -> kinds.DeployedResult:
    service = provider.config.find_service(params.service)
    instance = Hex(bytes.fromhex(service.instance))
    request = DeployService(
        se_id=run.se,
        service=params.service,
        qualifier=params.qualifier,
        sd=Hex(provider.sd),
        applications=(
            DeployApplication(
                package=Hex(bytes.fromhex(service.package)),
                module=Hex(bytes.fromhex(service.module)),
                instance=instance,
                parameters=Hex(install_parameters(service.label, service.priority, service.max_accounts)),
            ),
        ),
        conversation_id=params.conversation_id,
    )
    result = ended(run.call(request), DeployResult)
    assert isinstance(result, DeployResult)
    if result.diversification_data is not None and result.scp03_i is not None:
        run.store.keep_element(run.se, bytes(result.diversification_data), result.scp03_i)
    if result.keys is None:
        if not run.store.versions(run.se, provider.sd):
            raise OpenTsmError(f"{provider.sd.hex().upper()} on {run.se} holds keys that this SP TSM does not have")
        return kinds.DeployedResult(sd=Hex(provider.sd), instance=instance)
    keys = unwrap_key_set(result.keys, provider.private_key_pem)
    if keys.sd != provider.sd:
        raise ProtocolError("the wrapped key set is for another security domain")
    value = bytes(keys.enc) + bytes(keys.mac) + bytes(keys.dek)
    with run.store.transaction():
        # A new security domain: whatever an older one of this name held is gone with it.
        for version, _ in run.store.versions(run.se, provider.sd):
            run.store.forget_key_set(run.se, provider.sd, version)
        run.store.keep_key_set(run.se, provider.sd, keys.version, value, temporary=True)
    return kinds.DeployedResult(sd=Hex(provider.sd), instance=instance, temporary_version=keys.version)


def _rotate(run: Run, provider: Provider, params: kinds.RotateParams) -> kinds.RotatedResult:
    own = provider.config.sp
    return rotate(run, provider.sd, own.key_version, own.key_length_bytes, params.conversation_id)


def _personalize(run: Run, provider: Provider, params: kinds.PersonalizeParams) -> kinds.AccountsResult:
    instance = provider.instance(params.service)
    blocks = tuple(
        put_account_block(block_id(run.card_id, index), params.qualifier, data.account())
        for index, data in enumerate(params.accounts)
    )
    conversation = params.conversation_id
    send = send_script(run, provider.sd, conversation)
    store_blocks(run, provider.sd, instance, blocks, send=send, conversation=conversation)
    notice = HandleActionDoneOnServiceNotification(
        se_id=run.se,
        sd=Hex(provider.sd),
        action="personalization",
        service=params.service,
        qualifier=params.qualifier,
    )
    run.client.query(notice, ActionReceipt)
    return kinds.AccountsResult(instance=Hex(instance), accounts=tuple(data.uid for data in params.accounts))


def _delete_accounts(run: Run, provider: Provider, params: kinds.AccountsParams) -> kinds.AccountsResult:
    instance = provider.instance(params.service)
    accounts = params.accounts
    if accounts:
        blocks = tuple(
            delete_account_block(block_id(run.card_id, index), params.qualifier, bytes(uid))
            for index, uid in enumerate(accounts)
        )
    else:
        found = read_accounts(run, provider.sd, instance, params.conversation_id)
        accounts = tuple(Hex(uid) for qualifier, uid in found if qualifier == params.qualifier)
        if not accounts:
            return kinds.AccountsResult(instance=Hex(instance))
        blocks = (delete_qualifier_block(block_id(run.card_id, 0), params.qualifier),)

    def send(script: tuple[ScriptEntry, ...]) -> Operation:
        request = TerminateService(
            se_id=run.se,
            scope="account",
            service=params.service,
            qualifier=params.qualifier,
            accounts=accounts,
            target=Hex(provider.sd),
            script=script,
            conversation_id=params.conversation_id,
        )
        return run.call(request)

    store_blocks(run, provider.sd, instance, blocks, send=send, conversation=params.conversation_id)
    return kinds.AccountsResult(instance=Hex(instance), accounts=accounts)


def _read_accounts(run: Run, provider: Provider, params: kinds.ReadParams) -> kinds.AccountListResult:
    instance = provider.instance(params.service)
    found = read_accounts(run, provider.sd, instance, params.conversation_id)
    entries = tuple(kinds.AccountEntry(qualifier=qualifier, uid=Hex(uid)) for qualifier, uid in found)
    return kinds.AccountListResult(instance=Hex(instance), accounts=entries)


def _terminate(run: Run, provider: Provider, params: kinds.RotateParams) -> Message:
    request = TerminateService(se_id=run.se, scope="sp", conversation_id=params.conversation_id)
    result = ended(run.call(request), TerminateResult)

    def forget() -> None:
        for version, _ in run.store.versions(run.se, provider.sd):
            run.store.forget_key_set(run.se, provider.sd, version)

    run.at_end(forget)
    return result


WORK: Final[dict[str, Work]] = {
    "central": Work(kinds.CentralParams, _central),
    "deploy": Work(kinds.DeployParams, _deploy),
    "rotate": Work(kinds.RotateParams, _rotate),
    "personalize": Work(kinds.PersonalizeParams, _personalize),
    "delete-accounts": Work(kinds.AccountsParams, _delete_accounts),
    "read-accounts": Work(kinds.ReadParams, _read_accounts),
    "terminate": Work(kinds.RotateParams, _terminate),
}
