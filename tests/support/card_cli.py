"""`opentsm card` in this process, on a virtual SE that outlives its commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from door import Answer, door
from opentsm_agent.links import register

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from opentsm_card.link import Link
    from opentsm_simulator import VirtualSe

__all__ = ["TEST_KEY", "CardDoor"]

TEST_KEY = bytes(range(0x40, 0x50)).hex()


class CardDoor:
    """Runs `opentsm card ARGUMENTS` with one card behind `bench:card`.

    Args:
        se: the card; a link to its contact interface is opened for each command.
        state: folder that stands for XDG_STATE_HOME.
        patch: undone with the test.
        wrap: puts something between the command and the card.
    """

    def __init__(
        self,
        se: VirtualSe,
        state: Path,
        patch: pytest.MonkeyPatch,
        wrap: Callable[[Link], Link] = lambda link: link,
    ) -> None:
        self.se = se
        self.wrap = wrap
        patch.setenv("XDG_STATE_HOME", str(state))
        for name in ("OPENTSM_CARD_KEY", "OPENTSM_CARD_LINK"):
            patch.delenv(name, raising=False)
        register("bench", lambda _rest, _timeout_s: self.wrap(se.link()))

    def __call__(self, *arguments: str | Path, stdin: bytes = b"", keys: str | None = TEST_KEY) -> Answer:
        """Run a command with the card's own keys, on a card declared a test card."""
        given = () if keys is None else ("--key", keys, "--test-card")
        return door("card", "--link", "bench:card", *given, *arguments, stdin=stdin)

    def json(self, *arguments: str | Path, **kwargs: Any) -> Any:
        """Run a command that must succeed, and return its JSON object."""
        answer = self(*arguments, "--json", **kwargs)
        assert answer.code == 0, answer
        return json.loads(answer.out)

    def refused(self, code: int, *arguments: str | Path, **kwargs: Any) -> str:
        """Run a command that must end with this exit code, and return the last line of standard error."""
        answer = self(*arguments, **kwargs)
        assert answer.code == code, answer
        assert "Traceback" not in answer.err
        return answer.err.splitlines()[-1]
