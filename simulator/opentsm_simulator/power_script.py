"""Scripts of C-APDUs (`opentsm_card.apdu_script`) as what a sweep of power cuts goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.aid import Aid
from opentsm_card.apdu import ResponseApdu
from opentsm_card.apdu_script import ExpectationError
from opentsm_card.errors import ProtocolError
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import load_blocks, load_file
from opentsm_card.scp03 import Scp03Session, SecurityLevel
from opentsm_card.select import Select
from opentsm_simulator.power import State, Step, state_of
from opentsm_simulator.virtual_se import VirtualSe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentsm_build.cap import CapFile
    from opentsm_card import apdu_script
    from opentsm_card.apdu import Command, CommandApdu
    from opentsm_simulator.profile import Profile

__all__ = ["ScriptRig", "maker", "observer", "steps_of"]

_BLOCK_BYTES: Final = 200
_CHALLENGE: Final = bytes(8)
_LEVEL: Final = SecurityLevel.parse(0x33)


class ScriptRig:
    """A fresh card of a profile, and a host with a link to it.

    Args:
        profile: the card's.
        se_id: its identity.
        trace: have it trace what it does.
    """

    def __init__(self, profile: Profile, *, se_id: str = "sweep", trace: bool = False) -> None:
        self.se = VirtualSe.create(profile, se_id=se_id, trace=trace)
        self._link = self.se.link()
        self._session: Scp03Session | None = None

    def open(self) -> None:
        """Open a secure channel with the issuer security domain, by the profile's keys.

        Raises:
            ProtocolError: these are no keys of SCP03.
            CardError: the card refuses.
        """
        issuer = self.se.profile.instances[0]
        keys = next((self.se.profile.key_sets()[name] for name in issuer.key_names), None)
        if keys is None or keys.des:
            raise ProtocolError(f"profile {self.se.profile.name} has no SCP03 keys for its issuer security domain")
        self._session = None
        self.command(Select(Aid.from_text(issuer.aid)))
        begin = self.send(Scp03Session.initialize_update(keys.version, _CHALLENGE)).require("INITIALIZE UPDATE")
        session = Scp03Session.open(keys, _CHALLENGE, begin)
        self.send(session.external_authenticate(_LEVEL)).require("EXTERNAL AUTHENTICATE")
        self._session = session

    def command(self, command: Command) -> None:
        """Send a command that must succeed.

        Raises:
            CardError: the card refuses.
        """
        self.send(command.apdu()).require(type(command).__name__)

    def send(self, apdu: CommandApdu) -> ResponseApdu:
        """Send a C-APDU, wrapped while a secure channel is open."""
        if self._session is None:
            return ResponseApdu.parse(self._link.transmit(apdu.encode()))
        return self._session.unwrap(ResponseApdu.parse(self._link.transmit(self._session.wrap(apdu).encode())))

    def reset(self) -> None:
        """Reset the card; the secure channel is over."""
        self._session = None
        self._link.reset()

    def install(self, cap: CapFile) -> None:
        """Load a package, and install each of its applets under its own AID."""
        self.open()
        self.command(InstallForLoad(cap.package_aid))
        for block in load_blocks(load_file(cap.load_file_data_block()), _BLOCK_BYTES):
            self.command(block)
        for applet in cap.applets:
            self.command(InstallForInstall(cap.package_aid, applet.aid, applet.aid))
        self.reset()

    def run(self, step: apdu_script.Step) -> ResponseApdu | None:
        """Run one line of a script.

        Raises:
            ExpectationError: the answer is not what the line expects.
        """
        if step.apdu is None:
            self.reset()
            return None
        response = self.send(step.apdu)
        if wrong := step.check(response):
            raise ExpectationError(f"{step.place}: {wrong}")
        return response


def maker(
    profile: Profile, packages: Sequence[CapFile], prepare: Sequence[apdu_script.Step], *, secure: bool
) -> Callable[[], ScriptRig]:
    """Return what makes cards for a sweep: with packages installed, and prepared by a script."""

    def make() -> ScriptRig:
        rig = ScriptRig(profile)
        for package in packages:
            rig.install(package)
        if secure and prepare:
            rig.open()
        for step in prepare:
            rig.run(step)
        rig.reset()
        return rig

    return make


def steps_of(script: Sequence[apdu_script.Step], *, secure: bool) -> list[Step[ScriptRig]]:
    """Return a script's commands as steps; what follows a reset, or is first, can follow a reset again."""
    steps: list[Step[ScriptRig]] = []
    alone = True
    for line in script:
        if line.apdu is None:
            alone = True
            continue
        if alone and secure:
            steps.append(Step("open a secure channel", ScriptRig.open))
            alone = False
        fresh = alone
        steps.append(Step(f"{line.place}: {line.apdu.encode()[:4].hex().upper()}", _runner(line, fresh=fresh), fresh))
        alone = False
    return steps


def _runner(line: apdu_script.Step, *, fresh: bool) -> Callable[[ScriptRig], object]:
    def run(rig: ScriptRig) -> None:
        if fresh:
            rig.reset()
        rig.run(line)

    return run


def observer(check: Sequence[apdu_script.Step]) -> Callable[[ScriptRig], State]:
    """Return what looks at a card: the answers to a script, where there is one, or else the card as a whole."""
    if not check:
        return state_of

    def observe(rig: ScriptRig) -> State:
        rig.reset()
        found = {}
        for line in check:
            response = rig.run(line)
            if response is not None:
                found[line.place] = f"{response.data.hex().upper()}{response.sw:04X}"
        return found

    return observe
