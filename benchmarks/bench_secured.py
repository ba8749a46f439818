"""Secured APDUs through a whole card in process, at each protocol's highest level, against echoes of as many bytes.

Run: `python benchmarks/bench_secured.py [--json]`. Ours wraps GET DATA, has a virtual SE's issuer security domain
answer it, and unwraps the response: MACs and encryption twice each, in Python and in Java Card. The floor sends a plain
command of as many bytes to an applet that answers as many. The goal is 3,000 secured APDUs a second.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from yubikit.core import TRANSPORT
from yubikit.core.smartcard import SmartCardConnection
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, StaticKeys
from yubikit.securitydomain import SecurityDomainSession

from harness import alternate, report
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.scp11 import Variant
from opentsm_simulator import VirtualSe

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from sc_cards import DES_KEYS, Scp02Host, card  # the hosts that the tests drive cards with
from scp11_host import make
from sd_host import ISD, ISD_KEYS, Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.link import Link

COUNT: Final = 3000
_ECHO: Final = Path(__file__).resolve().parent / "echo" / "profile.toml"
_SELECT: Final = bytes.fromhex("00A4040005F0000000E1")
_COMMAND: Final = CommandApdu(0x80, 0xCA, 0x00, 0x45, ne=256)
_BYTES: Final = 24


class _Session(Protocol):
    """A session of any protocol."""

    def wrap(self, command: CommandApdu) -> CommandApdu:
        """Protect a command."""

    def unwrap(self, response: ResponseApdu) -> ResponseApdu:
        """Verify a response."""


def secured(link: Link, session: _Session) -> Callable[[], int]:
    """Return a run of GET DATA in a session."""

    def run() -> int:
        for _ in range(COUNT):
            answer = ResponseApdu.parse(link.transmit(session.wrap(_COMMAND).encode()))
            if session.unwrap(answer).sw != 0x9000:
                raise AssertionError("refused")
        return COUNT

    return run


def scp03() -> Callable[[], int]:
    """SCP03 at level 33."""
    host = Host(VirtualSe.create("embedded").link()).into(ISD, ISD_KEYS)
    session = host.session
    if session is None:
        raise AssertionError("no session")
    return secured(host.link, session)


def scp02() -> Callable[[], int]:
    """SCP02 at level 13."""
    host = Scp02Host(card("0275", keys=(DES_KEYS,)).link(), 0x75)
    host.select()
    return secured(host.link, host.open(SecurityLevel.C_MAC_C_ENC_R_MAC))


def scp11() -> Callable[[], int]:
    """SCP11a with encryption both ways."""
    host = make()
    return secured(host.link, host.open(Variant.A))


def yubikit() -> Callable[[], int]:
    """The same in SCP03 sessions of yubikit's: another host, the same card."""

    class Connection(SmartCardConnection):
        transport = TRANSPORT.NFC

        def close(self) -> None:
            link.close()

        def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
            answer = link.transmit(apdu)
            return answer[:-2], int.from_bytes(answer[-2:], "big")

    link = VirtualSe.create("embedded").link()
    session = SecurityDomainSession(Connection())
    session.authenticate(Scp03KeyParams(KeyRef(1, 0x30), StaticKeys(ISD_KEYS.enc, ISD_KEYS.mac, ISD_KEYS.dek)))

    def run() -> int:
        for _ in range(COUNT):
            session.protocol.send_apdu(0x80, 0xCA, 0x00, 0x45)
        return COUNT

    return run


def echo() -> Callable[[], int]:
    """Plain commands to an applet that answers with their data."""
    link = VirtualSe.create(str(_ECHO)).link()
    if link.transmit(_SELECT) != b"\x90\x00":
        raise AssertionError("no echo")
    command = bytes.fromhex("80000000") + bytes((_BYTES,)) + bytes(_BYTES)

    def run() -> int:
        for _ in range(COUNT):
            link.transmit(command)
        return COUNT

    return run


def main() -> None:
    """Run the comparisons and print them."""
    ours, plain = scp03(), echo()
    report(
        [
            alternate("SCP03 level 33, whole card / plain echo", ours, plain, unit="APDUs"),
            alternate("SCP03 level 33, whole card / yubikit as host", ours, yubikit(), unit="APDUs", goal=1.0),
            alternate("SCP11a, encrypted both ways / plain echo", scp11(), plain, unit="APDUs"),
            alternate("SCP02 level 13 / plain echo", scp02(), plain, unit="APDUs"),
        ]
    )


if __name__ == "__main__":
    main()
