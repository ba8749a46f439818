"""A card with the applet `tearing` on it, which writes persistent memory in every way there is."""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from opentsm_build.build import build_project
from opentsm_card.aid import Aid
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.load import load_blocks, load_file
from opentsm_simulator import VirtualSe
from opentsm_simulator.profile import load_profile
from sd_host import CARD_1, ISD, ISD_KEYS, Host

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile
    from opentsm_card.apdu import ResponseApdu

__all__ = ["ABORT", "BEGIN", "COMMIT", "FAIL", "PACKAGE", "Report", "TearingCard", "cap"]

PACKAGE: Final = Aid.from_text("F06F70656E74736D0E03")
MODULE: Final = Aid.from_text("F06F70656E74736D0E0301")
BEGIN, COMMIT, ABORT, FAIL = 1, 2, 4, 8
_SOURCES: Final = Path(__file__).parent.parent / "card" / "packages" / "tearing"


@cache
def cap() -> CapFile:
    with tempfile.TemporaryDirectory() as out:
        return build_project(_SOURCES, Path(out)).conversion.cap


@dataclass(frozen=True, slots=True)
class Report:
    """What the applet holds."""

    number: int = 1
    other: int = 1
    shared: int = 1
    table: int = 1
    record: bytes = bytes(16)
    shorts: tuple[int, int] = (0, 0)
    tries: int = 3
    validated: bool = False
    key: bytes = b"\x01" * 16
    scratch: int = 0
    session: bool = False
    made: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Report:
        number, other, shared, table, record, first, second, tries, validated, key, scratch, session, made = (
            struct.unpack(">hhhB16shhBB16sBBB", data)
        )
        shorts = (first, second)
        return cls(
            number, other, shared, table, record, shorts, tries, bool(validated), key, scratch, bool(session), made
        )


class TearingCard:
    """An embedded SE with the applet, selected.

    Args:
        commit_bytes: the size of the card's commit buffer.
    """

    def __init__(self, commit_bytes: int = 4096) -> None:
        profile = msgspec.structs.replace(load_profile("embedded"), commit_bytes=commit_bytes)
        self.se = VirtualSe.create(profile, se_id="tearing")
        self.host = Host(self.se.link()).into(ISD, ISD_KEYS)
        self.host.done(InstallForLoad(PACKAGE))
        for block in load_blocks(load_file(cap().load_file_data_block()), 200):
            self.host.done(block)
        self.host.done(InstallForInstall(PACKAGE, MODULE, CARD_1))
        self.select()

    def select(self) -> None:
        self.host.select(CARD_1).require("SELECT")

    def manage(self) -> Host:
        return self.host.into(ISD, ISD_KEYS)

    def install(self, aid: Aid, parameter: bytes = b"") -> int:
        """Install another instance; return the status word."""
        parameters = InstallParameters(application=parameter).encode()
        return self.host.sw(InstallForInstall(PACKAGE, MODULE, aid, parameters=parameters))

    def write(self, ins: int, value: int = 5, how: int = 0) -> ResponseApdu:
        return self.host.raw(bytes((0x80, ins, how, value)) + (b"\0" if ins == 0x0D else b""))

    def reset(self) -> None:
        """Reset the card and select the applet again."""
        self.host.link.reset()
        self.select()

    def report(self) -> Report:
        return Report.parse(self.host.raw(bytes((0x80, 0x20, 0, 0, 0))).require("report"))
