"""Many episodes from one seed, and what came of them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentsm_simulator.fuzz.episode import Episode, Finding
from opentsm_simulator.fuzz.loading import LoadEpisode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentsm_simulator.profile import Profile

__all__ = ["CampaignReport", "run_campaign"]

_EPISODE_COMMANDS = 400


@dataclass
class CampaignReport:
    """What a campaign did and found.

    Args:
        seed: what it was made from.
        commands: sent, all in all.
        secured: of these, in a secure channel.
        episodes: cards used.
        inspections: how often a registry was read and checked.
        loaded: how many load files the cards took.
        answers: how often each status word came.
        findings: what must not be.
        seconds: how long it took.
    """

    seed: int
    commands: int = 0
    secured: int = 0
    episodes: int = 0
    inspections: int = 0
    loaded: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0

    def take(self, episode: Episode) -> None:
        """Add an episode."""
        self.commands += episode.sent
        self.secured += episode.secured
        self.episodes += 1
        self.inspections += episode.inspections
        if isinstance(episode, LoadEpisode):
            self.loaded += episode.loaded
        self.answers += episode.answers
        self.findings += episode.findings


def run_campaign(
    profiles: Sequence[Profile],
    commands: int,
    seed: int,
    *,
    first_episode: int = 0,
    loads: bool = False,
    progress: Callable[[CampaignReport], None] | None = None,
    most_findings: int = 10,
) -> CampaignReport:
    """Send commands to virtual SEs, a new one every few hundred commands, and collect what must not be.

    Args:
        profiles: of the cards, taken in turn.
        commands: how many to send at least: the last episode goes to its end.
        seed: decides everything that is sent.
        first_episode: the number of the first episode, to run one again.
        loads: send LOAD sequences, not commands of all kinds.
        progress: called after every episode.
        most_findings: where to stop.

    Raises:
        OpenTsmError: a card could not be made.
    """
    report = CampaignReport(seed)
    begun = time.monotonic()
    number = first_episode
    while report.commands < commands and len(report.findings) < most_findings:
        # The last one is as long as the others: an episode is the same in every campaign of its seed.
        kind = LoadEpisode if loads else Episode
        episode = kind(number, seed, profiles[number % len(profiles)], _EPISODE_COMMANDS)
        episode.run()
        report.take(episode)
        report.seconds = time.monotonic() - begun
        if progress is not None:
            progress(report)
        number += 1
    return report
