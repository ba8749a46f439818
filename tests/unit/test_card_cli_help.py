"""Every subcommand of `opentsm card` teaches by example, and loads no more than it needs."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from door import door
from opentsm_tools.card.cli import card


def subcommands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += subcommands(command, (*path, name))
    return found


ALL = subcommands(card)


def test_every_subcommand_that_is_promised_is_there() -> None:
    promised = {
        ("info",), ("list",), ("install",), ("load",), ("delete",), ("lock",), ("unlock",), ("terminate",), ("send",),
        ("keys", "put"), ("keys", "delete"), ("keys", "rotate"), ("keys", "check"), ("keys", "list"), ("personalize",),
        ("extradite",), ("registry-update",), ("token", "sign"), ("receipt", "verify"), ("shell",), ("profiles",),
        ("forget-failure",), ("apply",),
    }  # fmt: skip
    assert promised <= set(ALL)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_shows_how_it_is_used(path: tuple[str, ...]) -> None:
    answer = door("card", *path, "--help")
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: opentsm card {' '.join(path)}")
    is_group = path in {("keys",), ("token",), ("receipt",)}
    assert is_group or "    opentsm card" in answer.out or "  opentsm card" in answer.out
    # The shared options are described once, and pointed to.
    assert is_group or "see `opentsm card --help`" in answer.out


def test_the_list_loads_no_more_than_it_needs() -> None:
    program = (
        "import sys, opentsm_tools.card.listing, opentsm_tools.card.desk;"
        "heavy = ('jpype', 'msgspec', 'rich', 'httpx', 'opentsm_tsm', 'opentsm_simulator', 'opentsm_build');"
        "sys.exit(','.join(name for name in heavy if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
