"""The manual's page on virtual SEs: what it says to type in a shell, typed as it stands there, on ports of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "virtual-se.md"
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PORTS = ("7001", "7002")
# A reader sees that the SE is ready; a script asks.
READY = "for _ in $(seq 300); do opentsm se list | grep -q phone && break; sleep 0.1; done\n"


def free_ports() -> list[str]:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return [str(each.getsockname()[1]) for each in (first, second)]


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == 4
    script = "\n".join(("set -euo pipefail", blocks[0], READY, *blocks[1:]))
    for port, free in zip(PORTS, free_ports(), strict=True):
        assert port in script
        script = re.sub(rf"\b{port}\b", free, script)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OPENTSM_RUNTIME_DIR": str(tmp_path),
    }
    # What the host says goes to a file: a pipe would stay open as long as it runs.
    with (tmp_path / "output").open("w+") as output:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(timeout=120)
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
        output.seek(0)
        said = output.read()
    assert code == 0, said
    assert "325041592E5359532E4444463031 SELECTABLE, under A000000151000000, contactless activated" in said
    assert "325041592E5359532E4444463031 SELECTABLE, under A000000151000000, contactless deactivated" in said
    assert "contactless 325041592E5359532E4444463031 00" in said
    assert "phone: as it was delivered" in said
