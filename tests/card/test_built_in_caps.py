"""What is committed and made of other files is what they give: `python -m opentsm_tools.caps` makes it anew."""

from __future__ import annotations

from pathlib import Path

from opentsm_build import api
from opentsm_build.api.export_file import ExportFile
from opentsm_build.cap import CapFile
from opentsm_build.verify import verify
from opentsm_tools.caps import applet_files, open_table

ROOT = Path(__file__).parents[2]
CAPS = ROOT / "simulator" / "opentsm_simulator" / "caps"
STALE = "stale: run `python -m opentsm_tools.caps` and commit what it writes"


def test_the_table_of_the_open_is_that_of_its_sources() -> None:
    assert open_table() == (ROOT / "build" / "opentsm_build" / "api" / "opentsm.json").read_bytes(), STALE


def test_the_applets_cap_files_are_those_of_their_sources() -> None:
    files = applet_files()
    assert files == {path.name: path.read_bytes() for path in CAPS.glob("*.cap")}, STALE
    for content in files.values():
        cap = CapFile.parse(content)
        assert verify(cap).whole
        assert cap.applets


def test_the_table_of_the_open_makes_an_export_file() -> None:
    package = api.package("opentsm/open", "1.0")
    assert ExportFile.parse(ExportFile.of(package, library=True).encode()).package == package
