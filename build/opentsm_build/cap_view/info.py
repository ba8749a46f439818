"""The summary of a CAP file: what it is, what it needs, what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentsm_build import api
from opentsm_build.cap.classes import InterfaceInfo
from opentsm_build.cap.tags_tables import ComponentTag
from opentsm_build.cap_view.memory import of_instance
from opentsm_build.cap_view.package import resolve
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.api.model import ApiPackage
    from opentsm_build.cap.file import CapFile

__all__ = ["counted", "describe", "info_lines"]

_HEAD_BYTES = 3


def describe(cap: CapFile, imports: Iterable[ApiPackage] = ()) -> dict[str, Any]:
    """Return the summary as plain values, sizes in bytes.

    Raises:
        CapError: a component is malformed.
    """
    given = list(imports)
    known = {bytes(package.aid): package.name for package in given}
    entries = cap.classes.entries
    interfaces = sum(isinstance(entry, InterfaceInfo) for entry in entries)
    static = cap.static_fields
    sizes = {tag.title: len(cap.components[tag]) - _HEAD_BYTES for tag in ComponentTag if tag in cap.components}
    return {
        "package": {"name": cap.package_name, "aid": str(cap.package_aid), "version": _dotted(cap.package_version)},
        "format": _dotted(cap.format_version),
        "int": cap.has_int,
        "java_card": api.oldest_release((entry.aid, entry.version) for entry in cap.imports),
        "applets": _applets(cap, given),
        "imports": [
            {
                "name": (known.get(bytes(entry.aid)) or api.package_name(entry.aid) or "").replace("/", ".") or None,
                "aid": str(entry.aid),
                "version": _dotted(entry.version),
            }
            for entry in cap.imports
        ],
        "classes": len(entries) - interfaces,
        "interfaces": interfaces,
        "exports": 0 if cap.exports is None else len(cap.exports.class_exports),
        "components": sizes,
        "load_bytes": len(cap.load_file_data_block()),
        "load_bytes_with_descriptor": len(cap.load_file_data_block(descriptor=True)),
        "static_bytes": static.image_size + sum(len(array.values) for array in static.array_init),
    }


def _applets(cap: CapFile, imports: list[ApiPackage]) -> list[dict[str, Any]]:
    applets: list[dict[str, Any]] = [
        {"aid": str(applet.aid), "install_offset": applet.install_method_offset} for applet in cap.applets
    ]
    try:
        resolved = resolve(cap, imports)
    except CapError as error:
        # The summary is of any file; what only a sound one tells is left out, and why.
        for each in applets:
            each["instance"] = None
            each["instance_unknown"] = str(error)
        return applets
    for each in applets:
        body = resolved.bodies.get(each["install_offset"])
        each["class"] = None if body is None else body.method.owner.name
        memory = of_instance(resolved.bodies.values(), each["install_offset"])
        each["instance"] = {
            "persistent_bytes": memory.persistent_bytes,
            "transient_bytes": memory.transient_bytes,
            "objects": memory.objects,
            "arrays_of_unknown_length": memory.unknown,
        }
    return applets


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def counted(count: int, noun: str) -> str:
    """Return a number with what it counts: `1 class`, `2 classes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('s') else 's'}"


def info_lines(summary: dict[str, Any]) -> list[str]:
    """Return the summary as lines for people."""
    package = summary["package"]
    lines = [
        f"package     {package['name'] or '(name unknown)'} {package['version']}, AID {package['aid']}",
        f"format      CAP {summary['format']}, {'with' if summary['int'] else 'without'} int",
        f"Java Card   {summary['java_card'] + ' or newer' if summary['java_card'] else 'newer than 3.2.0'}",
        (
            f"contains    {counted(summary['classes'], 'class')}, {counted(summary['interfaces'], 'interface')}, "
            f"{summary['exports']} exported"
        ),
    ]
    for applet in summary["applets"]:
        lines.append(f"applet      {applet['aid']}  {applet.get('class') or ''}".rstrip())
        if instance := applet["instance"]:
            unknown = instance["arrays_of_unknown_length"]
            lines.append(
                f"            an instance takes some {instance['persistent_bytes']} bytes, "
                f"{instance['transient_bytes']} transient, in {counted(instance['objects'], 'object')}"
                + (f"; {counted(unknown, 'array')} of unknown length" if unknown else "")
            )
    lines += [
        f"import      {entry['name'] or '(unknown)'} {entry['version']}, AID {entry['aid']}"
        for entry in summary["imports"]
    ]
    lines.append(
        f"load size   {summary['load_bytes']} bytes, {summary['load_bytes_with_descriptor']} with Descriptor; "
        f"static fields {summary['static_bytes']} bytes"
    )
    lines += [f"            {name:<18} {size:>6}" for name, size in summary["components"].items()]
    return lines
