"""Make what is committed but made of other files: the CAP files of `applets/`, and a token table.

The table is that of the virtual SE's own package `opentsm.open`, which security domains import.

`python -m opentsm_tools.caps` makes them anew; a test compares. The same sources give the same bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentsm_build import api
from opentsm_build.build import convert_project
from opentsm_build.classfile import parse_class
from opentsm_build.convert.exports import exported_package
from opentsm_build.convert.package import Package
from opentsm_build.convert.tokens import Tokens
from opentsm_build.convert.universe import Universe
from opentsm_build.project import Project
from opentsm_card.aid import Aid
from opentsm_simulator.runtime import runtime_classes

if TYPE_CHECKING:
    from opentsm_build.api import ApiPackage

__all__ = ["applet_files", "main", "open_table"]

_ROOT: Final = Path(__file__).resolve().parents[2]
_TABLE: Final = _ROOT / "build" / "opentsm_build" / "api" / "opentsm.json"
_CAPS: Final = _ROOT / "simulator" / "opentsm_simulator" / "caps"
_OPEN: Final = Package("opentsm/open", Aid.from_text("F06F70656E74736D00"), (1, 0))
# The API that applets see on a virtual SE.
_RELEASE: Final = "3.0.5"


def open_table() -> bytes:
    """Return the token table of `opentsm.open`, in the form of the other tables.

    Tokens follow the order of the sources: until the first release its version stays 1.0, and its users are built anew.
    """
    files = sorted((runtime_classes() / _OPEN.name).glob("*.class"))
    classes = [parse_class(path.read_bytes(), path.name) for path in files]
    own = {cls.name: cls for cls in classes}
    universe = Universe(own, api.java_card(_RELEASE))
    order = sorted(classes, key=lambda cls: cls.name)
    package = exported_package(_OPEN, universe, Tokens(universe, order, exports=True), order)
    name, (major, minor) = _OPEN.name, _OPEN.version
    entries = ",\n".join(f"{json.dumps(key)}:{_dump(entry)}" for key, entry in _classes(package).items())
    head = _dump({"aid": package.aid.hex(), "format": "2.1", "library": True, "version": f"{major}.{minor}"})
    return f'{{\n"{name}@{major}.{minor}":{head[:-1]},"classes":{{\n{entries}}}}}\n}}\n'.encode()


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _classes(package: ApiPackage) -> dict[str, dict[str, Any]]:
    return {
        cls.name.rpartition("/")[2]: {
            "fields": [[f.token, f.access, f.name, f.descriptor, f.constant] for f in cls.fields.values()],
            "flags": cls.access,
            "interfaces": cls.interfaces,
            "methods": [[m.token, m.access, m.name, m.descriptor] for m in cls.methods.values()],
            "supers": cls.supers,
            "token": cls.token,
        }
        for cls in package.classes.values()
    }


def applet_files() -> dict[str, bytes]:
    """Build the packages of `applets/`; return their CAP files by file name."""
    files = {}
    for path in sorted((_ROOT / "applets").glob("*/applet.toml")):
        conversion, _ = convert_project(Project.load(path.parent))
        files[f"{path.parent.name}.cap"] = conversion.cap.encode()
    return files


def main() -> None:
    """Write what has changed, and say what that is."""
    changed = []
    if (table := open_table()) != _TABLE.read_bytes():
        _TABLE.write_bytes(table)
        api.forget()
        changed.append(_TABLE)
    _CAPS.mkdir(exist_ok=True)
    files = applet_files()
    for path in sorted(_CAPS.glob("*.cap")):
        if path.name not in files:
            path.unlink()
            changed.append(path)
    for name, content in files.items():
        path = _CAPS / name
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)
            changed.append(path)
    for path in changed:
        sys.stdout.write(f"{path.relative_to(_ROOT)}\n")


if __name__ == "__main__":
    main()
