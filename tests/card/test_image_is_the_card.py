"""A card's image file is the card, command by command, whatever the commands do.

A card lives a varied life. After each command a second card is made of its file, and holds what the card holds: the
registry, and all that code of its packages can read. Between sessions both are reset; then the file holds what a
snapshot of the card itself holds, to the last byte, and both answer the same.

What is not compared in the middle of a session is how far ciphers and signatures are with a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import pytest

import tearing_card
from cryptography_applet import AES, MODULE, ON_DESELECT, PERSISTENT, build, built, done, make
from opentsm_card.aid import Aid
from opentsm_card.errors import LinkTimeoutError
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.lifecycle import CardState
from opentsm_card.load import load_blocks, load_file
from opentsm_card.set_status import SetStatus
from opentsm_simulator import VirtualSe
from opentsm_simulator.image import write_image
from sd_host import BANK, CARD_1, CARD_2, FULL, ISD, ISD_KEYS, Host, block, keys
from tearing_card import ABORT, BEGIN, COMMIT, FAIL

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_build.cap import CapFile

BANK_KEYS: Final = keys(0x31, 1)
ISD_NEW_KEYS: Final = keys(0x32, 5)
TEARING: Final = Aid.from_text("F06F70656E74736D0E0301")
READS: Final = {
    ISD: ("80CA00E000", "80CA9F7F00", "80CA006600", "80CA00CF00", "80CA00C100"),
    BANK: ("80CA00E000", "80CA00C100"),
    CARD_1: ("80A8000002830000", "00B2010C00", "80CADF0100", "80CADF0200"),
    CARD_2: ("8020000000",),
    MODULE: ("8013000000", "8013010000", "8013020000", "801A020000", "8016010000", "8017030000"),
}
"""What anyone may read: of whom, and by which commands."""


def unselected(se: VirtualSe) -> list[str]:
    """Return the registry without where applications are selected, which is their lines' last field."""
    lines = se.registry_lines()
    return [line if line.startswith("load-file") else line.rpartition("\t")[0] for line in lines]


class Watched:
    """A link to a card with an image file, and a second card that becomes what the file holds after each command."""

    def __init__(self, path: Path) -> None:
        self.card = VirtualSe.open(path)
        self.copy = VirtualSe.from_image(path.read_bytes())
        self._path = path
        self._link = self.card.link()
        self.changes = 0
        self._before = b""
        self.compare()

    def transmit(self, command: bytes) -> bytes:
        answer = self._link.transmit(command)
        self.compare()
        return answer

    def reset(self) -> bytes:
        atr = self._link.reset()
        self.compare()
        return atr

    def close(self) -> None:
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def compare(self) -> None:
        """What is made of the file holds what the card holds, and is that file again."""
        image = self._path.read_bytes()
        if image != self._before:
            self._before = image
            self.changes += 1
            self.copy.restore(image)
            assert self.copy.snapshot() == image
        assert self.copy.contents() == self.card.contents()
        assert unselected(self.copy) == unselected(self.card)
        assert self.copy.parameter_lines() == self.card.parameter_lines()
        assert self.copy.effects() == self.card.effects()

    def compare_answers(self) -> None:
        """Both, reset, have the same registry and memory, and answer the same."""
        self.reset()
        assert self._path.read_bytes() == self.card.snapshot()
        other = self.copy.link()
        assert self.copy.registry_lines() == self.card.registry_lines()
        assert self.copy.figures() == self.card.figures()
        assert self.copy.atr == self.card.atr
        for aid, commands in READS.items():
            for command in (bytes((0, 0xA4, 4, 0, len(aid))) + aid, *map(bytes.fromhex, commands)):
                assert other.transmit(command) == self.transmit(command), f"{aid}: {command.hex()}"
        assert self.copy.snapshot() == self.card.snapshot()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    path = tmp_path / "se-1.card"
    write_image(path, VirtualSe.create("embedded", se_id="se-1").snapshot())
    return Watched(path)


def load(host: Host, cap: CapFile) -> None:
    host.done(InstallForLoad(cap.package_aid))
    host.done(*load_blocks(load_file(cap.load_file_data_block()), 240))


def test_content_and_keys_of_domains(watched: Watched) -> None:
    host = Host(watched).into(ISD, ISD_KEYS)
    host.new_domain(BANK)
    host.into(BANK, ISD_KEYS).put_keys(BANK_KEYS).require("PUT KEY")
    watched.compare_answers()

    host.into(ISD, ISD_KEYS).new_payment(CARD_1)
    assert host.extradite(CARD_1, BANK) == 0x9000
    assert host.activate(CARD_1) == 0x9000
    account = (
        bytes.fromhex("C0056465626974C110") + bytes(range(16)) + bytes.fromhex("5A0854133300890100115F24033012315004")
    )
    assert host.into(BANK, BANK_KEYS).store(CARD_1, [block(7, 0x0201, account + b"Card")]) == [0x9000]
    watched.compare_answers()

    host.into(ISD, ISD_KEYS)
    assert host.sw(SetStatus.lock(CARD_1)) == 0x9000
    assert host.sw(SetStatus.lock(BANK)) == 0x9000
    watched.compare_answers()
    host.into(ISD, ISD_KEYS)
    assert host.sw(SetStatus.unlock(CARD_1)) == 0x9000
    assert host.sw(SetStatus.unlock(BANK)) == 0x9000
    host.put_keys(ISD_NEW_KEYS).require("PUT KEY")
    # A wrong cryptogram counts, and so does the right one behind it.
    session = host.begin(ISD_NEW_KEYS)
    assert host.plain(session.external_authenticate(FULL)).sw == 0x9000
    watched.compare_answers()

    host.into(ISD, ISD_NEW_KEYS)
    assert host.sw(SetStatus.card(CardState.CARD_LOCKED)) == 0x9000
    watched.compare_answers()
    host.into(ISD, ISD_NEW_KEYS)
    assert host.sw(SetStatus.card(CardState.SECURED)) == 0x9000
    assert host.delete(CARD_1) == 0x9000
    assert host.delete(BANK) == 0x9000
    watched.compare_answers()
    assert watched.changes > 25


def test_transactions_transient_memory_and_objects_of_the_api(watched: Watched, tmp_path: Path) -> None:
    host = Host(watched).into(ISD, ISD_KEYS)
    load(host, tearing_card.cap())
    host.done(InstallForInstall(tearing_card.PACKAGE, TEARING, CARD_2))
    watched.compare_answers()
    host.select(CARD_2).require("SELECT")
    for ins in (*range(1, 0x0C), 0x10, 0x11, 0x12, 0x14, 0x15, 0x16):
        for value, how in ((2 * ins, 0), (2 * ins + 1, BEGIN | COMMIT), (99, BEGIN | ABORT), (98, BEGIN), (97, FAIL)):
            try:
                host.raw(bytes((0x80, ins, how, value)))
            except LinkTimeoutError:
                # A transaction is undone that made an object, and something refers to it (JCRE 3.0.5, 7.6.3).
                assert ins == 0x0B
                watched.reset()
                host.select(CARD_2).require("SELECT")
    watched.compare_answers()

    cap = built(tmp_path)
    load(host.into(ISD, ISD_KEYS), cap)
    host.done(InstallForInstall(cap.package_aid, MODULE, MODULE))
    host.select(MODULE).require("SELECT")
    for memory in (PERSISTENT, ON_DESELECT):
        make(host, AES, bytes(range(16)), memory)
        for algorithm in (13, 0xF3):  # CBC; GCM
            done(host, 0x20, algorithm)
            done(host, 0x21, 2, 0, bytes(16 if algorithm == 13 else 12))
            done(host, 0x22, data=bytes(5))
            done(host, 0x23, data=bytes(11))
        done(host, 0x30, 49)  # a CMAC
        done(host, 0x31, 1, 0)
        done(host, 0x32, data=b"begun")
        done(host, 0x33, data=b"ended")
    # A pair of EC keys of 256 bits, another of RSA, and what signs with them.
    build(host, 1, 7, 256)
    build(host, 2, 8, 256)
    done(host, 0x14, 1, 2)
    done(host, 0x30, 33)
    done(host, 0x31, 1, 2)
    done(host, 0x32, data=b"begun")
    build(host, 3, 11, 512)
    build(host, 2, 12, 512)
    done(host, 0x14, 3, 2)
    watched.compare_answers()
    host.select(MODULE).require("SELECT")
    done(host, 0x15, 0)
    done(host, 0x15, 3)
    watched.compare_answers()

    host.into(ISD, ISD_KEYS)
    assert host.delete(CARD_2) == 0x9000
    assert host.delete(cap.package_aid, related=True) == 0x9000
    assert host.delete(tearing_card.PACKAGE) == 0x9000
    watched.compare_answers()
    assert watched.changes > 60
