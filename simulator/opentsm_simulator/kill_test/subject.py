"""One SE under test: what a host was told of it, what is done to it, and what it says itself.

All that is done to it is a change of `Content` by one command. Until that command is answered, the SE may be as before
or as after; once it is, it must be as after.
"""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.delete import DeleteObject
from opentsm_card.errors import ProtocolError, TransportError
from opentsm_card.get_data import DataTag, GetData
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.install import InstallForInstall, InstallForPersonalization
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.key_information import parse_key_information
from opentsm_card.keys import KeySet
from opentsm_card.lifecycle import is_locked
from opentsm_card.privileges import Privilege
from opentsm_card.put_key import put_key_set
from opentsm_card.registry import Registry
from opentsm_card.scp03 import Scp03Session, SecurityLevel
from opentsm_card.select import Select
from opentsm_card.set_status import SetStatus
from opentsm_card.store_data import Dgi, StoreData, encode_dgis

if TYPE_CHECKING:
    from random import Random

    from opentsm_card.apdu import Command

__all__ = ["Application", "Content", "Subject"]

_OWN: Final = bytes.fromhex("F06F70656E74736D")
_ISD: Final = Aid.from_text("A000000151000000")
_SD_PACKAGE: Final = Aid.from_text("A0000001515350")
_SD_MODULE: Final = Aid.from_text("A000000151535041")
_DOMAIN: Final = Aid(_OWN + bytes.fromhex("0A00F1"))
_PAYMENT_PACKAGE: Final = Aid(_OWN + bytes.fromhex("0101"))
_PAYMENT_MODULE: Final = Aid(_OWN + bytes.fromhex("010101"))
_NAMES: Final = tuple(Aid(_OWN + bytes.fromhex("0BF1") + bytes((number,))) for number in range(1, 5))
_LEVEL: Final = SecurityLevel.parse(0x33)
_FIRST_VERSION: Final = 0x31
_VERSIONS: Final = 0x0E
_MOST_ACCOUNTS: Final = 4
_TIMEOUT_S: Final = 60.0
# Bytes of the answer to INITIALIZE UPDATE that are the sequence counter (GP Amendment D, 7.1.1.6: S8, pseudo-random).
_COUNTER: Final = slice(29, 32)


@dataclass(frozen=True, slots=True)
class Application:
    """A payment application: locked or not, its last operation, and the unique identifiers of its accounts."""

    locked: bool = False
    last: int = 0
    accounts: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """What an SE holds of a test: whether it has the domain, its keys' version (0: none), and the applications."""

    domain: bool = False
    version: int = 0
    applications: tuple[tuple[Aid, Application], ...] = ()

    def find(self, aid: Aid) -> Application | None:
        """Return an application, or None."""
        return dict(self.applications).get(aid)

    def put(self, aid: Aid, application: Application | None) -> Content:
        """Return the content with an application in place of the one of that name; None for none."""
        kept = {name: each for name, each in self.applications if name != aid}
        if application is not None:
            kept[aid] = application
        return replace(self, applications=tuple(sorted(kept.items())))

    def shown(self) -> Content:
        """Return what an SE can tell: of locked applications nothing but that."""
        return replace(
            self,
            applications=tuple(
                (aid, Application(locked=True) if app.locked else app) for aid, app in self.applications
            ),
        )


class _Wire:
    """A connection to an interface of an SE, in vpcd's framing, with at most one SCP03 session."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._session: Scp03Session | None = None

    def close(self) -> None:
        self._socket.close()

    def raw(self, command: bytes) -> ResponseApdu:
        self._socket.sendall(len(command).to_bytes(2, "big") + command)
        return ResponseApdu.parse(self._read(int.from_bytes(self._read(2), "big")))

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            received = self._socket.recv(length - len(data))
            if not received:
                raise TransportError("the host hung up")
            data += received
        return data

    def plain(self, command: Command | CommandApdu) -> ResponseApdu:
        return self.raw((command if isinstance(command, CommandApdu) else command.apdu()).encode())

    def open(self, aid: Aid, keys: KeySet) -> int:
        """Open a session; return the SE's sequence counter."""
        self.plain(Select(aid)).require("SELECT")
        challenge = os.urandom(8)
        answer = self.plain(Scp03Session.initialize_update(keys.version, challenge)).require("INITIALIZE UPDATE")
        session = Scp03Session.open(keys, challenge, answer)
        self.plain(session.external_authenticate(_LEVEL)).require("EXTERNAL AUTHENTICATE")
        self._session = session
        return int.from_bytes(answer[_COUNTER], "big")

    def send(self, command: Command | CommandApdu) -> ResponseApdu:
        assert self._session is not None
        apdu = command if isinstance(command, CommandApdu) else command.apdu()
        return self._session.unwrap(self.raw(self._session.wrap(apdu).encode()))

    def listed(self, scope: Scope) -> list[ResponseApdu]:
        command = GetStatus.everything(scope)
        answers = [self.send(command)]
        while answers[-1].sw == 0x6310:
            answers.append(self.send(command.following()))
        return answers

    def registry(self) -> Registry:
        scopes = (Scope.APPLICATIONS, Scope.LOAD_FILES_AND_MODULES, Scope.ISSUER_SECURITY_DOMAIN)
        return Registry.parse(*(self.listed(scope) for scope in scopes))


@dataclass(slots=True)
class Subject:
    """An SE, and what a host was told of it.

    Args:
        se_id: its identity.
        isd_keys: keys of its issuer security domain.
        port: its contact interface's TCP port on this machine.
        content: what it holds, as far as it has answered.
        maybe: what it may hold instead: the change by a command that was not answered.
        counter: the least that its sequence counter is.
        operations: how many operation ids were given out.
        answered: how many changes it has answered.
    """

    se_id: str
    isd_keys: KeySet
    port: int = 0
    content: Content = field(default_factory=Content)
    maybe: Content | None = None
    counter: int = 0
    operations: int = 0
    answered: int = 0

    def keys(self, version: int) -> KeySet:
        """Return the domain's keys of a version; before it has any, the issuer's domain's are its."""
        if version == 0:
            return self.isd_keys
        digest = hashlib.sha384(f"{self.se_id} {version}".encode()).digest()
        return KeySet(version, digest[:16], digest[16:32], digest[32:])

    # What is done to it.

    def change(self, random: Random) -> None:
        """Do something to it, chosen at random.

        Raises:
            OSError, TransportError: its host has gone; `maybe` says what may have come of it.
            CardError: it refuses.
        """
        wire = _Wire(self.port)
        try:
            kind = random.randrange(6)
            aid = random.choice(_NAMES)
            application = self.content.find(aid)
            if not self.content.domain:
                self._manage(wire, replace(self.content, domain=True), _new_domain())
            elif kind == 0:
                self._rotate(wire)
            elif application is None:
                self._manage(wire, self.content.put(aid, Application()), _new_application(aid))
            elif application.locked:
                self._manage(wire, self.content.put(aid, replace(application, locked=False)), SetStatus.unlock(aid))
            elif kind == 1:
                self._manage(wire, self.content.put(aid, None), DeleteObject(aid))
            elif kind == 2:
                self._manage(wire, self.content.put(aid, replace(application, locked=True)), SetStatus.lock(aid))
            else:
                self._personalize(wire, aid, application)
        finally:
            wire.close()

    def _manage(self, wire: _Wire, after: Content, command: Command) -> None:
        self._saw(wire.open(_ISD, self.isd_keys))
        self._commit(wire, after, command)

    def _rotate(self, wire: _Wire) -> None:
        old = self.content.version
        new = _FIRST_VERSION if old == 0 else _FIRST_VERSION + (old - _FIRST_VERSION + 1) % _VERSIONS
        wire.open(_DOMAIN, self.keys(old))
        command = put_key_set(self.keys(new), self.keys(old).dek, replaces=old)
        self._commit(wire, replace(self.content, version=new), command)

    def _personalize(self, wire: _Wire, aid: Aid, application: Application) -> None:
        self.operations += 1
        full = len(application.accounts) == _MOST_ACCOUNTS
        uid = self.operations.to_bytes(16, "big")
        accounts = () if full else (*application.accounts, uid)
        dgi = Dgi(0x0204, b"") if full else Dgi(0x0201, _account(uid))
        data = encode_dgis((Dgi(0x0101, self.operations.to_bytes(16, "big")), dgi))
        self._saw(wire.open(_ISD, self.isd_keys))
        wire.send(InstallForPersonalization(aid)).require("INSTALL [for personalization]")
        after = replace(application, last=self.operations, accounts=accounts)
        self._commit(wire, self.content.put(aid, after), StoreData(0, data, last=True))

    def _commit(self, wire: _Wire, after: Content, command: Command | CommandApdu) -> None:
        self.maybe = after
        wire.send(command).require(str(command))
        self.content, self.maybe = after, None
        self.answered += 1

    def _saw(self, counter: int) -> None:
        self.counter = max(self.counter, counter)

    # What it says itself.

    def check(self) -> str | None:
        """Compare what it holds with what it has answered; tell what is wrong, or None.

        Raises:
            OSError, TransportError, CardError: it does not answer as it must.
        """
        found, counter = self._look()
        if counter <= self.counter:
            return f"{self.se_id}: its sequence counter was {self.counter} and is {counter}"
        self.counter = counter
        expected = (self.content, self.maybe) if self.maybe is not None else (self.content,)
        for content in expected:
            if content.shown() == found:
                self.content, self.maybe = content, None
                return None
        return f"{self.se_id}: holds {found}, and should {' or '.join(map(str, expected))}"

    def _look(self) -> tuple[Content, int]:
        wire = _Wire(self.port)
        try:
            counter = wire.open(_ISD, self.isd_keys)
            registry = wire.registry()
            content = Content(registry.find(_DOMAIN) is not None)
            states = {aid: entry.state for aid in _NAMES if (entry := registry.find(aid)) is not None}
            for aid, state in states.items():
                content = content.put(aid, Application(locked=True) if is_locked(state) else _told(wire, aid))
            if content.domain:
                content = replace(content, version=self._version(wire))
        finally:
            wire.close()
        return content, counter

    def _version(self, wire: _Wire) -> int:
        """Return the version of the domain's keys, which work."""
        wire.plain(Select(_DOMAIN)).require("SELECT")
        answer = wire.plain(GetData(DataTag.KEY_INFORMATION))
        known = parse_key_information(answer.data) if answer.sw == 0x9000 and answer.data else ()
        versions = {key.version for key in known} - {0}
        if len(versions) > 1:
            raise ProtocolError(f"{self.se_id}: its domain has keys of versions {sorted(versions)}")
        version = versions.pop() if versions else 0
        wire.open(_DOMAIN, self.keys(version))
        return version


def _told(wire: _Wire, aid: Aid) -> Application:
    """Return what a payment application tells of its last operation and its accounts."""
    wire.plain(Select(aid)).require("SELECT")
    (last,) = tlv.parse_all(wire.plain(CommandApdu(0x80, 0xCA, 0xDF, 0x01, ne=256)).require("GET DATA"))
    (listed,) = tlv.parse_all(wire.plain(CommandApdu(0x80, 0xCA, 0xDF, 0x02, ne=256)).require("GET DATA"))
    accounts = (tlv.find(tlv.parse_all(item.value), 0xC1) or b"" for item in tlv.parse_all(listed.value))
    return Application(False, int.from_bytes(last.value, "big"), tuple(sorted(accounts)))


def _new_domain() -> InstallForInstall:
    return InstallForInstall(_SD_PACKAGE, _SD_MODULE, _DOMAIN, Privilege.SECURITY_DOMAIN | Privilege.TRUSTED_PATH)


def _new_application(aid: Aid) -> InstallForInstall:
    value = tlv.encode(0x50, b"Test") + tlv.encode(0x87, b"\x01") + tlv.encode(0xC2, bytes((_MOST_ACCOUNTS,)))
    parameters = InstallParameters(application=value).encode()
    return InstallForInstall(_PAYMENT_PACKAGE, _PAYMENT_MODULE, aid, parameters=parameters)


def _account(uid: bytes) -> bytes:
    data = tlv.encode(0xC0, b"debit") + tlv.encode(0xC1, uid) + tlv.encode(0x5A, bytes.fromhex("5413330089010011"))
    return data + tlv.encode(0x5F24, bytes.fromhex("301231")) + tlv.encode(0x50, b"Card")
