"""Which card it is: the identifier that a card tells anyone, read before anything is run on it.

A SIM that was put into another device, or another SIM put into this one, gets nothing that was meant for the one
that was enrolled.

Spec: ETSI TS 102 221 clause 13.2 (EF ICCID); GP Card 2.3.1 clauses 11.3 (GET DATA) and 7.4.1.2 (CIN, tag 45);
the CPLC data (tag 9F7F) are older than that: cards of all makers have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    from opentsm_card.link import Link

__all__ = ["WrongCardError", "check_card", "parse_card_identifier", "read_card_identifier"]

_SELECT_ISSUER: Final = bytes.fromhex("00A4040000")
_GET_DATA: Final = {"cin": bytes.fromhex("80CA004500"), "cplc": bytes.fromhex("80CA9F7F00")}
_TAGS: Final = {"cin": b"\x45", "cplc": b"\x9f\x7f"}
_ICCID: Final = (bytes.fromhex("00A4000C023F00"), bytes.fromhex("00A4000C022FE2"), bytes.fromhex("00B000000A"))
_MAX_DIGITS: Final = 20
_OK: Final = b"\x90\x00"


class WrongCardError(TransportError):
    """Another card than the configuration names is behind the link; nothing was run on it."""


def parse_card_identifier(text: str) -> tuple[str, str]:
    """Split `iccid:DIGITS`, `cin:HEX` or `cplc:HEX` into kind and value: digits, or hex digits in upper case.

    Raises:
        ProtocolError: it is none of them.
    """
    kind, _, value = text.partition(":")
    value = value.replace(" ", "").upper()
    if kind == "iccid" and value.isascii() and value.isdigit() and 18 <= len(value) <= _MAX_DIGITS:
        return kind, value
    if kind in _GET_DATA and value:
        try:
            bytes.fromhex(value)
        except ValueError:
            pass
        else:
            return kind, value
    raise ProtocolError(f"card identifier {text!r}: want iccid:DIGITS (18 to 20), cin:HEX or cplc:HEX")


def check_card(link: Link, expected: str) -> None:
    """See that a freshly reset card is the one it should be; its MF, or the issuer's security domain, is selected then.

    Args:
        link: to the card.
        expected: as `parse_card_identifier` takes it.

    Raises:
        WrongCardError: it is another one, or does not say.
        TransportError: the link failed.
    """
    kind, value = parse_card_identifier(expected)
    found = read_card_identifier(link, kind)
    if found is None:
        raise WrongCardError(f"the card does not tell its {kind.upper()}; the configuration wants a certain one")
    # A check digit may stand behind a 19-digit ICCID or not (ITU-T E.118): the shorter one decides.
    same = found == value or (kind == "iccid" and (found.startswith(value) or value.startswith(found)))
    if not same:
        raise WrongCardError(
            f"another card is there: its {kind.upper()} is {found}, and the configuration wants {value}"
        )


def read_card_identifier(link: Link, kind: str) -> str | None:
    """Return what a card says it is; None when it does not say.

    Args:
        link: to the card.
        kind: iccid, cin or cplc.

    Raises:
        TransportError: the link failed.
    """
    if kind == "iccid":
        for command in _ICCID[:-1]:
            if link.transmit(command)[-2:] != _OK:
                return None
        answer = link.transmit(_ICCID[-1])
        return _digits(answer[:-2]) if answer[-2:] == _OK and len(answer) > len(_OK) else None
    link.transmit(_SELECT_ISSUER)
    answer = link.transmit(_GET_DATA[kind])
    if answer[-2:] != _OK:
        return None
    tag = _TAGS[kind]
    data = answer[:-2]
    if data.startswith(tag) and len(data) == len(tag) + 1 + data[len(tag)]:
        data = data[len(tag) + 1 :]
    return data.hex().upper() or None


def _digits(data: bytes) -> str | None:
    """Return the digits of an EF ICCID: BCD, the low half of a byte first, filled up with F."""
    digits = "".join(f"{byte & 0xF:X}{byte >> 4:X}" for byte in data).rstrip("F")
    return digits if digits.isdigit() else None
