"""Virtual SEs whose issuer security domain has the secure channel protocols that a test wants, and hosts of SCP02."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.keys import KeySet
from opentsm_card.scp02 import Scp02Session
from opentsm_card.select import Select
from opentsm_simulator import VirtualSe
from opentsm_simulator.profile import KeyTable, load_profile
from sd_host import ISD

if TYPE_CHECKING:
    from opentsm_card.apdu import Command
    from opentsm_card.link import Link

__all__ = ["DES_KEYS", "Scp02Host", "card"]

DES_KEYS: Final = KeySet(
    0x20,
    bytes.fromhex("404142434445464748494A4B4C4D4E4F"),
    bytes.fromhex("505152535455565758595A5B5C5D5E5F"),
    bytes.fromhex("606162636465666768696A6B6C6D6E6F"),
    des=True,
)


def card(
    *protocols: str, keys: tuple[KeySet, ...], limit: int = 10, initial_exempt: bool = False, counter: int = 0
) -> VirtualSe:
    """Make an embedded SE.

    Args:
        protocols: of the issuer security domain, each identifier and i: "0255".
        keys: its key sets, in order.
        limit: failures in a row that block a key set.
        initial_exempt: initial keys are never blocked.
        counter: of the key sets, as after so many sessions.
    """
    profile = load_profile("embedded")
    names = tuple(f"set-{index}" for index in range(len(keys)))
    tables = {
        name: KeyTable(
            key_set.version,
            key_set.enc.hex(),
            key_set.mac.hex(),
            key_set.dek.hex(),
            "des" if key_set.des else "aes",
            counter,
        )
        for name, key_set in zip(names, keys, strict=True)
    }
    domain = msgspec.structs.replace(
        profile.instances[0], keys=names, scp=protocols, failure_limit=limit, initial_keys_exempt=initial_exempt
    )
    profile = msgspec.structs.replace(profile, keys=tables, instances=(domain, *profile.instances[1:]))
    return VirtualSe.create(profile, se_id="se-1")


class Scp02Host:
    """Drives one link with SCP02."""

    def __init__(self, link: Link, i: int, keys: KeySet = DES_KEYS) -> None:
        self.link = link
        self.i = i
        self.keys = keys
        self.session: Scp02Session | None = None

    def plain(self, command: Command | CommandApdu) -> ResponseApdu:
        apdu = command if isinstance(command, CommandApdu) else command.apdu()
        return ResponseApdu.parse(self.link.transmit(apdu.encode()))

    def select(self, aid: bytes = ISD) -> None:
        self.session = None
        self.plain(Select(aid)).require("SELECT")

    def counter(self) -> int:
        """Return the sequence counter of the next session, as GET DATA C1 tells."""
        return int.from_bytes(self.plain(CommandApdu(0x80, 0xCA, 0x00, 0xC1, ne=256)).require("GET DATA")[2:], "big")

    def begin(self, challenge: bytes | None = None) -> Scp02Session:
        challenge = challenge or os.urandom(8)
        answer = self.plain(Scp02Session.initialize_update(self.keys.version, challenge)).require("INITIALIZE UPDATE")
        return Scp02Session.open(self.keys, challenge, answer, self.i)

    def open(self, level: int = 0x03) -> Scp02Session:
        session = self.begin()
        self.plain(session.external_authenticate(SecurityLevel(level))).require("EXTERNAL AUTHENTICATE")
        self.session = session
        return session

    def implicit(self, aid: bytes = ISD) -> Scp02Session:
        self.session = Scp02Session.implicit(self.keys, sequence_counter=self.counter(), aid=aid, i=self.i)
        return self.session

    def send(self, command: Command | CommandApdu) -> ResponseApdu:
        assert self.session is not None
        apdu = command if isinstance(command, CommandApdu) else command.apdu()
        return self.session.unwrap(self.plain(self.session.wrap(apdu)))
