"""The demo's sequences: each does its work through the service providers' TSMs, and says what the SEs must then be."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import OpenTsmError
from opentsm_card.lifecycle import CardState
from opentsm_tools.demo.cast import BANK, DEVICES, PROVIDERS, TRANSIT
from opentsm_tsm.messages import HandleSEStatusChangeNotification, TerminateService
from opentsm_tsm.sp.client import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from opentsm_tools.demo.cast import Device, Provider
    from opentsm_tools.demo.stage import Stage
    from opentsm_tsm.sp import Account

__all__ = ["SEQUENCES", "Step"]

NORTH, SOUTH, UICC = DEVICES

_INS_DELETE: Final = 0xE4
_INS_INSTALL: Final = 0xE6
_ACCOUNTS: Final = {BANK.name: 2, TRANSIT.name: 1}


@dataclass(frozen=True, slots=True)
class Step:
    """One sequence.

    Args:
        name: as machines know it.
        explanation: what happens, for people.
        play: does it; returns nothing, and raises what went wrong.
    """

    name: str
    explanation: str
    play: Callable[[Stage], None]


def _pairs(accounts: tuple[Account, ...]) -> frozenset[tuple[str, str]]:
    return frozenset((account.pan, account.expiry) for account in accounts)


def _everywhere() -> tuple[tuple[Provider, Device], ...]:
    return tuple((provider, device) for device in DEVICES for provider in PROVIDERS)


def request_to_se(stage: Stage) -> None:
    """Ask for the SE data by MSI, then for an object on the SE: fig. 2, over one network of two."""
    bank = stage.sp(BANK)
    data = bank.eligibility(NORTH.msisdn)
    stage.require(data.se_id == NORTH.se and data.mno == NORTH.mno, "the MSI leads to another SE")
    status = bank.object_status(data.se_id, BANK.instance)
    stage.require(not status.present, "an instance is said to be there before it is deployed")
    stage.require(not stage.pushes(SOUTH.mno), "the other network was used")
    stage.require(len(stage.pushes(NORTH.mno)) > 0, "the SE's own network was not used")
    again = bank.eligibility(NORTH.msisdn)
    issuer = stage.read(NORTH).card_state
    stage.require(issuer is not None and again.life_cycle == issuer.name, "the life cycle told is not the SE's")
    try:
        bank.eligibility("+490000000000")
    except RefusedError:
        return
    stage.require(False, "an unknown MSI was not refused")


def conversation(stage: Stage) -> None:
    """Begin a conversation with each SE; each device is woken over its own network."""
    for device in DEVICES:
        stage.conversations[device.se] = stage.sp(BANK).begin(device.se)


def pre_personalization(stage: Stage) -> None:
    """Have each SP's security domain made on each SE, with temporary keys, and its application installed."""
    for provider, device in _everywhere():
        talk = stage.conversation(provider, device)
        deployed = stage.sp(provider).deploy(device.se, provider.service, device.customer, conversation=talk)
        model = stage.models[device.se]
        stage.require(deployed.temporary_version is not None, "no temporary keys came")
        model.add_domain(provider.sd, device.central_sd, deployed.temporary_version or 0)
        model.add_instance(provider.instance, provider.sd)


def key_rotation(stage: Stage) -> None:
    """Have each SP replace its temporary keys, and the central TSM destroy them."""
    for provider, device in _everywhere():
        rotated = stage.sp(provider).rotate_keys(device.se, conversation=stage.conversation(provider, device))
        stage.require(rotated.temporary_keys_destroyed, "the central TSM did not destroy the temporary keys")
        stage.models[device.se].set_keys(provider.sd, rotated.new_version)


def personalization(stage: Stage) -> None:
    """Have the bank write two accounts and the transit operator one, in their own secure channels."""
    for provider, device in _everywhere():
        _personalize(stage, provider, device)


def _personalize(stage: Stage, provider: Provider, device: Device) -> None:
    accounts = provider.accounts(device.customer, _ACCOUNTS[provider.name])
    talk = stage.conversation(provider, device)
    stage.sp(provider).personalize(device.se, provider.service, device.customer, accounts, conversation=talk)
    stage.models[device.se].accounts[provider.instance] = _pairs(accounts)


def activation(stage: Stage) -> None:
    """Activate every service on the contactless interface."""
    for provider, device in _everywhere():
        _suspend(stage, provider, device, "activate")
        stage.models[device.se].activate(provider.instance)


def reader_sees(stage: Stage) -> None:
    """Hold each SE to a payment reader: PPSE, SELECT, records."""
    for device in DEVICES:
        snapshot = stage.read(device)
        stage.counters.apdus += stage.world.inspectors[device.se].reader_apdus
        stage.require(snapshot.directory == (BANK.instance, TRANSIT.instance), "the PPSE lists other applications")


def _suspend(
    stage: Stage,
    provider: Provider,
    device: Device,
    action: Literal["activate", "deactivate", "lock", "unlock"],
    *,
    everything: bool = False,
) -> None:
    talk = stage.conversation(provider, device)
    if everything:
        stage.sp(provider).suspend_or_resume(device.se, action, conversation=talk)
        return
    stage.sp(provider).suspend_or_resume(
        device.se, action, service=provider.service, qualifier=device.customer, conversation=talk
    )


def lock_application(stage: Stage) -> None:
    """Lock and unlock the bank's application on one SE."""
    model = stage.models[NORTH.se]
    _suspend(stage, BANK, NORTH, "lock")
    model.lock(BANK.instance)
    stage.check(NORTH)
    _suspend(stage, BANK, NORTH, "unlock")
    model.unlock(BANK.instance)


def lock_sp(stage: Stage) -> None:
    """Lock all of an SP on the UICC, one of whose applications was locked before, and unlock it again."""
    model = stage.models[UICC.se]
    _suspend(stage, TRANSIT, UICC, "lock")
    model.lock(TRANSIT.instance)
    stage.check(UICC)
    _suspend(stage, TRANSIT, UICC, "lock", everything=True)
    model.lock(TRANSIT.sd)
    _suspend(stage, BANK, UICC, "lock", everything=True)
    model.lock(BANK.sd, BANK.instance)
    stage.check(UICC)
    _suspend(stage, TRANSIT, UICC, "unlock", everything=True)
    model.unlock(TRANSIT.sd)
    _suspend(stage, BANK, UICC, "unlock", everything=True)
    model.unlock(BANK.sd, BANK.instance)
    stage.check(UICC)
    _suspend(stage, TRANSIT, UICC, "unlock")
    model.unlock(TRANSIT.instance)


def _change_se(stage: Stage, device: Device, action: Literal["lock", "unlock", "terminate"], state: CardState) -> None:
    request = HandleSEStatusChangeNotification(se_id=device.se, action=action)
    stage.operate(request)
    stage.models[device.se].set_card(state)


def lock_se(stage: Stage) -> None:
    """Lock and unlock an embedded SE by the central TSM, and a UICC through its network's keys."""
    for device in (SOUTH, UICC):
        _change_se(stage, device, "lock", CardState.CARD_LOCKED)
        stage.check(device)
        _change_se(stage, device, "unlock", CardState.SECURED)


def delete_account(stage: Stage) -> None:
    """Delete one of the bank's two accounts; the other still works."""
    gone, *left = BANK.accounts(NORTH.customer, _ACCOUNTS[BANK.name])
    talk = stage.conversation(BANK, NORTH)
    stage.sp(BANK).delete_accounts(NORTH.se, BANK.service, NORTH.customer, [gone.uid], conversation=talk)
    stage.models[NORTH.se].accounts[BANK.instance] = _pairs(tuple(left))


def delete_instance(stage: Stage) -> None:
    """Delete the bank's instance on the UICC; the transit operator's still works."""
    talk = stage.conversation(BANK, UICC)
    stage.sp(BANK).delete_instance(UICC.se, BANK.instance, conversation=talk)
    stage.models[UICC.se].remove(BANK.instance)


def _renew(
    stage: Stage, provider: Provider, ins: int, kill: Callable[[], None], restart: Callable[[], None], *, cut: bool
) -> None:
    """Renew a service by its qualifier, and kill a process when the SE has executed a command of it.

    The process is dead before the answer goes on (or is lost); what is started again goes on by itself.
    """
    device = SOUTH
    before = stage.effects(device)
    restarted: list[threading.Thread] = []

    def trigger(command: bytes, answer: bytes) -> bool:
        if command[1] != ins or answer[-2:] != b"\x90\x00":
            return False
        kill()
        thread = threading.Thread(target=restart)
        thread.start()
        restarted.append(thread)
        return True

    fired = stage.world.ends[device.se].tap.watch(trigger, cut=cut)
    stage.sp(provider).renew(provider.service, device.customer)
    for thread in restarted:
        thread.join()
    stage.require(fired.is_set(), "the renewal was not cut off")
    stage.models[device.se].accounts[provider.instance] = frozenset()
    stage.check(device)
    _only_once(stage, device, before, provider.instance)
    _personalize(stage, provider, device)


def _only_once(stage: Stage, device: Device, before: list[str], instance: bytes) -> None:
    """Check by the SE's own count that the instance was deleted once and installed once."""
    name = instance.hex().upper()
    new = stage.effects(device)[len(before) :]
    for effect in (f"delete {name}", f"install {name}"):
        stage.require(new.count(effect) == 1, f"{effect}: {new.count(effect)} times")


def renew_agent_killed(stage: Stage) -> None:
    """Renew the ticket; the agent dies between the SE's executing INSTALL and its knowing so."""
    world = stage.world
    kill, restart = (lambda: world.kill_agent(SOUTH)), (lambda: world.restart_agent(SOUTH))
    _renew(stage, TRANSIT, _INS_INSTALL, kill, restart, cut=True)


def renew_tsm_killed(stage: Stage) -> None:
    """Renew the bank's service; the central TSM dies when the old instance is deleted and the new one not there."""
    _renew(stage, BANK, _INS_DELETE, stage.world.kill_tsm, stage.world.restart_tsm, cut=False)


def delete_all(stage: Stage) -> None:
    """Delete all services of an SE, of every SP."""
    stage.operate(TerminateService(se_id=SOUTH.se, scope="all"))
    model = stage.models[SOUTH.se]
    for provider in PROVIDERS:
        model.remove(provider.instance, provider.sd)


def terminate(stage: Stage) -> None:
    """Terminate the UICC through its network's keys, and end the conversations."""
    _change_se(stage, UICC, "terminate", CardState.TERMINATED)
    for device in DEVICES:
        try:
            stage.sp(BANK).end(device.se, stage.conversations[device.se])
        except OpenTsmError as error:
            stage.require(False, f"end of the conversation with {device.se}: {error}")


SEQUENCES: Final = (
    Step("request-to-se", "SE data by MSI, then a request over the SE's own network", request_to_se),
    Step("conversation", "conversations begun with three SEs on two networks", conversation),
    Step(
        "pre-personalization", "two SPs on three SEs: security domains, temporary keys, instances", pre_personalization
    ),
    Step("key-rotation", "each SP replaces its temporary keys; the centre destroys them", key_rotation),
    Step("personalization", "two bank accounts and one ticket on each SE, end to end", personalization),
    Step("activation", "every service active on the contactless interface", activation),
    Step("reader-sees", "a payment reader: PPSE, SELECT, records", reader_sees),
    Step("lock-application", "one application locked and unlocked", lock_application),
    Step("lock-sp", "all of an SP locked and unlocked; what was locked before stays so", lock_sp),
    Step("lock-se", "an embedded SE and, by its network's keys, a UICC locked and unlocked", lock_se),
    Step("delete-account", "one of two accounts deleted; the other still works", delete_account),
    Step("delete-instance", "one SP's instance deleted; the other SP's still works", delete_instance),
    Step("renew-agent-killed", "renewal, the agent killed after INSTALL was executed", renew_agent_killed),
    Step("renew-tsm-killed", "renewal, the central TSM killed after DELETE was executed", renew_tsm_killed),
    Step("delete-all", "all services of an SE deleted", delete_all),
    Step("terminate", "a UICC terminated by its network's keys; conversations ended", terminate),
)
