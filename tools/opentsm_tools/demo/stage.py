"""What a sequence works with: the world, the models of the SEs, and the checks that read the SEs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from opentsm_card.errors import OpenTsmError
from opentsm_tools.demo.cast import BANK, DEVICES, PROVIDERS
from opentsm_tools.demo.model import SeModel
from opentsm_tools.demo.report import Counters, Sequence
from opentsm_tsm.sp.client import RefusedError

if TYPE_CHECKING:
    from opentsm_tools.demo.cast import Device, Provider
    from opentsm_tools.demo.inspection import Snapshot
    from opentsm_tools.demo.report import Report
    from opentsm_tools.demo.sequences import Step
    from opentsm_tools.demo.world import World
    from opentsm_tsm.messages import HandleSEStatusChangeNotification, Operation, TerminateService
    from opentsm_tsm.mno.messages import PushRecord
    from opentsm_tsm.sp import SpTsm

__all__ = ["Stage"]

M = TypeVar("M")


class Stage:
    """The demo's state between its sequences.

    Args:
        world: everything that runs.
        report: where progress is shown.
    """

    def __init__(self, world: World, report: Report) -> None:
        self.world = world
        self.counters = Counters()
        self.conversations: dict[str, str] = {}
        self._report = report
        self._failures: list[str] = []
        self.models = {device.se: SeModel.of(self._snapshot(device, ()).registry) for device in DEVICES}

    def observe(self, operation: Operation) -> None:
        """Add up what an operation cost."""
        self.counters.apdus += operation.apdus
        self.counters.round_trips += operation.round_trips

    def sp(self, provider: Provider) -> SpTsm:
        """Return an SP's TSM."""
        return self.world.sps[provider.name]

    def conversation(self, provider: Provider, device: Device) -> str | None:
        """Return the conversation that an SP has with an SE: the bank's; the transit operator asks one by one."""
        return self.conversations.get(device.se) if provider is BANK else None

    def pushes(self, mno: str) -> tuple[PushRecord, ...]:
        """Return what a network saw."""
        return self.world.pushes(mno).pushes

    def effects(self, device: Device) -> list[str]:
        """Return what the SE says its commands left behind, in order."""
        path = self.world.folders.effects_file(device)
        return path.read_text().splitlines() if path.exists() else []

    def operate(self, request: HandleSEStatusChangeNotification | TerminateService) -> None:
        """Have the central TSM do something as its operator.

        Raises:
            RefusedError: it failed.
        """
        operation = self.world.operate(request)
        self.observe(operation)
        if operation.state != "done":
            problem = operation.problem
            if problem is not None:
                raise RefusedError(problem)
            raise OpenTsmError(f"{operation.function} on {operation.se_id}: {operation.state}")

    def read(self, device: Device) -> Snapshot:
        """Read an SE completely."""
        return self._snapshot(device, tuple(provider.instance for provider in PROVIDERS))

    def _snapshot(self, device: Device, instances: tuple[bytes, ...]) -> Snapshot:
        domains = tuple(provider.sd for provider in PROVIDERS)
        return self.world.inspectors[device.se].read(domains, instances)

    def require(self, condition: bool, failure: str) -> None:  # noqa: FBT001 - an assertion
        """Note a failure of the sequence under way, unless the condition holds."""
        if not condition:
            self._failures.append(failure)

    def check(self, device: Device) -> None:
        """Read an SE now, in the middle of a sequence, and compare it with what it must be."""
        self._failures += [f"{device.se}: {line}" for line in self.models[device.se].differences(self.read(device))]

    def play(self, step: Step) -> list[str]:
        """Play one sequence, read every SE, and show the outcome.

        Returns:
            in what the SEs, or the sequence itself, are not as they should be; nothing when all is well.
        """
        self._report.say(f"{step.name}: {step.explanation}")
        self.counters = Counters()
        self._failures = []
        began = time.monotonic()
        try:
            step.play(self)
            for device in DEVICES:
                self.check(device)
        except OpenTsmError as error:
            self._failures.append(f"{type(error).__name__}: {error}")
        seconds = round(time.monotonic() - began, 3)
        verified = not self._failures
        sequence = Sequence(step.name, verified, self.counters.apdus, self.counters.round_trips, seconds)
        self._report.add(sequence, step.explanation)
        return [f"{step.name}: {failure}" for failure in self._failures]
