"""`opentsm card` at a terminal: the shell's prompt, completion and history, and confirmation by typing."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Self

import pytest

from agent_peers import serve_vpcd
from opentsm_simulator import VirtualSe

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_S = 60
KEY = bytes(range(0x40, 0x50)).hex()


class Terminal:
    """A program at a pseudo-terminal: type, and wait for what it shows."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.handle, inner = pty.openpty()
        command = [sys.executable, "-m", "opentsm_tools.main", *arguments]
        settings = os.environ | environment | {"TERM": "dumb", "COLUMNS": "200"}
        self.process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, env=settings, start_new_session=True
        )
        os.close(inner)
        self.shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self.handle)

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())

    def wait_for(self, pattern: str) -> str:
        """Read until the pattern is shown; return what was shown up to there."""
        deadline = time.monotonic() + TIMEOUT_S
        while not (found := re.search(pattern, self.shown)):
            ready, _, _ = select.select([self.handle], [], [], max(0.0, deadline - time.monotonic()))
            part = b""
            if ready:
                with contextlib.suppress(OSError):  # the program has ended, and with it the terminal
                    part = os.read(self.handle, 4096)
            assert part, f"{pattern!r} is not shown: {self.shown}"
            self.shown += part.decode(errors="replace")
        before, self.shown = self.shown[: found.end()], self.shown[found.end() :]
        return before


@pytest.fixture(name="link")
def _link() -> Iterator[str]:
    """A virtual SE of this process, behind TCP."""
    import socket as sockets

    se = VirtualSe.create("embedded", se_id="se-1")
    link = se.link()
    listener = sockets.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection: socket.socket
                connection, _ = listener.accept()
                threading.Thread(
                    target=serve_vpcd,
                    args=(connection, link.transmit, link.reset, lambda: se.atr),
                    daemon=True,
                ).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"tcp:127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def test_a_shell_completes_and_remembers(link: str, tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path), "OPENTSM_CARD_KEY": KEY}
    with Terminal(["card", "--link", link, "--test-card", "shell"], environment) as terminal:
        terminal.wait_for("card> ")
        terminal.type("lis\t\n")
        assert "A000000151000000, issuer security domain" in terminal.wait_for("(?s)issuer security domain.*card> ")
        terminal.type("delete --key AA F0F0F0F0F0\n")
        assert "belongs to the shell" in terminal.wait_for("(?s)belongs.*card> ")
        terminal.type("send 002000810431323334\n")
        terminal.wait_for("(?s)< 6.*card> ")
        terminal.type("lock 3250\t\n")  # an AID that the list has shown
        assert "325041592E5359532E4444463031 is locked" in terminal.wait_for("(?s)is locked.*card> ")
        terminal.type("exit\n")
        assert terminal.process.wait(TIMEOUT_S) == 0
    history = tmp_path / "opentsm" / "card-history"
    assert history.stat().st_mode & 0o777 == 0o600
    lines = [line.strip() for line in history.read_text().splitlines()]
    assert "list" in lines
    assert not [line for line in lines if "--key" in line or "31323334" in line]


def test_what_cannot_be_undone_is_confirmed_by_typing(link: str, tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path), "OPENTSM_CARD_KEY": KEY}
    arguments = ["card", "--link", link, "--test-card", "terminate"]
    with Terminal(arguments, environment) as terminal:
        asked = terminal.wait_for(r"Type the identifier of the card to go on \((\w+)\): ")
        assert "for ever" in asked
        terminal.type("yes\n")
        assert "not done: this is card" in terminal.wait_for("confirmed")
        assert terminal.process.wait(TIMEOUT_S) == 1
    with Terminal(arguments, environment) as terminal:
        asked = terminal.wait_for(r"Type the identifier of the card to go on \(\w+\): ")
        terminal.type(asked.rpartition("(")[2].partition(")")[0] + "\n")
        terminal.wait_for("is terminated")
        assert terminal.process.wait(TIMEOUT_S) == 0
