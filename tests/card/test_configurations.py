"""The virtual SE against the tables of the SE configurations, cell by cell.

For each security domain of each configuration and each situation it can be in, every command is sent: first
without a secure channel, then in one. What the card did is the cell; a command it refused must have had no effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.configurations import Acceptance, CommandName, Role, Situation, configuration, configuration_names
from opentsm_card.delete import DeleteKey, DeleteObject
from opentsm_card.get_data import DataTag, GetData
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForLoad,
    InstallForMakeSelectable,
    InstallForPersonalization,
    InstallForRegistryUpdate,
)
from opentsm_card.lifecycle import CardState
from opentsm_card.load import Load
from opentsm_card.manage_channel import OpenChannel
from opentsm_card.privileges import Privilege
from opentsm_card.put_key import put_key_set
from opentsm_card.registry import Kind
from opentsm_card.scp03 import Scp03Session, SecurityLevel
from opentsm_card.set_status import SetStatus
from opentsm_card.store_data import DataStructure, StoreData
from opentsm_simulator import VirtualSe
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    CENTRAL,
    ISD,
    ISD_KEYS,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    TRANSIT,
    Host,
    keys,
    payment_parameters,
)

if TYPE_CHECKING:
    from opentsm_card.apdu import Command
    from opentsm_card.keys import KeySet

OWN_KEYS: Final = keys(0x31, 11)
CENTRAL_KEYS: Final = keys(0x32, 33)
SPARE_KEYS: Final = keys(0x3E, 77)
NEW_KEYS: Final = keys(0x3F, 99)
NEW: Final = Aid.from_text("F06F70656E74736D0B000199")
MANAGER: Final = {"embedded": ISD, "uicc": CENTRAL}
KEYS: Final = {ISD: ISD_KEYS, CENTRAL: CENTRAL_KEYS}
SUBJECT: Final = {Role.ISSUER: ISD, Role.CENTRAL: CENTRAL, Role.PROVIDER: BANK}
# SELECT on a locked card warns (GP Card Specification 2.3.1, 11.9.3.2).
ACCEPTED: Final = {0x9000, 0x6283}
REACHED_BY_STATE: Final = {Situation.CARD_LOCKED: CardState.CARD_LOCKED, Situation.TERMINATED: CardState.TERMINATED}


@dataclass
class Stage:
    """A card with the security domain under test in a situation, and things of every kind under it."""

    name: str
    role: Role
    at: Situation
    se: VirtualSe = field(init=False)
    host: Host = field(init=False)
    earlier: Scp03Session = field(init=False)

    def __post_init__(self) -> None:
        central = {"central": CENTRAL_KEYS} if Role.CENTRAL in configuration(self.name).domains else {}
        self.se = VirtualSe.create(self.name, keys=central)
        new = self.at is Situation.NEW
        above = ISD if self.role is Role.ISSUER else MANAGER[self.name]
        above_keys = KEYS[above]
        manager = Host(self.se.link("contactless")).into(above, above_keys)
        if self.role is Role.PROVIDER:
            manager.new_domain(BANK)
            if not new:
                manager.into(BANK, above_keys).put_keys(OWN_KEYS).require("PUT KEY")
        # What is to be under it is made by whoever may, and handed over; a new security domain can own nothing.
        Host(self.se.link("contactless")).into(ISD, ISD_KEYS).done(InstallForExtradition(above, PAYMENT_PACKAGE))
        manager = Host(self.se.link("contactless")).into(above, above_keys)
        manager.new_domain(TRANSIT)
        manager.into(TRANSIT, above_keys).put_keys(keys(0x31, 55)).require("PUT KEY")
        manager.into(above, above_keys).new_payment(CARD_1)
        manager.done(
            InstallForInstall(
                PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_2, parameters=payment_parameters(), make_selectable=False
            )
        )
        if self.role is Role.PROVIDER and not new:
            for each in (TRANSIT, CARD_1, CARD_2, PAYMENT_PACKAGE):
                manager.done(InstallForExtradition(BANK, each))
        # A session from before the situation: it must not outlive what the situation takes away.
        self.host = Host(self.se.link("contact")).into(self.aid, self.opening_keys)
        if not new:
            self.host.put_keys(SPARE_KEYS).require("PUT KEY")
        assert self.host.session is not None
        self.earlier = self.host.session
        self.bring_about()

    @property
    def aid(self) -> Aid:
        return SUBJECT[self.role]

    @property
    def opening_keys(self) -> KeySet:
        if self.role is Role.PROVIDER:
            return KEYS[MANAGER[self.name]] if self.at is Situation.NEW else OWN_KEYS
        return KEYS[self.aid]

    def bring_about(self) -> None:
        if self.at is Situation.LOCKED:
            above = MANAGER[self.name] if self.role is Role.PROVIDER else ISD
            Host(self.se.link("contactless")).into(above, KEYS[above]).done(SetStatus.lock_all(self.aid))
        elif self.at in REACHED_BY_STATE:
            issuer = Host(self.se.link("contactless")).into(ISD, ISD_KEYS)
            issuer.done(SetStatus.card(REACHED_BY_STATE[self.at]))

    def can_select(self) -> bool:
        """Select the security domain; where that is refused, what was selected before stays."""
        return self.host.select(self.aid).sw in ACCEPTED

    def plainly(self, command: CommandName) -> int:
        """Send a command without a secure channel, and return the status word."""
        if command is CommandName.SELECT:
            return self.host.select(self.aid).sw
        self.can_select()
        if command is CommandName.INITIALIZE_UPDATE:
            return self.host.plain(Scp03Session.initialize_update(self.opening_keys.version, bytes(8))).sw
        if command is CommandName.EXTERNAL_AUTHENTICATE:
            return self.authenticate()
        if command is CommandName.GET_DATA:
            return self.read()
        return self.host.plain(self.command(command, self.opening_keys)).sw

    def read(self) -> int:
        """Ask for the key information, and see that it is this security domain's: another may be selected by now."""
        answer = self.host.plain(GetData(DataTag.KEY_INFORMATION))
        listed = {item.value[1] for item in tlv.parse_all(answer.data[2:])}
        expected = set() if self.at is Situation.NEW else {self.opening_keys.version, SPARE_KEYS.version}
        return answer.sw if answer.sw != 0x9000 or listed == expected else 0x6A82

    def authenticate(self) -> int:
        """Answer the card's cryptogram; where it gives none any more, with what would have been right before."""
        challenge = bytes(range(8))
        answer = self.host.plain(Scp03Session.initialize_update(self.opening_keys.version, challenge))
        if answer.sw == 0x9000:
            session = Scp03Session.open(self.opening_keys, challenge, answer.data)
        else:
            before = Stage(self.name, self.role, Situation.READY)
            before.can_select()
            session = before.host.begin(self.opening_keys, challenge)
        return self.host.plain(session.external_authenticate(SecurityLevel.parse(0x33))).sw

    def secured(self, command: CommandName) -> int:
        """Send a command in a secure channel: a new one where it can be had, else in the one from before."""
        session = self.host.open(self.opening_keys) if self.can_select() else self.earlier
        plain = self.command(command, self.opening_keys).apdu()
        return self.host.raw(session.wrap(plain).encode()).sw

    def command(self, command: CommandName, session_keys: KeySet) -> Command:
        put_key = put_key_set(NEW_KEYS, session_keys.dek)
        card_state = CardState.SECURED if self.at is Situation.CARD_LOCKED else CardState.CARD_LOCKED
        commands: dict[CommandName, Command] = {
            CommandName.MANAGE_CHANNEL: OpenChannel(),
            CommandName.GET_DATA: GetData(DataTag.KEY_INFORMATION),
            CommandName.GET_STATUS: GetStatus(Scope.APPLICATIONS),
            CommandName.SET_STATUS_APPLICATION: SetStatus.lock(CARD_1),
            CommandName.SET_STATUS_DOMAIN: SetStatus.lock_all(TRANSIT),
            CommandName.SET_STATUS_CARD: SetStatus.card(card_state),
            CommandName.SET_STATUS_CONTACTLESS: SetStatus.contactless(CARD_1, activated=True),
            CommandName.PUT_KEY: put_key,
            CommandName.DELETE_KEY: DeleteKey(SPARE_KEYS.version),
            CommandName.STORE_DATA: StoreData(0, bytes.fromhex("4502BEEF"), True, DataStructure.BER_TLV),
            CommandName.INSTALL_FOR_PERSONALIZATION: InstallForPersonalization(CARD_1),
            CommandName.INSTALL_FOR_LOAD: InstallForLoad(NEW),
            CommandName.LOAD: Load(0, b"\xc4\x01\x00", last=True),
            CommandName.INSTALL_FOR_INSTALL: InstallForInstall(
                PAYMENT_PACKAGE, PAYMENT_MODULE, NEW, parameters=payment_parameters()
            ),
            CommandName.INSTALL_FOR_MAKE_SELECTABLE: InstallForMakeSelectable(CARD_2),
            CommandName.INSTALL_FOR_EXTRADITION: InstallForExtradition(TRANSIT, CARD_1),
            CommandName.INSTALL_FOR_REGISTRY_UPDATE: InstallForRegistryUpdate(
                CARD_1, privileges=Privilege.GLOBAL_SERVICE
            ),
            CommandName.DELETE_APPLICATION: DeleteObject(CARD_1),
            CommandName.DELETE_LOAD_FILE: DeleteObject(PAYMENT_PACKAGE, related=True),
        }
        return commands[command]


WITHOUT_SESSION: Final = {CommandName.SELECT, CommandName.INITIALIZE_UPDATE, CommandName.EXTERNAL_AUTHENTICATE}
CASES: Final = [
    pytest.param(name, role, at, id=f"{name}-{role}-{at}")
    for name in configuration_names()
    for role, domain in configuration(name).domains.items()
    for at in Situation
    if domain.cell(CommandName.SELECT, at) is not Acceptance.NEVER
]


def observe(name: str, role: Role, at: Situation) -> dict[CommandName, Acceptance]:
    """Send every command, on a fresh card whenever one had an effect."""
    seen = {}
    stage = Stage(name, role, at)
    for command in CommandName:
        before = stage.se.effects()
        if stage.plainly(command) in ACCEPTED:
            seen[command] = Acceptance.OPEN
        else:
            assert stage.se.effects() == before, f"{command} was refused, and had an effect"
            seen[command] = Acceptance.REFUSED
            if command not in WITHOUT_SESSION and stage.secured(command) in ACCEPTED:
                seen[command] = Acceptance.SESSION
            else:
                assert stage.se.effects() == before, f"{command} was refused in a session, and had an effect"
        if seen[command] is not Acceptance.REFUSED:
            stage = Stage(name, role, at)
    return seen


@pytest.mark.parametrize(("name", "role", "at"), CASES)
def test_the_card_takes_what_the_table_says(name: str, role: Role, at: Situation) -> None:
    table = configuration(name).domains[role]
    seen = observe(name, role, at)
    different = {
        str(command): f"table {table.cell(command, at)}, card {seen[command]}"
        for command in CommandName
        if seen[command] is not table.cell(command, at)
    }
    assert different == {}


@pytest.mark.parametrize("name", configuration_names())
def test_the_card_has_the_privileges_of_the_table(name: str) -> None:
    se = VirtualSe.create(name)
    issuer = Host(se.link()).into(ISD, ISD_KEYS)
    table = configuration(name)
    Host(se.link("contactless")).into(MANAGER[name], ISD_KEYS).new_domain(BANK)
    registry = issuer.registry()
    for role, domain in table.domains.items():
        entry = registry.find(SUBJECT[role])
        assert entry is not None
        assert entry.privileges == domain.privilege_bits, role
        assert entry.associated_sd == SUBJECT[domain.parent], role
    assert {entry.kind for entry in registry} == set(Kind)


@pytest.mark.parametrize("name", configuration_names())
def test_applications_may_have_the_privileges_of_the_table(name: str) -> None:
    table = configuration(name)
    host = Host(VirtualSe.create(name).link()).into(MANAGER[name], ISD_KEYS)
    for number, privilege in enumerate(table.application_privilege_bits):
        instance = Aid(CARD_1[:-1] + bytes((0x40 + number,)))
        parameters = payment_parameters()
        host.done(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, instance, privilege, parameters))
        entry = host.entry(instance)
        assert entry is not None
        assert entry.privileges == privilege


@pytest.mark.parametrize("name", configuration_names())
def test_authority_ends_at_what_is_under_a_domain(name: str) -> None:
    """Under `SP SD` here: the bank's; beside it the transit operator's, and what belongs to the issuer."""
    manager = MANAGER[name]
    se = VirtualSe.create(name)
    host = Host(se.link("contactless")).into(manager, ISD_KEYS)
    for owner, own, card in ((BANK, OWN_KEYS, CARD_1), (TRANSIT, NEW_KEYS, CARD_2)):
        host.new_domain(owner)
        host.into(owner, ISD_KEYS).put_keys(own).require("PUT KEY")
        host.into(manager, ISD_KEYS).new_payment(card)
        host.done(InstallForExtradition(owner, card))
    Host(se.link("contactless")).into(ISD, ISD_KEYS).new_payment(NEW)
    before = se.effects()
    bank = Host(se.link()).into(BANK, OWN_KEYS)
    assert {entry.aid for entry in bank.registry()} == {BANK, CARD_1}, "it does not see the others"
    strangers = {CARD_2, TRANSIT, NEW}
    for stranger in strangers:
        assert bank.sw(SetStatus.lock(stranger)) != 0x9000
        assert bank.sw(SetStatus.contactless(stranger, activated=True)) != 0x9000
        assert bank.sw(InstallForPersonalization(stranger)) != 0x9000
    central = Host(se.link()).into(manager, ISD_KEYS)
    granted = configuration(name).domains[configuration(name).central_role].privilege_bits
    outside = () if manager == ISD else (NEW,)
    for stranger in outside:
        assert not granted & (Privilege.GLOBAL_DELETE | Privilege.GLOBAL_LOCK | Privilege.GLOBAL_REGISTRY)
        assert central.entry(stranger) is None
        assert central.sw(SetStatus.lock(stranger)) != 0x9000
        assert central.sw(DeleteObject(stranger)) != 0x9000
        assert central.sw(InstallForExtradition(BANK, stranger)) != 0x9000
    assert se.effects() == before, "what was refused had no effect"
    central.done(SetStatus.lock(CARD_1), DeleteObject(CARD_2))
