"""The pytest plugin on a card in a PC/SC reader: a virtual SE behind pcscd and vpcd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from applet_project import AppletProject
from opentsm_simulator import VirtualSe

if TYPE_CHECKING:
    from pathlib import Path

    from pcsc_rig import Pcscd, Slot


class Inserted:
    """A virtual SE as the card in a slot."""

    def __init__(self, se: VirtualSe) -> None:
        self.atr = se.atr
        link = se.link()
        self.transmit = link.transmit
        self.reset = link.reset


def names(se: VirtualSe) -> list[str]:
    return [line.split("\t")[1] for line in se.registry_lines()]


def test_a_new_applets_tests_pass_on_a_card_in_a_reader(tmp_path: Path, pcscd: Pcscd, used_slot: Slot) -> None:
    se = VirtualSe.create("embedded")
    before = names(se)
    used_slot.card = Inserted(se)
    project = AppletProject(tmp_path)
    arguments = ("--se", f"pcsc:{used_slot.reader}", "--se-key-file", str(project.key_file()), "-rs")
    code, output = project.pytest(*arguments, environment=pcscd.environment)
    assert code == 0, output
    assert "2 passed, 1 skipped" in output
    assert f"this is pcsc:{used_slot.reader}" in output
    assert names(se) == before
