"""Files for the system that an agent runs on: its unit, its user, and leave to use readers and modems.

They are templates in `system/`; `@OPENTSM@` stands for the `opentsm` command that installs them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from opentsm_card.errors import StorageError

__all__ = ["PLACES", "command_path", "install"]

_HERE: Final = Path(__file__).with_name("system")

PLACES: Final = {
    "opentsm-agent@.service": "etc/systemd/system/opentsm-agent@.service",
    "opentsm-agent.sysusers": "etc/sysusers.d/opentsm-agent.conf",
    "opentsm-agent.tmpfiles": "etc/tmpfiles.d/opentsm-agent.conf",
    "opentsm-agent.rules": "etc/polkit-1/rules.d/60-opentsm-agent.rules",
    "opentsm-agent.udev": "etc/udev/rules.d/77-opentsm-agent.rules",
}
"""Where each file goes, below the root."""


def command_path() -> Path:
    """Return the `opentsm` command of this installation."""
    beside = Path(sys.argv[0]).absolute()
    if beside.name == "opentsm":
        return beside
    found = shutil.which("opentsm", path=str(Path(sys.executable).parent)) or shutil.which("opentsm")
    return Path(found) if found else Path(sys.executable).with_name("opentsm")


def install(root: Path, command: Path) -> list[Path]:
    """Write the files below a root, and return where they are.

    Args:
        root: `/`, or the folder of a package that is being made.
        command: the `opentsm` command that the unit starts.

    Raises:
        StorageError: one can't be written.
    """
    written = []
    for name, place in PLACES.items():
        path = root / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                (_HERE / name).read_text(encoding="utf-8").replace("@OPENTSM@", str(command)), encoding="utf-8"
            )
            path.chmod(0o644)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        written.append(path)
    return written
