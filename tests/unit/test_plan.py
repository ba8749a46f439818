from dataclasses import replace

import pytest

from opentsm_card.aid import Aid
from opentsm_card.configurations import CommandName, configuration
from opentsm_card.delete import DeleteObject
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
)
from opentsm_card.lifecycle import CardState, ContactlessState
from opentsm_card.plan import (
    Absent,
    ApplicationPresent,
    Block,
    CardIn,
    Locked,
    PlanError,
    PutTemporaryKeys,
    Refusal,
    SecureElement,
    SecurityDomainPresent,
    Unlocked,
    Wanted,
    apply_block,
    diff,
    plan,
    renewal,
)
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, Registry, RegistryEntry
from opentsm_card.set_status import SetStatus


def aid(text: str) -> Aid:
    return Aid(bytes.fromhex("F06F70656E74736D" + text))


ISD = Aid.from_text("A000000151000000")
SD_PACKAGE, SD_MODULE = Aid.from_text("A0000001515350"), Aid.from_text("A000000151535041")
CENTRAL = aid("0001")
PACKAGE, MODULE = aid("0101"), aid("010101")
BANK, TRANSIT = aid("0A0001"), aid("0A0002")
CARD_1, CARD_2, TICKET = aid("0B000101"), aid("0B000102"), aid("0B000201")

SSD = Privilege.SECURITY_DOMAIN | Privilege.TRUSTED_PATH
EMBEDDED = SecureElement(configuration("embedded"), ISD, ISD, {ISD: 0x30}, SD_PACKAGE, SD_MODULE)
UICC = SecureElement(
    configuration("uicc"), ISD, CENTRAL, {CENTRAL: 0x30}, SD_PACKAGE, SD_MODULE, packages=frozenset({PACKAGE})
)


def isd(state: CardState = CardState.SECURED) -> RegistryEntry:
    return RegistryEntry(ISD, state, Privilege.parse(bytes.fromhex("9EFE80")), kind=Kind.ISSUER_SECURITY_DOMAIN)


def domain(name: Aid, state: int = 0x0F, *, under: Aid = ISD) -> RegistryEntry:
    return RegistryEntry(name, state, SSD, under, SD_PACKAGE, kind=Kind.SECURITY_DOMAIN)


def application(
    name: Aid, *, under: Aid, state: int = 0x07, contactless: ContactlessState = ContactlessState.DEACTIVATED
) -> RegistryEntry:
    return RegistryEntry(name, state, associated_sd=under, load_file=PACKAGE, contactless=contactless)


def embedded(*entries: RegistryEntry, state: CardState = CardState.SECURED) -> Registry:
    return Registry(isd(state), entries, (RegistryEntry(PACKAGE, 0x01, associated_sd=ISD, kind=Kind.LOAD_FILE),), True)


def uicc(*entries: RegistryEntry) -> Registry:
    return Registry(None, entries, (), True)


def wanted_card(name: Aid = CARD_1, owner: Aid = BANK, *, contactless: bool | None = True) -> ApplicationPresent:
    return ApplicationPresent(PACKAGE, MODULE, name, associated_sd=owner, contactless=contactless)


DEPLOY = Wanted((wanted_card(), SecurityDomainPresent(BANK, key_version=0x31)))


@pytest.mark.parametrize(("element", "registry"), [(EMBEDDED, embedded()), (UICC, uicc())])
def test_a_deployment_is_three_secure_channels_in_the_right_order(element: SecureElement, registry: Registry) -> None:
    centre = element.central_sd
    assert plan(element, registry, DEPLOY) == (
        Block(centre, centre, (InstallForInstall(SD_PACKAGE, SD_MODULE, BANK, SSD),)),
        Block(BANK, centre, (PutTemporaryKeys(0x31),)),
        Block(
            centre,
            centre,
            (
                InstallForInstall(PACKAGE, MODULE, CARD_1),
                InstallForExtradition(BANK, CARD_1),
                SetStatus.contactless(CARD_1, activated=True),
            ),
        ),
    )


def test_what_is_there_already_is_not_asked_for_again() -> None:
    registry = embedded()
    for block in plan(EMBEDDED, registry, DEPLOY):
        registry = apply_block(registry, block)
    assert plan(EMBEDDED, registry, DEPLOY) == ()
    assert diff(EMBEDDED, registry, DEPLOY) == ()
    bank, card = registry.find(BANK), registry.find(CARD_1)
    assert bank == domain(BANK)
    assert card == application(CARD_1, under=BANK, contactless=ContactlessState.ACTIVATED)


def test_a_cut_off_deployment_goes_on_where_the_card_is() -> None:
    registry = embedded(domain(BANK), application(CARD_1, under=ISD))
    assert plan(EMBEDDED, registry, DEPLOY) == (
        Block(ISD, ISD, (InstallForExtradition(BANK, CARD_1), SetStatus.contactless(CARD_1, activated=True))),
    )


def test_keys_of_a_new_security_domain_come_before_anything_is_put_under_it() -> None:
    with pytest.raises(PlanError, match="has no keys of its own yet") as refused:
        plan(EMBEDDED, embedded(), Wanted((SecurityDomainPresent(BANK), wanted_card())))
    assert (refused.value.refusal, refused.value.command) == (Refusal.LIFE_CYCLE, "install-for-extradition")
    assert (refused.value.security_domain, refused.value.aid) == (BANK, CARD_1)


def test_a_domain_with_keys_keeps_them() -> None:
    wanted = Wanted((SecurityDomainPresent(BANK, key_version=0x31),))
    assert plan(EMBEDDED, embedded(domain(BANK)), wanted) == ()
    assert plan(EMBEDDED, embedded(domain(BANK, 0x07)), wanted) == (Block(BANK, ISD, (PutTemporaryKeys(0x31),)),)


def test_an_application_installed_but_not_selectable_is_made_so_in_place() -> None:
    registry = embedded(domain(BANK), application(CARD_1, under=BANK, state=0x03))
    expected = (InstallForMakeSelectable(CARD_1), SetStatus.contactless(CARD_1, activated=True))
    assert plan(EMBEDDED, registry, Wanted((wanted_card(),))) == (Block(ISD, ISD, expected),)


def test_applications_states_of_their_own_are_selectable() -> None:
    registry = embedded(domain(BANK), application(CARD_1, under=BANK, state=0x0F))
    assert plan(EMBEDDED, registry, Wanted((wanted_card(contactless=None),))) == ()


def test_not_selectable_asks_for_nothing_of_what_is_selectable() -> None:
    item = ApplicationPresent(PACKAGE, MODULE, CARD_1, selectable=False)
    (block,) = plan(EMBEDDED, embedded(), Wanted((item,)))
    assert block.commands == (InstallForInstall(PACKAGE, MODULE, CARD_1, make_selectable=False),)
    assert plan(EMBEDDED, embedded(application(CARD_1, under=ISD)), Wanted((item,))) == ()


def test_privileges_are_updated_as_far_as_the_configuration_gives_them() -> None:
    registry = embedded(application(CARD_1, under=ISD))
    wanted = Wanted((ApplicationPresent(PACKAGE, MODULE, CARD_1, privileges=Privilege.GLOBAL_SERVICE),))
    (block,) = plan(EMBEDDED, registry, wanted)
    assert block.commands == (InstallForRegistryUpdate(CARD_1, privileges=Privilege.GLOBAL_SERVICE),)
    assert plan(EMBEDDED, apply_block(registry, block), wanted) == ()
    excess = Privilege.CARD_LOCK | Privilege.CARD_RESET | Privilege.GLOBAL_SERVICE
    with pytest.raises(PlanError, match="does not give it CARD_LOCK, CARD_RESET"):
        plan(EMBEDDED, registry, Wanted((ApplicationPresent(PACKAGE, MODULE, CARD_1, privileges=excess),)))
    excess = SSD | Privilege.AUTHORIZED_MANAGEMENT
    with pytest.raises(PlanError, match="does not give it AUTHORIZED_MANAGEMENT"):
        plan(EMBEDDED, embedded(), Wanted((SecurityDomainPresent(BANK, excess),)))


TWO_PROVIDERS = (
    domain(BANK),
    application(CARD_1, under=BANK),
    domain(TRANSIT),
    application(TICKET, under=TRANSIT),
    application(CARD_2, under=BANK),
)


def test_deleting_a_domain_with_all_under_it_takes_applications_first_and_leaves_the_others() -> None:
    (block,) = plan(EMBEDDED, embedded(*TWO_PROVIDERS), Wanted((Absent(BANK, related=True),)))
    assert block.commands == (DeleteObject(CARD_1), DeleteObject(CARD_2), DeleteObject(BANK))
    after = apply_block(embedded(*TWO_PROVIDERS), block)
    assert [entry.aid for entry in after.applications] == [TRANSIT, TICKET]


def test_deleting_in_any_order_of_wishes_comes_out_in_the_right_one() -> None:
    wanted = Wanted((Absent(BANK), Absent(CARD_2), Absent(CARD_1)))
    (block,) = plan(EMBEDDED, embedded(*TWO_PROVIDERS), wanted)
    assert block.commands[-1] == DeleteObject(BANK)
    assert len(block.commands) == 3


def test_what_is_in_use_stays() -> None:
    with pytest.raises(PlanError, match=f"{BANK}: {CARD_2} depends on it") as refused:
        plan(EMBEDDED, embedded(*TWO_PROVIDERS), Wanted((Absent(BANK), Absent(CARD_1))))
    assert refused.value.refusal is Refusal.IN_USE
    with pytest.raises(PlanError, match=f"{PACKAGE}: {CARD_1} depends on it"):
        plan(EMBEDDED, embedded(*TWO_PROVIDERS), Wanted((Absent(PACKAGE),)))


def test_a_package_can_be_deleted_with_its_instances_but_not_loaded() -> None:
    (block,) = plan(EMBEDDED, embedded(*TWO_PROVIDERS), Wanted((Absent(PACKAGE, related=True),)))
    assert block.commands == tuple(map(DeleteObject, (CARD_1, TICKET, CARD_2, PACKAGE)))
    assert apply_block(embedded(*TWO_PROVIDERS), block).load_files == ()
    with pytest.raises(PlanError) as refused:
        plan(EMBEDDED, embedded(), Wanted((ApplicationPresent(aid("0909"), MODULE, CARD_1),)))
    assert (refused.value.refusal, refused.value.command) == (Refusal.MISSING, CommandName.INSTALL_FOR_LOAD)


def test_nothing_to_delete_is_nothing_to_do() -> None:
    assert plan(EMBEDDED, embedded(), Wanted((Absent(BANK, related=True), Absent(CARD_1)))) == ()


def test_renewal_is_two_phases_that_each_repeat_nothing() -> None:
    gone, anew = renewal(wanted_card())
    before = embedded(*TWO_PROVIDERS)
    (delete,) = plan(EMBEDDED, before, gone)
    assert delete.commands == (DeleteObject(CARD_1),)
    without = apply_block(before, delete)
    assert plan(EMBEDDED, without, gone) == ()
    (install,) = plan(EMBEDDED, without, anew)
    assert install.commands[:2] == (InstallForInstall(PACKAGE, MODULE, CARD_1), InstallForExtradition(BANK, CARD_1))


def test_locks() -> None:
    registry = embedded(*TWO_PROVIDERS)
    (block,) = plan(EMBEDDED, registry, Wanted((Locked(CARD_1),)))
    assert block.commands == (SetStatus.lock(CARD_1),)
    locked = apply_block(registry, block)
    assert plan(EMBEDDED, locked, Wanted((Locked(CARD_1),))) == ()
    (block,) = plan(EMBEDDED, locked, Wanted((Locked(BANK, everything=True),)))
    assert block.commands == (SetStatus.lock_all(BANK),)
    all_locked = apply_block(locked, block)
    assert [entry.aid for entry in all_locked.applications if entry.locked] == [BANK, CARD_1, CARD_2]
    assert plan(EMBEDDED, all_locked, Wanted((Locked(BANK, everything=True),))) == ()


def test_a_plan_ends_where_only_the_card_knows_what_an_unlock_restored() -> None:
    locked = embedded(domain(BANK, 0x8F), application(CARD_1, under=BANK, state=0x87))
    wanted = Wanted((Unlocked(BANK, everything=True), wanted_card(CARD_2)))
    (block,) = plan(EMBEDDED, locked, wanted)
    assert block.commands == (SetStatus.unlock_all(BANK),)
    after = apply_block(locked, block)
    assert not after.complete
    with pytest.raises(PlanError, match="not read to its end"):
        plan(EMBEDDED, after, wanted)
    reread = embedded(domain(BANK), application(CARD_1, under=BANK, state=0x87))
    (block,) = plan(EMBEDDED, reread, wanted)
    assert block.commands[0] == InstallForInstall(PACKAGE, MODULE, CARD_2)


def test_what_comes_behind_such_an_unlock_is_refused_before_it_too() -> None:
    locked = embedded(domain(BANK, 0x8F), application(CARD_1, under=BANK, state=0x87))
    with pytest.raises(PlanError, match=f"{TRANSIT}.*it can own nothing"):
        plan(EMBEDDED, locked, Wanted((Unlocked(BANK, everything=True), wanted_card(TICKET, TRANSIT))))


def test_a_locked_domain_is_no_owner() -> None:
    with pytest.raises(PlanError, match="is locked"):
        plan(EMBEDDED, embedded(domain(BANK, 0x8F)), Wanted((wanted_card(),)))
    wanted = Wanted((Unlocked(BANK, everything=True), wanted_card()))
    (block,) = plan(EMBEDDED, embedded(domain(BANK, 0x8F)), wanted)
    assert block.commands[0] == SetStatus.unlock_all(BANK)
    assert len(block.commands) > 1, "nothing was under it, so nothing is left to guess"


def test_a_lock_that_came_with_a_domain_goes_with_it() -> None:
    locked = embedded(domain(BANK, 0x8F), application(CARD_1, under=BANK, state=0x87), domain(TRANSIT))
    with pytest.raises(PlanError, match=f"locked with security domain {BANK}"):
        plan(EMBEDDED, locked, Wanted((Unlocked(CARD_1),)))
    (block,) = plan(EMBEDDED, locked, Wanted((Unlocked(CARD_1), Unlocked(BANK, everything=True))))
    assert block.commands == (SetStatus.unlock_all(BANK),)
    (block,) = plan(EMBEDDED, locked, Wanted((wanted_card(owner=TRANSIT, contactless=None),)))
    assert not apply_block(locked, block).complete, "handed over, it may be locked by itself or not"
    with pytest.raises(PlanError, match="is locked with everything under it"):
        plan(EMBEDDED, locked, Wanted((Locked(TRANSIT),)))


def test_what_is_locked_or_not_selectable_is_not_activated() -> None:
    for state, selectable in ((0x87, True), (0x03, False)):
        item = replace(wanted_card(owner=ISD), selectable=selectable)
        with pytest.raises(PlanError, match="can't be activated"):
            plan(EMBEDDED, embedded(application(CARD_1, under=ISD, state=state)), Wanted((item,)))


def test_nothing_is_handed_over_to_what_is_not_under_the_one_who_hands_it_over() -> None:
    with pytest.raises(PlanError, match="which it should belong to, is not under") as refused:
        plan(UICC, uicc(domain(BANK, under=CENTRAL)), Wanted((SecurityDomainPresent(BANK, parent=ISD),)))
    assert refused.value.refusal is Refusal.OUT_OF_REACH


def test_locking_what_is_not_there_or_has_nothing_under_it() -> None:
    with pytest.raises(PlanError) as refused:
        plan(EMBEDDED, embedded(), Wanted((Locked(CARD_1),)))
    assert refused.value.refusal is Refusal.MISSING
    with pytest.raises(PlanError, match="nothing is under it"):
        plan(EMBEDDED, embedded(*TWO_PROVIDERS), Wanted((Locked(CARD_1, everything=True),)))


def test_the_card_is_locked_last_and_unlocked_first() -> None:
    (block,) = plan(EMBEDDED, embedded(*TWO_PROVIDERS), Wanted((CardIn(CardState.CARD_LOCKED), Locked(CARD_1))))
    assert block.commands == (SetStatus.lock(CARD_1), SetStatus.card(CardState.CARD_LOCKED))
    locked = embedded(*TWO_PROVIDERS, state=CardState.CARD_LOCKED)
    (block,) = plan(EMBEDDED, locked, Wanted((Locked(CARD_1), CardIn(CardState.SECURED))))
    assert block.commands == (SetStatus.card(CardState.SECURED), SetStatus.lock(CARD_1))


def test_a_locked_card_takes_nothing_else_and_a_terminated_one_nothing() -> None:
    with pytest.raises(PlanError, match="CARD_LOCKED") as refused:
        plan(EMBEDDED, embedded(*TWO_PROVIDERS, state=CardState.CARD_LOCKED), Wanted((Absent(CARD_1),)))
    assert refused.value.refusal is Refusal.LIFE_CYCLE
    assert refused.value.command == CommandName.DELETE_APPLICATION
    terminated = embedded(state=CardState.TERMINATED)
    assert plan(EMBEDDED, terminated, Wanted((CardIn(CardState.TERMINATED),))) == ()
    for item in (CardIn(CardState.SECURED), CardIn(CardState.CARD_LOCKED), SecurityDomainPresent(BANK)):
        with pytest.raises(PlanError, match="TERMINATED") as refused:
            plan(EMBEDDED, terminated, Wanted((item,)))
        assert refused.value.refusal is Refusal.LIFE_CYCLE


def test_a_new_card_goes_its_way_step_by_step_and_never_back() -> None:
    (block,) = plan(EMBEDDED, embedded(state=CardState.OP_READY), Wanted((CardIn(CardState.SECURED),)))
    assert block.commands == (SetStatus.card(CardState.INITIALIZED), SetStatus.card(CardState.SECURED))
    with pytest.raises(PlanError, match="no way from SECURED to INITIALIZED"):
        plan(EMBEDDED, embedded(), Wanted((CardIn(CardState.INITIALIZED),)))
    with pytest.raises(PlanError, match="no way from OP_READY to CARD_LOCKED"):
        plan(EMBEDDED, embedded(state=CardState.OP_READY), Wanted((CardIn(CardState.CARD_LOCKED),)))


def test_on_a_uicc_the_card_is_the_networks_to_lock() -> None:
    with pytest.raises(PlanError, match=f"the keys of MNO SD {ISD} are with the MNO") as refused:
        plan(UICC, uicc(), Wanted((CardIn(CardState.CARD_LOCKED),)))
    assert refused.value.refusal is Refusal.NO_KEYS
    operator = replace(UICC, keys={ISD: 0x30})
    assert plan(operator, uicc(), Wanted((CardIn(CardState.CARD_LOCKED),))) == (
        Block(ISD, ISD, (SetStatus.card(CardState.CARD_LOCKED),)),
    )


def test_without_the_issuers_word_the_known_card_state_counts() -> None:
    with pytest.raises(PlanError, match="CARD_LOCKED"):
        plan(
            replace(UICC, card_state=CardState.CARD_LOCKED), uicc(domain(BANK, under=CENTRAL)), Wanted((Absent(BANK),))
        )


def test_what_is_not_under_the_central_domain_is_out_of_its_reach() -> None:
    foreign = uicc(application(CARD_1, under=ISD))
    for item in (Absent(CARD_1), Locked(CARD_1), wanted_card(owner=CENTRAL)):
        with pytest.raises(PlanError, match="the keys of MNO SD") as refused:
            plan(UICC, foreign, Wanted((item,)))
        assert refused.value.refusal is Refusal.NO_KEYS
    (block,) = plan(replace(UICC, keys={CENTRAL: 1, ISD: 1}), foreign, Wanted((Absent(CARD_1),)))
    assert block.target == ISD, "with its keys, the issuer's security domain reaches it"


def test_no_domain_deletes_or_locks_itself() -> None:
    for item in (Locked(CENTRAL, everything=True), Absent(CENTRAL, related=True)):
        with pytest.raises(PlanError) as refused:
            plan(replace(UICC, keys={CENTRAL: 1}), uicc(domain(CENTRAL, under=ISD)), Wanted((item,)))
        assert refused.value.refusal in {Refusal.OUT_OF_REACH, Refusal.NO_KEYS}
    with pytest.raises(PlanError, match="a security domain can't do this to itself"):
        plan(EMBEDDED, replace(embedded(), load_files=()), Wanted((Absent(ISD),)))


def test_a_personalized_domain_opens_with_its_own_keys_only() -> None:
    nested = aid("0A0003")
    under_bank = embedded(domain(BANK), domain(nested, 0x07, under=BANK))
    wanted = Wanted((SecurityDomainPresent(nested, parent=BANK, key_version=0x31),))
    with pytest.raises(PlanError, match=f"the keys of SP SD {BANK} are with the SP TSM"):
        plan(EMBEDDED, under_bank, wanted)
    with_keys = replace(EMBEDDED, keys={ISD: 0x30, BANK: 0x31})
    assert plan(with_keys, under_bank, wanted) == (Block(nested, BANK, (PutTemporaryKeys(0x31),)),)


def test_parents_come_before_their_children_whatever_the_order_of_wishes() -> None:
    nested = aid("0A0003")
    wanted = Wanted((SecurityDomainPresent(nested, parent=BANK), SecurityDomainPresent(BANK, key_version=0x31)))
    commands = [command for block in plan(EMBEDDED, embedded(), wanted) for command in block.commands]
    assert [type(command) for command in commands] == [
        InstallForInstall,
        PutTemporaryKeys,
        InstallForInstall,
        InstallForExtradition,
    ]
    circle = Wanted((SecurityDomainPresent(nested, parent=BANK), SecurityDomainPresent(BANK, parent=nested)))
    with pytest.raises(PlanError, match="under each other"):
        plan(EMBEDDED, embedded(), circle)


def test_an_aid_taken_by_something_else_is_not_touched() -> None:
    for registry, item in (
        (embedded(domain(CARD_1)), wanted_card(owner=ISD)),
        (embedded(application(BANK, under=ISD)), SecurityDomainPresent(BANK)),
        (
            embedded(replace(application(CARD_1, under=ISD), load_file=aid("0909"))),
            wanted_card(owner=ISD),
        ),
    ):
        with pytest.raises(PlanError) as refused:
            plan(EMBEDDED, registry, Wanted((item,)))
        assert refused.value.refusal is Refusal.DIFFERENT


def test_an_application_that_may_not_be_activated() -> None:
    registry = embedded(domain(BANK), application(CARD_1, under=BANK, contactless=ContactlessState.NON_ACTIVATABLE))
    with pytest.raises(PlanError, match="can't be activated"):
        plan(EMBEDDED, registry, Wanted((wanted_card(),)))
    assert plan(EMBEDDED, registry, Wanted((wanted_card(contactless=False),))) == ()


@pytest.mark.parametrize(
    "items",
    [
        (Absent(CARD_1), wanted_card()),
        (Locked(CARD_1), Unlocked(CARD_1)),
        (Absent(CARD_1), Locked(CARD_1)),
        (wanted_card(), wanted_card(owner=TRANSIT)),
        (CardIn(CardState.SECURED), CardIn(CardState.TERMINATED)),
    ],
)
def test_wishes_that_contradict_each_other(items: tuple[object, ...]) -> None:
    with pytest.raises(PlanError) as refused:
        Wanted(items)  # type: ignore[arg-type]  # each is one of the items
    assert refused.value.refusal is Refusal.CONTRADICTION


@pytest.mark.parametrize(
    "item", [wanted_card(CARD_2), SecurityDomainPresent(aid("0A0003"), parent=BANK), Locked(CARD_1)]
)
def test_wishes_that_contradict_each_other_on_this_card(item: ApplicationPresent) -> None:
    with pytest.raises(PlanError, match="it is to go"):
        plan(EMBEDDED, embedded(*TWO_PROVIDERS), Wanted((Absent(BANK, related=True), item)))


def test_an_incomplete_registry_proves_nothing() -> None:
    with pytest.raises(PlanError) as refused:
        plan(EMBEDDED, replace(embedded(), complete=False), DEPLOY)
    assert refused.value.refusal is Refusal.INCOMPLETE_REGISTRY


def test_differences_read_like_sentences() -> None:
    registry = embedded(domain(BANK, 0x07), application(CARD_1, under=ISD, state=0x83))
    wanted = Wanted(
        (
            SecurityDomainPresent(BANK, key_version=1),
            wanted_card(),
            Unlocked(CARD_1),
            wanted_card(TICKET),
            CardIn(CardState.TERMINATED),
        )
    )
    assert [str(difference) for difference in diff(EMBEDDED, registry, wanted)] == [
        f"{BANK}: state is SELECTABLE, wanted PERSONALIZED",
        f"{CARD_1}: security domain is {ISD}, wanted {BANK}",
        f"{CARD_1}: state is LOCKED (INSTALLED), wanted SELECTABLE",
        f"{CARD_1}: contactless is DEACTIVATED, wanted ACTIVATED",
        f"{CARD_1}: state is LOCKED (INSTALLED), wanted unlocked",
        f"{TICKET}: presence is absent, wanted application",
        "card: state is SECURED, wanted TERMINATED",
    ]


def test_a_registry_with_a_circle_of_owners_ends_in_a_refusal_not_in_a_loop() -> None:
    nested = aid("0A0003")
    circle = embedded(domain(BANK, 0x07, under=nested), domain(nested, 0x07, under=BANK))
    with pytest.raises(PlanError) as refused:
        plan(EMBEDDED, circle, Wanted((SecurityDomainPresent(BANK, parent=nested, key_version=1),)))
    assert refused.value.refusal is Refusal.NO_KEYS
    (block,) = plan(EMBEDDED, circle, Wanted((Absent(BANK, related=True),)))
    assert len(block.commands) == 2
