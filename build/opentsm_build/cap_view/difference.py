"""What differs between two CAP files: what they are, the sizes of components, members, and code.

Code is compared by what it does and refers to, not by offsets and indices: so the same source converted twice, with the
constant pool in another order, shows no difference.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final

from opentsm_build.cap_view.info import describe
from opentsm_build.cap_view.listing import class_list, code_lines

if TYPE_CHECKING:
    from opentsm_build.cap_view.package import Resolved

__all__ = ["compare"]

_INDEX: Final = re.compile(r" #\d+")
_METHOD_PLACE: Final = re.compile(r"\bmethod at 0x[0-9a-f]{4,}")
_CLASS: Final = re.compile(r"(class|interface) 0x[0-9a-f]{4}")
# Facts of the summary that are compared one by one.
_FACTS: Final = (
    "package", "format", "int", "java_card", "applets", "imports", "classes", "interfaces", "exports", "static_bytes",
)  # fmt: skip


def compare(one: Resolved, other: Resolved) -> dict[str, Any]:
    """Compare two resolved CAP files.

    Returns:
        `same`: the components are the same, byte for byte; `alike`: what they do is; `facts`, `components`: what
        differs, as (one, other); `lines`: a unified diff of members and code.
    """
    first, second = _summary(one), _summary(other)
    facts = {key: [first[key], second[key]] for key in _FACTS if first[key] != second[key]}
    names = [*first["components"], *(name for name in second["components"] if name not in first["components"])]
    sizes = {name: [first["components"].get(name), second["components"].get(name)] for name in names}
    lines = list(difflib.unified_diff(_text(one), _text(other), "one", "other", lineterm="", n=2))
    return {
        "same": one.cap.components == other.cap.components and one.cap.custom_components == other.cap.custom_components,
        "alike": not facts and not lines,
        "facts": facts,
        "components": {name: pair for name, pair in sizes.items() if pair[0] != pair[1]},
        "load_bytes": [first["load_bytes"], second["load_bytes"]],
        "lines": lines,
    }


def _summary(resolved: Resolved) -> dict[str, Any]:
    """Return the summary with what is compared as text."""
    summary = describe(resolved.cap)
    package = summary["package"]
    return summary | {
        "package": f"{package['name']} {package['version']} {package['aid']}",
        "applets": [each["aid"] for each in summary["applets"]],
        "imports": [f"{each['name'] or each['aid']} {each['version']}" for each in summary["imports"]],
    }


def _text(resolved: Resolved) -> list[str]:
    """Return all members and code, with classes numbered instead of placed, and methods without their places."""
    numbers = {each.node.offset: number for number, each in enumerate(sorted(resolved.world.classes, key=_offset), 1)}

    def number(match: re.Match[str]) -> str:
        return f"{match[1]} {numbers.get(int(match[0].rpartition(' ')[2], 16), '?')}"

    lines = []
    for each, listed in zip(resolved.world.classes, class_list(resolved), strict=True):
        lines.append(f"{' '.join(listed['flags'])} {listed['kind']} {each.node.name} extends {listed['superclass']}")
        lines += [f"  {' '.join(field['flags'])} {field['type']}" for field in listed["fields"]]
        for method in each.methods:
            body = resolved.bodies.get(method.offset or 0)
            if body is not None:
                lines += [f"  {line}" for line in code_lines(resolved, body, positions=False)]
    return [_CLASS.sub(number, _METHOD_PLACE.sub("method", _INDEX.sub("", line))) for line in lines]


def _offset(each: Any) -> int:  # noqa: ANN401 - a declared class
    return each.node.offset or 0
