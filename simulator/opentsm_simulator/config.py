"""Configuration of `opentsm se run`: which virtual SEs one process carries, and where each is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from opentsm_card.documents import parse_toml
from opentsm_card.errors import ProtocolError
from opentsm_simulator.modem import find_modem
from opentsm_simulator.modem_faults import ModemFaults
from opentsm_simulator.uart_faults import Faults

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["AUTO", "Address", "SeConfig", "load_config", "parse_address"]

Address = tuple[str, int]

AUTO: Final = "auto"
"""In place of a vpcd reader's address: one of the pcscd that runs here, or that is started here."""


class _SeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(min_length=1)]
    profile: str | None = None
    image: str | None = None
    synced: bool = False
    tcp: str | None = None
    contactless: str | None = None
    vpcd: str | None = None
    keys_file: str | None = None
    effects: str | None = None
    uart: str | None = None
    uart_echo: bool = True
    uart_faults: str | None = None
    modem: str | None = None
    modem_like: str | None = None
    modem_faults: str | None = None
    dial: str | None = None
    wear: bool = False


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    se: Annotated[tuple[_SeTable, ...], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class SeConfig:
    """One virtual SE.

    Args:
        id: its identity; diversification data and serial numbers derive from it.
        profile: name of a card profile, or path of one; empty where the image says it.
        tcp: where the contact interface listens.
        contactless: where the contactless interface listens.
        vpcd: pcscd's vpcd reader to be the card of.
        reader: whether to be a reader of a pcscd that the host starts: `vpcd = "auto"` in a file.
        keys_file: key sets in place of the profile's.
        effects: file to which what commands left behind is appended.
        uart: path at which the contact interface appears as a serial port, or `AUTO` for a pseudo-terminal's own.
        uart_echo: whether what is sent to that port comes back, as from a one-wire reader.
        uart_faults: faults of that line (`opentsm_simulator.uart_faults`).
        modem: path at which a modem with the SE in it appears, or `AUTO` for a pseudo-terminal's own.
        modem_like: which modem it is, or its quirks (`opentsm_simulator.modem.find_modem`).
        modem_faults: faults of its lines (`opentsm_simulator.modem_faults`).
        dial: where somebody waits for the contact interface to dial.
        wear: whether persistent writes are counted, in all and for each address; commands take longer.
        image: file in which the card is kept; where there is none yet, it is made of the profile.
        synced: whether what is kept there waits for the disk.
    """

    id: str
    profile: str
    tcp: Address | None = None
    contactless: Address | None = None
    vpcd: Address | None = None
    keys_file: Path | None = None
    effects: Path | None = None
    reader: bool = False
    uart: str | None = None
    uart_echo: bool = True
    uart_faults: str | None = None
    modem: str | None = None
    modem_like: str | None = None
    modem_faults: str | None = None
    dial: Address | None = None
    wear: bool = False
    image: Path | None = None
    synced: bool = False


def parse_address(text: str) -> Address:
    """Parse `HOST:PORT`.

    Raises:
        ProtocolError: it is not of that form, or the port is not in 0..65535.
    """
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise ProtocolError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def load_config(path: Path) -> tuple[SeConfig, ...]:
    """Load a configuration file: tables `[[se]]`; relative paths in it are relative to the file.

    Raises:
        ProtocolError: it can't be read or is not valid; the message names the place.
    """
    try:
        tables = parse_toml(path.read_bytes(), _Document, str(path)).se
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    try:
        configs = tuple(_config(table, path.parent) for table in tables)
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error}") from error
    ids = [config.id for config in configs]
    if twice := {id_ for id_ in ids if ids.count(id_) > 1}:
        raise ProtocolError(f"{path}: more than one SE is named {', '.join(sorted(twice))}")
    for config in configs:
        if config.tcp is None and config.contactless is None and config.vpcd is None and not config.reader:
            if config.uart is not None or config.modem is not None or config.dial is not None:
                continue
            known = "tcp, contactless, vpcd, uart, modem or dial"
            raise ProtocolError(f"{path}: se {config.id!r}: nothing reaches it; give {known}")
    return configs


def _checked(faults: str | None) -> str | None:
    if faults is not None:
        Faults.parse(faults)
    return faults


def check_modem(like: str | None, faults: str | None) -> None:
    """Check what is said of a modem.

    Raises:
        ProtocolError: there is no such modem or quirk, or a fault makes no sense.
    """
    if like is not None:
        find_modem(like)
    if faults is not None:
        ModemFaults.parse(faults)


def _config(table: _SeTable, folder: Path) -> SeConfig:
    if table.profile is None and table.image is None:
        raise ProtocolError(f"se {table.id!r}: give a profile, or the image of a card")
    profile = table.profile or ""
    try:
        check_modem(table.modem_like, table.modem_faults)
        return SeConfig(
            table.id,
            str(folder / profile) if profile.endswith(".toml") else profile,
            parse_address(table.tcp) if table.tcp else None,
            parse_address(table.contactless) if table.contactless else None,
            parse_address(table.vpcd) if table.vpcd and table.vpcd != AUTO else None,
            folder / table.keys_file if table.keys_file else None,
            folder / table.effects if table.effects else None,
            table.vpcd == AUTO,
            str(folder / table.uart) if table.uart and table.uart != AUTO else table.uart,
            table.uart_echo,
            _checked(table.uart_faults),
            str(folder / table.modem) if table.modem and table.modem != AUTO else table.modem,
            table.modem_like,
            table.modem_faults,
            parse_address(table.dial) if table.dial else None,
            table.wear,
            folder / table.image if table.image else None,
            table.synced,
        )
    except ProtocolError as error:
        raise ProtocolError(f"se {table.id!r}: {error}") from error
