"""A kit's tools, where a user has them: here a stand-in that takes their options and answers as they do."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from opentsm_build.build import build_project
from opentsm_build.cli import build
from opentsm_build.kit import Kit
from opentsm_build.new import new_applet
from opentsm_card.errors import CapError, ProtocolError

if TYPE_CHECKING:
    from pathlib import Path

# Converts by copying a file, and finds an error in whatever is named `bad`.
JAVA = """#!/bin/sh
echo "$@" >> "$KIT_LOG"
case "$*" in
*Verifier*) case "$*" in *bad*) echo "Error: wrong"; echo "1 error" ;; *) echo "0 warnings and 0 errors." ;; esac ;;
*) while [ "$1" != -d ]; do shift; done
   mkdir -p "$2/x"; cp "$KIT_CAP" "$2/x/x.cap" ;;
esac
"""


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "kit"
    (home / "lib").mkdir(parents=True)
    with zipfile.ZipFile(home / "lib" / "tools.jar", "w") as jar:
        jar.writestr("com/sun/javacard/converter/Main.class", b"")
    (home / "api_export_files").mkdir()
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(JAVA)
    java.chmod(0o755)
    theirs = build_project(new_applet(tmp_path / "theirs"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    monkeypatch.setenv("KIT_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("KIT_CAP", str(theirs.cap_path))
    return home


def test_without_a_kit_none_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JC_HOME", raising=False)
    assert Kit.find(None) is None
    with pytest.raises(ProtocolError, match="no Java Card kit"):
        Kit.find(tmp_path)
    refused = CliRunner().invoke(build, ["--compare", str(tmp_path)])
    assert "--compare needs an Oracle kit" in str(refused.exception)


def test_a_kit_converts_and_verifies(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_applet(tmp_path / "ours", aid="F000000001")
    monkeypatch.setenv("JC_HOME", str(kit))
    done = CliRunner().invoke(build, [str(folder)])
    assert done.exit_code == 0, done.output
    assert (folder / "build" / "ours.cap").read_bytes() == (tmp_path / "theirs" / "build" / "theirs.cap").read_bytes()
    convert, verify = (tmp_path / "log").read_text().splitlines()
    applet = "-applet 0xF0:0x00:0x00:0x00:0x01:0x01 com.example.ours.Ours"
    assert f"{applet} com.example.ours 0xF0:0x00:0x00:0x00:0x01 1.0" in convert
    assert "offcardverifier.Verifier" in verify
    assert verify.endswith("/ours.cap")


def test_a_comparison_keeps_ours_and_shows_both(kit: Path, tmp_path: Path) -> None:
    folder = new_applet(tmp_path / "ours")
    done = CliRunner().invoke(build, ["--sdk", str(kit), "--compare", "--json", str(folder)])
    assert done.exit_code == 0, done.output
    (built,) = json.loads(done.output)["packages"]
    comparison = built["comparison"]
    assert (comparison["verified"], comparison["kit"]) == (True, str(kit))
    assert comparison["ours"]["load_bytes"] == built["load_bytes"]
    assert comparison["theirs"]["components"]["Method"] == comparison["ours"]["components"]["Method"]
    text = CliRunner().invoke(build, ["--sdk", str(kit), "--compare", str(folder)]).output
    assert "the kit's verifier: no error in ours" in text


def test_what_the_kits_verifier_says_is_an_error(kit: Path, tmp_path: Path) -> None:
    with pytest.raises(CapError, match=r"(?s)the kit's verifier refuses it.*Error: wrong"):
        build_project(new_applet(tmp_path / "bad"), kit=Kit.find(kit))
