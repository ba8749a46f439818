"""Power cuts of a virtual SE at every persistent write of something, and what state each leaves the card in.

What is swept is a list of steps on a card. For each write of each step, a card that has gone all steps before loses its
power at that write, is reset, and is looked at. A state is right that is the one before the step or the one behind it;
any other is between, and so something that a real card can be left in for good.

A card that a cut left as it was where the session of the step began goes on, to the next cut. Any other is made anew.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from opentsm_card.errors import OpenTsmError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentsm_simulator.virtual_se import VirtualSe

__all__ = ["Cut", "State", "Step", "Swept", "state_of", "sweep"]

# What was observed, by what it is: two states are the same when all of it is.
State = dict[str, str]


class Rig(Protocol):
    """A card and whatever drives it."""

    @property
    def se(self) -> VirtualSe:
        """The card."""


R = TypeVar("R", bound=Rig)


@dataclass(frozen=True, slots=True)
class Step(Generic[R]):
    """Something that a card does.

    Args:
        name: for reports.
        run: does it; it raises what a missing answer raises.
        alone: whether it can follow a reset: it needs no selection, no session of the step before.
    """

    name: str
    run: Callable[[R], object]
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Cut:
    """What came of one power cut.

    Args:
        step: the step's position.
        at_write: the write of the step that did not happen, from 1.
        outcome: `before`, `after`, or `between`.
        differs: of what is between: names of what is as neither state has it, or of what is partly before and partly
            after.
    """

    step: int
    at_write: int
    outcome: str
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found.

    Args:
        steps: names of the steps.
        writes: persistent writes of each step.
        cuts: one a power cut, in order.
        took_s: how long it all took, in seconds.
    """

    steps: tuple[str, ...]
    writes: tuple[int, ...]
    cuts: tuple[Cut, ...]
    took_s: float

    @property
    def between(self) -> tuple[Cut, ...]:
        """The cuts that left a state that is neither before nor after."""
        return tuple(cut for cut in self.cuts if cut.outcome == "between")

    @property
    def outcomes(self) -> Counter[str]:
        """How many cuts left which outcome."""
        return Counter(cut.outcome for cut in self.cuts)

    @property
    def cuts_a_minute(self) -> float:
        """How fast it went."""
        return len(self.cuts) * 60 / self.took_s if self.took_s else 0.0


def state_of(rig: Rig) -> State:
    """Observe a card as a whole: its registry, parameters, and what every application holds in persistent memory."""
    se = rig.se
    state = {f"contents {aid}": digest for aid, digest in se.contents().items()}
    for kind, lines in (("registry", se.registry_lines()), ("parameters", se.parameter_lines())):
        for line in lines:
            fields = line.split("\t")
            aid = fields[1] if kind == "registry" else fields[0]
            state[f"{kind} {aid}"] = line
    card_state, contactless = se.figures()[:2]
    state["card"] = f"{card_state:02X} {contactless}"
    return state


def sweep(
    make: Callable[[], R],
    steps: Sequence[Step[R]],
    *,
    observe: Callable[[R], State] = state_of,
    sample: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Swept:
    """Cut the power at every write of each step, and say what state each cut left.

    Args:
        make: makes a card that is ready for the first step, always the same.
        steps: what is swept.
        observe: says what state a card is in, after a reset.
        sample: this many writes in all, chosen at random, in place of every one.
        seed: decides which.
        progress: is told how many cuts are done, and of how many.

    Raises:
        OpenTsmError: a step fails without any power cut.
    """
    return _Sweep(make, steps, observe).run(sample, seed, progress)


class _Sweep(Generic[R]):
    def __init__(self, make: Callable[[], R], steps: Sequence[Step[R]], observe: Callable[[R], State]) -> None:
        self._make = make
        self._steps = steps
        self._observe = observe
        self._states: list[State] = []
        self._writes: list[int] = []

    def run(self, sample: int | None, seed: int, progress: Callable[[int, int], None] | None) -> Swept:
        began = time.perf_counter()
        self._go_through()
        places = [(step, write) for step, writes in enumerate(self._writes) for write in range(1, writes + 1)]
        if sample is not None and sample < len(places):
            places = sorted(random.Random(seed).sample(places, sample))  # noqa: S311 - a sample, no secret
        cuts = []
        rig: R | None = None
        for done, (step, write) in enumerate(places, 1):
            cut, rig = self._cut(rig, step, write)
            if cut is not None:
                cuts.append(cut)
            if progress is not None:
                progress(done, len(places))
        names = tuple(step.name for step in self._steps)
        return Swept(names, tuple(self._writes), tuple(cuts), time.perf_counter() - began)

    def _go_through(self) -> None:
        """Go all steps without a cut: count their writes, and see each state as a reset at that point leaves it."""
        for number in range(len(self._steps) + 1):
            rig = self._ready(number)
            rig.se.reset()
            self._states.append(self._observe(rig))
        rig = self._ready(0)
        rig.se.count_writes()
        for step in self._steps:
            before = rig.se.writes
            step.run(rig)
            self._writes.append(rig.se.writes - before)

    def _ready(self, step: int) -> R:
        """Make a card that has gone all steps before one."""
        rig = self._make()
        for earlier in self._steps[:step]:
            earlier.run(rig)
        return rig

    def _again(self, rig: R | None, step: int) -> R:
        """Bring a card to where a step begins: the one that there is, if it is where the step's session begins."""
        session = max(number for number in range(step + 1) if number == 0 or self._steps[number].alone)
        if rig is None or self._observe(rig) != self._states[session]:
            return self._ready(step)
        rig.se.reset()  # what it was looked at with
        for earlier in self._steps[session:step]:
            earlier.run(rig)
        return rig

    def _cut(self, rig: R | None, step: int, write: int) -> tuple[Cut | None, R | None]:
        """Cut the power once; return what came of it, and the card if it is as before the step.

        What is random may be there already, and is no write then: a step that makes fewer writes than the first time is
        not cut.
        """
        rig = self._again(rig, step)
        rig.se.cut_power(at_write=write)
        try:
            self._steps[step].run(rig)
        except TransportError:
            pass
        except OpenTsmError:
            # The host may have words of its own for a card that does not answer.
            if not rig.se.is_cut:
                raise
        if not rig.se.is_cut:
            return None, None
        rig.se.reset()
        found = self._observe(rig)
        before, after = self._states[step], self._states[step + 1]
        if found == before:
            return Cut(step, write, "before"), rig
        if found == after:
            return Cut(step, write, "after"), None
        return Cut(step, write, "between", tuple(_differs(found, before, after))), None


def _differs(found: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    names = sorted({*found, *before, *after})
    strange = [name for name in names if found.get(name) not in {before.get(name), after.get(name)}]
    # All of it is known, but of both sides: name what changed.
    return strange or [name for name in names if before.get(name) != after.get(name)]
