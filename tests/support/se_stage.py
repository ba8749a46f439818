"""Virtual SEs on which one security domain of a configuration is brought into a life cycle, with things under it.

What is sent to it then is one cell of the configuration's command table.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.command_names import CommandName
from opentsm_card.configurations import Acceptance, Role, Situation, configuration, situation
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
from opentsm_card.lifecycle import CardState, SecurityDomainState, is_locked, unlocked
from opentsm_card.load import load_blocks, load_file
from opentsm_card.manage_channel import OpenChannel
from opentsm_card.privileges import Privilege
from opentsm_card.put_key import KeyData, PutKey, put_key_set
from opentsm_card.scp03 import Scp03Session, SecurityLevel
from opentsm_card.scp11 import Scp11Agreement, Variant
from opentsm_card.scp11_kdf import encode_point
from opentsm_card.set_status import SetStatus
from opentsm_card.store_data import DataStructure, StoreData
from opentsm_simulator import VirtualSe
from opentsm_simulator.profile import Profile, load_profile
from scp11_host import AUTHORITY_VERSION, VERSION, own_chain
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    CENTRAL,
    ISD,
    ISD_KEYS,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    SD_MODULE,
    SD_PACKAGE,
    TRANSIT,
    Host,
    block,
    keys,
    payment_parameters,
)
from small_cap import small_cap
from token_keys import give_token_keys, with_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentsm_card.apdu import Command, CommandApdu, ResponseApdu
    from opentsm_card.keys import KeySet

OWN_KEYS: Final = keys(0x31, 11)
CENTRAL_KEYS: Final = keys(0x32, 33)
SPARE_KEYS: Final = keys(0x3E, 77)
NEW_KEYS: Final = keys(0x3F, 99)
NEW: Final = Aid.from_text("F06F70656E74736D0B000199")
SMALL: Final = small_cap(NEW)
AIDS: Final = {Role.ISSUER: ISD, Role.CENTRAL: CENTRAL}
KEYS: Final = {ISD: ISD_KEYS, CENTRAL: CENTRAL_KEYS}
# SELECT on a locked card warns, GET STATUS has more to tell (GP Card Specification 2.3.1, 11.9.3.2, 11.4.3.2).
ACCEPTED: Final = {0x9000, 0x6283, 0x6310}
# SCP03 with i = 70, and all three variants of SCP11.
_PROTOCOLS: Final = ("0370", "1113")
_PARAMETERS: Final = bytes.fromhex("C908 81020370 81021113")
# A controlling authority (86) that offers its service (CB).
_CASD_PARAMETERS: Final = bytes.fromhex("C90C 86020000 81020370 81021113 EF04 CB028300")
_PUT_KEY: Final = {CommandName.PUT_KEY_NEW: 0, CommandName.PUT_KEY_REPLACE: SPARE_KEYS.version}
_AUTHENTICATING: Final = (CommandName.INITIALIZE_UPDATE, CommandName.EXTERNAL_AUTHENTICATE)
_DELETE_ALL_ACCOUNTS: Final = 0x0204

_CARD_STATES: Final = (CardState.OP_READY, CardState.INITIALIZED, CardState.SECURED)
_ENDS: Final = (CardState.CARD_LOCKED, CardState.TERMINATED)
_DOMAIN_STATES: Final = tuple(map(int, SecurityDomainState))


@dataclass(frozen=True)
class Case:
    """A security domain of a configuration, in one life cycle of its own on a card in one of its own.

    Args:
        name: the configuration's.
        role: of the security domain.
        card: the card's life cycle.
        domain: the security domain's, LOCKED or not; that of the card for the issuer's.
    """

    name: str
    role: Role
    card: CardState
    domain: int

    @property
    def at(self) -> Situation:
        """The column of the table that it falls into."""
        return situation(self.domain, self.card, issuer=self.role is Role.ISSUER)

    @property
    def new(self) -> bool:
        """True while the security domain has no keys of its own."""
        return self.role is not Role.ISSUER and unlocked(self.domain) < SecurityDomainState.PERSONALIZED

    def __str__(self) -> str:
        """Name it for a test's report."""
        own = "" if self.role is Role.ISSUER else f"-{self.domain:02X}"
        return f"{self.name}-{self.role}-{self.card.name}{own}"


def cases(name: str) -> Iterator[Case]:
    """Yield every life cycle that can arise, of every security domain of a configuration."""
    for role, table in configuration(name).domains.items():
        for card in (*_CARD_STATES, *_ENDS):
            if role is Role.ISSUER:
                yield Case(name, role, card, card)
                continue
            for state in _DOMAIN_STATES:
                for domain in (state, state | 0x80):
                    # Those that the card's end makes alike are told apart all the same: nothing may shine through.
                    if situation(state, CardState.SECURED, issuer=False) in table.situations:
                        yield Case(name, role, card, domain)


@cache
def _profile(name: str, card: CardState) -> Profile:
    """Return a configuration's profile, delivered in a life cycle on the way to SECURED.

    Without what has no part in the cells (PPSE, CRS, the third parties' own security domains), which would take time.
    """
    delivered = card.name if card in _CARD_STATES else CardState.SECURED.name
    whole = load_profile(name)
    needed = tuple(
        msgspec.structs.replace(instance, scp=_PROTOCOLS)
        for instance in whole.instances
        if Aid.from_text(instance.aid) in KEYS
    )
    return msgspec.structs.replace(whole, card_state=delivered, instances=needed)


@dataclass
class Stage:
    """A card with the security domain under test in a life cycle, and things of every kind under it.

    Args:
        case: the life cycle.
        agreeing: with keys for SCP11 instead of things under it.
    """

    case: Case
    agreeing: bool = False
    se: VirtualSe = field(init=False)
    host: Host = field(init=False)
    earlier: Scp03Session | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Make the card."""
        case = self.case
        table = configuration(case.name)
        central = {"central": CENTRAL_KEYS} if Role.CENTRAL in table.domains else {}
        self.se = VirtualSe.create(_profile(case.name, case.card), keys=central)
        self.above = AIDS[table.domains[case.role].parent]
        if case.role not in AIDS:
            self._make_domain(table.domains[case.role].privilege_bits)
        if case.role is Role.DELEGATED:
            centre = AIDS[table.central_role]
            give_token_keys(Host(self.se.link("contactless")).into(centre, KEYS[centre]))
        if not self.agreeing:
            self._furnish()
        # A session from before: it must not outlive what the life cycle takes away.
        self.host = Host(self.se.link("contact"))
        if unlocked(case.domain) != SecurityDomainState.INSTALLED or case.role is Role.ISSUER:
            self.host.into(self.aid, self.opening_keys)
            if not case.new:
                self.host.put_keys(SPARE_KEYS).require("PUT KEY")
                if self.agreeing:
                    put_scp11_keys(self.host)
            self.earlier = self.host.session
        self._bring_about()

    def _make_domain(self, privileges: Privilege) -> None:
        """Make the security domain under test; what manages content is for the issuer to make, and to hand over."""
        case = self.case
        maker = self.above if case.role is Role.PROVIDER else ISD
        manager = Host(self.se.link("contactless")).into(maker, KEYS[maker])
        selectable = unlocked(case.domain) != SecurityDomainState.INSTALLED
        parameters = _CASD_PARAMETERS if case.role is Role.CONTROLLING else _PARAMETERS
        manager.done(InstallForInstall(SD_PACKAGE, SD_MODULE, BANK, privileges, parameters, make_selectable=selectable))
        if maker != self.above:
            manager.done(InstallForExtradition(self.above, BANK))
        if not case.new:
            manager.into(BANK, KEYS[self.above]).put_keys(OWN_KEYS).require("PUT KEY")

    def _furnish(self) -> None:
        """Have things made by whoever may, and handed over; a new security domain can own nothing."""
        case, above = self.case, self.above
        Host(self.se.link("contactless")).into(ISD, ISD_KEYS).done(InstallForExtradition(above, PAYMENT_PACKAGE))
        manager = Host(self.se.link("contactless")).into(above, KEYS[above])
        manager.new_domain(TRANSIT)
        manager.into(TRANSIT, KEYS[above]).put_keys(keys(0x31, 55)).require("PUT KEY")
        manager.into(above, KEYS[above]).new_payment(CARD_1)
        installed = InstallForInstall(
            PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_2, parameters=payment_parameters(), make_selectable=False
        )
        manager.done(installed)
        if case.role is not Role.ISSUER and not case.new:
            for each in (TRANSIT, CARD_1, CARD_2, PAYMENT_PACKAGE):
                manager.done(InstallForExtradition(self.aid, each))

    @property
    def aid(self) -> Aid:
        """The security domain under test."""
        return AIDS.get(self.case.role, BANK)

    @property
    def opening_keys(self) -> KeySet:
        """The keys that open it: while it is new those of the one above."""
        if self.case.new:
            return KEYS[self.above]
        return KEYS.get(self.aid, OWN_KEYS)

    def _bring_about(self) -> None:
        case = self.case
        if case.role is not Role.ISSUER and is_locked(case.domain):
            locker = Host(self.se.link("contactless")).into(self.above, KEYS[self.above])
            locker.done(SetStatus.lock_all(self.aid))
        if case.card in _ENDS:
            issuer = Host(self.se.link("contactless")).into(ISD, ISD_KEYS)
            issuer.done(SetStatus.card(case.card))

    def can_select(self) -> bool:
        """Select the security domain; where that is refused, what was selected before stays."""
        return self.host.select(self.aid).sw in ACCEPTED

    def plainly(self, command: CommandName) -> int:
        """Send a command without a secure channel, and return the status word."""
        if command is CommandName.SELECT:
            return self.host.select(self.aid).sw
        selected = self.can_select()
        if not selected and self.earlier is None and command is not CommandName.MANAGE_CHANNEL:
            return 0x6A82  # it has never been selectable: whatever is sent reaches another
        if command in _AUTHENTICATING:
            sw = self._authenticate(command)
            # Where it was deselected, whoever is selected instead may have the same keys.
            return sw if selected or sw != 0x9000 else self._read()
        if command is CommandName.GET_DATA:
            return self._read()
        return self._send(self.host.plain, command)

    def _send(self, send: Callable[[Command], ResponseApdu], command: CommandName) -> int:
        """Send what a row stands for, and return the first status word that refuses, or else the last."""
        sw = 0
        for each in self.commands(command):
            sw = send(each).sw
            if sw not in ACCEPTED:
                break
        return sw

    def _read(self) -> int:
        """Ask for the key information, and see that it is this security domain's: another may be selected by now."""
        answer = self.host.plain(GetData(DataTag.KEY_INFORMATION))
        listed = {item.value[1] for item in tlv.parse_all(answer.data[2:])}
        expected = set() if self.case.new else {self.opening_keys.version, SPARE_KEYS.version}
        return answer.sw if answer.sw != 0x9000 or listed == expected else 0x6A82

    def _authenticate(self, command: CommandName) -> int:
        """Begin, and answer the card's cryptogram; where it gives none, with what would have been right before."""
        challenge = bytes(range(8))
        answer = self.host.plain(Scp03Session.initialize_update(self.opening_keys.version, challenge))
        if command is CommandName.INITIALIZE_UPDATE:
            return answer.sw
        if answer.sw == 0x9000:
            session = Scp03Session.open(self.opening_keys, challenge, answer.data)
        else:
            alike = Case(self.case.name, self.case.role, CardState.SECURED, unlocked(self.case.domain))
            before = Stage(alike, agreeing=True)
            before.can_select()
            session = before.host.begin(self.opening_keys, challenge)
        return self.host.plain(session.external_authenticate(SecurityLevel.parse(0x33))).sw

    def secured(self, command: CommandName, *, tokens: bool = False) -> int:
        """Send a command in a secure channel: a new one where it can be had, else in the one from before."""
        session = self.host.open(self.opening_keys) if self.can_select() else self.earlier
        if session is None:
            return 0x6A82

        def send(each: Command) -> ResponseApdu:
            apdu = (with_token(each) if tokens else each).apdu()
            return self.host.raw(session.wrap(apdu).encode())

        return self._send(send, command)

    def prepare(self, command: CommandName) -> bool:
        """Take away what would refuse a command in any life cycle; True when anything was done."""
        if command is not CommandName.DELETE_LOAD_FILE or self.case.card in _ENDS:
            return False
        issuer = Host(self.se.link("contactless")).into(ISD, ISD_KEYS)
        issuer.done(DeleteObject(CARD_1), DeleteObject(CARD_2))
        return True

    def commands(self, command: CommandName) -> Sequence[Command]:
        """Return what a row stands for: the command, behind those that it needs before it."""
        installs = InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, NEW, parameters=payment_parameters())
        loading = InstallForLoad(NEW, hash=hashlib.sha1(SMALL).digest())  # noqa: S324 - what a 1024-bit RSA token takes
        if command in _PUT_KEY:
            return [put_key_set(NEW_KEYS, self.opening_keys.dek, replaces=_PUT_KEY[command])]
        if command in SCP11:
            return scp11_commands(command)
        matching: dict[CommandName, Sequence[Command]] = {
            CommandName.MANAGE_CHANNEL: [OpenChannel()],
            CommandName.GET_DATA: [GetData(DataTag.KEY_INFORMATION)],
            CommandName.GET_STATUS_ISSUER: [GetStatus(Scope.ISSUER_SECURITY_DOMAIN)],
            CommandName.GET_STATUS_APPLICATIONS: [GetStatus(Scope.APPLICATIONS)],
            CommandName.GET_STATUS_LOAD_FILES: [GetStatus(Scope.LOAD_FILES_AND_MODULES)],
            CommandName.SET_STATUS_APPLICATION: [SetStatus.lock(CARD_1)],
            CommandName.SET_STATUS_DOMAIN: [SetStatus.lock_all(TRANSIT)],
            CommandName.SET_STATUS_CONTACTLESS: [SetStatus.contactless(CARD_1, activated=True)],
            CommandName.SET_STATUS_CARD_INITIALIZED: [SetStatus.card(CardState.INITIALIZED)],
            CommandName.SET_STATUS_CARD_SECURED: [SetStatus.card(CardState.SECURED)],
            CommandName.SET_STATUS_CARD_LOCKED: [SetStatus.card(CardState.CARD_LOCKED)],
            CommandName.SET_STATUS_CARD_TERMINATED: [SetStatus.card(CardState.TERMINATED)],
            CommandName.DELETE_KEY: [DeleteKey(SPARE_KEYS.version)],
            CommandName.STORE_DATA: [StoreData(0, bytes.fromhex("4502BEEF"), True, DataStructure.BER_TLV)],
            CommandName.INSTALL_FOR_PERSONALIZATION: [InstallForPersonalization(CARD_1)],
            CommandName.STORE_DATA_APPLICATION: [
                InstallForPersonalization(CARD_1),
                StoreData(0, block(1, _DELETE_ALL_ACCOUNTS), True),
            ],
            CommandName.INSTALL_FOR_LOAD: [loading],
            CommandName.LOAD: [loading, *load_blocks(load_file(SMALL), 200)],
            CommandName.INSTALL_FOR_LOAD_AND_INSTALL: [InstallForLoad(NEW, combined=True)],
            CommandName.INSTALL_FOR_INSTALL: [
                InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, NEW, parameters=b"\xc9\x00", make_selectable=False)
            ],
            CommandName.INSTALL_AND_MAKE_SELECTABLE: [installs],
            CommandName.INSTALL_FOR_MAKE_SELECTABLE: [InstallForMakeSelectable(CARD_2)],
            CommandName.INSTALL_FOR_EXTRADITION: [InstallForExtradition(TRANSIT, CARD_1)],
            CommandName.INSTALL_FOR_REGISTRY_UPDATE: [
                InstallForRegistryUpdate(CARD_1, privileges=Privilege.GLOBAL_SERVICE),
            ],
            CommandName.DELETE_APPLICATION: [DeleteObject(CARD_1)],
            CommandName.DELETE_LOAD_FILE: [DeleteObject(PAYMENT_PACKAGE)],
            CommandName.DELETE_LOAD_FILE_AND_APPLICATIONS: [DeleteObject(PAYMENT_PACKAGE, related=True)],
        }
        return matching[command]


SCP11: Final = (
    CommandName.PERFORM_SECURITY_OPERATION,
    CommandName.MUTUAL_AUTHENTICATE,
    CommandName.INTERNAL_AUTHENTICATE,
)
WITHOUT_SESSION: Final = {CommandName.SELECT, *_AUTHENTICATING, *SCP11}


@cache
def _scp11_keys() -> dict[Variant | str, ec.EllipticCurvePrivateKey]:
    names: tuple[Variant | str, ...] = (Variant.A, Variant.B, "authority", "host")
    return {name: ec.generate_private_key(ec.SECP256R1()) for name in names}


def put_scp11_keys(host: Host) -> None:
    """Put the keys for SCP11a and SCP11b, and an authority's, into the domain that a host has a session with."""
    assert host.session is not None
    made = _scp11_keys()
    for variant in (Variant.A, Variant.B):
        scalar = made[variant].private_numbers().private_value.to_bytes(32, "big")
        key = KeyData.ecc_private(scalar, host.session.encrypt_sensitive)
        host.done(PutKey(0, VERSION, variant.key_id, (key,)))
    point = encode_point(made["authority"].public_key())
    host.done(PutKey(0, AUTHORITY_VERSION, 0x10, (KeyData.ecc_public(point),)))


def scp11_commands(command: CommandName) -> list[Command]:
    """Return a command of SCP11, behind those that it needs before it."""
    made = _scp11_keys()
    variant = Variant.B if command is CommandName.INTERNAL_AUTHENTICATE else Variant.A
    certificates = Scp11Agreement.certificate_commands(own_chain(made["authority"], made["host"]), AUTHORITY_VERSION)
    host = None if variant is Variant.B else made["host"]
    authenticate = Scp11Agreement(variant, VERSION, made[variant].public_key(), host).authenticate()
    if command is CommandName.PERFORM_SECURITY_OPERATION:
        return [Bare(apdu) for apdu in certificates]
    before = certificates if variant is Variant.A else ()
    return [Bare(apdu) for apdu in (*before, authenticate)]


@dataclass(frozen=True)
class Bare:
    """A command that is an APDU and no more."""

    content: CommandApdu

    def apdu(self) -> CommandApdu:
        """Return it."""
        return self.content


def observe(case: Case) -> dict[CommandName, Acceptance]:
    """Send every command, on a fresh card whenever one had an effect, and return the column that the card shows.

    Raises:
        AssertionError: a command that was refused had an effect.
    """
    agreeing = Stage(case, agreeing=True)
    seen = {command: _cell(agreeing, command, agreeing.se.effects()) for command in SCP11}
    stage = Stage(case)
    for command in CommandName:
        if command in SCP11:
            continue
        fresh = stage.prepare(command)
        before = stage.se.effects()
        seen[command] = _cell(stage, command, before)
        if fresh or stage.se.effects() != before:
            stage = Stage(case)
    return seen


def _cell(stage: Stage, command: CommandName, before: list[str]) -> Acceptance:
    if stage.plainly(command) in ACCEPTED:
        return Acceptance.OPEN
    assert stage.se.effects() == before, f"{command} was refused, and had an effect"
    if command in WITHOUT_SESSION:
        return Acceptance.REFUSED
    if stage.secured(command) in ACCEPTED:
        return Acceptance.SESSION
    assert stage.se.effects() == before, f"{command} was refused in a session, and had an effect"
    if stage.case.role is Role.DELEGATED and stage.secured(command, tokens=True) in ACCEPTED:
        return Acceptance.TOKEN
    assert stage.se.effects() == before, f"{command} was refused with a token too, and had an effect"
    return Acceptance.REFUSED
