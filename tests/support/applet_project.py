"""A project that `opentsm new applet` made, and runs of its tests as a user starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from opentsm_build.new import new_applet
from opentsm_simulator.profile import load_profile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SOURCE = "src/com/example/hello/Hello.java"


class AppletProject:
    """The project `hello` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = new_applet(folder / "hello")

    def change(self, *changes: tuple[str, str]) -> None:
        """Change the applet's source."""
        path = self.folder / SOURCE
        text = path.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)

    def write_tests(self, text: str) -> None:
        """Put other tests in place of the project's."""
        (self.folder / "tests" / "test_hello.py").write_text(text)

    def key_file(self, profile: str = "embedded") -> Path:
        """Write the published keys of a virtual SE to a file, as of a test card."""
        keys = load_profile(profile).key_sets()["isd"]
        path = self.folder / "card.toml"
        parts = {"enc": keys.enc, "mac": keys.mac, "dek": keys.dek}
        lines = [f'{name} = "{key.hex()}"' for name, key in parts.items()]
        path.write_text("\n".join([*lines, "test_card = true", ""]))
        path.chmod(0o600)
        return path

    def pytest(self, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run its tests; return exit code and output."""
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr
