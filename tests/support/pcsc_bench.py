"""A virtual SE as the card in a reader, and programs that others wrote in front of it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

import smartcard
from smartcard.Exceptions import CardConnectionException, NoCardException
from smartcard.scard import SCARD_UNPOWER_CARD

from door import door
from opentsm_card.atr import Atr
from opentsm_simulator import VirtualSe
from opentsm_simulator.t0 import T0Card
from sd_host import ISD_KEYS

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_simulator.profile import Profile
    from pcsc_rig import Pcscd, Slot

__all__ = ["Bench", "Inserted", "answers", "connect"]

_TIMEOUT_S: Final = 60


class Inserted:
    """A virtual SE as the card in a slot; T=0 where its ATR offers nothing else, as with `opentsm se run`."""

    def __init__(self, se: VirtualSe) -> None:
        self.atr = se.atr
        self._link = se.link()
        self._t0 = T0Card(self._link.transmit) if Atr.parse(se.atr).protocols == (0,) else None

    def transmit(self, command: bytes) -> bytes:
        return self._link.transmit(command) if self._t0 is None else self._t0.transmit(command)

    def reset(self) -> bytes:
        if self._t0 is not None:
            self._t0.reset()
        return self._link.reset()


def connect(name: str) -> Any:
    """Return the reader once pcscd has found its card, which loses its power first: it may have had another."""
    (reader,) = (found for found in smartcard.System.readers() if found.name == name)
    deadline = time.monotonic() + 20
    while True:
        connection = reader.createConnection()
        try:
            connection.connect(disposition=SCARD_UNPOWER_CARD)
        except (NoCardException, CardConnectionException):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            connection.disconnect()
            return reader


def answers(shown: str) -> list[tuple[bytes, int]]:
    """Read data and status word of each answer from what OpenSC's tools print of APDUs that they sent."""
    found = []
    for part in shown.split("Received (")[1:]:
        status, _, dump = part.partition(")")
        sw1, sw2 = (int(byte, 16) for byte in re.findall(r"0x([0-9A-F]{2})", status))
        rows = (re.match(r"((?:[0-9A-F]{2} ){1,16})", row) for row in dump.splitlines())
        data = b"".join(bytes.fromhex(row.group(1)) for row in rows if row)
        found.append((data, sw1 << 8 | sw2))
    return found


class Bench:
    """A reader with a new card of a profile in it, and programs that use it.

    Args:
        pcscd: the readers' daemon.
        slot: the reader.
        profile: the card's.
        environment: variables for the programs.
    """

    def __init__(self, pcscd: Pcscd, slot: Slot, profile: str | Profile, **environment: str) -> None:
        self.se = VirtualSe.create(profile)
        self.reader = slot.reader
        slot.card = Inserted(self.se)
        given = {"LC_ALL": "C", "OPENSC_CONF": str(self._opensc_conf(pcscd))}
        self.environment = os.environ | pcscd.environment | given | environment

    def _opensc_conf(self, pcscd: Pcscd) -> Path:
        """Have OpenSC see this reader alone: it looks into all, and its PKCS#11 slots do for four."""
        others = ", ".join(f'"{name}"' for name in pcscd.readers if name != self.reader)
        path = pcscd.folder / f"{self.reader}.opensc.conf"
        path.write_text(f"app default {{\n\tignored_readers = {others};\n}}\n")
        return path

    def run(self, *command: str | Path, refused: str | None = None) -> str:
        """Run a program that must succeed, or must fail with these words; return what it says on standard output."""
        done = self.call(*command)
        assert (done.returncode == 0) == (refused is None), done.stdout + done.stderr
        assert (refused or "") in done.stderr, done.stdout + done.stderr
        return done.stdout

    def install(self, cap: Path, aid: str, *options: str) -> None:
        """Load a CAP file and install its applet, over the reader."""
        connect(self.reader)
        link = f"pcsc:{self.reader}"
        given = ("--link", link, "--key", ISD_KEYS.enc.hex(), "--test-card")
        answer = door("card", *given, "install", cap, "--aid", aid, *options)
        assert answer.code == 0, answer

    def call(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
