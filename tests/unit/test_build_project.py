from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from opentsm_build.build import build_project
from opentsm_build.cap import CapFile
from opentsm_build.cli import build, new
from opentsm_build.new import new_applet
from opentsm_build.project import Project
from opentsm_card.aid import Aid
from opentsm_card.errors import CapError, ProtocolError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "src/com/example/wallet/Wallet.java"


@pytest.fixture
def wallet(tmp_path: Path) -> Path:
    return new_applet(tmp_path / "wallet", aid="F000000001")


def test_a_new_applet_builds_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    assert runner.invoke(new, ["applet", "hello"]).exit_code == 0
    monkeypatch.chdir(tmp_path / "hello")
    done = runner.invoke(build, ["--json"])
    assert done.exit_code == 0, done.output
    (built,) = json.loads(done.output)["packages"]
    assert built["cap"] == "build/hello.cap"
    cap = CapFile.read(tmp_path / "hello" / "build" / "hello.cap")
    assert cap.package_name == "com.example.hello"
    assert [str(applet.aid) for applet in cap.applets] == built["applets"] == [built["aid"] + "01"]
    assert built["load_bytes"] == len(cap.load_file_data_block())


def test_the_same_sources_give_the_same_bytes(wallet: Path, tmp_path: Path) -> None:
    first, second = (build_project(wallet, tmp_path / out) for out in ("a", "b"))
    assert first.cap_path.read_bytes() == second.cap_path.read_bytes()


@pytest.mark.parametrize(
    ("target", "imported", "cap_format"),
    [("2.1.1", (1, 0), (2, 1)), ("2.2.2", (1, 3), (2, 1)), ("3.0.5", (1, 6), (2, 1)), ("3.1.0", (1, 8), (2, 3))],
)
def test_imports_and_format_are_the_targets(
    tmp_path: Path, target: str, imported: tuple[int, int], cap_format: tuple[int, int]
) -> None:
    cap = build_project(new_applet(tmp_path / "wallet", target=target)).conversion.cap
    assert [(str(each.aid), each.version) for each in cap.imports] == [("A0000000620101", imported)]
    assert cap.format_version == cap_format


def test_what_the_target_lacks_does_not_compile(wallet: Path) -> None:
    source = wallet / SOURCE
    source.write_text(source.read_text().replace("return;", "Util.arrayFill(null, (short) 0, (short) 0, (byte) 0);"))
    project = wallet / "applet.toml"
    project.write_text(project.read_text().replace('"3.0.4"', '"3.0.5"'))
    build_project(wallet)
    project.write_text(project.read_text().replace('"3.0.5"', '"3.0.4"'))
    with pytest.raises(CapError, match=r"^\S*Wallet\.java:29: error: .*arrayFill"):
        build_project(wallet)


def test_globalplatform_is_imported_in_the_oldest_version_that_will_do(wallet: Path) -> None:
    source, project = wallet / SOURCE, wallet / "applet.toml"
    project.write_text(project.read_text().replace("[[applets]]", 'imports = ["org.globalplatform"]\n\n[[applets]]'))
    text = source.read_text().replace("nameLength = length;", "buffer[0] = org.globalplatform.GPSystem.getCardState();")
    source.write_text(text)
    assert build_project(wallet).conversion.cap.imports[1].version == (1, 0)
    call = "org.globalplatform.GPSystem.getService(null, (short) 0);"
    source.write_text(text.replace("buffer[0] = org.globalplatform.GPSystem.getCardState();", call))
    assert build_project(wallet).conversion.cap.imports[1].version == (1, 1)


def test_a_debug_component_wants_format_2_2(wallet: Path) -> None:
    project = wallet / "applet.toml"
    project.write_text(project.read_text().replace('version = "1.0"', 'version = "1.0"\ndebug = true'))
    cap = build_project(wallet).conversion.cap
    assert cap.format_version == (2, 2)
    assert b"nameLength" in cap.load_file_data_block(debug=True)


@pytest.mark.parametrize(
    ("old", "new_text", "message"),
    [
        ('version = "1.0"', 'version = "1"', r"applet\.toml: version '1': two numbers"),
        ('version = "1.0"', 'version = "1.256"', "up to 255"),
        ('target = "3.0.4"', 'target = "3.3"', r"target '3\.3'; there are 2\.1\.1"),
        ('aid = "F00000000101"', 'aid = "F10000000101"', r"applets\[0\]: AID F10000000101 has another RID"),
        ('target = "3.0.4"', 'targets = "3.0.4"', r"unknown field `targets`"),
        ("[[applets]]", '[[applets]]\nclass = "Wallet"\naid = "F00000000101"\n[[applets]]', "another applet's already"),
        ('version = "1.0"', 'imports = ["org.nowhere"]', "neither a known package nor a file or project"),
    ],
)
def test_a_wrong_project_file_is_refused(wallet: Path, old: str, new_text: str, message: str) -> None:
    project = wallet / "applet.toml"
    project.write_text(project.read_text().replace(old, new_text))
    with pytest.raises(ProtocolError, match=message):
        build_project(wallet)


def test_a_folder_without_a_project_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match=r"applet\.toml: No such file.*opentsm new applet"):
        build_project(tmp_path)


def test_names_and_places_of_new_applets_are_checked(wallet: Path) -> None:
    with pytest.raises(StorageError, match="exists already"):
        new_applet(wallet)
    with pytest.raises(ProtocolError, match="no name for an applet"):
        new_applet(wallet / "1st")
    with pytest.raises(ProtocolError, match="15 bytes at most"):
        new_applet(wallet / "a", aid="F0" * 16)


def test_a_full_class_name_is_taken_too(wallet: Path) -> None:
    project = wallet / "applet.toml"
    project.write_text(project.read_text().replace('"Wallet"', '"com.example.wallet.Wallet"'))
    (applet,) = Project.load(wallet).applets
    assert (applet.aid, applet.class_name) == (Aid.from_text("F00000000101"), "com/example/wallet/Wallet")
