"""A host in front of a virtual SE: selects, opens SCP03 sessions, sends commands plain or wrapped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.delete import DeleteObject
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.install import InstallForExtradition, InstallForInstall, InstallForPersonalization
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.keys import KeySet
from opentsm_card.privileges import Privilege
from opentsm_card.put_key import put_key_set
from opentsm_card.registry import Registry, RegistryEntry
from opentsm_card.scp03 import Scp03Session, SecurityLevel
from opentsm_card.select import Select
from opentsm_card.set_status import SetStatus
from opentsm_card.store_data import Dgi, StoreData, encode_dgis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_card.apdu import Command
    from opentsm_card.link import Link
    from opentsm_simulator import VirtualSe

ISD: Final = Aid.from_text("A000000151000000")
ALIAS: Final = Aid.from_text("A000000003000000")
SD_PACKAGE: Final = Aid.from_text("A0000001515350")
SD_MODULE: Final = Aid.from_text("A000000151535041")
OWN: Final = bytes.fromhex("F06F70656E74736D")
CENTRAL: Final = Aid(OWN + b"\x00\x01")
# Third parties' of the profiles that have them: with Authorized Management, with Delegated Management.
OWNER: Final = Aid(OWN + b"\x00\x02")
TENANT: Final = Aid(OWN + b"\x00\x03")
CASD: Final = Aid.from_text("A0000001514341534400")
BANK: Final = Aid(OWN + bytes.fromhex("0A0001"))
TRANSIT: Final = Aid(OWN + bytes.fromhex("0A0002"))
PAYMENT_PACKAGE: Final = Aid(OWN + bytes.fromhex("0101"))
PAYMENT_MODULE: Final = Aid(OWN + bytes.fromhex("010101"))
PPSE_PACKAGE: Final = Aid(OWN + bytes.fromhex("0102"))
PPSE: Final = Aid(b"2PAY.SYS.DDF01")
CRS_PACKAGE: Final = Aid(OWN + bytes.fromhex("0103"))
CVM_PACKAGE: Final = Aid(OWN + bytes.fromhex("0104"))
CVM_MODULE: Final = Aid(OWN + bytes.fromhex("010401"))
CRS: Final = Aid.from_text("A00000015143525300")
CARD_1: Final = Aid(OWN + bytes.fromhex("0B000101"))
CARD_2: Final = Aid(OWN + bytes.fromhex("0B000201"))

_TEST_KEY: Final = bytes(range(0x40, 0x50))
ISD_KEYS: Final = KeySet(0x30, _TEST_KEY, _TEST_KEY, _TEST_KEY)
FULL: Final = SecurityLevel.parse(0x33)
# What a domain needs to personalize the applications under it (6.6.2, 7.3.3).
DOMAIN_PRIVILEGES: Final = Privilege.SECURITY_DOMAIN | Privilege.TRUSTED_PATH


def keys(version: int, seed: int, size: int = 16) -> KeySet:
    """Return a key set of a test's own."""
    enc, mac, dek = (bytes((seed + 64 * part + index) & 0xFF for index in range(size)) for part in range(3))
    return KeySet(version, enc, mac, dek)


def payment_parameters(label: bytes = b"Bank", priority: int = 1, most: int = 4) -> bytes:
    """Return the parameters field of a payment instance."""
    value = b"\x50" + bytes((len(label),)) + label + bytes((0x87, 1, priority, 0xC2, 1, most))
    return InstallParameters(application=value).encode()


class Host:
    """Drives one link; after `open`, commands are wrapped and answers unwrapped."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.session: Scp03Session | None = None
        self.keys: KeySet | None = None

    def raw(self, command: bytes) -> ResponseApdu:
        return ResponseApdu.parse(self.link.transmit(command))

    def plain(self, command: Command | CommandApdu) -> ResponseApdu:
        apdu = command if isinstance(command, CommandApdu) else command.apdu()
        return self.raw(apdu.encode())

    def select(self, aid: bytes) -> ResponseApdu:
        self.session = None
        return self.plain(Select(aid))

    def begin(self, key_set: KeySet, challenge: bytes | None = None, version: int | None = None) -> Scp03Session:
        """Send INITIALIZE UPDATE and check the card's cryptogram."""
        challenge = challenge or os.urandom(8)
        command = Scp03Session.initialize_update(key_set.version if version is None else version, challenge)
        answer = self.plain(command).require("INITIALIZE UPDATE")
        return Scp03Session.open(key_set, challenge, answer)

    def open(self, key_set: KeySet, level: SecurityLevel = FULL, challenge: bytes | None = None) -> Scp03Session:
        """Open a session with what is selected."""
        session = self.begin(key_set, challenge)
        self.plain(session.external_authenticate(level)).require("EXTERNAL AUTHENTICATE")
        self.session, self.keys = session, key_set
        return session

    def into(self, aid: bytes, key_set: KeySet, level: SecurityLevel = FULL) -> Host:
        """Select and open."""
        # 6283: the issuer security domain of a locked card is selected with a warning.
        self.select(aid).require("SELECT", (0x9000, 0x6283))
        self.open(key_set, level)
        return self

    def send(self, command: Command | CommandApdu) -> ResponseApdu:
        """Send in the session."""
        assert self.session is not None
        apdu = command if isinstance(command, CommandApdu) else command.apdu()
        return self.session.unwrap(self.raw(self.session.wrap(apdu).encode()))

    def sw(self, command: Command | CommandApdu) -> int:
        return self.send(command).sw

    def done(self, *commands: Command | CommandApdu) -> None:
        for command in commands:
            self.send(command).require(str(command))

    # What tests do often.

    def listed(self, scope: Scope = Scope.APPLICATIONS, prefix: bytes = b"") -> list[ResponseApdu]:
        command = GetStatus.everything(scope, prefix)
        answers = [self.send(command)]
        while answers[-1].sw == 0x6310:
            answers.append(self.send(command.following()))
        return answers

    def registry(self) -> Registry:
        return Registry.parse(
            self.listed(),
            self.listed(Scope.LOAD_FILES_AND_MODULES),
            self.listed(Scope.ISSUER_SECURITY_DOMAIN),
        )

    def entry(self, aid: bytes) -> RegistryEntry | None:
        return self.registry().find(aid)

    def state(self, aid: bytes) -> int:
        entry = self.entry(aid)
        assert entry is not None
        return entry.state

    def new_domain(self, aid: Aid, privileges: Privilege = DOMAIN_PRIVILEGES) -> None:
        self.done(InstallForInstall(SD_PACKAGE, SD_MODULE, aid, privileges))

    def put_keys(self, key_set: KeySet, replaces: int = 0) -> ResponseApdu:
        assert self.keys is not None
        return self.send(put_key_set(key_set, self.keys.dek, replaces=replaces))

    def new_payment(self, aid: Aid, parameters: bytes | None = None) -> None:
        self.done(
            InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, aid, parameters=parameters or payment_parameters())
        )

    def activate(self, aid: Aid, *, activated: bool = True) -> int:
        return self.sw(SetStatus.contactless(aid, activated=activated))

    def extradite(self, aid: Aid, domain: Aid) -> int:
        return self.sw(InstallForExtradition(domain, aid))

    def delete(self, aid: Aid, *, related: bool = False) -> int:
        return self.sw(DeleteObject(aid, related))

    def store(self, aid: Aid, blocks: Sequence[bytes]) -> list[int]:
        """Personalize an application, block by block."""
        self.done(InstallForPersonalization(aid))
        last = len(blocks) - 1
        return [self.sw(StoreData(number, block, number == last)) for number, block in enumerate(blocks)]


def block(operation: int, identifier: int, value: bytes = b"") -> bytes:
    """Return a STORE DATA block of the payment application."""
    return encode_dgis((Dgi(0x0101, operation.to_bytes(16, "big")), Dgi(identifier, value)))


def service_provider(se: VirtualSe, manager: Aid, manager_keys: KeySet, domain: Aid, domain_keys: KeySet) -> Host:
    """Make an SP's security domain with keys of its own under a manager; return the manager's host, session open."""
    host = Host(se.link()).into(manager, manager_keys)
    host.new_domain(domain)
    host.into(domain, manager_keys)
    host.put_keys(domain_keys).require("PUT KEY")
    return host.into(manager, manager_keys)
