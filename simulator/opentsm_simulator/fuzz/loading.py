"""LOAD sequences that are nearly right: what is loaded, how it is cut, and what comes in between are broken.

After each attempt the registry is as it was before, or has the load file as well: nothing else. What is loaded is the
packages of this project under other AIDs, so that they are new to the card.

Spec: GP Card Specification 2.3.1, 9.3.5 (load and install), 11.5, 11.6.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from opentsm_build.cap import CapFile
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.delete import DeleteObject
from opentsm_card.errors import LinkTimeoutError, ProtocolError, SecureChannelError
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import load_blocks, load_file
from opentsm_card.scp03 import SecurityLevel
from opentsm_card.select import Select
from opentsm_card.status import StatusWord
from opentsm_simulator.fuzz.episode import Episode
from opentsm_simulator.fuzz.invariants import violations

if TYPE_CHECKING:
    from opentsm_card.apdu import ResponseApdu
    from opentsm_card.registry import Registry, RegistryEntry
    from opentsm_card.scp03 import Scp03Session
    from opentsm_simulator.virtual_se import VirtualLink

__all__ = ["Attempt", "LoadEpisode"]

_CAPS: Final = Path(__file__).resolve().parents[1] / "caps"
_NAMES: Final = ("payment", "ppse", "crs", "cardholder-verification")
# The part that the AIDs of these packages begin with, and what stands for it: the card has no load file of such a name.
_OURS: Final = bytes.fromhex("F06F70656E74736D")
_NEW: Final = bytes.fromhex("F06F70656E747A7A")
_LEVEL: Final = SecurityLevel.parse(0x01)
_MOST_WRITES: Final = 40
_MOST_STEPS: Final = 100_000
_STORE_MANY: Final = 0.3
_DISTURBED: Final = 0.6
_CUT: Final = 0.15
_GIVES_UP: Final = 0.7


@functools.cache
def _blocks() -> tuple[bytes, ...]:
    """Return load file data blocks whose AIDs are new, by twos: without and with Descriptor."""
    caps = [CapFile.read(_CAPS / f"{name}.cap") for name in _NAMES]
    return tuple(
        cap.load_file_data_block(descriptor=descriptor).replace(_OURS, _NEW)
        for cap in caps
        for descriptor in (False, True)
    )


@functools.cache
def _modules() -> tuple[tuple[Aid, Aid], ...]:
    """Return package and module, for every module of the packages that are loaded."""
    caps = [CapFile.parse_load_file(block) for block in _blocks()[::2]]
    return tuple((cap.package_aid, applet.aid) for cap in caps for applet in cap.applets)


@dataclass
class Attempt:
    """One load: what is announced, what is sent, and what came of it.

    Args:
        aid: of the package.
        commands: what is sent, secured on the way.
        whole: nothing is wrong with the package, its name and its hash.
        answers: the status words that came.
        last: of them, the one to the last block.
    """

    aid: Aid
    commands: list[CommandApdu]
    whole: bool
    answers: list[int] = field(default_factory=list)
    last: int | None = None

    def note(self, command: CommandApdu, sw: int) -> None:
        """Take the answer to a command."""
        self.answers.append(sw)
        if command.ins == _LOAD and command.p1 & _LAST:
            self.last = sw


_LOAD: Final = 0xE8
_LAST: Final = 0x80


@dataclass
class LoadEpisode(Episode):
    """Runs one episode of loads; its arguments are an episode's.

    Args:
        loaded: how many loads the card took.
    """

    loaded: int = 0

    def __post_init__(self) -> None:
        """Make the card; what runs without end on it is to end soon."""
        self.profile = msgspec.structs.replace(self.profile, most_steps=_MOST_STEPS)
        super().__post_init__()

    def run(self) -> None:
        """Load and load again, and look at the registry after each."""
        before = self._registry()
        if before is None:
            self._find("the issuer security domain can't be opened")
            return
        while self.sent < self.commands and not self.findings:
            after = self._attempt(before)
            if after is None:
                return
            self.inspections += 1
            before = after

    # One attempt.

    def _attempt(self, before: Registry) -> Registry | None:
        attempt = self._make()
        with self._se.link("contact") as link:
            self._send_all(link, attempt)
        self._se.cut_power(at_write=0)
        self._se.reset()
        after = self._registry()
        if after is None:
            self._find("the issuer security domain can't be opened after a load")
            return None
        self.judge(attempt, before, after)
        if self.findings or after.find(attempt.aid) is None or before.find(attempt.aid) is not None:
            return None if self.findings else after
        self.loaded += 1
        return self._use(attempt, before)

    def _make(self) -> Attempt:
        random = self._random
        original = random.choice(_blocks())
        aid = CapFile.parse_load_file(original).package_aid
        block = original if random.random() < 1 - _DISTURBED else self._broken_block(original)
        digest = random.choice(
            (b"", b"", b"", hashlib.sha256(block).digest(), hashlib.sha1(block).digest(), bytes(32), bytes(20), b"\0")  # noqa: S324 - one of GlobalPlatform's
        )
        announced = aid if random.random() < 0.95 else Aid(bytes(aid) + b"\x01")
        file = load_file(block)
        size = random.choice((1 + random.randrange(64), 200, 239, 239, 239, 60 + random.randrange(180)))
        size = max(size, len(file) // 250 + 1)
        loads = [load.apdu() for load in load_blocks(file, size)]
        first = InstallForLoad(announced, hash=digest).apdu()
        commands = [first, *self._disturbed(loads, first, aid)]
        right_hash = digest in {b"", hashlib.sha256(block).digest(), hashlib.sha1(block).digest()}  # noqa: S324 - as above
        return Attempt(aid, commands, block == original and right_hash and announced == aid)

    def _broken_block(self, block: bytes) -> bytes:
        """Break a block: bytes, its end, a component's size, or which components there are and in what order."""
        random = self._random
        components = _split(block)
        way = random.randrange(8)
        if way == 0:
            return block[: random.randrange(1, len(block))]
        if way == 1:
            return block + random.randbytes(1 + random.randrange(8))
        if way in {2, 3}:
            changed = bytearray(block)
            for _ in range(1 + random.randrange(4)):
                changed[random.randrange(len(changed))] = random.randrange(256)
            return bytes(changed)
        at, other = random.randrange(len(components)), random.randrange(len(components))
        if way == 4:
            components[at], components[other] = components[other], components[at]
        elif way == 5:
            del components[at]
        elif way == 6:
            components.insert(other, components[at])
        else:
            size = random.choice((0, 1, 0xFFFF, random.randrange(0x10000)))
            components[at] = components[at][:1] + size.to_bytes(2, "big") + components[at][3:]
        return b"".join(components) or b"\0"

    def _disturbed(self, loads: list[CommandApdu], first: CommandApdu, aid: Aid) -> list[CommandApdu]:
        """Put something in between, or the blocks into another order."""
        random = self._random
        commands = list(loads)
        if random.random() < 1 - _DISTURBED:
            return commands
        at, other = random.randrange(len(commands)), random.randrange(len(commands))
        way = random.randrange(5)
        if way == 0:
            del commands[at]
        elif way == 1:
            commands.insert(other, commands[at])
        elif way == 2:
            commands[at], commands[other] = commands[other], commands[at]
        elif way == 3:
            early = commands[at]
            commands[at] = CommandApdu(early.cla, early.ins, early.p1 ^ _LAST, early.p2, early.data, early.ne)
        else:
            between = random.choice(
                (
                    first,
                    DeleteObject(aid).apdu(),
                    DeleteObject(aid, related=True).apdu(),
                    CommandApdu(0x80, 0xF2, 0x20, 0x02, b"\x4f\x00", 256),
                    CommandApdu(0x80, 0xCA, 0x00, 0x66, b"", 256),
                    self._source.command(),
                )
            )
            commands.insert(at, between)
        return commands

    # Sending.

    def _send_all(self, link: VirtualLink, attempt: Attempt) -> None:
        session = self._opened(link)
        cut = self._random.randrange(len(attempt.commands)) if self._random.random() < _CUT else -1
        beside = self._random.randrange(len(attempt.commands)) if self._random.random() < _CUT else -1
        for number, command in enumerate(attempt.commands):
            if session is None or self.findings:
                return
            if number == cut:
                self._se.cut_power(at_write=1 + self._random.randrange(_MOST_WRITES))
            if number == beside and not self._beside(link):
                return
            answer = self._secured(link, session, command)
            if answer is None:
                return
            attempt.note(command, answer.sw)
            if answer.sw != StatusWord.DONE and self._random.random() < _GIVES_UP:
                return
            if answer.sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED:
                session = self._opened(link)

    def _opened(self, link: VirtualLink) -> Scp03Session | None:
        aid = bytes.fromhex(self._issuer.aid)
        return self._open(link, aid, self._domains[aid], _LEVEL)

    def _secured(self, link: VirtualLink, session: Scp03Session, command: CommandApdu) -> ResponseApdu | None:
        try:
            wrapped = session.wrap(command).encode()
        except (SecureChannelError, ProtocolError):
            return None
        if self._se.is_cut:
            return None
        try:
            answer = self._send(link, wrapped)
        finally:
            self.secured += 1
        return answer

    def _send(self, link: VirtualLink, encoded: bytes) -> ResponseApdu | None:  # type: ignore[override]
        """Send as an episode does; a card whose power was cut, or which runs broken code, need not answer."""
        findings = len(self.findings)
        answer = super()._send(link, encoded)
        if answer is None and (self._se.is_cut or any("mute" in finding.what for finding in self.findings[findings:])):
            del self.findings[findings:]
            self._se.reset()
        return answer

    def _beside(self, link: VirtualLink) -> bool:
        """Use another channel, or the other interface, in between; False when the session may be gone."""
        if self._random.random() < 0.5:
            with self._se.link("contactless") as other:
                self._send(other, Select(bytes.fromhex(self._issuer.aid)).apdu().encode())
            return True
        opened = self._send(link, bytes.fromhex("0070000001"))
        if opened is None or opened.sw != StatusWord.DONE:
            return False
        channel = opened.data[0]
        select = CommandApdu(channel, 0xA4, 0x04, 0x00, bytes.fromhex(self._issuer.aid), 256)
        self._send(link, select.encode())
        if self._random.random() < _STORE_MANY:
            self._send(link, bytes((channel, 0xCA, 0x00, 0x66, 0x00)))
        return self._send(link, bytes((0x00, 0x70, 0x80, channel))) is not None

    # Judging.

    def judge(self, attempt: Attempt, before: Registry, after: Registry) -> None:
        """Note what is not as it should be after an attempt."""
        for violation in violations(after):
            self._find(f"registry: {violation}")
        others = {entry.aid: entry for entry in before if entry.aid != attempt.aid}
        now = {entry.aid: entry for entry in after if entry.aid != attempt.aid}
        for aid in others.keys() ^ now.keys():
            self._find(f"{aid} came or went while {attempt.aid} was loaded")
        for aid in others.keys() & now.keys():
            if others[aid] != now[aid]:
                self._find(f"{aid} changed while {attempt.aid} was loaded")
        found = after.find(attempt.aid)
        if found is None:
            if attempt.last == StatusWord.DONE and before.find(attempt.aid) is None and not self._deleted(attempt):
                self._find(f"{attempt.aid} was loaded by its answers, and is not there")
            return
        self._judge_loaded(attempt, found)

    @staticmethod
    def _deleted(attempt: Attempt) -> bool:
        return any(command.ins == 0xE4 for command in attempt.commands)

    def _judge_loaded(self, attempt: Attempt, found: RegistryEntry) -> None:
        modules = tuple(module for aid, module in _modules() if aid == attempt.aid)
        if attempt.whole and found.modules != modules:
            self._find(f"{attempt.aid} has the modules {', '.join(map(str, found.modules))}")

    def _use(self, attempt: Attempt, before: Registry) -> Registry | None:
        """Install each module of what was loaded, select it, and delete all: it must be as before then."""
        with self._se.link("contact") as link:
            session = self._opened(link)
            if session is None:
                self._find("the issuer security domain can't be opened after a load")
                return None
            entry = self._registry_entry(attempt.aid)
            for module in entry.modules if entry is not None else ():
                session = self._install(link, attempt.aid, module)
                if session is None:
                    return None
            session = self._opened(link)
            if session is None:
                return None
            deleted = self._secured(link, session, DeleteObject(attempt.aid, related=True).apdu())
        if deleted is None or deleted.sw != StatusWord.DONE:
            self._find(f"{attempt.aid} can't be deleted")
            return None
        after = self._registry()
        if after is not None and {entry.aid for entry in after} != {entry.aid for entry in before}:
            self._find(f"after {attempt.aid} was deleted the registry is another than before it was loaded")
        return after

    def _registry_entry(self, aid: Aid) -> RegistryEntry | None:
        registry = self._registry()
        return registry.find(aid) if registry is not None else None

    def _install(self, link: VirtualLink, aid: Aid, module: Aid) -> Scp03Session | None:
        """Install and select; what the applet makes of it is its own affair, but the card answers."""
        session = self._opened(link)
        if session is None:
            return None
        installed = self._secured(link, session, InstallForInstall(aid, module, module).apdu())
        if installed is not None and installed.sw == StatusWord.DONE:
            for command in (Select(module).apdu().encode(), bytes.fromhex("80CA00CF00")):
                try:
                    link.transmit(command)
                except LinkTimeoutError:  # broken code that runs without end makes the card mute, and no more
                    self._se.reset()
        return session


def _split(block: bytes) -> list[bytes]:
    """Cut a load file data block into its components."""
    components = []
    at = 0
    while at < len(block):
        end = at + 3 + int.from_bytes(block[at + 1 : at + 3], "big")
        components.append(block[at:end])
        at = end
    return components
