"""Virtual SEs with the applets of `applets/`, one for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from card_cli import CardDoor
from opentsm_simulator import VirtualSe
from sd_host import ISD, ISD_KEYS, Host

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def se() -> VirtualSe:
    """An embedded SE as delivered."""
    return VirtualSe.create("embedded", se_id="se-1")


@pytest.fixture
def host(se: VirtualSe) -> Host:
    """A host on its contact interface; nothing selected."""
    return Host(se.link())


@pytest.fixture
def isd(host: Host) -> Host:
    """A host with a session of level 33 with the issuer security domain."""
    return host.into(ISD, ISD_KEYS)


@pytest.fixture
def card(se: VirtualSe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CardDoor:
    """`opentsm card` in front of an embedded SE."""
    return CardDoor(se, tmp_path / "state", monkeypatch)
