"""Tell commands apart: a command APDU to its dataclass, for traces, the virtual card's checks and tests.

Spec: GP Card Specification 2.3.1, table 11-1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentsm_card.delete import parse_delete
from opentsm_card.errors import ProtocolError
from opentsm_card.external_authenticate import ExternalAuthenticate
from opentsm_card.get_data import GetData
from opentsm_card.get_status import GetStatus
from opentsm_card.initialize_update import InitializeUpdate
from opentsm_card.install import parse_install
from opentsm_card.load import Load
from opentsm_card.manage_channel import parse_manage_channel
from opentsm_card.put_key import PutKey
from opentsm_card.r_mac_session import BeginRMacSession, EndRMacSession
from opentsm_card.select import Select
from opentsm_card.set_status import SetStatus
from opentsm_card.store_data import StoreData

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.apdu import Command, CommandApdu

__all__ = ["command_name", "parse_command"]

_PARSERS: dict[int, Callable[[CommandApdu], Command]] = {
    0x50: InitializeUpdate.parse,
    0x70: parse_manage_channel,
    0x78: EndRMacSession.parse,
    0x7A: BeginRMacSession.parse,
    0x82: ExternalAuthenticate.parse,
    0xA4: Select.parse,
    0xCA: GetData.parse,
    0xD8: PutKey.parse,
    0xE2: StoreData.parse,
    0xE4: parse_delete,
    0xE6: parse_install,
    0xE8: Load.parse,
    0xF0: SetStatus.parse,
    0xF2: GetStatus.parse,
}

_NAMES: dict[int, str] = {
    0x50: "INITIALIZE UPDATE",
    0x70: "MANAGE CHANNEL",
    0x78: "END R-MAC SESSION",
    0x7A: "BEGIN R-MAC SESSION",
    0x82: "EXTERNAL AUTHENTICATE",
    0xA4: "SELECT",
    0xC0: "GET RESPONSE",
    0xCA: "GET DATA",
    0xD8: "PUT KEY",
    0xE2: "STORE DATA",
    0xE4: "DELETE",
    0xE6: "INSTALL",
    0xE8: "LOAD",
    0xF0: "SET STATUS",
    0xF2: "GET STATUS",
}


def parse_command(apdu: CommandApdu) -> Command:
    """Return the command that an unsecured APDU is.

    Raises:
        ProtocolError: an instruction opentsm does not know, or malformed.
    """
    parser = _PARSERS.get(apdu.ins)
    if parser is None:
        raise ProtocolError(f"instruction {apdu.ins:02X} is not known")
    return parser(apdu)


def command_name(ins: int) -> str:
    """Return the name of an instruction for people, such as `INSTALL`, or `INS 2A` for one not known."""
    return _NAMES.get(ins, f"INS {ins:02X}")
