"""What can never be reached stays off the card; what the platform or other packages may call does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentsm_build.build import convert_project
from opentsm_build.project import Project

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
package p;
import javacard.framework.*;
public class A extends Applet implements Shared {
    private Kind kind;
    public static void install(byte[] b, short o, byte l) { new A().register(); }
    public void process(APDU apdu) {
        kind = new Used();
        if (kind.number() > 1 && Help.twice((short) 2) > 3) { kind = null; }
    }
    public boolean select() { return true; }
    public short shared() { return late(); }
    private short late() { return 1; }
    private short never() { return never2(); }
    static short never2() { return 2; }
    public Shareable getShareableInterfaceObject(AID a, byte b) { return this; }
}
interface Shared extends Shareable { short shared(); }
abstract class Kind { abstract short number(); short other() { return 5; } }
class Used extends Kind { short number() { return 3; } short other() { return 6; } }
class Unused extends Kind { short number() { return Help.thrice((short) 1); } }
class Help {
    static short twice(short s) { return (short) (2 * s); }
    static short thrice(short s) { return (short) (3 * s); }
}
"""
APPLET = 'package = "p"\naid = "F000000001"\n\n[[applets]]\nclass = "A"\naid = "F00000000101"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "src" / "p" / "A.java"
    source.parent.mkdir(parents=True)
    source.write_text(SOURCE)
    (tmp_path / "applet.toml").write_text(APPLET)
    return tmp_path


def methods(folder: Path) -> set[str]:
    conversion, _ = convert_project(Project.load(folder))
    return {f"{cls[2:]}.{key.partition('(')[0]}" for cls, key in conversion.methods}


def test_what_is_never_reached_is_left_out(folder: Path) -> None:
    assert methods(folder) == {
        "A.<init>", "A.install", "A.process", "A.select", "A.shared", "A.late", "A.getShareableInterfaceObject",
        "Kind.<init>", "Kind.number", "Used.<init>", "Used.number", "Help.twice",
    }  # fmt: skip


def test_it_stays_where_the_project_wants_it(folder: Path) -> None:
    (folder / "applet.toml").write_text("prune = false\n" + APPLET)
    assert {"A.never", "A.never2", "Unused.number", "Help.thrice", "Used.other"} <= methods(folder)


def test_a_library_keeps_what_is_seen_outside(folder: Path) -> None:
    (folder / "applet.toml").write_text(APPLET.partition("[[")[0])
    kept = methods(folder)
    assert {"A.install", "A.shared", "A.late"} <= kept
    assert not {"A.never", "A.never2", "Unused.number"} & kept
