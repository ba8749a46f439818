"""Packages of the corpus behind APDUs: an applet that calls their methods, and the original classes in plain jCardSim.

A driver is a class of the package itself, in a copy of it, so that it reaches what the package does not export.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

import jpype

from opentsm_build import artifacts, compiler, java
from opentsm_build.convert.universe import parse_method_descriptor
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

    from opentsm_build.classfile import ClassFile

__all__ = ["Driver", "PlainCard", "driver_project", "methods_of"]

CLA: Final = 0x80
ARRAY_LENGTH: Final = 5
_WIDTHS: Final = {"Z": 1, "B": 1, "S": 2, "I": 4}
_JAVA: Final = {"Z": "boolean", "B": "byte", "S": "short", "I": "int", "V": "void"}
_INTERESTING: Final = (0, 1, -1, 2, 3, 7, 8, 15, 16, 31, 127, -128, 128, 255, 256, 0x7FFF, -0x8000, 0x1234, -300)
# What the corpus asks of GlobalPlatform's API, which jCardSim has not: the card's life cycle state, SECURED.
_GP_SYSTEM: Final = """package org.globalplatform;
public final class GPSystem { public static byte getCardState() { return 0x0F; } }
"""

Call = tuple[str, str, str]


def methods_of(files: Sequence[ClassFile]) -> list[Call]:
    """Return class, name and descriptor of every static method of numbers and arrays that a driver can call."""
    return [
        (cls.name, method.name, method.descriptor)
        for cls in files
        for method in cls.methods
        if method.access & 0x0008
        and not method.access & 0x1002  # neither private nor synthetic
        and "L" not in method.descriptor
        and "[" not in method.descriptor.partition(")")[2]
        and method.name not in {"install", "<clinit>"}
    ]


def _take(kind: str) -> str:
    if kind == "Z":
        return "(buffer[at++] & 1) != 0"
    if kind == "B":
        return "buffer[at++]"
    return f"take{kind}(buffer)"


def _body(number: int, call: Call) -> str:
    cls, name, descriptor = call
    kinds, result = parse_method_descriptor(descriptor)
    lines = [f"case {number}: {{"]
    for index, kind in enumerate(kinds):
        if kind[0] != "[":
            lines.append(f"{_JAVA[kind]} v{index} = {_take(kind)};")
            continue
        element = kind[1]
        lines.append(f"{_JAVA[element]}[] v{index} = new {_JAVA[element]}[{ARRAY_LENGTH}];")
        lines.append(f"for (short i = 0; i < {ARRAY_LENGTH}; i++) v{index}[i] = {_take(element)};")
    called = f"{cls.rpartition('/')[2].replace('$', '.')}.{name}({', '.join(f'v{i}' for i in range(len(kinds)))})"
    lines.append("at = 0;")
    lines.append(f"{called};" if result == "V" else f"{_JAVA[result]} result = {called};")
    if result != "V":
        lines.append(_give(result, "result"))
    lines += [
        f"for (short i = 0; i < {ARRAY_LENGTH}; i++) {_give(kind[1], f'v{index}[i]')}"
        for index, kind in enumerate(kinds)
        if kind[0] == "["
    ]
    return "\n".join([*lines, "return;", "}"])


def _give(kind: str, value: str) -> str:
    if kind == "Z":
        return f"buffer[at++] = (byte) ({value} ? 1 : 0);"
    if kind == "B":
        return f"buffer[at++] = {value};"
    return f"give{kind}(buffer, {value});"


def driver_source(package: str, calls: Sequence[Call], *, ints: bool) -> str:
    """Return the source of a class `Driver`: INS is the number of the method, the data are its arguments.

    The answer is the result and what became of the arrays. What is thrown is told by the status word: 6Fxx by its
    class, or the reason of an exception that has one.
    """
    of_ints = """
    private int takeI(byte[] buffer) { at += 4; int value = buffer[(short) (at - 4)];
        for (short i = 3; i > 0; i--) value = value << 8 | buffer[(short) (at - i)] & 0xFF; return value; }
    private void giveI(byte[] buffer, int value) { giveS(buffer, (short) (value >> 16)); giveS(buffer, (short) value); }
"""
    return f"""package {package};
import javacard.framework.*;
public class Driver extends Applet {{
    private short at;
    public static void install(byte[] parameters, short offset, byte length) {{ new Driver().register(); }}
    public void process(APDU apdu) {{
        if (selectingApplet()) return;
        byte[] buffer = apdu.getBuffer();
        apdu.setIncomingAndReceive();
        at = ISO7816.OFFSET_CDATA;
        try {{
            run(buffer);
        }} catch (ArithmeticException e) {{ ISOException.throwIt((short) 0x6F01);
        }} catch (ArrayIndexOutOfBoundsException e) {{ ISOException.throwIt((short) 0x6F02);
        }} catch (NegativeArraySizeException e) {{ ISOException.throwIt((short) 0x6F03);
        }} catch (ClassCastException e) {{ ISOException.throwIt((short) 0x6F04);
        }} catch (NullPointerException e) {{ ISOException.throwIt((short) 0x6F05);
        }} catch (ArrayStoreException e) {{ ISOException.throwIt((short) 0x6F06);
        }} catch (CardRuntimeException e) {{ ISOException.throwIt((short) (0x6800 | e.getReason() & 0x07FF));
        }} catch (CardException e) {{ ISOException.throwIt((short) (0x6400 | e.getReason() & 0x00FF));
        }} catch (Exception e) {{ ISOException.throwIt((short) 0x6F07); }}
        apdu.setOutgoingAndSend((short) 0, at);
    }}
    private short takeS(byte[] buffer) {{ at += 2; return Util.getShort(buffer, (short) (at - 2)); }}
    private void giveS(byte[] buffer, short value) {{ at = Util.setShort(buffer, at, value); }}
    {of_ints if ints else ""}
    private void run(byte[] buffer) throws Exception {{
        if (buffer[ISO7816.OFFSET_CLA] == 0x11) throw new CardException((short) 1);
        switch (buffer[ISO7816.OFFSET_INS]) {{
{chr(10).join(_body(number, call) for number, call in enumerate(calls))}
            default: ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }}
    }}
}}
"""


class Driver:
    """A package with an applet that calls its methods.

    Args:
        package: Java name of the package.
        calls: its methods, by their numbers.
        aid: of the applet.
    """

    def __init__(self, package: str, calls: Sequence[Call], aid: Aid) -> None:
        self.package, self.calls, self.aid = package, calls, aid

    def random_command(self, rng: random.Random) -> CommandApdu:
        """Make a call of a random method on random arguments; now and then of one that there is not."""
        number = rng.randrange(len(self.calls) + 1)
        if number == len(self.calls):
            return CommandApdu(CLA, 0x70 + rng.randrange(8), 0, 0, rng.randbytes(4), 256)
        kinds, _ = parse_method_descriptor(self.calls[number][2])
        data = b"".join(_number(rng, kind[-1]) for kind in kinds for _ in range(ARRAY_LENGTH if kind[0] == "[" else 1))
        return CommandApdu(CLA, number, 0, 0, data or b"\x00", 256)


def _number(rng: random.Random, kind: str) -> bytes:
    width = _WIDTHS[kind]
    value = rng.choice(_INTERESTING) if rng.random() < 0.6 else rng.getrandbits(32)
    return (value & (1 << 8 * width) - 1).to_bytes(width, "big")


def driver_project(package: Path, folder: Path, calls: Sequence[Call]) -> Driver:
    """Copy a package of the corpus to a folder and add the driver to it; return what drives it.

    Args:
        package: folder of the package.
        folder: where the copy goes; it is not there yet.
        calls: what the driver calls.
    """
    shutil.copytree(package, folder, ignore=shutil.ignore_patterns("build"))
    text = (folder / "applet.toml").read_text()
    name = f"corpus.{package.name}"
    aid = Aid.from_text(next(line for line in text.splitlines() if line.startswith("aid")).split('"')[1])
    applet = Aid(bytes(aid) + b"\xd0")
    (folder / "applet.toml").write_text(
        f'{text}\n[[applets]]\nclass = "Driver"\naid = "{bytes(applet).hex().upper()}"\n'
    )
    source = driver_source(name, calls, ints="int = true" in text)
    (folder / "src" / "corpus" / package.name / "Driver.java").write_text(source)
    return Driver(name, calls, applet)


class PlainCard:
    """Original classes in jCardSim as it is published: its own simulator, nothing of ours.

    Args:
        classes: folders of class files.
    """

    def __init__(self, classes: Sequence[Path], tmp_path: Path) -> None:
        jar = artifacts.resolve(artifacts.JCARDSIM)
        source = tmp_path / "gp" / "org" / "globalplatform" / "GPSystem.java"
        source.parent.mkdir(parents=True)
        source.write_text(_GP_SYSTEM)
        self._loader = java.class_loader([*classes, compiler.compile_sources([tmp_path / "gp"], [jar]), jar])
        self._simulator: Any = jpype.JClass("com.licel.jcardsim.base.Simulator", loader=self._loader)()
        self._aid: Any = jpype.JClass("javacard.framework.AID", loader=self._loader)

    def _made(self, aid: Aid) -> Any:
        return self._aid(jpype.JArray(jpype.JByte)(bytes(aid)), 0, len(aid))

    def install(self, class_name: str, aid: Aid) -> None:
        """Install an applet, with the install parameters that GlobalPlatform brings: AID, privileges, nothing."""
        cls = jpype.JClass("java.lang.Class").forName(class_name, True, self._loader)
        parameters = bytes((len(aid),)) + bytes(aid) + b"\x01\x00\x00"
        array = jpype.JArray(jpype.JByte)(parameters)
        self._simulator.installApplet(self._made(aid), cls, array, 0, jpype.JByte(len(parameters)))

    def transmit(self, command: bytes) -> bytes:
        return bytes(self._simulator.transmitCommand(jpype.JArray(jpype.JByte)(command)))

    def reset(self) -> None:
        self._simulator.reset()
