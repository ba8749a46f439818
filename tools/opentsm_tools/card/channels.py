"""Secure channels by what the card offers: the answer to INITIALIZE UPDATE names the protocol.

SCP11, which begins otherwise, is in `agreement`.

Spec: GP Card Specification 2.3.1, D.4.1 and E.5.1 (the answer's key information: key version, protocol, and for SCP03
the parameter i); Amendment D 1.2, 7.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.reader import Reader

if TYPE_CHECKING:
    from opentsm_card.apdu import CommandApdu, ResponseApdu
    from opentsm_card.keys import KeySet

__all__ = [
    "SCP11",
    "Offer",
    "OpeningSession",
    "SecureSession",
    "implicit_session",
    "open_session",
    "parse_level",
    "strongest_level",
]

SCP02_DEFAULT_I: Final = 0x15
"""What nearly all cards with SCP02 have, for those that don't say: three keys, explicit, C-MAC with encrypted ICV."""

SCP11: Final = 0x11
"""As a protocol's number."""

_R_MAC: Final = 0x20
_R_ENCRYPTION: Final = 0x40


class SecureSession(Protocol):
    """What a host does with an open secure channel, whatever its protocol."""

    @property
    def max_data_bytes(self) -> int:
        """How much plain data one short command takes."""

    def wrap(self, command: CommandApdu) -> CommandApdu:
        """Protect a command."""

    def unwrap(self, response: ResponseApdu) -> ResponseApdu:
        """Verify and decrypt a response."""


class OpeningSession(SecureSession, Protocol):
    """A session whose host is still to authenticate itself, as in SCP02 and SCP03."""

    def external_authenticate(self, level: SecurityLevel) -> CommandApdu:
        """Return the command that authenticates the host."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a card asks for when a session begins, before anything is authenticated.

    Args:
        diversification_data: 10 bytes that tell whose keys these are; none with SCP11.
        key_version: the key set that the card uses.
        scp: secure channel protocol: 1, 2, 3 or 11 (hex).
        i: the protocol's parameter; None where neither the answer nor the card data told.
        answer: the whole answer.
        variant: of SCP11: `a`, `b` or `c`.
    """

    diversification_data: bytes
    key_version: int
    scp: int
    i: int | None
    answer: bytes = b""
    variant: str = ""

    @classmethod
    def parse(cls, answer: bytes, recognized: dict[int, int] | None = None) -> Self:
        """Read the head of an answer.

        Args:
            answer: response data to INITIALIZE UPDATE.
            recognized: i by protocol, as card data (66) says: SCP02's answer does not carry it.

        Raises:
            ProtocolError: cut short, or a protocol that GP does not have.
        """
        reader = Reader(answer, "INITIALIZE UPDATE answer")
        diversification_data, key_version, scp = reader.take(10), reader.byte(), reader.byte()
        if scp not in {1, 2, 3}:
            raise reader.fail(f"secure channel protocol {scp:02X}: want 01, 02 or 03")
        i = reader.byte() if scp == 3 else (recognized or {}).get(scp)
        return cls(diversification_data, key_version, scp, i, answer)

    @property
    def name(self) -> str:
        """Protocol and parameter for people, such as `SCP03 i=70`."""
        i = "" if self.i is None else f" i={self.i:04X}" if self.i > 0xFF else f" i={self.i:02X}"
        return f"SCP{self.scp:02X}{self.variant}{i}"


def strongest_level(offer: Offer) -> SecurityLevel:
    """Return the highest security level that the offered protocol and parameter allow."""
    level = SecurityLevel.C_MAC_C_ENC
    i = offer.i or 0
    if i & _R_MAC:  # the bit is the same in both protocols
        level |= SecurityLevel.R_MAC
        if offer.scp == 3 and i & _R_ENCRYPTION:
            level |= SecurityLevel.R_ENCRYPTION
    return level


def open_session(offer: Offer, keys: KeySet, host_challenge: bytes) -> OpeningSession:
    """Check the card's cryptogram and return the session, not authenticated yet.

    Raises:
        SecureChannelError: the card does not hold these keys, or its protocol is not supported.
        ProtocolError: the answer is malformed.
    """
    if offer.scp == 3:
        from opentsm_card.scp03 import Scp03Session  # noqa: PLC0415 - one protocol is loaded, the one in use

        return Scp03Session.open(keys, host_challenge, offer.answer)
    if offer.scp == 2:
        from opentsm_card.scp02 import Scp02Session  # noqa: PLC0415 - as above

        i = SCP02_DEFAULT_I if offer.i is None else offer.i
        return Scp02Session.open(keys, host_challenge, offer.answer, i)
    raise SecureChannelError(f"the card asks for {offer.name}, which opentsm does not speak")


def implicit_session(offer: Offer, keys: KeySet, counter: bytes, aid: bytes) -> SecureSession:
    """Return an SCP02 session that its first command begins.

    Args:
        offer: protocol and parameter.
        keys: static keys.
        counter: the value of GET DATA C1: 2 bytes, or 3 from a card that counts as for SCP03.
        aid: of the application that is selected.

    Raises:
        ProtocolError: a counter of another length, or keys that fit no SCP02.
    """
    from opentsm_card.scp02 import Scp02Session  # noqa: PLC0415 - one protocol is loaded, the one in use

    if len(counter) not in {2, 3}:
        raise ProtocolError(f"the card answers a sequence counter of {len(counter)} bytes, where SCP02 has 2")
    i = SCP02_DEFAULT_I if offer.i is None else offer.i
    return Scp02Session.implicit(keys, sequence_counter=int.from_bytes(counter, "big"), aid=aid, i=i)


def parse_level(text: str) -> SecurityLevel:
    """Return a level given by a person, in hex.

    Raises:
        ProtocolError: there is no such level.
    """
    try:
        return SecurityLevel.parse(int(text, 16))
    except (ValueError, ProtocolError):
        raise ProtocolError(f"--security {text!r}: want 01, 03, 11, 13 or 33") from None
