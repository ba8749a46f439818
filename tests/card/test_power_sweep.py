"""The life of a payment application and its provider's security domain, power cut at every persistent write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from opentsm_card import tlv
from opentsm_card.delete import DeleteKey
from opentsm_card.errors import CardError, SecureChannelError
from opentsm_card.install import InstallForPersonalization
from opentsm_card.set_status import SetStatus
from opentsm_card.store_data import StoreData
from opentsm_simulator import VirtualSe
from opentsm_simulator.power import Step, state_of, sweep
from sd_host import BANK, CARD_1, ISD, ISD_KEYS, Host, block, keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.aid import Aid
    from opentsm_card.keys import KeySet

FIRST: Final = keys(0x31, 1)
SECOND: Final = keys(0x32, 2)
PUT, DELETE_QUALIFIER = 0x0201, 0x0203
KNOWN: Final = (ISD_KEYS, FIRST, SECOND)
UIDS: Final = (bytes([1]) * 16, bytes([2]) * 16)
SAMPLE: Final = 40


class Phone:
    """An embedded SE, and a host in front of it."""

    def __init__(self) -> None:
        self.se = VirtualSe.create("embedded", se_id="phone")
        self.host = Host(self.se.link())


def account(uid: bytes) -> bytes:
    data = tlv.encode(0xC0, b"debit") + tlv.encode(0xC1, uid) + tlv.encode(0x5A, bytes.fromhex("5413330089010011"))
    return data + tlv.encode(0x5F24, bytes.fromhex("301231")) + tlv.encode(0x50, b"Card")


def session(domain: Aid, key_set: KeySet) -> Step[Phone]:
    return Step(f"a session with {domain}", lambda phone: phone.host.into(domain, key_set))


def then(name: str, does: Callable[[Host], object]) -> Step[Phone]:
    return Step(name, lambda phone: does(phone.host), alone=False)


def observe(phone: Phone) -> dict[str, str]:
    """Return the card as its owners see it: all but the security domains' counters of sessions, which never go back."""
    state = state_of(phone)
    for line in phone.se.registry_lines():
        kind, aid, *_ = line.split("\t")
        if kind in {"issuer", "domain"}:
            del state[f"contents {aid}"]
            state[f"keys {aid}"] = " ".join(_opens(phone.host, bytes.fromhex(aid), each) for each in KNOWN)
    return state


def _opens(host: Host, aid: bytes, key_set: KeySet) -> str:
    """Tell whether a security domain has a key set, by its cryptogram."""
    if (sw := host.select(aid).sw) != 0x9000:
        return f"{sw:04X}"
    try:
        host.begin(key_set, bytes(8))
    except CardError as error:
        return f"{error.sw:04X}"
    except SecureChannelError:
        return "other"
    return f"{key_set.version:02X}"


def store(name: str, identifier: int, operation: int, value: bytes) -> list[Step[Phone]]:
    data = block(operation, identifier, value)
    return [
        then(f"{name}: INSTALL [for personalization]", lambda host: host.done(InstallForPersonalization(CARD_1))),
        then(f"{name}: STORE DATA", lambda host: host.done(StoreData(0, data, last=True))),
    ]


def right(sw: int) -> None:
    assert sw == 0x9000


INSTALL: Final = [
    session(ISD, ISD_KEYS),
    then("install a security domain", lambda host: host.new_domain(BANK)),
    session(BANK, ISD_KEYS),
    then("put its first keys", lambda host: host.put_keys(FIRST).require("PUT KEY")),
    session(ISD, ISD_KEYS),
    then("install a payment application", lambda host: host.new_payment(CARD_1)),
    then("extradite it", lambda host: right(host.extradite(CARD_1, BANK))),
    then("activate it", lambda host: right(host.activate(CARD_1))),
]
PERSONALIZE: Final = [
    session(BANK, FIRST),
    *store("an account", PUT, 1, account(UIDS[0])),
    *store("another", PUT, 2, account(UIDS[1])),
]
ROTATE: Final = [
    session(BANK, FIRST),
    then("add the new keys", lambda host: host.put_keys(SECOND).require("PUT KEY")),
    session(BANK, SECOND),
    then("delete the old ones", lambda host: host.done(DeleteKey(FIRST.version))),
]
LOCK: Final = [
    session(ISD, ISD_KEYS),
    then("lock the application", lambda host: host.done(SetStatus.lock(CARD_1))),
    then("unlock it", lambda host: host.done(SetStatus.unlock(CARD_1))),
    then("lock all of the provider", lambda host: host.done(SetStatus.lock_all(BANK))),
    then("unlock all of the provider", lambda host: host.done(SetStatus.unlock_all(BANK))),
]
RENEW: Final = [
    session(BANK, SECOND),
    *store("the service's data deleted", DELETE_QUALIFIER, 3, tlv.encode(0xC0, b"debit")),
    session(ISD, ISD_KEYS),
    then("deactivate it", lambda host: right(host.activate(CARD_1, activated=False))),
    then("delete the instance", lambda host: right(host.delete(CARD_1))),
    then("install it anew", lambda host: host.new_payment(CARD_1)),
    then("extradite it anew", lambda host: right(host.extradite(CARD_1, BANK))),
    then("activate it anew", lambda host: right(host.activate(CARD_1))),
]
DELETE: Final = [
    session(ISD, ISD_KEYS),
    then("delete the application", lambda host: right(host.delete(CARD_1))),
    then("delete the security domain", lambda host: right(host.delete(BANK))),
]
LIFE: Final = [*INSTALL, *PERSONALIZE, *ROTATE, *LOCK, *RENEW, *DELETE]


def test_a_sample_of_all_writes_leaves_nothing_between() -> None:
    swept = sweep(Phone, LIFE, observe=observe, sample=SAMPLE, seed=6)
    assert swept.between == ()
    assert len(swept.cuts) > SAMPLE // 2


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_no_write_of_a_whole_life_leaves_anything_between() -> None:
    swept = sweep(Phone, LIFE, observe=observe)
    assert swept.between == ()
    # A random byte that is there already is no write: of some hundred writes, one or the other is not made again.
    assert sum(swept.writes) * 0.98 < len(swept.cuts) <= sum(swept.writes)
