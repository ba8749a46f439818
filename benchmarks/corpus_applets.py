"""Applets that call what packages of the corpus do: generated, so that the corpus itself is what is timed.

An applet is put into the package beside its classes. For each command it calls every public static method of them that
takes and gives numbers, with other arguments in each round, and answers with what came out.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentsm_build.build import convert_project
from opentsm_build.classfile import parse_class
from opentsm_build.classfile.access_tables import Acc
from opentsm_build.project import Project

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

__all__ = ["PACKAGES", "driver", "large"]

CORPUS: Final = Path(__file__).resolve().parent.parent / "tests" / "corpus"

# By package, methods that are left out for they make objects: where nothing collects garbage, no applet does that again
# and again. All methods of packages that are not here make some.
PACKAGES: Final[dict[str, Container[str]]] = {
    "compound": {"fields", "chained"},
    "conditionals": (),
    "ints": {"objects"},
    "statics": {"fresh"},
    "switches": (),
    "wide": (),
}
ROUNDS: Final = 2000

# What a large package is made of.
_LARGE: Final = ("compound", "conditionals", "nested", "switches", "wide")

_CASTS: Final = {
    "B": "(byte) (i * {0} - 7)",
    "S": "(short) (i * {0} - 300)",
    "I": "i * {0} - 70000",
    "Z": "(i & {1}) == 0",
}
_ARRAYS: Final = {"[B": ("byte[]", "bytes"), "[S": ("short[]", "shorts"), "[I": ("int[]", "ints")}
_PARAMETER: Final = re.compile(r"\[?[BSIZ]")

_APPLET: Final = """\
package {package};

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.JCSystem;
import javacard.framework.Shareable;
import javacard.framework.Util;

/** Calls what the package does. */
public final class Driver extends Applet {{
    private final byte[] bytes = new byte[5];
    private final short[] shorts = new short[5];
{fields}    private Shareable neighbour;
    private short total;

    public static void install(byte[] array, short offset, byte length) {{
        new Driver().register();
    }}

    public void process(APDU apdu) {{
        if (selectingApplet()) {{
            return;
        }}
        byte[] buffer = apdu.getBuffer();
        if (buffer[1] == 0x7F) {{
            apdu.setIncomingAndReceive();
            neighbour = JCSystem.getAppletShareableInterfaceObject(
                    JCSystem.lookupAID(buffer, (short) 5, buffer[4]), (byte) 0);
            return;
        }}
        for (short i = 0; i < {rounds}; i++) {{
            bytes[0] = (byte) i;
            shorts[0] = i;
            try {{
                round(i);
            }} catch (RuntimeException thrown) {{
                total += 3;
            }}
        }}
        Util.setShort(buffer, (short) 0, total);
        apdu.setOutgoingAndSend((short) 0, (short) 2);
    }}

    private void round(short i) {{
{calls}
    }}
}}
"""


def _argument(kind: str, number: int) -> str:
    if kind in _ARRAYS:
        return _ARRAYS[kind][1]
    return _CASTS[kind].format(2 * number + 1, 1 << number)


def _call(cls: str, name: str, descriptor: str) -> str:
    kinds = _PARAMETER.findall(descriptor.partition(")")[0])
    arguments = ", ".join(_argument(kind, number) for number, kind in enumerate(kinds))
    call = f"{cls}.{name}({arguments})"
    match descriptor[-1]:
        case "Z":
            return f"        total += (short) ({call} ? 1 : 0);"
        case "I":
            return f"        total ^= (short) {call};"
        case _:
            return f"        total += {call};"


def _calls(name: str, left_out: Container[str]) -> list[str]:
    _, classes = convert_project(Project.load(CORPUS / name))
    return [
        _call(cls.name.rpartition("/")[2], method.name, method.descriptor)
        for cls in (parse_class(path.read_bytes(), path.name) for path in sorted(classes.rglob("*.class")))
        for method in cls.methods
        if method.access & Acc.PUBLIC and method.is_static and method.descriptor[-1] in "BSIZ"
        and method.name not in left_out and cls.access & Acc.PUBLIC and "L" not in method.descriptor
    ]  # fmt: skip


def _write(folder: Path, package: str, head: str, module: str, calls: Sequence[str], *, allow_int: bool) -> None:
    fields = "    private final int[] ints = new int[5];\n" if allow_int else ""
    text = _APPLET.format(package=package, fields=fields, rounds=ROUNDS, calls="\n".join(calls))
    (folder / "src" / Path(*package.split(".")) / "Driver.java").write_text(text, encoding="utf-8")
    applet = f'{head}\n[[applets]]\naid = "{module}"\nclass = "Driver"\n'
    (folder / "applet.toml").write_text(applet, encoding="utf-8")


def driver(name: str, folder: Path) -> Path:
    """Write the project of a package of the corpus with an applet that calls it.

    Args:
        name: of the package.
        folder: where it goes; made anew.

    Returns:
        The project's folder.
    """
    project = Project.load(CORPUS / name)
    shutil.copytree(CORPUS / name, folder)
    head = (folder / "applet.toml").read_text(encoding="utf-8").partition("[[applets]]")[0]
    module = bytes(project.aid).hex().upper() + "DD"
    _write(folder, project.package, head, module, _calls(name, PACKAGES[name]), allow_int=project.allow_int)
    return folder


def large(folder: Path, copies: int, name: bytes = b"") -> Path:
    """Write the project of one package with copies of classes of the corpus, each called.

    Args:
        folder: where it goes; made anew.
        copies: of each class.
        name: what its AID ends with.

    Returns:
        The project's folder.
    """
    package = folder / "src" / "corpus" / "large"
    package.mkdir(parents=True)
    calls = []
    for of_corpus in _LARGE:
        (path,) = (CORPUS / of_corpus).rglob("*.java")
        cls = re.compile(rf"\b{path.stem}\b")
        text = path.read_text(encoding="utf-8").replace(f"package corpus.{of_corpus};", "package corpus.large;")
        found = _calls(of_corpus, ())
        for copy in range(copies):
            (package / f"{path.stem}{copy}.java").write_text(cls.sub(f"{path.stem}{copy}", text), encoding="utf-8")
            calls += [cls.sub(f"{path.stem}{copy}", call) for call in found]
    aid = f"F000006F2F{name.hex().upper()}"
    head = f'package = "corpus.large"\naid = "{aid}"\n'
    _write(folder, "corpus.large", head, f"{aid}DD", calls, allow_int=False)
    return folder
