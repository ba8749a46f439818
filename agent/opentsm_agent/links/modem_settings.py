"""What the URI of a card in a modem says.

modem:DEVICE?apdu=auto|csim|ccho|basic&baud=…&timeout=…&reset=auto|cfun&aid=…
modemmanager:auto|PATH|IMEI?apdu=…&timeout=…&aid=…
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from opentsm_agent.links.parameters import split_address
from opentsm_card.aid import Aid
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from opentsm_card.modem.quirks import Way

__all__ = ["AUTO", "ModemSettings"]

AUTO: Final = "auto"
_NAMES: Final = ("apdu", "baud", "timeout", "reset", "aid")
# Rate and power of the port are ModemManager's.
_MANAGED_NAMES: Final = ("apdu", "timeout", "aid")
_MANAGED: Final = re.compile(r"auto|/org/freedesktop/ModemManager1/Modem/\d{1,9}|\d{14,16}", re.ASCII)
_APDU: Final[dict[str, tuple[Way, ...]]] = {"ccho": ("ccho",), "csim": ("csim", "basic"), "basic": ("basic",)}
_LEAST_BAUD: Final = 300
_MOST_BAUD: Final = 4_000_000
_MOST_S: Final = 600
# The issuer's domain, as GlobalPlatform names it, and as older cards do.
_ISSUER_DOMAINS: Final = (Aid.from_text("A000000151000000"), Aid.from_text("A000000003000000"))


@dataclass(frozen=True, slots=True)
class ModemSettings:
    """How a card is reached through a modem.

    Args:
        device: path of the modem's AT port, or `auto` for the first port of this machine that answers; behind
            ModemManager its object's path or its IMEI, or `auto` for the one that there is.
        ways: in which ways to try, in their order; None for what the modem's entry in the table says, or else all.
        baud: bits a second; USB ports do not mind.
        timeout_s: how long one answer may take, in seconds; None for what the caller says.
        cfun: whether a reset switches the modem off and on (the card loses its power, the network its modem).
        aids: applications one of which a session by +CCHO is opened with.
    """

    device: str
    ways: tuple[Way, ...] | None = None
    baud: int = 115200
    timeout_s: float | None = None
    cfun: bool = False
    aids: tuple[Aid, ...] = _ISSUER_DOMAINS

    @classmethod
    def parse(cls, address: str) -> Self:
        """Parse what follows `modem:`.

        Raises:
            ProtocolError: no device, an unknown parameter, one given twice, or a value that is not one of its.
        """
        return cls._parsed("modem", address, _NAMES, "modem:/dev/ttyUSB2, or modem:auto")

    @classmethod
    def parse_managed(cls, address: str) -> Self:
        """Parse what follows `modemmanager:`.

        Raises:
            ProtocolError: as `parse`; or the modem is named otherwise than ModemManager does.
        """
        example = "modemmanager:auto, or modemmanager:/org/freedesktop/ModemManager1/Modem/0"
        settings = cls._parsed("modemmanager", address, _MANAGED_NAMES, example)
        if _MANAGED.fullmatch(settings.device) is None:
            raise ProtocolError(
                f"link 'modemmanager:{address}': want {AUTO}, an IMEI, or a path that `mmcli -L` lists, such as "
                "/org/freedesktop/ModemManager1/Modem/0"
            )
        return settings

    @classmethod
    def _parsed(cls, scheme: str, address: str, names: tuple[str, ...], want: str) -> Self:
        device, given = split_address(scheme, address, names, want)
        try:
            return cls(
                device,
                _ways(given.get("apdu", AUTO)),
                _number(given.get("baud", "115200"), "baud", _LEAST_BAUD, _MOST_BAUD),
                _number(given["timeout"], "timeout", 1, _MOST_S) if "timeout" in given else None,
                _reset(given.get("reset", AUTO)),
                (Aid.from_text(given["aid"]),) if "aid" in given else _ISSUER_DOMAINS,
            )
        except ProtocolError as error:
            raise ProtocolError(f"link '{scheme}:{address}': {error}") from error


def _ways(text: str) -> tuple[Way, ...] | None:
    if text != AUTO and text not in _APDU:
        raise ProtocolError(f"apdu={text}: want {AUTO}, {', '.join(_APDU)}")
    return _APDU.get(text)


def _reset(text: str) -> bool:
    if text not in {AUTO, "cfun"}:
        raise ProtocolError(f"reset={text}: want {AUTO} or cfun")
    return text == "cfun"


def _number(text: str, name: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and least <= int(text) <= most):
        raise ProtocolError(f"{name}={text}: want {least} to {most}")
    return int(text)
