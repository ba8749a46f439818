"""Class files: what the reader takes, and what it says of those that are broken; code of old compilers."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from card_twin import Twins, compile_classes, convert_classes
from opentsm_build.classfile import parse_class
from opentsm_build.classfile.access_tables import Acc
from opentsm_build.classfile.bytecode import Switch, decode
from opentsm_build.classfile.constants import ConstantPool
from opentsm_build.classfile.writer import StubField, StubMethod, write_class
from opentsm_card.errors import CapError

CORPUS = Path(__file__).parents[1] / "corpus"


@pytest.fixture(scope="module")
def attempts() -> bytes:
    folder, _ = compile_classes(CORPUS / "attempts" / "src")
    return (folder / "corpus" / "attempts" / "Attempts.class").read_bytes()


def test_a_class_is_read_with_its_code_lines_and_variables(attempts: bytes) -> None:
    cls = parse_class(attempts)
    assert (cls.name, cls.super_name, cls.source_file) == (
        "corpus/attempts/Attempts",
        "java/lang/Object",
        "Attempts.java",
    )
    method = next(each for each in cls.methods if each.name == "caught")
    assert method.code is not None
    assert [handler.catch_type for handler in method.code.handlers][:2] == [
        "corpus/attempts/Checked",
        "javacard/framework/UserException",
    ]
    assert {variable.name for variable in method.code.variables} == {"which", "e"}
    risky = next(each for each in cls.methods if each.name == "risky")
    assert risky.exceptions == ("javacard/framework/UserException",)
    assert risky.code is not None
    source = (CORPUS / "attempts" / "src" / "corpus" / "attempts" / "Attempts.java").read_text().splitlines()
    assert "trace = (short) (trace * 3 + which)" in source[(risky.code.line_at(0) or 0) - 1]


def test_a_class_cut_anywhere_is_refused(attempts: bytes) -> None:
    for length in range(len(attempts)):
        with pytest.raises(CapError):
            parse_class(attempts[:length])
    with pytest.raises(CapError, match="1 bytes left over"):
        parse_class(attempts + b"\0")


@pytest.mark.parametrize("major", [45, 49, 52])
def test_class_files_up_to_java_8_are_read(attempts: bytes, major: int) -> None:
    assert parse_class(attempts[:6] + bytes((0, major)) + attempts[8:]).version == (major, 0)


@pytest.mark.parametrize("major", [44, 53, 69])
def test_other_versions_are_refused(attempts: bytes, major: int) -> None:
    with pytest.raises(CapError, match=rf"version {major}; 45 to 52 \(Java 8\) are read"):
        parse_class(attempts[:6] + bytes((0, major)) + attempts[8:])


def test_what_is_no_class_file_is_told() -> None:
    with pytest.raises(CapError, match="magic 504B0304"):
        parse_class(b"PK\x03\x04" + bytes(40))
    with pytest.raises(CapError, match="at most"):
        parse_class(bytes(2 << 20))


def test_stubs_are_class_files() -> None:
    stub = write_class(
        "a/B",
        "java/lang/Object",
        access=Acc.PUBLIC,
        fields=(StubField(Acc.PUBLIC | Acc.STATIC | Acc.FINAL, "SW", "S", -0x7000),),
        methods=(StubMethod(Acc.PUBLIC, "f", "()V", ("a/E",)),),
    )
    cls = parse_class(stub)
    assert (cls.fields[0].constant, cls.methods[0].exceptions) == (-0x7000, ("a/E",))


def test_every_branch_leads_to_an_instruction() -> None:
    pool = ConstantPool([None])
    # goto_w and lookupswitch, the latter with its padding.
    code = b"\xc8\0\0\0\5\x1a\xab\0" + struct.pack(">iiii", 18, 1, 7, 18) + b"\xb1"
    instructions = decode(code, pool)
    assert [each.name for each in instructions] == ["goto", "iload", "switch", "return"]
    assert isinstance(instructions[2].arg, Switch)
    assert (instructions[2].arg.default, instructions[2].arg.keys, instructions[2].arg.targets) == (24, (7,), (24,))
    with pytest.raises(CapError, match="a branch to 2, which is no instruction"):
        decode(b"\xa7\0\2", pool)
    with pytest.raises(CapError, match="0xcb is no instruction"):
        decode(b"\xcb", pool)


def old_class(code: bytes, max_locals: int) -> bytes:
    """Return a class file of version 49 with `public static short f(short)`."""
    texts = [b"old/F", b"java/lang/Object", b"f", b"(S)S", b"Code"]
    pool = b"".join(b"\x01" + struct.pack(">H", len(text)) + text for text in texts)
    pool += b"\x07\0\x01\x07\0\x02"
    body = struct.pack(">HHI", 2, max_locals, len(code)) + code + bytes(4)
    method = struct.pack(">HHHHHI", Acc.PUBLIC | Acc.STATIC, 3, 4, 1, 5, len(body)) + body
    head = struct.pack(">IHHH", 0xCAFEBABE, 0, 49, 8) + pool
    return head + struct.pack(">HHHHHH", Acc.PUBLIC | 0x20, 6, 7, 0, 0, 1) + method + bytes(2)


def test_subroutines_of_old_compilers_are_converted(tmp_path: Path) -> None:
    # s = 3; jsr L; jsr L; return s; L: s += argument; ret
    code = bytes.fromhex("06 3C A8 0009 A8 0006 1B 93 AC 4D 1B 1A 60 93 3C A9 02".replace(" ", ""))
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "F.class").write_bytes(old_class(code, 3))
    cls = parse_class((folder / "F.class").read_bytes())
    conversion = convert_classes([cls])
    assert "jsr" in conversion.write_listing()
    pair = Twins(tmp_path, [cls], conversion)
    for argument in (0, 1, -7, 0x7FFF, -0x8000):
        card = pair.card("old/F", "f", "(S)S", [argument])
        assert card == pair.jvm("old/F", "f", "(S)S", [argument])
        assert card.result == (3 + 2 * argument + 0x8000) % 0x10000 - 0x8000


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("93AC", "used that is not there"),
        ("1A", "runs off its end"),
        ("2AAC", "local 0 is read, but holds no such value"),
        ("03A7FFFF", "no instruction|depth differs"),
        ("1A9900041AAC", "no instruction|depth differs|runs off"),
        ("14000000AC", "not what belongs there"),
    ],
)
def test_code_that_can_not_be_run_is_refused(code: str, message: str) -> None:
    with pytest.raises(CapError, match=message):
        convert_classes([parse_class(old_class(bytes.fromhex(code), 3))])
