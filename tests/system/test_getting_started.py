"""The manual's "Your own system", run as it stands there, on ports of its own."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

from manual_shell import run_script

GUIDE = Path(__file__).parents[2] / "docs" / "getting-started.md"
PORTS = ("7443", "8450", "7001", "7002")
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# A reader sees in each terminal that the server there is ready; a script asks.
READY = """
for port in 7001 8450 7443; do
  for _ in $(seq 300); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
done
"""


# `opentsm tsm init` writes the port that the guide uses.
OTHER_PORT = "sed -i s/7443/{}/ tsm/tsm.toml\n"


def free_ports(count: int) -> list[str]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def guide() -> list[str]:
    _, _, own_system = GUIDE.read_text().partition("## Your own system")
    return BLOCK.findall(own_system)


def test_the_guide_does_what_it_says(tmp_path: Path) -> None:
    blocks = guide()
    assert len(blocks) >= 8
    starts = next(number for number, block in enumerate(blocks) if "tsm serve" in block)
    blocks.insert(starts + 1, READY)
    ports = free_ports(len(PORTS))
    script = "\n".join(blocks[1:])
    for port, free in zip(PORTS, ports, strict=True):
        assert port in script
        script = re.sub(rf"\b{port}\b", free, script)
        blocks[0] = re.sub(rf"\b{port}\b", free, blocks[0])
    script = "\n".join(("set -eu", blocks[0], OTHER_PORT.format(ports[0]), script))
    said = run_script(script, tmp_path, 240)
    accounts = [json.loads(found) for found in re.findall(r"^\{\n.*?^\}$", said, re.DOTALL | re.MULTILINE)]
    assert any(answer.get("temporaryKeysDestroyed") is True for answer in accounts), said
    assert "000102030405060708090A0B0C0D0E0F" in said
