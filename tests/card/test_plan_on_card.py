"""Plans run on the virtual SE: what the planner expects of each command is what the card does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from opentsm_card.configurations import Role, configuration, configuration_names
from opentsm_card.delete import DeleteObject
from opentsm_card.lifecycle import CardState
from opentsm_card.plan import (
    Absent,
    ApplicationPresent,
    CardIn,
    Locked,
    PutTemporaryKeys,
    SecureElement,
    SecurityDomainPresent,
    Unlocked,
    Wanted,
    apply,
    diff,
    plan,
    renewal,
)
from opentsm_card.privileges import Privilege
from opentsm_card.put_key import put_key_set
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
    SD_MODULE,
    SD_PACKAGE,
    TRANSIT,
    Host,
    keys,
    payment_parameters,
)

if TYPE_CHECKING:
    from opentsm_card.aid import Aid
    from opentsm_card.apdu import Command
    from opentsm_card.plan import PlannedCommand
    from opentsm_card.registry import Registry

CENTRE: Final = {Role.ISSUER: ISD, Role.CENTRAL: CENTRAL}
TEMPORARY: Final = keys(0x30, 21)


class Runner:
    """A central TSM of a few lines: reads the registry, plans, sends block by block."""

    def __init__(self, name: str) -> None:
        centre = CENTRE[configuration(name).central_role]
        self.se = VirtualSe.create(name)
        self.element = SecureElement(
            configuration(name),
            ISD,
            centre,
            {centre: ISD_KEYS.version},
            SD_PACKAGE,
            SD_MODULE,
            packages=frozenset({PAYMENT_PACKAGE}),
        )

    def registry(self) -> Registry:
        return Host(self.se.link()).into(self.element.central_sd, ISD_KEYS).registry()

    def run(self, wanted: Wanted, cut: int | None = None) -> int:
        """Plan and send until nothing is left, or until `cut` commands were sent; return how many were."""
        sent = 0
        while True:
            registry = self.registry()
            blocks = plan(self.element, registry, wanted)
            assert bool(blocks) == bool(diff(self.element, registry, wanted))
            if not blocks:
                return sent
            for block in blocks:
                host = Host(self.se.link()).into(block.target, ISD_KEYS)
                for command in block.commands:
                    if sent == cut:
                        return sent
                    host.done(self._command(command))
                    sent += 1
                    registry = apply(registry, block.target, command)
            if registry.complete:
                assert_same(registry, self.registry())

    @staticmethod
    def _command(command: PlannedCommand) -> Command:
        if isinstance(command, PutTemporaryKeys):
            return put_key_set(TEMPORARY, ISD_KEYS.dek)
        assert not isinstance(command, DeleteObject) or not command.related
        return command  # type: ignore[return-value]  # LoadPackage is refused by both configurations

    def effects(self) -> list[str]:
        return [effect for effect in self.se.effects() if not effect.startswith("set-state ")]


def assert_same(expected: Registry, found: Registry) -> None:
    """Compare but for what a plan does not tell: modules, versions, implicit selection."""
    assert expected.isd == found.isd
    assert {entry.aid: entry for entry in expected.applications} == {entry.aid: entry for entry in found.applications}
    assert {entry.aid for entry in expected.load_files} == {entry.aid for entry in found.load_files}


def payment(aid: Aid, owner: Aid, *, contactless: bool = True) -> ApplicationPresent:
    return ApplicationPresent(
        PAYMENT_PACKAGE,
        PAYMENT_MODULE,
        aid,
        parameters=payment_parameters(),
        associated_sd=owner,
        contactless=contactless,
    )


DEPLOY: Final = Wanted(
    (
        SecurityDomainPresent(BANK, key_version=TEMPORARY.version),
        SecurityDomainPresent(TRANSIT, key_version=TEMPORARY.version),
        payment(CARD_1, BANK),
        payment(CARD_2, TRANSIT, contactless=False),
    )
)


@pytest.fixture(params=configuration_names())
def runner(request: pytest.FixtureRequest) -> Runner:
    return Runner(request.param)


def test_a_life_on_the_card(runner: Runner) -> None:
    assert runner.run(DEPLOY) == 9
    assert runner.run(DEPLOY) == 0
    assert runner.run(Wanted((Locked(CARD_1),))) == 1
    assert runner.run(Wanted((Locked(BANK, everything=True),))) == 1
    assert runner.run(Wanted((Unlocked(BANK, everything=True),))) == 1
    card = runner.registry().find(CARD_1)
    assert card is not None
    assert card.locked, "what was locked one by one stays locked"
    assert runner.run(Wanted((Unlocked(CARD_1), payment(CARD_2, TRANSIT)))) == 2
    update = ApplicationPresent(
        PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, Privilege.CONTACTLESS_SELF_ACTIVATION, associated_sd=BANK
    )
    assert runner.run(Wanted((update,))) == 1
    gone, anew = renewal(payment(CARD_1, BANK))
    assert (runner.run(gone), runner.run(anew)) == (1, 3)
    assert runner.run(Wanted((Absent(BANK, related=True),))) == 2
    assert {entry.aid for entry in runner.registry()} >= {TRANSIT, CARD_2}
    assert runner.run(Wanted((Absent(TRANSIT, related=True),))) == 2
    assert {entry.aid for entry in runner.registry()} & {BANK, CARD_1, TRANSIT, CARD_2} == set()


@pytest.mark.parametrize("cut", range(10))
def test_a_deployment_cut_off_anywhere_repeats_nothing(runner: Runner, cut: int) -> None:
    whole = Runner(runner.element.configuration.name)
    whole.run(DEPLOY)
    runner.run(DEPLOY, cut)
    runner.run(DEPLOY)
    assert sorted(runner.effects()) == sorted(whole.effects())
    assert len(set(runner.effects())) == len(runner.effects())
    assert_same(runner.registry(), whole.registry())


def test_the_card_itself_locks_unlocks_and_ends() -> None:
    runner = Runner("embedded")
    assert runner.run(Wanted((CardIn(CardState.CARD_LOCKED),))) == 1
    assert runner.run(Wanted((CardIn(CardState.SECURED),))) == 1
    (block,) = plan(runner.element, runner.registry(), Wanted((CardIn(CardState.TERMINATED),)))
    host = Host(runner.se.link()).into(block.target, ISD_KEYS)
    host.done(*map(runner._command, block.commands))
    assert runner.se.effects()[-1] == "card-state FF"
