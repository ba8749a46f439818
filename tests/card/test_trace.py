"""What `opentsm se trace` tells: counts against another machine's, coverage of known programs, commands' effects."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import random
from collections import Counter, OrderedDict
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jpype
import pytest
from click.testing import CliRunner

from applet_project import AppletProject
from card_twin import Twins, random_arguments
from opentsm_build.build import build_project, convert_project
from opentsm_build.classfile import parse_class
from opentsm_build.convert.universe import parse_method_descriptor
from opentsm_build.project import Project
from opentsm_card.errors import ProtocolError
from opentsm_simulator.cli import se
from opentsm_simulator.power_script import ScriptRig
from opentsm_simulator.profile import load_profile
from opentsm_simulator.symbols import make_known
from opentsm_simulator.trace.html import page
from opentsm_simulator.trace.recorder import Row
from opentsm_simulator.trace.report import MethodReport, PackageReport, TraceReport
from translated_code import define

if TYPE_CHECKING:
    from opentsm_build.build import Built

CORPUS = Path(__file__).parents[1] / "corpus"
SELECT = "00A4040008F07ED7A9A7439501"
KINDS = {"B": jpype.JByte, "S": jpype.JShort, "Z": jpype.JByte, "I": jpype.JInt}


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests made known is not known here: their packages have the same code."""
    monkeypatch.setattr("opentsm_simulator.symbols._known", OrderedDict())


def arguments_of(descriptor: str, values: list[Any]) -> list[Any]:
    made = []
    for kind, value in zip(parse_method_descriptor(descriptor)[0], values, strict=True):
        if kind[0] == "[":
            made.append(jpype.JArray(jpype.JBoolean if kind[1] == "Z" else KINDS[kind[1]])(list(value)))
        else:
            made.append(jpype.JInt(int(value)))
    return made


@pytest.mark.parametrize("name", ["attempts", "compound", "conditionals", "ints", "switches", "wide"])
def test_each_instruction_is_counted_as_often_as_another_machine_runs_it(name: str) -> None:
    """Exceptions and handlers included; the judge is the tests' own Java Card machine, which interprets CAP files."""
    conversion, folder = convert_project(dataclasses.replace(Project.load(CORPUS / name), prune=False))
    files = [parse_class(path.read_bytes(), path.name) for path in sorted(folder.rglob("*.class"))]
    pair = Twins(folder, files, conversion)
    pair.vm.counts.clear()
    translated, code = define(conversion.cap, counted=True)
    rng = random.Random(name)
    for cls, method, descriptor in pair.calls():
        offset = conversion.methods[cls, method + descriptor]
        if offset not in translated.code:
            continue  # nothing that the runtime can call reaches it
        called = getattr(code, f"m{offset:04x}")
        for _ in range(10):
            values = random_arguments(rng, descriptor)
            pair.card(cls, method, descriptor, values)
            with contextlib.suppress(jpype.JException):
                called(*arguments_of(descriptor, values))
    found: Counter[tuple[int, int]] = Counter()
    for run, count in zip(translated.runs, code.class_.getField("counts").get(None), strict=True):
        for pc in run.pcs:
            found[run.method, pc] += int(count)
    assert sum(found.values()) > 100
    assert {place: count for place, count in found.items() if count} == dict(pair.vm.counts)


def built(folder: Path, *, debug: bool) -> Built:
    project = AppletProject(folder)
    path = project.folder / "applet.toml"
    path.write_text(path.read_text().replace("[[applets]]", f"debug = {str(debug).lower()}\n\n[[applets]]"))
    return build_project(project.folder)


def traced(package: Built, *commands: str) -> tuple[PackageReport, list[Row]]:
    make_known(package.cap)
    rig = ScriptRig(load_profile("embedded"), trace=True)
    rig.install(package.cap)
    link = rig.se.link()
    for command in (SELECT, *commands):
        link.transmit(bytes.fromhex(command))
    assert rig.se.trace is not None
    report = TraceReport.of(rig.se.trace, "trace", {package.cap.package_aid})
    (found,) = report.packages
    return found, [row for row in report.rows if row.kind == "apdu"][-len(commands) :] if commands else []


def method(package: PackageReport, name: str) -> MethodReport:
    (found,) = [each for each in package.methods if each.name.startswith(f"{name}(")]
    return found


def executed_lines(package: PackageReport, built_: Built) -> dict[str, int]:
    """Return how often lines of the source ran, by their text."""
    (source,) = [path for folder in built_.project.sources for path in folder.rglob("*.java")]
    text = source.read_text().splitlines()
    return {text[line - 1].strip(): count for line, (count, _) in package.lines()["Hello.java"].items()}


def test_coverage_is_that_of_a_program_known_by_hand(tmp_path: Path) -> None:
    package = built(tmp_path, debug=True)
    found, _ = traced(package, "00CA000000", "00CA000000", "00DA000000", "00DA000021" + "42" * 33, "00DA00000142")
    assert found.name == "com.example.hello"
    lines = executed_lines(found, package)
    assert lines["buffer[0] = (byte) 'H';"] == 2
    assert lines["short length = apdu.setIncomingAndReceive();"] == 3
    assert lines["ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);"] == 1
    assert lines["JCSystem.commitTransaction();"] == 2
    assert lines["ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);"] == 0
    assert method(found, "greet").calls == 2
    greet = method(found, "greet")
    assert greet.covered == len(greet.instructions)
    assert greet.executed == 2 * len(greet.instructions)
    assert method(found, "process").calls == 6  # the SELECT, and five commands
    rename = method(found, "rename")
    text = [each.text for each in rename.instructions]
    assert any("ISOException.throwIt" in each.refers_to for each in rename.instructions)
    # Behind the call that threw nothing ran a first time: it ran once, in the other command.
    thrown = next(at for at, each in enumerate(rename.instructions) if "ISOException.throwIt" in each.refers_to)
    assert rename.instructions[thrown].count == 1, text
    assert found.covered < found.instructions


def test_without_descriptor_and_debug_the_code_is_told_by_its_places(tmp_path: Path) -> None:
    package = built(tmp_path, debug=False)
    rig = ScriptRig(load_profile("embedded"), trace=True)
    rig.install(package.cap)
    rig.se.link().transmit(bytes.fromhex(SELECT))
    assert rig.se.trace is not None
    (found,) = TraceReport.of(rig.se.trace, "trace", {package.cap.package_aid}).packages
    assert {each.class_name for each in found.methods} == {""}
    assert all(each.name == f"method at {each.offset:#06x}" for each in found.methods)
    assert found.lines() == {}
    assert 0 < found.covered < found.instructions


def test_a_command_tells_what_it_wrote_and_made(tmp_path: Path) -> None:
    package = built(tmp_path, debug=True)
    _, (greeted, renamed) = traced(package, "00CA000000", "00DA0000034F746F")
    assert (greeted.header.hex(), greeted.sw, greeted.answer_bytes) == ("00ca0000", 0x9000, 3)
    assert greeted.writes == 0
    assert greeted.written == ()
    assert greeted.instructions > 10
    # Three bytes of the name by one atomic call, its length, the commit: three writes, two objects.
    assert renamed.writes == 3
    assert {each.what.partition("[")[0] for each in renamed.written} == {"byte", "C0000"} or len(renamed.written) == 2
    assert sorted(each.writes for each in renamed.written) == [1, 3]
    assert renamed.objects == 0


def test_the_rows_hold_no_data(tmp_path: Path) -> None:
    package = built(tmp_path, debug=True)
    make_known(package.cap)
    rig = ScriptRig(load_profile("embedded"), trace=True)
    rig.install(package.cap)
    link = rig.se.link()
    link.transmit(bytes.fromhex(SELECT))
    link.transmit(bytes.fromhex("0020000004") + b"5150")
    link.transmit(bytes.fromhex("00DA000006") + b"secret")
    assert rig.se.trace is not None
    report = TraceReport.of(rig.se.trace, "trace")
    for text in (json.dumps(report.as_json()), page(report)):
        assert b"secret".hex().upper() not in text.upper()
        assert b"5150".hex() not in text


def test_counts_go_on_when_the_se_is_made_anew(tmp_path: Path) -> None:
    package = built(tmp_path, debug=True)
    make_known(package.cap)
    rig = ScriptRig(load_profile("embedded"), trace=True)
    for _ in range(2):
        rig.se.renew()
        rig.install(package.cap)
        rig.se.link().transmit(bytes.fromhex(SELECT))
    assert rig.se.trace is not None
    (found,) = TraceReport.of(rig.se.trace, "trace", {package.cap.package_aid}).packages
    assert method(found, "install").calls == 2


class Page(HTMLParser):
    """Collects what a page refers to, and checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.outside += [value or "" for name, value in attrs if name in {"src", "href"} and str(value)[:1] != "#"]
        if tag == "script":
            self.outside.append(tag)
        if tag not in {"meta", "link", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone_and_escapes_what_it_shows(tmp_path: Path) -> None:
    found, _ = traced(built(tmp_path, debug=True), "00CA000000")
    evil = '<script>alert("&")</script>'
    report = TraceReport(evil, (dataclasses.replace(found, name=evil),), (Row("mark", evil),))
    shown = Page()
    text = page(report, {"Hello.java": f"{evil}\n" * 60})
    shown.feed(text)
    assert shown.open == []
    assert shown.outside == []
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    assert shown.text.count(evil) >= 64  # the title twice, the package twice, the mark, 60 lines


def test_the_command_runs_a_script_and_writes_the_report(tmp_path: Path) -> None:
    package = built(tmp_path, debug=True)
    script = tmp_path / "hello.apdu"
    script.write_text(f"{SELECT} 9000\n00DA000003426F62 9000\n00CA000000 9000 486920426F62\n")
    arguments = ["trace", "embedded", "--cap", str(package.cap_path), "--script", str(script)]
    arguments += ["--out", str(tmp_path / "out"), "--source", str(package.project.folder / "src")]
    done = CliRunner().invoke(se, arguments)
    assert done.exit_code == 0, done.output
    assert "com.example.hello: " in done.output
    written = json.loads((tmp_path / "out" / "trace.json").read_text())
    assert written["format"] == 1
    (told,) = written["packages"]
    assert told["aid"] == str(package.cap.package_aid)
    assert 0 < told["covered"] < told["instructions"]
    assert [each["text"] for each in written["commands"] if each["kind"] == "mark"] == [
        "install hello.cap",
        "hello.apdu",
    ]
    assert "public final class Hello" in (tmp_path / "out" / "trace.html").read_text()
    printed = CliRunner().invoke(se, [*arguments, "--json"])
    assert json.loads(printed.output)["packages"][0]["executed"] == told["executed"]


def test_a_wrong_answer_is_told_and_the_report_written_all_the_same(tmp_path: Path) -> None:
    package = built(tmp_path, debug=True)
    script = tmp_path / "hello.apdu"
    script.write_text(f"{SELECT} 9000\n00CA000000 6985\n")
    arguments = ["trace", "embedded", "--cap", str(package.cap_path), "--script", str(script), "--out", str(tmp_path)]
    done = CliRunner().invoke(se, arguments)
    assert "hello.apdu, line 2: the card answered 9000" in str(done.exception)
    assert json.loads((tmp_path / "trace.json").read_text())["packages"][0]["executed"] > 0
    script.write_text("00CA\n")
    assert isinstance(CliRunner().invoke(se, arguments).exception, ProtocolError)


@pytest.mark.parametrize("debug", [True, False])
def test_a_fault_names_file_and_line_or_method_and_pc(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, debug: bool
) -> None:
    project = AppletProject(tmp_path)
    project.change(("        buffer[1] = (byte) 'i';", "        name[MAX_NAME] = 1; // here"))
    path = project.folder / "applet.toml"
    path.write_text(path.read_text().replace("[[applets]]", f"debug = {str(debug).lower()}\n\n[[applets]]"))
    package = build_project(project.folder)
    if debug:
        make_known(package.cap)
    rig = ScriptRig(load_profile("embedded"))
    rig.install(package.cap)
    link = rig.se.link()
    link.transmit(bytes.fromhex(SELECT))
    with caplog.at_level(logging.WARNING, logger="opentsm.simulator"):
        assert link.transmit(bytes.fromhex("00CA000000")) == b"\x6f\x00"
    fault = rig.se.fault()
    assert fault is not None
    assert "ArrayIndexOutOfBoundsException" in fault.what
    if debug:
        source = (project.folder / "src/com/example/hello/Hello.java").read_text().splitlines()
        line = next(number for number, text in enumerate(source, 1) if text.endswith("// here"))
        assert fault.frames[0] == f"com.example.hello.Hello.greet (Hello.java:{line})"
        assert fault.frames[1].startswith("com.example.hello.Hello.process (Hello.java:")
    else:
        assert all(frame.startswith("method at 0x") and ", pc " in frame for frame in fault.frames)
    assert str(fault) in caplog.text
    link.transmit(bytes.fromhex("00CB000000"))
    thrown = rig.se.fault()
    assert thrown is not None
    assert (thrown.is_iso, thrown.what) == (True, "6D00")
    assert caplog.text.count("an applet ended with") == 1  # an ISOException is an answer
    link.transmit(bytes.fromhex(SELECT))
    assert rig.se.fault() is None
