"""The manual: it builds without a warning, and its tables of the SE configurations are the planner's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from opentsm_card.configurations import (
    Acceptance,
    CommandName,
    Configuration,
    configuration,
    configuration_names,
)

ROOT = Path(__file__).parents[2]
SHOWN = {Acceptance.OPEN: "open", Acceptance.SESSION: "session", Acceptance.TOKEN: "token", Acceptance.REFUSED: "no"}


def expected(table: Configuration) -> str:
    """Return a configuration's section of the manual, as it must stand there."""
    lines = [f"## {table.title}", ""]
    for role, domain in table.domains.items():
        under = "itself" if domain.parent is role else table.domains[domain.parent].title
        names = ", ".join(domain.privileges)
        bits = domain.privilege_bits.encode().hex().upper()
        lines += [
            f"### {domain.title[0].upper()}{domain.title[1:]} (`{table.name}`)",
            "",
            f"Keys: {domain.keys_held_by}. Under: {under}. Privileges `{bits}`: {names}.",
            "",
            "| command | " + " | ".join(at.replace("_", " ") for at in domain.situations) + " |",
            "| --- |" + " --- |" * len(domain.situations),
        ]
        for command in CommandName:
            cells = " | ".join(SHOWN[domain.cell(command, at)] for at in domain.situations)
            lines.append(f"| {command} | {cells} |")
        lines.append("")
    return "\n".join(lines)


@pytest.mark.parametrize("name", configuration_names())
def test_the_manual_shows_the_tables_as_they_are(name: str) -> None:
    assert expected(configuration(name)) in (ROOT / "docs" / "configurations.md").read_text()


def test_the_manual_builds_without_a_warning(tmp_path: Path) -> None:
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stderr
    assert (tmp_path / "site" / "configurations" / "index.html").is_file()
