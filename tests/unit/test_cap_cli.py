"""`opentsm cap`: what it prints and how it exits, on a package made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cap_craft import APPLET_AID, Code, craft
from opentsm_build.api import java_card
from opentsm_build.api.export_file import ExportFile
from opentsm_build.cap import ComponentTag, HeaderFlag
from opentsm_build.cap.debug import ClassDebugInfo, DebugComponent, FieldDebugInfo, LineInfo, MethodDebugInfo
from opentsm_build.cap.file import CapFile
from opentsm_build.cap_cli import cap
from opentsm_build.cap_view.listing import code_lines
from opentsm_build.cap_view.memory import of_instance
from opentsm_build.cap_view.package import resolve
from opentsm_card.errors import CapError
from verify_tables import RIGHT, WRONG


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cap, [str(argument) for argument in arguments])


def as_json(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    return json.loads(result.output)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "craft.cap"
    made.write_bytes(craft(RIGHT["finally"]).encode())
    return made


def test_info(path: Path) -> None:
    summary = as_json("info", path)
    assert summary["package"] == {"name": "craft", "aid": "F00000010203", "version": "1.0"}
    assert (summary["format"], summary["int"], summary["java_card"]) == ("2.1", True, "2.1.1")
    assert [each["name"] for each in summary["imports"]] == ["javacard.framework", "java.lang"]
    assert (summary["classes"], summary["interfaces"], summary["exports"]) == (2, 1, 0)
    assert summary["load_bytes"] == len(craft(RIGHT["finally"]).load_file_data_block())
    assert summary["static_bytes"] == 4 + 2
    # the applet's own fields: two references and a short
    assert summary["applets"][0]["instance"]["persistent_bytes"] == 6
    text = run("info", path).output
    assert f"applet      {APPLET_AID}  class 0x0011" in text
    assert "Java Card   2.1.1 or newer" in text


def test_list_and_dump(path: Path) -> None:
    classes = as_json("list", path)["classes"]
    assert [each["kind"] for each in classes] == ["interface", "class", "class"]
    assert classes[2]["superclass"] == "javacard/framework/Applet"
    process = next(each for each in classes[2]["methods"] if each["token"] == 7)
    assert (process["name"], process["signature"]) == ("process", "(APDU) void")  # named after what it overrides
    methods = as_json("dump", path)["methods"]
    install = next(each for each in methods if each["signature"] == "(byte[], short, byte) void")
    assert [each["op"] for each in install["code"]] == ["new", "invokespecial", "return"]
    assert "process(APDU) void" in run("list", path).output
    text = run("dump", path).output
    assert "javacard/framework/APDU.getBuffer() byte[]" in text
    assert "catch all" in text


def test_methods_that_have_no_token_are_told_apart() -> None:
    shipped = Path(__file__).parents[2] / "simulator" / "opentsm_simulator" / "caps" / "ppse.cap"
    lines = run("dump", shipped).output.splitlines()
    methods = [line.partition("  ")[0] for line in lines if line.startswith("class")]
    assert any(".method at 0x" in line for line in methods)
    assert len(set(methods)) == len(methods)


def test_diff(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.cap"
    other.write_bytes(path.read_bytes())
    same = run("diff", path, other)
    assert (same.exit_code, same.output) == (0, "The components are the same.\n")
    other.write_bytes(craft(Code("sload_0; sconst_2; sadd; sreturn", "SS")).encode())
    different = run("diff", path, other)
    assert different.exit_code == 1
    assert "+        sadd" in different.output
    compared = as_json("diff", path, other)
    assert not compared["alike"]
    assert "Method" in compared["components"]


def test_diff_does_not_mind_where_things_are(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.cap"
    # one more exception handler in another method moves everything, and changes what that method says only
    other.write_bytes(craft(RIGHT["finally"], take=Code("nop; sconst_0; sreturn", "bS", access=1, token=1)).encode())
    lines = as_json("diff", path, other)["lines"]
    assert [line for line in lines if line[0] in "+-" and line[1] not in "+-"] == ["+        nop"]


def test_verify(path: Path, tmp_path: Path) -> None:
    result = run("verify", path)
    assert result.exit_code == 0
    assert result.output.endswith("verified, 3 classes, 6 methods, 29 instructions\n")
    wrong = tmp_path / "wrong.cap"
    wrong.write_bytes(craft(WRONG["underflow"][0]).encode())
    result = run("verify", path, wrong)
    assert result.exit_code == 4
    assert "Method component, offset 0x" in result.output
    assert "pc 0: the stack is empty" in result.output
    files = as_json("verify", path, wrong)["files"]
    assert [each["verified"] for each in files] == [True, False]
    assert (files[1]["component"], files[1]["pc"], files[1]["rule"]) == ("Method", 0, "the stack is empty")


def test_what_is_no_cap_file_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "none.cap"
    path.write_bytes(b"PK nothing")
    for command in ("info", "list", "dump"):
        error = run(command, path).exception
        assert isinstance(error, CapError)
        assert str(error).startswith(f"{path}: not a readable ZIP archive")


def test_export_files_are_read_from_folders(path: Path, tmp_path: Path) -> None:
    (tmp_path / "exp").mkdir()
    small = ExportFile.of(java_card()["java/lang"], library=True).encode()
    (tmp_path / "exp" / "a.exp").write_bytes(small)
    assert run("verify", path, "--exp", tmp_path / "exp").exit_code == 0
    (tmp_path / "exp" / "a.exp").write_bytes(small[:-1])
    error = run("verify", path, "--exp", tmp_path / "exp").exception
    assert isinstance(error, CapError)
    assert "a.exp" in str(error)


def with_debug() -> CapFile:
    """Return the package in CAP format 2.2 with the names of a class, a field and a method, and two lines."""
    strings = (
        b"craft",
        b"craft/Reader",
        b"javacard/framework/Applet",
        b"Reader.java",
        b"probe",
        b"()V",
        b"data",
        b"[B",
    )
    resolved = resolve(craft(Code("nop; return")))
    probe = next(body for body in resolved.bodies.values() if body.info.bytecodes == b"\x00\x7a")
    method = MethodDebugInfo(4, 5, 10, probe.method.offset or 0, 2, 2, (), (LineInfo(0, 0, 41), LineInfo(1, 1, 42)))
    field = FieldDebugInfo(6, 7, 2, b"\0\0\0\1")
    location = resolved.world.classes[2].descriptor.this_class_ref
    debug = DebugComponent(strings, 0, (ClassDebugInfo(1, 1, location, 2, 3, (), (field,), (method,)),))
    assert DebugComponent.parse(debug.encode()) == debug
    return CapFile({**resolved.cap.components, ComponentTag.DEBUG: debug.encode()})


def test_names_of_the_debug_component_are_shown() -> None:
    resolved = resolve(with_debug())
    assert resolved.world.classes[2].node.name == "craft/Reader"
    probe = next(body for body in resolved.bodies.values() if body.info.bytecodes == b"\x00\x7a")
    lines = code_lines(resolved, probe)
    assert lines[0].startswith("craft/Reader.probe() void")
    assert [line.strip() for line in lines if "//" in line] == ["// line 41", "// line 42"]
    assert str(resolved.world.classes[2].fields[1]) == "craft/Reader.data"


def test_memory_of_an_instance_follows_what_install_runs() -> None:
    init = Code(
        "aload_0; invokespecial framework.Applet.<init>; bspush 100; newarray 11; pop; sconst_3; newarray 12; pop;"
        "sconst_2; anewarray Object; pop; new Base; dup; invokespecial Base.<init>; pop; invokestatic probe; return",
        access=0x82,
    )
    cap_file = craft(
        Code("sspush 1000; newarray 11; pop; sconst_0; sstore_0; sload_0; newarray 11; pop; return"), init=init
    )
    resolved = resolve(cap_file)
    memory = of_instance(resolved.bodies.values(), cap_file.applets[0].install_method_offset)
    # Applet 6, Base 4, and arrays of 100 bytes, 3 shorts, 2 references, 1000 bytes
    assert memory.persistent_bytes == 6 + 4 + 100 + 6 + 4 + 1000
    assert (memory.objects, memory.unknown) == (7, 1)


def test_a_flag_that_lies_is_found(tmp_path: Path) -> None:
    good = craft()
    header = good.header
    flags = header.flags & ~HeaderFlag.APPLET
    lying = type(header)(header.format_version, flags, header.package)
    path = tmp_path / "lying.cap"
    path.write_bytes(CapFile({**good.components, ComponentTag.HEADER: lying.encode()}).encode())
    assert as_json("verify", path)["files"][0]["rule"].startswith("flag ACC_APPLET is not set")
