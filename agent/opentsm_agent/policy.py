"""What this device lets remote scripts do, whatever the TSM orders: the device owner's own file.

    select = ["A000000151000000", "F06F70656E74736D*"]     # AIDs, or their beginnings with a star
    card_wide = false                                       # SET STATUS of the card: lock, unlock, terminate

An order with a C-APDU that the policy does not allow is refused whole, before any of it is sent. The agent sees
headers and the AIDs of SELECT; what a secure channel hides is between the TSM and the card.

Spec: GP Card 2.3.1 clauses 11.9 (SELECT) and 11.10 (SET STATUS, P1 80: the issuer's security domain and the card).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from opentsm_card.apdu import CommandApdu
from opentsm_card.documents import check_all, parse_whole_toml
from opentsm_card.errors import ProtocolError, ScriptError

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_card.script import Script

__all__ = ["ANYTHING", "Policy", "load_policy"]

_INS_SELECT: Final = 0xA4
_INS_SET_STATUS: Final = 0xF0
_BY_NAME: Final = 0x04
_CARD: Final = 0x80
_MAX_AID: Final = 16


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    select: Annotated[list[str], msgspec.Meta(min_length=1)] | None = None
    card_wide: bool = True


@dataclass(frozen=True, slots=True)
class Policy:
    """What remote scripts may do.

    Args:
        aids: AIDs that they may select; None for any.
        beginnings: beginnings of AIDs that they may select.
        card_wide: they may set the card's own life cycle state.
    """

    aids: frozenset[bytes] | None = None
    beginnings: tuple[bytes, ...] = ()
    card_wide: bool = True

    def check(self, script: Script) -> None:
        """See that a script, which `check_script` has passed, does nothing that is not allowed.

        Raises:
            ScriptError: names the first C-APDU that does.
        """
        for position, command in enumerate(script):
            apdu = CommandApdu.parse(command.c_apdu)
            if apdu.ins == _INS_SELECT and not apdu.cla & 0x80:
                self._check_select(position, apdu)
            elif apdu.ins == _INS_SET_STATUS and apdu.cla & 0x80 and apdu.p1 == _CARD and not self.card_wide:
                raise ScriptError(position, "the device's policy allows no SET STATUS of the card")

    def _check_select(self, position: int, apdu: CommandApdu) -> None:
        if self.aids is None:
            return
        if apdu.p1 != _BY_NAME:
            raise ScriptError(position, "the device's policy allows SELECT by AID only")
        # No AID selects the issuer's security domain: whoever may not name it, may not get it unnamed either.
        name = apdu.data
        if name not in self.aids and not any(name.startswith(beginning) for beginning in self.beginnings if beginning):
            raise ScriptError(
                position, f"the device's policy does not allow to select {name.hex().upper() or 'by default'}"
            )


ANYTHING: Final = Policy()


def load_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        ProtocolError: it can't be read, or values are wrong; the message names each with its place.
    """
    try:
        document = path.read_bytes()
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    parsed, problems = parse_whole_toml(document, _Document, str(path))
    aids, beginnings = set(), []
    written: list[object] = list(parsed.select or ())
    for index, text in enumerate(written):
        if not isinstance(text, str):
            continue  # which is said already
        name = _aid(text.removesuffix("*"))
        # An AID has 5 to 16 bytes (ISO/IEC 7816-4:2020 clause 12.2.3); SELECT without one, 0.
        if name is None or len(name) > _MAX_AID or (not text.endswith("*") and len(name) not in {0, *range(5, 17)}):
            problems.append(f"{text!r}: want 5 to 16 bytes in hex, or fewer and a star - at `$.select[{index}]`")
        elif text.endswith("*"):
            beginnings.append(name)
        else:
            aids.add(name)
    check_all(str(path), problems)
    return Policy(None if parsed.select is None else frozenset(aids), tuple(beginnings), parsed.card_wide)


def _aid(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None
