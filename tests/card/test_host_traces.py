"""Whole sessions of GlobalPlatformPro, GPShell and pySim, command by command, as they sent them to this card.

The card's challenges are pseudo-random (SCP03 i=70, SCP02 i=55), so the hosts' own cryptograms and MACs hold again. Of
lists only the status word is compared: what they say depends on what else the card is delivered with.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from opentsm_simulator import VirtualSe
from opentsm_simulator.profile import Profile, load_profile

VECTORS = Path(__file__).parent.parent / "vectors" / "hosts"
TEST_KEY = "404142434445464748494A4B4C4D4E4F"
GET_STATUS = 0xF2
CAPABILITIES = bytes.fromhex("CA0067")


class Trace(msgspec.Struct, forbid_unknown_fields=True):
    """One session: what was done by whom; command and answer in hex, null for a reset."""

    source: str
    what: str
    profile: str
    scp02: str | None
    se_id: str
    exchanges: tuple[tuple[str, str] | None, ...]

    def card(self) -> Profile:
        """Return the profile, with SCP02 and its key set where the session used that."""
        profile = load_profile(self.profile)
        if self.scp02 is None:
            return profile
        keys = msgspec.structs.replace(
            profile.keys["isd"], version=0x20, enc=TEST_KEY, mac=TEST_KEY, dek=TEST_KEY, type="des"
        )
        issuer = msgspec.structs.replace(profile.instances[0], scp=(self.scp02,))
        return msgspec.structs.replace(
            profile, keys=profile.keys | {"isd": keys}, instances=(issuer, *profile.instances[1:])
        )


def compared(command: bytes, answer: bytes) -> bytes:
    """Return what of an answer must be the same."""
    listed = command[1] == GET_STATUS or command[1:4] == CAPABILITIES
    return answer[-2:] if listed else answer


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_a_hosts_session_goes_as_it_went(path: Path) -> None:
    trace = msgspec.json.decode(path.read_bytes(), type=Trace)
    link = VirtualSe.create(trace.card(), se_id=trace.se_id).link()
    for number, exchange in enumerate(trace.exchanges):
        if exchange is None:
            link.reset()
            continue
        command, answer = map(bytes.fromhex, exchange)
        assert compared(command, link.transmit(command)) == compared(command, answer), f"exchange {number}"


def test_the_traces_cover_what_hosts_do() -> None:
    """Each management command appears, secured, in some trace, so that none can rot unnoticed."""
    seen = set()
    for path in VECTORS.glob("*.json"):
        for exchange in msgspec.json.decode(path.read_bytes(), type=Trace).exchanges:
            if exchange is not None and exchange[0].startswith("84") and exchange[1].endswith("9000"):
                seen.add(int(exchange[0][2:4], 16))
    assert {0xD8, 0xE2, 0xE4, 0xE6, 0xE8, 0xF0, 0xF2, 0x82} <= seen
