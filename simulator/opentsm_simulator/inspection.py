"""What a virtual SE is at this moment, as its OPEN knows it: for people and machines that run it, beside its commands.

Keys are named with version, identifier, type and length; never their values.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from opentsm_card.errors import ProtocolError
from opentsm_card.get_data import DataTag, GetData
from opentsm_card.key_information import parse_key_information
from opentsm_card.lifecycle import ApplicationState, CardState, ContactlessState, SecurityDomainState, is_locked
from opentsm_card.privileges import Privilege

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentsm_simulator.virtual_se import VirtualSe

__all__ = ["inspect", "render"]

# org.globalplatform.contactless.GPCLRegistryEntry.INFO_*
_INFORMATION: Final = {
    0x04: "uri",
    0x05: "discretionary_data",
    0x06: "logo",
    0x07: "protocol_data_type_a",
    0x08: "protocol_data_type_b",
    0x09: "protocol_data_type_f",
    0x0A: "display_message",
    0x0B: "family",
    0x0C: "implicit_selection_protocols",
    0x0D: "continuous_process",
    0x0F: "display_requirement",
    0x10: "policy",
    0x11: "recognition_algorithm",
    0x14: "type_f_mode_flag",
    0x15: "privacy_sensitive",
}

# Tags of the system parameters (GP Card 2.3.1, table 11-49; GP Amendment C).
_MEMORY: Final = {
    0xC6: "code_minimum_bytes",
    0xC7: "volatile_quota_bytes",
    0xC8: "non_volatile_quota_bytes",
    0xD7: "volatile_reserved_bytes",
    0xD8: "non_volatile_reserved_bytes",
    0x82: "volatile_granted_bytes",
    0x83: "non_volatile_granted_bytes",
}

_DOMAINS: Final = {"issuer", "domain"}


def inspect(se: VirtualSe) -> dict[str, Any]:
    """Return the SE's registry, memory and effects as plain values, AIDs in upper-case hex.

    Returns:
        `card` with its state, `memory` in bytes, `domains`, `applications`, `load_files`, and `effects`: what commands
        left behind since the SE was made; `power`, `writes` that were counted, and the `hottest` addresses among them.
    """
    state, contactless, *memory = se.figures()
    entries = [line.split("\t") for line in se.registry_lines()]
    parameters = {aid: _parameters(fields) for aid, *fields in (line.split("\t") for line in se.parameter_lines())}
    sizes = ("non_volatile_bytes", "non_volatile_free_bytes", "volatile_bytes", "volatile_free_bytes")
    return {
        "card": {"state": CardState(state).name, "contactless_interface": "on" if contactless else "off"},
        "memory": dict(zip(sizes, memory, strict=True)),
        "domains": [_domain(se, fields) | parameters.get(fields[1], {}) for fields in entries if fields[0] in _DOMAINS],
        "applications": [
            _application(fields) | parameters.get(fields[1], {}) for fields in entries if fields[0] == "application"
        ],
        "load_files": [_load_file(fields) for fields in entries if fields[0] == "load-file"],
        "effects": se.effects(),
        "power": "cut" if se.is_cut else "on",
        "writes": se.writes,
        "hottest": [asdict(spot) for spot in se.hottest()],
    }


def _domain(se: VirtualSe, fields: list[str]) -> dict[str, Any]:
    issuer = fields[0] == "issuer"
    state = CardState(int(fields[2], 16)).name if issuer else _state(fields[2], SecurityDomainState)
    return {"aid": fields[1], "issuer": issuer, "state": state} | _common(fields) | {"keys": _keys(se, fields[1])}


def _application(fields: list[str]) -> dict[str, Any]:
    contactless = ContactlessState(int(fields[8], 16)).name
    state = _state(fields[2], ApplicationState)
    return {"aid": fields[1], "state": state, "contactless": contactless} | _common(fields)


def _common(fields: list[str]) -> dict[str, Any]:
    privileges = Privilege.parse(bytes.fromhex(fields[3]))
    return {
        "privileges": [str(flag.name) for flag in privileges],
        "domain": fields[4],
        "load_file": fields[5],
        "module": fields[6],
        # Contacts C0 to C19, radio R0 to R19.
        "selected_on": fields[9].split(),
    }


def _parameters(fields: list[str]) -> dict[str, Any]:
    """Name what INSTALL brought, or the application set: contactless parameters, implicit selection, memory."""
    contactless: dict[str, Any] = {}
    memory: dict[str, int] = {}
    parameters: dict[str, Any] = {}
    for field in fields:
        name, _, value = field.partition("=")
        if name.startswith("info"):
            contactless[_INFORMATION[int(name.removeprefix("info"))]] = value
        elif name.startswith("memory"):
            memory[_MEMORY[int(name.removeprefix("memory"))]] = int(value)
        elif name == "implicit":
            parameters["implicit_selection"] = value
        elif name == "access":
            words = value.split()
            contactless[name] = dict(zip(words[::2], words[1::2], strict=True))
        else:
            contactless[name] = value if name == "head" else value.split()
    if memory:
        parameters["memory"] = memory
    if contactless:
        parameters["contactless_parameters"] = contactless
    return parameters


def _load_file(fields: list[str]) -> dict[str, Any]:
    version = ".".join(str(byte) for byte in bytes.fromhex(fields[7]))
    return {
        "aid": fields[1],
        "version": version,
        "domain": fields[4],
        "modules": fields[5].split(),
        "code_bytes": int(fields[6]),
    }


def _state(encoded: str, names: type[ApplicationState | SecurityDomainState]) -> str:
    """Name a state; what an application has of its own is shown in hex."""
    value = int(encoded, 16)
    if is_locked(value):
        return "LOCKED"
    return names(value).name if value in {member.value for member in names} else f"{value:02X}"


def _keys(se: VirtualSe, aid: str) -> list[dict[str, Any]] | None:
    """Return what a security domain tells anyone of its keys; None when it can't answer now."""
    answer = se.ask(bytes.fromhex(aid), GetData(DataTag.KEY_INFORMATION).apdu().encode())
    if answer[-2:] != b"\x90\x00":
        return None
    try:
        found = parse_key_information(answer[:-2])
    except ProtocolError:
        return None
    return [
        {
            "version": key.version,
            "id": key.key_id,
            "components": [f"{part.key_type:02X}:{part.length_bytes}" for part in key.components],
        }
        for key in found
    ]


def render(se: dict[str, Any]) -> Iterator[str]:
    """Render what `inspect` and the host returned as lines for people."""
    memory = se["memory"]
    card = se["card"]
    yield f"{se['id']} ({se['profile']}), {card['state']}, contactless interface {card['contactless_interface']}"
    yield (
        f"free: {memory['non_volatile_free_bytes']} of {memory['non_volatile_bytes']} bytes non-volatile, "
        f"{memory['volatile_free_bytes']} of {memory['volatile_bytes']} volatile"
    )
    yield "security domains"
    for domain in se["domains"]:
        yield _line(domain, "issuer" if domain["issuer"] else f"under {domain['domain']}")
        keys = domain["keys"]
        versions = sorted({key["version"] for key in keys or ()})
        shown = ", ".join(f"{version:#04x} ({_of_version(keys, version)})" for version in versions)
        yield f"    keys: {shown or ('not told now' if keys is None else 'none')}"
    yield "applications"
    for application in se["applications"]:
        yield _line(application, f"under {application['domain']}, contactless {_words(application['contactless'])}")
        for name, value in application.get("contactless_parameters", {}).items():
            yield f"    {name.replace('_', ' ')}: {_plain(value)}"
    yield "load files"
    for load_file in se["load_files"]:
        modules = " ".join(load_file["modules"])
        yield f"  {load_file['aid']} {load_file['version']}: {modules} ({load_file['code_bytes']} bytes)"
    if se["power"] != "on":
        yield "power: cut; reset it"
    if se["hottest"]:
        yield f"writes: {se['writes']}; the hottest addresses"
        for spot in se["hottest"]:
            yield f"  {spot['writes']:>8}  {spot['owner']} object {spot['number']}, {spot['what']}, at {spot['offset']}"
    yield f"effects: {len(se['effects'])}"
    yield from (f"  {line}" for line in se["effects"])


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return " ".join(value) if isinstance(value, list) else str(value)


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _line(entry: dict[str, Any], more: str) -> str:
    privileges = ", ".join(map(_words, entry["privileges"])) or "no privileges"
    selected = f", selected on {' '.join(entry['selected_on'])}" if entry["selected_on"] else ""
    return f"  {entry['aid']} {entry['state']}, {more}: {privileges}{selected}"


def _of_version(keys: list[dict[str, Any]], version: int) -> str:
    return " ".join(f"{key['id']:02X}/{'+'.join(key['components'])}" for key in keys if key["version"] == version)
