"""What T=0 leaves to the host: a C-APDU becomes TPDUs, and 61xx and 6Cxx are followed up.

T=0 carries data in one direction per exchange. A case 4 command is sent without its Le, and its data fetched with GET
RESPONSE; a wrong Le is answered 6Cxx with the right one, and the command given again: the card has not run it.

Spec: ISO/IEC 7816-3:2006 12.2 (mapping of APDUs on T=0); ISO/IEC 7816-4:2020 11.1 (GET RESPONSE).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["transmit_t0"]

_INS_GET_RESPONSE: Final = 0xC0
_MAX_RESPONSE_BYTES: Final = 65536


def transmit_t0(exchange: Callable[[bytes], bytes], command: bytes) -> bytes:
    """Run one short C-APDU over T=0 and return the whole R-APDU.

    Args:
        exchange: sends one TPDU and returns what the card answers, SW1 SW2 last.
        command: the C-APDU.

    Raises:
        ProtocolError: the C-APDU is extended, or no short C-APDU; nothing was sent.
        TransportError: the card goes on saying 6Cxx, or says 61xx beyond 65536 bytes.
    """
    response = _with_right_le(exchange, _tpdu(command), may_correct=len(command) == 5)
    collected = b""
    while response[-2] == 0x61:
        collected += response[:-2]
        if len(collected) > _MAX_RESPONSE_BYTES:
            raise TransportError(f"T=0: more than {_MAX_RESPONSE_BYTES} bytes of response")
        response = _with_right_le(exchange, _get_response(command[0], response[-1]), may_correct=True)
    return collected + response


def _with_right_le(exchange: Callable[[bytes], bytes], tpdu: bytes, *, may_correct: bool) -> bytes:
    """Exchange a TPDU, and once more with the Le of 6Cxx where its P3 is an Le (the card has not run it)."""
    response = exchange(tpdu)
    if may_correct and response[-2] == 0x6C:
        response = exchange(tpdu[:4] + response[-1:])
        if response[-2] == 0x6C:
            raise TransportError(f"T=0: the card answers {response[-2:].hex().upper()} to the Le it asked for")
    return response


def _tpdu(command: bytes) -> bytes:
    """Return the TPDU of a short C-APDU: case 1 gets P3 = 00, case 4 loses its Le."""
    if len(command) == 4:
        return command + b"\x00"
    if len(command) == 5:
        return command
    lc = command[4] if len(command) > 5 else 0
    if lc == 0 or len(command) not in {5 + lc, 6 + lc}:
        raise ProtocolError(f"a C-APDU of {len(command)} bytes with Lc byte {lc:02X}: T=0 carries short C-APDUs only")
    return command[: 5 + lc]


def _get_response(cla: int, le: int) -> bytes:
    """Encode GET RESPONSE on the command's logical channel, without secure messaging or chaining."""
    channel_only = 0x40 | (cla & 0x0F) if cla & 0x40 else cla & 0x03
    return bytes((channel_only, _INS_GET_RESPONSE, 0, 0, le))
