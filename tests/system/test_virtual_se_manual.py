"""The manual's page on virtual SEs: what it says to type in a shell, typed as it stands there, on ports of its own."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from manual_shell import run_script

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
    said = run_script(script, tmp_path, 120, OPENTSM_RUNTIME_DIR=str(tmp_path))
    assert "325041592E5359532E4444463031 SELECTABLE, under A000000151000000, contactless activated" in said
    assert "325041592E5359532E4444463031 SELECTABLE, under A000000151000000, contactless deactivated" in said
    assert "contactless 325041592E5359532E4444463031 00" in said
    assert "phone: as it was delivered" in said
