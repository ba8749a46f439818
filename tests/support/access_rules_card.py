"""An access rule application (ARA-M) on a card, and the issuer who fills it."""

from __future__ import annotations

from pathlib import Path

from opentsm_agent.access import RuleReader
from opentsm_build.cap import CapFile
from opentsm_card import tlv
from opentsm_card.access_rules import ARA_M, Access
from opentsm_card.aid import Aid
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import load_blocks, load_file
from sd_host import ISD, ISD_KEYS, Host

__all__ = ["OTHER", "PAYMENT", "WALLET", "Rules", "do", "ref", "rule"]

CAP = Path(__file__).parents[2] / "simulator" / "opentsm_simulator" / "caps" / "access-rules.cap"
MODULE = Aid.from_text("F06F70656E74736D010601")
INSTANCE = Aid(ARA_M)
WALLET, OTHER = bytes(range(20)), bytes(range(32))
PAYMENT = bytes.fromhex("F06F70656E74736D0B000101")


def do(tag: int, *parts: bytes) -> bytes:
    return tlv.encode(tag, b"".join(parts))


def ref(aid: bytes, digest: bytes) -> bytes:
    return do(0xE1, do(0x4F, aid), do(0xC1, digest))


def rule(aid: bytes, digest: bytes, apdus: str) -> bytes:
    return do(0xE2, ref(aid, digest), do(0xE3, do(0xD0, bytes.fromhex(apdus))))


class Rules:
    """The application, and the issuer who fills it."""

    def __init__(self, isd: Host) -> None:
        self.isd = isd
        cap = CapFile.read(CAP)
        isd.done(InstallForLoad(cap.package_aid))
        for command in load_blocks(load_file(cap.load_file_data_block()), 200):
            isd.done(command)
        isd.done(InstallForInstall(cap.package_aid, MODULE, INSTANCE))
        self.reader = RuleReader()

    def store(self, *data: bytes) -> list[int]:
        return self.isd.into(ISD, ISD_KEYS).store(INSTANCE, data)

    def exchange(self, command: bytes) -> bytes:
        return self.isd.link.transmit(command)

    def read(self) -> tuple[Access, Access, Access]:
        """What the wallet and another application may do with the payment application, and the wallet with others."""
        rules = self.reader.read(self.exchange)
        return rules.access(PAYMENT, WALLET), rules.access(PAYMENT, OTHER), rules.access(bytes(5), WALLET)
