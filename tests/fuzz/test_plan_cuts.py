"""A plan cut off after any command and made again ends in the same state, and runs no command twice.

The card is a model written from the specification's rules, apart from the planner's own `apply`: it refuses what a card
refuses (something there twice, something deleted that is in use, an owner without keys), so a wrong order fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from opentsm_card.aid import Aid
from opentsm_card.configurations import configuration
from opentsm_card.delete import DeleteKey, DeleteObject
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
    KeySetsPresent,
    LoadPackage,
    Locked,
    PackagePresent,
    PlanError,
    PlannedCommand,
    PutKeySet,
    PutTemporaryKeys,
    SecureElement,
    SecurityDomainPresent,
    Unlocked,
    Wanted,
    WantedItem,
    apply,
    diff,
    plan,
)
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, Registry, RegistryEntry
from opentsm_card.set_status import SetStatus, StatusType

ISD, CENTRAL = Aid.from_text("A000000151000000"), Aid.from_text("F06F70656E74736D0001")
SD_PACKAGE, SD_MODULE = Aid.from_text("A0000001515350"), Aid.from_text("A000000151535041")
PACKAGE, MODULE = Aid.from_text("F06F70656E74736D0101"), Aid.from_text("F06F70656E74736D010101")
# Loaded by plans; the one imports the other.
LIBRARY, WALLET = Aid.from_text("F06F70656E74736D0120"), Aid.from_text("F06F70656E74736D0121")
IMPORTS = {LIBRARY: frozenset[Aid](), WALLET: frozenset({LIBRARY})}
DOMAINS = tuple(Aid.from_text(f"F06F70656E74736D0A000{number}") for number in (1, 2))
APPLICATIONS = tuple(Aid.from_text(f"F06F70656E74736D0B00010{number}") for number in (1, 2, 3))


@dataclass
class Object:
    kind: Kind
    owner: Aid
    state: int
    privileges: Privilege
    package: Aid
    contactless: ContactlessState | None
    locked_alone: bool = False
    locked_with_all: bool = False


@dataclass
class File:
    version: bytes
    owner: Aid


@dataclass
class ModelCard:
    """Answers as a GlobalPlatform card would, as far as the planner's commands go."""

    element: SecureElement
    state: CardState = CardState.SECURED
    objects: dict[Aid, Object] = field(default_factory=dict)
    files: dict[Aid, File] = field(default_factory=dict)
    keys: set[int] = field(default_factory=lambda: {0x30})  # of the central security domain
    log: list[tuple[Aid, PlannedCommand]] = field(default_factory=list)

    def registry(self) -> Registry:
        entries = tuple(
            RegistryEntry(
                aid,
                each.state | (0x80 if self.locked(aid) else 0),
                each.privileges,
                each.owner,
                each.package,
                kind=each.kind,
                contactless=each.contactless,
            )
            for aid, each in self.objects.items()
        )
        issuer = RegistryEntry(
            ISD, self.state, Privilege.parse(bytes.fromhex("9EFE80")), kind=Kind.ISSUER_SECURITY_DOMAIN
        )
        files = {PACKAGE: File(b"\x01\x00", ISD), **self.files}
        load_files = tuple(
            RegistryEntry(aid, 0x01, associated_sd=each.owner, version=each.version, kind=Kind.LOAD_FILE)
            for aid, each in files.items()
        )
        return Registry(issuer, entries, load_files, complete=True)

    def known(self) -> SecureElement:
        """Return the element with the key version that whoever looks at the card opens it with: the newest."""
        return replace(self.element, keys=dict.fromkeys(self.element.keys, max(self.keys)))

    def run(self, block: Block, command: PlannedCommand, version: int) -> None:
        """Run one command in a channel opened with a key version, or fail as the card would refuse it."""
        target = block.target
        self.log.append((target, command))
        assert block.via == self._keys_of(target)
        assert version in self.keys
        if self.state is CardState.CARD_LOCKED:
            assert isinstance(command, SetStatus)
            assert command.status_type is StatusType.CARD
        assert self.state is not CardState.TERMINATED
        match command:
            case InstallForInstall():
                assert command.application not in self.objects
                assert command.load_file in {SD_PACKAGE, PACKAGE, *self.files}
                domain = bool(command.privileges & Privilege.SECURITY_DOMAIN)
                self.objects[command.application] = Object(
                    Kind.SECURITY_DOMAIN if domain else Kind.APPLICATION,
                    target,
                    0x07 if command.make_selectable else 0x03,
                    command.privileges,
                    command.load_file,
                    None if domain else ContactlessState.DEACTIVATED,
                )
            case InstallForMakeSelectable():
                assert self.objects[command.application].state == 0x03
                self.objects[command.application].state = 0x07
            case InstallForExtradition():
                assert self._is_owner(command.security_domain)
                self._hand_over(command.application, command.security_domain)
            case InstallForRegistryUpdate():
                assert command.application is not None
                assert command.privileges is not None
                self.objects[command.application].privileges = command.privileges
            case DeleteObject():
                self._delete(command.aid)
            case PutTemporaryKeys():
                assert self.objects[target].state < 0x0F
                self.objects[target].state = 0x0F
            case LoadPackage():
                self._load(command, target)
            case PutKeySet() | DeleteKey():
                assert target == self.element.central_sd
                self._change_keys(command, version)
            case SetStatus():
                self._set_status(command)

    def _hand_over(self, aid: Aid, owner: Aid) -> None:
        if aid in self.files:
            assert self.files[aid].owner != owner
            self.files[aid].owner = owner
        else:
            assert self.objects[aid].owner != owner
            self.objects[aid].owner = owner

    def _load(self, command: LoadPackage, target: Aid) -> None:
        assert command.package not in self.files
        assert self.files.keys() >= IMPORTS[command.package]
        owner = command.security_domain or target
        assert self._is_owner(owner)
        self.files[command.package] = File(command.version, owner)

    def _change_keys(self, command: PutKeySet | DeleteKey, version: int) -> None:
        if isinstance(command, PutKeySet):
            assert command.version not in self.keys
            self.keys.add(command.version)
        else:
            assert command.key_version != version, "not the one that opened the channel"
            self.keys.remove(command.key_version or 0)

    def _delete(self, aid: Aid) -> None:
        owners = {each.owner for each in self.objects.values()} | {each.owner for each in self.files.values()}
        assert aid not in owners
        if aid in self.files:
            assert not any(each.package == aid for each in self.objects.values())
            assert not any(aid in IMPORTS[other] for other in self.files)
            del self.files[aid]
        else:
            del self.objects[aid]

    def _set_status(self, command: SetStatus) -> None:
        lock = bool(command.state & 0x80)
        if command.status_type is StatusType.CARD:
            self.state = CardState(command.state)
            return
        assert command.aid is not None
        subject = self.objects[command.aid]
        if command.status_type is StatusType.CONTACTLESS_ACTIVATION:
            activated = command.state == ContactlessState.ACTIVATED
            assert not activated or (subject.state != 0x03 and not self.locked(command.aid))
            subject.contactless = ContactlessState(command.state)
        elif command.status_type is StatusType.APPLICATION:
            assert subject.locked_alone != lock
            subject.locked_alone = lock
        else:
            assert subject.locked_with_all != lock
            subject.locked_with_all = lock

    def locked(self, aid: Aid) -> bool:
        """Tell whether something is locked, by itself or with what it is under."""
        while aid in self.objects:
            if self.objects[aid].locked_alone or self.objects[aid].locked_with_all:
                return True
            aid = self.objects[aid].owner
        return False

    def _is_owner(self, aid: Aid) -> bool:
        if aid in {ISD, self.element.central_sd}:
            return True
        return aid in self.objects and self.objects[aid].state == 0x0F and not self.locked(aid)

    def _keys_of(self, target: Aid) -> Aid:
        while target in self.objects and self.objects[target].state < 0x0F:
            target = self.objects[target].owner
        return target

    def snapshot(self) -> tuple[CardState, dict[Aid, Object], dict[Aid, File], set[int]]:
        objects = {aid: replace(each) for aid, each in self.objects.items()}
        return self.state, objects, {aid: replace(each) for aid, each in self.files.items()}, set(self.keys)


def run_all(card: ModelCard, wanted: Wanted, cut: int | None) -> None:
    """Plan and run until nothing is left, cut off once after `cut` commands."""
    for _ in range(10):
        before, element = card.registry(), card.known()
        versions = {element.central_sd: set(card.keys)}
        blocks = plan(element, before, wanted, versions)
        assert bool(blocks) == bool(diff(element, before, wanted, versions))
        if not blocks:
            return
        expected = before
        for block in blocks:
            version = block.key_version or element.keys[element.central_sd]
            for command in block.commands:
                if cut is not None and len(card.log) == cut:
                    cut = None
                    break
                card.run(block, command, version)
                expected = apply(expected, block.target, command)
            else:
                continue
            break
        if expected.complete:
            assert expected == card.registry(), "what the planner believes is what the card says"
    raise AssertionError("the plan never ends")


@st.composite
def elements(draw: st.DrawFn) -> SecureElement:
    name = draw(st.sampled_from(["embedded", "uicc"]))
    central = ISD if name == "embedded" else CENTRAL
    return SecureElement(configuration(name), ISD, central, {central: 0x30}, SD_PACKAGE, SD_MODULE)


DOMAIN = Privilege.SECURITY_DOMAIN | Privilege.TRUSTED_PATH


@st.composite
def cards(draw: st.DrawFn) -> ModelCard:
    card = ModelCard(draw(elements()), draw(st.sampled_from([CardState.SECURED] * 6 + [CardState.CARD_LOCKED])))
    centre = card.element.central_sd
    for aid in DOMAINS:
        state = draw(st.sampled_from([None, 0x03, 0x07, 0x0F, 0x0F, 0x0F]))
        if state is not None:
            locked = draw(st.sampled_from([False, False, False, True]))
            card.objects[aid] = Object(
                Kind.SECURITY_DOMAIN, centre, state, DOMAIN, SD_PACKAGE, None, locked_with_all=locked
            )
    for aid in draw(st.sampled_from([(), (LIBRARY,), (LIBRARY, WALLET)])):
        card.files[aid] = File(draw(st.sampled_from([b"\x01\x00", b"\x01\x01"])), centre)
    card.keys = draw(st.sampled_from([{0x30}, {0x30}, {0x30, 0x31}, {0x31}]))
    owners = [centre, *(aid for aid in DOMAINS if aid in card.objects and card.objects[aid].state == 0x0F)]
    for aid in APPLICATIONS:
        if draw(st.booleans()):
            card.objects[aid] = Object(
                Kind.APPLICATION,
                draw(st.sampled_from(owners)),
                draw(st.sampled_from([0x03, 0x07, 0x0F])),
                draw(st.sampled_from([Privilege.NONE, Privilege.GLOBAL_SERVICE])),
                draw(st.sampled_from([PACKAGE, PACKAGE, *(aid for aid in card.files if aid == WALLET)])),
                draw(st.sampled_from([ContactlessState.DEACTIVATED, ContactlessState.ACTIVATED])),
                locked_alone=draw(st.sampled_from([False, False, True])),
            )
    return card


@st.composite
def packages(draw: st.DrawFn, aid: Aid) -> WantedItem:
    present = PackagePresent(
        aid,
        draw(st.sampled_from([b"\x01\x00", b"\x01\x01"])),
        security_domain=draw(st.sampled_from([None, None, *DOMAINS])),
        imports=IMPORTS[aid],
        replace=draw(st.booleans()),
    )
    choices: list[WantedItem] = [present, present, present, Absent(aid), Absent(aid, related=True)]
    return draw(st.sampled_from(choices))


def told(items: list[WantedItem], card: ModelCard) -> bool:
    """Tell whether the planner is told what no registry tells: a package's imports, and what imports it on the card."""
    named = {item.aid: item for item in items if not isinstance(item, CardIn)}
    if isinstance(named.get(WALLET), PackagePresent) and LIBRARY not in {*named, *card.files}:
        return False
    return WALLET not in card.files or LIBRARY not in named or WALLET in named


@st.composite
def wishes(draw: st.DrawFn, centre: Aid) -> list[WantedItem]:
    items: list[WantedItem] = []
    choices: list[WantedItem]
    names = [*DOMAINS, *APPLICATIONS, *IMPORTS, ISD, CENTRAL]
    for aid in draw(st.lists(st.sampled_from(names), min_size=1, max_size=7, unique=True)):
        if aid == ISD:
            state = draw(
                st.sampled_from([CardState.SECURED, CardState.SECURED, CardState.CARD_LOCKED, CardState.TERMINATED])
            )
            items.append(CardIn(state))
        elif aid == CENTRAL:
            versions = draw(st.sampled_from([(0x31,), (0x31,), (0x30, 0x31), (0x32, 0x31)]))
            items.append(KeySetsPresent(centre, versions, only=draw(st.booleans())))
        elif aid in IMPORTS:
            items.append(draw(packages(aid)))
        elif aid in DOMAINS:
            version = draw(st.sampled_from([None, 0x31, 0x31, 0x31]))
            present = SecurityDomainPresent(aid, key_version=version)
            choices = [present, present, present, Absent(aid, related=True), Absent(aid)]
            items.append(
                draw(st.sampled_from([*choices, Locked(aid, everything=True), Unlocked(aid, everything=True)]))
            )
        else:
            application = ApplicationPresent(
                draw(st.sampled_from([PACKAGE, PACKAGE, WALLET])),
                MODULE,
                aid,
                privileges=draw(st.sampled_from([Privilege.NONE, Privilege.NONE, Privilege.GLOBAL_SERVICE])),
                associated_sd=draw(st.sampled_from([None, *DOMAINS])),
                selectable=draw(st.booleans()),
                contactless=draw(st.sampled_from([None, True, False])),
            )
            choices = [application, application, application, Absent(aid), Locked(aid), Unlocked(aid)]
            items.append(draw(st.sampled_from(choices)))
    return items


@settings(max_examples=400, deadline=None, derandomize=True)
@given(card=cards(), data=st.data())
def test_a_plan_cut_anywhere_arrives_all_the_same_and_repeats_nothing(card: ModelCard, data: st.DataObject) -> None:
    items = data.draw(wishes(card.element.central_sd).filter(lambda items: told(items, card)), label="wishes")
    start = card.snapshot()
    try:
        wanted = Wanted(tuple(items))
        run_all(card, wanted, None)
    except PlanError as refused:
        event(f"refused: {refused.refusal}")
        assert not card.log, "a refusal comes before anything is sent"
        return
    event(f"commands: {len(card.log)}")
    assert len(set(card.log)) == len(card.log)
    cut = data.draw(st.integers(0, len(card.log)), label="cut")
    again = ModelCard(card.element, *start)
    run_all(again, wanted, cut)
    assert again.snapshot() == card.snapshot()
    assert sorted(map(repr, again.log)) == sorted(map(repr, card.log))
