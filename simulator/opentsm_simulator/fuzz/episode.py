"""One card, a few hundred commands: plain, in secure channels, broken on the way; its registry looked at in between.

An episode is made by its seed alone, so a finding is had again by running its episode.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import OpenTsmError, ProtocolError, SecureChannelError
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.registry import Registry
from opentsm_card.scp03 import Scp03Session, SecurityLevel
from opentsm_card.select import Select
from opentsm_card.status import StatusWord
from opentsm_simulator.fuzz.commands import CommandSource
from opentsm_simulator.fuzz.invariants import violations
from opentsm_simulator.virtual_se import VirtualSe

if TYPE_CHECKING:
    from opentsm_card.keys import KeySet
    from opentsm_card.link import Link
    from opentsm_simulator.profile import Profile
    from opentsm_simulator.virtual_se import Interface

__all__ = ["Episode", "Finding"]

_BURST: Final = 40
_KEPT: Final = 60
_LEVELS: Final = tuple(SecurityLevel.parse(level) for level in (0x01, 0x03, 0x11, 0x13, 0x33))
_JAVA_EXCEPTION: Final = 0x6F00
_BLOCKED: Final = 0x6983
_BROKEN_IN_SESSION: Final = 0.08
_RESET: Final = 0.02
_UNREADABLE_EFFECTS: Final = ("put-key", "delete-key")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be.

    Args:
        episode: its number.
        what: a sentence.
        commands: the last commands before it as sent, hexadecimal, secured ones as they went over the link.
    """

    episode: int
    what: str
    commands: tuple[str, ...]


@dataclass
class Episode:
    """Runs one episode.

    Args:
        number: of the episode.
        seed: of the campaign; with the number it decides everything.
        profile: of the card.
        commands: how many to send.
    """

    number: int
    seed: int
    profile: Profile
    commands: int
    sent: int = 0
    secured: int = 0
    inspections: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the card."""
        self._random = Random(f"{self.seed}/{self.number}")  # noqa: S311 - repeatable, not secret
        self._se = VirtualSe.create(self.profile, se_id=f"fuzz-{self.number}")
        self._issuer = next(instance for instance in self.profile.instances if instance.domain is None)
        self._domains = {
            bytes.fromhex(instance.aid): self.profile.key_sets()[instance.key_names[0]]
            for instance in self.profile.instances
            if instance.key_names
        }
        self._source = CommandSource(self._random, self._aids())
        self._trail: deque[str] = deque(maxlen=_KEPT)

    def run(self) -> None:
        """Send the commands, and look at the registry after each burst."""
        while self.sent < self.commands and not self.findings:
            interface: Interface = self._random.choice(("contact", "contact", "contactless"))
            with self._se.link(interface) as link:
                if self._random.random() < 0.6:
                    self._secured_burst(link)
                else:
                    self._plain_burst(link)
            if not self._inspect():
                return

    def _aids(self) -> list[bytes]:
        aids = [bytes.fromhex(instance.aid) for instance in self.profile.instances]
        aids += [bytes.fromhex(instance.load_file) for instance in self.profile.instances]
        aids += [bytes.fromhex(instance.module) for instance in self.profile.instances]
        known = self._registry()
        if known is not None:
            aids += [bytes(entry.aid) for entry in known.load_files]
            aids += [bytes(module) for entry in known.load_files for module in entry.modules]
        return list(dict.fromkeys(aids))

    # Sending.

    def _send(self, link: Link, encoded: bytes) -> ResponseApdu | None:
        """Send bytes; None when what came back is no answer of a card."""
        self._trail.append(encoded.hex().upper())
        self.sent += 1
        try:
            raw = link.transmit(encoded)
            answer = ResponseApdu.parse(raw)
        except OpenTsmError as error:
            self._find(f"no answer: {error}")
            return None
        self.answers[answer.sw] += 1
        if answer.sw >> 12 not in {0x6, 0x9}:
            self._find(f"answer {answer.sw:04X} is no status word")
        elif answer.sw == _JAVA_EXCEPTION:
            self._find("answer 6F00: an exception was thrown in the card")
        return answer

    def _plain_burst(self, link: Link) -> None:
        """Send what needs no keys: nothing may be left behind."""
        before = self._se.effects()
        if self._random.random() < 0.7:
            self._send(link, Select(self._random.choice(list(self._domains))).apdu().encode())
        for _ in range(_BURST):
            if self._random.random() < _RESET:
                link.reset()
            command = self._source.command()
            if self._random.random() < 0.1:
                command = CommandApdu(command.cla | 0x04, command.ins, command.p1, command.p2, command.data, command.ne)
            self._send(link, self._source.encoded(command))
            if self.findings:
                return
        left = self._se.effects()[len(before) :]
        if left:
            self._find(f"without any keys this was done: {', '.join(left)}")

    def _secured_burst(self, link: Link) -> None:
        """Send commands in a security domain's secure channel; now and then break one behind the wrapping."""
        aid = self._random.choice(list(self._domains))
        session = self._open(link, aid, self._domains[aid], self._random.choice(_LEVELS))
        for _ in range(_BURST):
            if session is None or self.findings:
                return
            command = self._source.command()
            try:
                wrapped = session.wrap(command)
            except (SecureChannelError, ProtocolError):  # too long for the level
                continue
            broken = self._random.random() < _BROKEN_IN_SESSION
            encoded = self._source.encoded(wrapped) if broken else wrapped.encode()
            answer = self._send(link, encoded)
            if answer is None:
                return
            self.secured += 1
            try:
                session.unwrap(answer)
            except (SecureChannelError, ProtocolError):
                ended = True  # a response MAC that is wrong after what was broken on the way
            else:
                ended = answer.sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED
            if ended:
                session = self._open(link, aid, self._domains[aid], self._random.choice(_LEVELS))

    def _open(self, link: Link, aid: bytes, keys: KeySet, level: SecurityLevel) -> Scp03Session | None:
        challenge = self._random.randbytes(8)
        for command in (Select(aid).apdu(), Scp03Session.initialize_update(keys.version, challenge)):
            answer = self._send(link, command.encode())
            if answer is None or answer.sw not in {StatusWord.DONE, 0x6283}:
                return None
        assert answer is not None
        try:
            session = Scp03Session.open(keys, challenge, answer.data)
            done = self._send(link, session.external_authenticate(level).encode())
        except (SecureChannelError, ProtocolError):
            return None  # its keys were replaced
        return session if done is not None and done.sw == StatusWord.DONE else None

    # Looking.

    def _inspect(self) -> bool:
        """Read the registry and check it; False when the card can't be read any more, for a reason that is known."""
        if self.findings:
            return False
        registry = self._registry()
        if registry is None:
            if not self.findings and not self._is_excused():
                self._find("the issuer security domain can't be opened any more, and nothing explains it")
            return False
        self.inspections += 1
        for violation in violations(registry):
            self._find(f"registry: {violation}")
        return not self.findings

    def _registry(self) -> Registry | None:
        """Read the registry in a session of the issuer security domain on an interface of its own."""
        aid = bytes.fromhex(self._issuer.aid)
        with self._se.link("contact") as link:
            session = self._open_quietly(link, aid)
            if session is None:
                return None
            lists: dict[Scope, list[ResponseApdu]] = {}
            for scope in (Scope.APPLICATIONS, Scope.LOAD_FILES_AND_MODULES, Scope.ISSUER_SECURITY_DOMAIN):
                command = GetStatus.everything(scope)
                answers = lists[scope] = []
                while not answers or answers[-1].sw == StatusWord.MORE_DATA_AVAILABLE:
                    raw = link.transmit(session.wrap(command.apdu()).encode())
                    answers.append(session.unwrap(ResponseApdu.parse(raw)))
                    command = command.following()
            try:
                return Registry.parse(
                    lists[Scope.APPLICATIONS],
                    lists[Scope.LOAD_FILES_AND_MODULES],
                    lists[Scope.ISSUER_SECURITY_DOMAIN],
                )
            except ProtocolError as error:
                self._find(f"the registry can't be read: {error}")
                return None

    def _open_quietly(self, link: Link, aid: bytes) -> Scp03Session | None:
        keys = self._domains[aid]
        challenge = self._random.randbytes(8)
        link.transmit(Select(aid).apdu().encode())
        answer = ResponseApdu.parse(link.transmit(Scp03Session.initialize_update(keys.version, challenge).encode()))
        try:
            session = Scp03Session.open(keys, challenge, answer.require("INITIALIZE UPDATE"))
            command = session.external_authenticate(SecurityLevel.parse(0x33))
            ResponseApdu.parse(link.transmit(command.encode())).require("EXTERNAL AUTHENTICATE")
        except OpenTsmError:
            return None
        return session

    def _is_excused(self) -> bool:
        """Tell whether the issuer security domain has a reason not to open: its keys, or the card's life cycle."""
        if any(
            line.startswith(_UNREADABLE_EFFECTS) and self._issuer.aid.upper() in line.upper()
            for line in self._se.effects()
        ):
            return True
        with self._se.link("contact") as link:
            aid = bytes.fromhex(self._issuer.aid)
            selected = ResponseApdu.parse(link.transmit(Select(aid).apdu().encode()))
            begun = ResponseApdu.parse(link.transmit(Scp03Session.initialize_update(0, bytes(8)).encode()))
            terminated = any("terminate" in line.lower() or line.endswith(" FF") for line in self._se.effects())
            return terminated or (selected.sw == StatusWord.DONE and begun.sw == _BLOCKED)

    def _find(self, what: str) -> None:
        self.findings.append(Finding(self.number, what, tuple(self._trail)))
