"""The README's table of what works: every row names a test or a command that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

from opentsm_tools.main import cli

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"`([^`]+)`")


def rows() -> list[tuple[str, tuple[str, ...]]]:
    _, _, after = (ROOT / "README.md").read_text().partition("| What | Shown by |\n")
    table = after.split("\n\n")[0].splitlines()[1:]
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table]
    return [(what, tuple(CODE.findall(shown))) for what, shown in cells]


def has_tests(path: Path) -> bool:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = ast.walk(ast.parse(path.read_text()))
    return any(isinstance(node, functions) and node.name.startswith("test_") for node in nodes)


def command(words: list[str]) -> click.Command:
    """Find a command by its words, as a user types them."""
    found: click.Command = cli
    for word in words:
        assert isinstance(found, click.Group), f"{found.name} has no subcommands"
        subcommand = found.get_command(click.Context(found), word)
        assert subcommand is not None, f"there is no command {word!r} in {found.name}"
        found = subcommand
    return found


def test_the_table_is_there() -> None:
    assert len(rows()) >= 10
    assert len({what for what, _ in rows()}) == len(rows())


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_row_names_what_shows_it(row: tuple[str, tuple[str, ...]]) -> None:
    what, shown_by = row
    assert shown_by, f"nothing shows: {what}"
    for name in shown_by:
        words = name.split()
        if words[0] == "opentsm":
            assert len(words) > 1
            command(words[1:])
        elif name.startswith("tests/"):
            assert has_tests(ROOT / name), f"{name} has no test"
        else:
            assert name.startswith("benchmarks/")
            assert (ROOT / name).is_file()


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
