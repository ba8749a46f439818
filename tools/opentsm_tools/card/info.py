"""`opentsm card info`: what a card says of itself, decoded, with what each means."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from opentsm_card.atr import Atr
from opentsm_card.capabilities import CardCapabilities
from opentsm_card.card_data import CardData
from opentsm_card.card_profiles import recognize
from opentsm_card.card_resources import CardResources
from opentsm_card.cplc import FIELDS, possible_dates
from opentsm_card.errors import ProtocolError
from opentsm_card.get_data import DataTag
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.info_words import key_words, oid_words, scp_words
from opentsm_tools.card.options import CardCommand
from opentsm_tools.card.words import hexed, privilege_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.privileges import Privilege
    from opentsm_tools.card.manager import CardManager

__all__ = ["info"]

_MEANT_YEARS: Final = 2


@click.command(cls=CardCommand)
@click.option("--authenticate", is_flag=True, help="Open a secure channel first: some cards then say more.")
@click.pass_context
def info(ctx: click.Context, *, authenticate: bool) -> None:
    """Show what a card says of itself: ATR, chip and production, protocols, capabilities, keys, free memory.

    No key is needed; nothing on the card changes.

    \b
    opentsm card --link pcsc:ACR info
    opentsm card --link pcsc:ACR info --json
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    with desk.card(secure=authenticate) as card:
        known = [(profile.name, name) for profile, name in recognize(card.identity.atr)]
        document: dict[str, Any] = {
            "card": card.identity.identifier,
            "recognized": [{"profile": profile, "card": name} for profile, name in known],
        }
        lines = [f"card {card.identity.identifier}"]
        lines += [f"by its ATR: {name} (opentsm card profiles {profile})" for profile, name in known]
        lines.append("")
        for section in (_atr, _production, _numbers, _card_data, _capabilities, _keys, _resources):
            found, said = section(card)
            document |= found
            lines += said
        if card.selected is not None:
            document["selected"] = str(card.selected)
            lines += ["", f"security domain {card.selected}"]
        desk.emit(document, "\n".join(lines))


_Section = tuple[dict[str, Any], list[str]]
T = TypeVar("T")


def _atr(card: CardManager) -> _Section:
    raw = card.identity.atr
    lines = [f"ATR {hexed(raw)}"]
    document: dict[str, Any] = {"raw": hexed(raw)}
    try:
        atr = Atr.parse(raw)
    except ProtocolError as error:
        return {"atr": document | {"error": str(error)}}, [*lines, f"  malformed: {error}"]
    protocols = ", ".join(f"T={protocol}" for protocol in atr.protocols)
    document |= {
        "convention": atr.convention,
        "protocols": list(atr.protocols),
        "interface": {byte.name: f"{byte.value:02X}" for byte in atr.interface},
        "historical": hexed(atr.historical),
        "check": None if atr.check is None else f"{atr.check:02X}",
        "check_ok": atr.check_ok,
    }
    lines.append(f"  {atr.convention} convention; protocols {protocols}")
    if atr.interface:
        lines.append("  interface bytes " + " ".join(f"{byte.name}={byte.value:02X}" for byte in atr.interface))
    if atr.rates is not None:
        clock, bits = atr.rates
        document["fi_di"] = [clock, bits]
        lines.append(f"  Fi/Di {clock}/{bits}: {clock // bits} clock cycles a bit")
    if atr.historical:
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in atr.historical)
        lines.append(f"  historical bytes {hexed(atr.historical)} ({text})")
    objects = atr.objects() or ()
    document["objects"] = [{"tag": item.tag, "name": item.name, "value": hexed(item.value)} for item in objects]
    for item in objects:
        said = "; ".join(item.capabilities)
        lines.append(f"    {item.name}: {hexed(item.value)}" + (f" ({said})" if said else ""))
    if atr.check is not None:
        lines.append(f"  TCK {atr.check:02X}, {'right' if atr.check_ok else 'wrong: the ATR was damaged on its way'}")
    return {"atr": document}, lines


def _production(card: CardManager) -> _Section:
    cplc = card.identity.cplc
    if cplc is None:
        return {"cplc": None}, ["", "no production data (CPLC)"]
    lines = ["", "production data (CPLC)"]
    document: dict[str, Any] = {"raw": hexed(cplc.raw)}
    for name, _, is_date in FIELDS:
        value = cplc.field(name)
        entry: dict[str, Any] = {"value": hexed(value)}
        told = ""
        if is_date:
            days = _days(value)
            entry["dates"] = [day.isoformat() for day in days]
            told = f"  {' or '.join(entry['dates'][:_MEANT_YEARS])}" if days else "  no date"
        document[name] = entry
        lines.append(f"  {name.replace('_', ' '):40} {hexed(value)}{told}")
    return {"cplc": document}, lines


def _days(value: bytes) -> tuple[dt.date, ...]:
    return possible_dates(value, dt.datetime.now(tz=dt.UTC).date())


def _numbers(card: CardManager) -> _Section:
    document: dict[str, Any] = {}
    lines: list[str] = []
    for name, tag, words in (
        ("iin", DataTag.ISSUER_IDENTIFICATION_NUMBER, "issuer identification number (IIN)"),
        ("cin", DataTag.CARD_IMAGE_NUMBER, "card image number (CIN)"),
    ):
        raw = card.get_data(tag)
        value = None if raw is None else _value(raw, tag)
        document[name] = None if value is None else hexed(value)
        if value is not None:
            lines.append(f"{words} {hexed(value)}")
    return document, ["", *lines] if lines else []


def _value(raw: bytes, tag: int) -> bytes:
    """Return the value of a data object that may have come without its tag."""
    return raw[2:] if len(raw) > 2 and raw[0] == tag and raw[1] == len(raw) - 2 else raw


def _read(card: CardManager, tag: int, parse: Callable[[bytes], T]) -> tuple[T | None, str]:
    """Read and parse a data object; what is wrong with it otherwise."""
    raw = card.get_data(tag)
    if raw is None:
        return None, ""
    try:
        return parse(raw), ""
    except ProtocolError as error:
        return None, f"{hexed(raw)}: {error}"


def _card_data(card: CardManager) -> _Section:
    data, wrong = _read(card, DataTag.CARD_DATA, CardData.parse)
    if data is None:
        return {"card_data": None}, ["", f"card data (66): {wrong or 'none'}"]
    document = {
        "globalplatform": data.version,
        "protocols": [{"scp": item.scp, "i": item.i, "means": scp_words(item.scp, item.i)} for item in data.protocols],
        "identification_scheme": None if data.identification_scheme is None else str(data.identification_scheme),
        "configuration": [str(oid) for oid in data.configuration],
        "chip": [str(oid) for oid in data.chip],
    }
    lines = ["", f"card data (66): GlobalPlatform {data.version or 'of no version'}"]
    for item in data.protocols:
        i = f"{item.i:04X}" if item.i > 0xFF else f"{item.i:02X}"
        words = ", ".join(scp_words(item.scp, item.i))
        lines.append(f"  SCP{item.scp:02X} i={i}" + (f": {words}" if words else ""))
    for name, oids in (("configuration", data.configuration), ("chip", data.chip)):
        lines += [f"  {name} {oid}{oid_words(oid)}" for oid in oids]
    return {"card_data": document}, lines


def _granted(privileges: Privilege | None) -> list[str] | None:
    return None if privileges is None else privilege_names(privileges)


def _capabilities(card: CardManager) -> _Section:
    found, wrong = _read(card, DataTag.CARD_CAPABILITY_INFORMATION, CardCapabilities.parse)
    if found is None:
        return {"capabilities": None}, ["", f"capabilities (67): {wrong or 'none'}"]
    lists: dict[str, Any] = {
        "security_domain_privileges": _granted(found.domain_privileges),
        "application_privileges": _granted(found.application_privileges),
        "load_file_hashes": list(found.hashes),
        "load_file_encryption": list(found.load_file_encryption),
        "tokens": list(found.tokens),
        "receipts": list(found.receipts),
        "daps": list(found.daps),
        "key_parameters": [f"{byte:02X}" for byte in found.key_parameters],
    }
    protocols = [
        {"scp": item.scp, "i": [f"{i:02X}" for i in item.options], "key_sizes": list(item.key_sizes)}
        for item in found.protocols
    ]
    lines = ["", "capabilities (67)"]
    for item in found.protocols:
        options = " ".join(f"i={i:02X}" for i in item.options)
        sizes = f" with {', '.join(item.key_sizes)}" if item.key_sizes else ""
        lines.append(f"  SCP{item.scp:02X} {options}{sizes}")
    lines += [f"  {name.replace('_', ' ')}: {'; '.join(values)}" for name, values in lists.items() if values]
    return {"capabilities": {"protocols": protocols} | lists}, lines


def _keys(card: CardManager) -> _Section:
    try:
        keys = card.key_information()
    except ProtocolError as error:
        return {"keys": None}, ["", f"keys (E0): {error}"]
    if keys is None:
        return {"keys": None}, ["", "keys (E0): the card does not say"]
    document = [
        {
            "version": key.version,
            "id": key.key_id,
            "components": [
                {"type": f"{part.key_type:02X}", "name": part.name, "length_bytes": part.length_bytes}
                for part in key.components
            ],
            "usage": hexed(key.usage),
            "access": hexed(key.access),
            "means": key_words(key),
        }
        for key in keys
    ]
    lines = ["", "keys (E0)"]
    for key in keys:
        parts = " + ".join(f"{part.name}, {part.length_bytes} bytes" for part in key.components)
        words = key_words(key)
        lines.append(f"  version {key.version:#04x} id {key.key_id:#04x}: {parts}" + (f" ({words})" if words else ""))
    return {"keys": document}, lines


def _resources(card: CardManager) -> _Section:
    found, wrong = _read(card, DataTag.EXTENDED_CARD_RESOURCES, CardResources.parse)
    if found is None:
        return {"resources": None}, ["", f"memory (FF21): {wrong or 'the card does not say'}"]
    document = {
        "applications": found.applications,
        "free_nonvolatile_bytes": found.free_nonvolatile_bytes,
        "free_volatile_bytes": found.free_volatile_bytes,
    }
    words = {"applications": "applications installed", "free_nonvolatile_bytes": "bytes of persistent memory free"}
    words["free_volatile_bytes"] = "bytes of transient memory free"
    lines = [f"  {value} {words[name]}" for name, value in document.items() if value is not None]
    return {"resources": document}, ["", "memory (FF21)", *lines]
