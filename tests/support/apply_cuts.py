"""`opentsm card apply` cut at every APDU and run again, and what is on a card then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apply_bench import CutLink
from card_cli import CardDoor
from opentsm_simulator import VirtualSe
from sd_host import ISD, ISD_KEYS, Host, keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from opentsm_card.keys import KeySet
    from opentsm_card.link import Link
    from opentsm_card.registry import Registry, RegistryEntry

__all__ = ["BANK_KEYS", "TRANSIT_KEYS", "Cutter", "content", "entry", "registry"]

BANK_KEYS: Final = keys(0x31, 17)
TRANSIT_KEYS: Final = keys(0x31, 71)

# How often it is seen that a run behind the one that made good has nothing to do.
_THIRD_RUNS: Final = 6


def registry(se: VirtualSe, issuer: KeySet = ISD_KEYS) -> Registry:
    """Return what the issuer security domain lists."""
    return Host(se.link()).into(ISD, issuer).registry()


def entry(se: VirtualSe, aid: bytes) -> RegistryEntry:
    """Return what is listed of an AID that is there."""
    found = registry(se).find(aid)
    assert found is not None
    return found


class Cutter:
    """Runs `apply` with the link cut at one APDU.

    Args:
        folder: for the state of `opentsm card`.
        patch: undone with the test.
        before: run to its end on each new card, before the link is cut.
        make: makes the card.
    """

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        before: Path | None = None,
        make: Callable[[], VirtualSe] = lambda: VirtualSe.create("embedded", se_id="cut"),
    ) -> None:
        self.folder = folder
        self.patch = patch
        self.before = before
        self.make = make

    def run(self, document: Path, at: int | None, *options: str, lost: bool = False) -> tuple[CardDoor, int]:
        """Run once, cut at an APDU (None: at none), on a new card; return it, and how many APDUs were sent."""
        links: list[CutLink] = []

        def wrap(link: Link) -> Link:
            links.append(CutLink(link, at, lost=lost))
            return links[-1]

        card = CardDoor(self.make(), self.folder / "state", self.patch)
        if self.before is not None:
            assert card("apply", self.before).code == 0
        card.wrap = wrap
        answer = card("apply", document, *options)
        assert answer.code == (0 if at is None else 3), answer.err
        card.wrap = lambda link: link
        return card, links[0].sent

    def everywhere(self, document: Path, issuer: KeySet, *options: str, lost: bool) -> int:
        """Cut at every APDU, run again, and compare the card with one that was not cut; return how many there were."""
        whole, sent = self.run(document, None, *options)
        expected, effects = content(registry(whole.se, issuer)), sorted(whole.se.effects())
        for at in range(sent):
            card, _ = self.run(document, at, *options, lost=lost)
            answer = card("apply", document, *options)
            assert answer.code == 0, (at, answer.err)
            assert content(registry(card.se, issuer)) == expected, at
            assert sorted(card.se.effects()) == effects, f"cut at {at}: something was done twice, or not at all"
            if at % _THIRD_RUNS == 0:
                assert card("apply", document, *options).out == "nothing to do\n", at
        return sent


def content(found: Registry) -> tuple[RegistryEntry | None, set[RegistryEntry], set[RegistryEntry]]:
    """Return what is on a card, in no order: a run that was cut may bring things about in another one."""
    return found.isd, set(found.applications), set(found.load_files)
