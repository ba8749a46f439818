"""What the commonest mistakes are answered with: messages that name file and line, and say what to do.

The messages are in `tests/vectors/build-mistakes.txt`, as they are. `OPENTSM_WRITE=1` writes them anew, to be read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from opentsm_build.build import build_project
from opentsm_card.errors import OpenTsmError

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN: Final = Path(__file__).parents[1] / "vectors" / "build-mistakes.txt"

PROJECT: Final = """\
package = "a.b"
aid = "F000000001"

[[applets]]
class = "Wallet"
aid = "F00000000101"
"""
LIBRARY: Final = 'package = "a.b"\naid = "F000000001"\n'
WALLET: Final = """\
package a.b;

import javacard.framework.*;

public class Wallet extends Applet {
    private short balance;
    private byte[] data = new byte[8];
    //FIELDS
    public static void install(byte[] parameters, short offset, byte length) {
        new Wallet().register();
    }

    public void process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        //BODY
    }
    //MEMBERS
}
"""


def body(text: str) -> tuple[str, str]:
    return PROJECT, WALLET.replace("//BODY", text)


def members(text: str) -> tuple[str, str]:
    return PROJECT, WALLET.replace("//MEMBERS", text)


def fields(text: str) -> tuple[str, str]:
    return PROJECT, WALLET.replace("//FIELDS", text)


def project(old: str, new: str) -> tuple[str, str]:
    return PROJECT.replace(old, new), WALLET


# name: project file and source
MISTAKES: Final[dict[str, tuple[str, str]]] = {
    "int variable": body("for (int i = 0; i < 8; i++) { data[(short) i] = 0; }"),
    "missing cast, comparison": body("if (balance + 1 > buffer[0]) { balance = 0; }"),
    "missing cast, division": body("balance = (short) ((balance + buffer[0] + buffer[1]) / 2 * 300 / 7);"),
    "missing cast, right shift": body("balance = (short) ((balance * 3) >> 1);"),
    "missing cast, array index": body("data[balance + 1] = 0;"),
    "missing cast, switch": body("switch (balance * 2) { case 4: balance = 0; }"),
    "missing cast, constant": body("if (balance == 0x9000) { balance = 0; }"),
    "missing cast, unsigned short": body("if ((balance & 0xFFFF) > 40000) { balance = 0; }"),
    "long": body("long total = balance; balance = (short) total;"),
    "float parameter": members("private short rate(float f) { return 0; }"),
    "char": fields("private char letter;"),
    "String": body('Object text = "hello"; data = (byte[]) text;'),
    "array of arrays": fields("private byte[][] table;"),
    "enum": members("enum Color { RED }"),
    "lambda": members("interface F { short f(); }\n    F get() { return () -> 1; }"),
    "synchronized method": members("synchronized void lock() { }"),
    "synchronized block": body("synchronized (this) { balance = 0; }"),
    "transient field": fields("private transient short cache;"),
    "native method": members("native void reset();"),
    "interface method with a body": members("interface G { default short g() { return 1; } }"),
    "static object": fields("private static Wallet only = new Wallet();"),
    "static array of objects": fields("private static final Object[] LIST = {null, null};"),
    "assert": body("assert balance > 0;"),
    "target without the method": body("Util.arrayFill(buffer, (short) 0, (short) 1, (byte) 0);"),
    "GlobalPlatform not imported": (
        PROJECT,
        WALLET.replace(
            "import javacard.framework.*;", "import javacard.framework.*;\nimport org.globalplatform.GPSystem;"
        ),
    ),
    "no install method": (PROJECT, WALLET.replace("static void install", "void setUp")),
    "install is not public": (PROJECT, WALLET.replace("public static void install", "static void install")),
    "no applet": (PROJECT, WALLET.replace("extends Applet", "").replace(".register()", "")),
    "abstract applet": (
        PROJECT,
        WALLET.replace("class Wallet", "abstract class Wallet").replace("new Wallet().register();", ""),
    ),
    "no such class": project('"Wallet"', '"Walet"'),
    "RID of another": project("F00000000101", "F10000000101"),
    "AID twice": project(
        'aid = "F00000000101"', 'aid = "F00000000101"\n[[applets]]\nclass = "Wallet"\naid = "F00000000101"'
    ),
    "package of another name": project('"a.b"', '"a.c"'),
    "no such target": project('aid = "F000000001"', 'aid = "F000000001"\ntarget = "3.0.9"'),
    "library with a static array": (
        LIBRARY,
        "package a.b;\n\npublic class Wallet {\n    static final byte[] TABLE = {1, 2};\n}\n",
    ),
    "interface with an array": members("interface Codes { byte[] ALL = {1, 2}; }"),
    "more public than what it overrides": members(
        "static class Base { short f() { return 1; } }\n"
        "    static class Heir extends Base { public short f() { return 2; } }\n"
        "    public boolean select() { return new Heir().f() > new Base().f(); }"
    ),
    "method too long": body("\n".join(["balance = (short) (balance * 3 + data[2] * 5 + buffer[3] * 7);"] * 2300)),
    "syntax": body("balance = ;"),
}


def answer(folder: Path, mistake: tuple[str, str]) -> str:
    source = folder / "src" / "a" / "b" / "Wallet.java"
    source.parent.mkdir(parents=True)
    source.write_text(mistake[1])
    (folder / "applet.toml").write_text(mistake[0])
    try:
        build_project(folder)
    except OpenTsmError as error:
        return str(error).replace(str(folder), "DIR")
    return "no error"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], dict[str, str]]:
    root = tmp_path_factory.mktemp("mistakes")
    return lambda: {name: answer(root / f"{at}", mistake) for at, (name, mistake) in enumerate(MISTAKES.items())}


def test_mistakes_are_answered_as_agreed(answers: Callable[[], dict[str, str]]) -> None:
    given = answers()
    text = "\n".join(f"## {name}\n{message}\n" for name, message in given.items())
    if os.environ.get("OPENTSM_WRITE"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
    for name, message in given.items():
        assert ".java:" in message or "applet.toml" in message, name
