"""The agent on a device: time from exec to its first handshake, memory, CPU while idle, cost of the pcsc link.

Run: `python benchmarks/bench_agent.py [--json] [--opentsm PATH]`. The agent is that of a wheel built now and installed
into an environment of its own, or the `opentsm` command at PATH. The part over pcscd starts a pcscd of its own, and is
left out, and said to be, where that can't be.

The time to the first handshake is taken where it arrives, so it is a little more than the time until it was sent.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import Comparison, Figure, alternate, report

_ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT / "tests" / "support"))

from agent_peers import Authority, CountingCard, Peer, se_order, stop_order, write_config  # noqa: E402 - found above

if TYPE_CHECKING:
    from collections.abc import Iterator

_STARTS: Final = 9
_EXCHANGES: Final = 400
_COMMAND: Final = bytes.fromhex("80CA00006400") + bytes(95)
_SCRIPT: Final = ["00A4040007A0000001515350"] + ["80E2000010" + "00" * 16] * 40
_START_GOAL_MS: Final = 200.0
_MEMORY_GOAL_MIB: Final = 35.0
_IDLE_S: Final = 60.0
_IDLE_GOAL_PERCENT: Final = 0.1


@contextlib.contextmanager
def _installed() -> Iterator[Path]:
    """Build a wheel, install it into an environment of its own, and give the path of its `opentsm`."""
    with tempfile.TemporaryDirectory(prefix="bench-agent-") as name:
        folder = Path(name)
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", name, str(_ROOT)]
        subprocess.run(build, check=True, capture_output=True)
        (wheel,) = folder.glob("*.whl")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv" / "bin" / "python")]
        subprocess.run([*pip, "install", "--quiet", "--disable-pip-version-check", str(wheel)], check=True)
        yield folder / "venv" / "bin" / "opentsm"


def _session(opentsm: Path, idle_s: float = 0.0) -> tuple[float, float, float]:
    """Run an agent through one session, and leave it attached for a while.

    Returns:
        Milliseconds from exec to its handshake; MiB of VmRSS after the session; per cent of a CPU while it was idle.
    """
    with tempfile.TemporaryDirectory(prefix="bench-agent-") as name, CountingCard() as card:
        folder = Path(name)
        authority = Authority()
        with Peer(folder, authority, client_ca=authority) as peer:
            config = write_config(folder, authority, peer.url, peer.url, card.uri)
            peer.orders = [se_order(1, _SCRIPT), stop_order(2)]
            peer.wakeups.append("0f96af97-f879-45a2-a011-ee7439df3804")
            begin = time.monotonic()
            agent = subprocess.Popen([opentsm, "agent", "run", "--json", "--config", config], stdout=subprocess.PIPE)
            assert agent.stdout is not None
            for line in agent.stdout:
                if b'"session-ended"' in line:
                    break
            memory_mib = _rss_mib(agent.pid)
            used_s = _cpu_s(agent.pid)
            time.sleep(idle_s)
            idle_percent = 100 * (_cpu_s(agent.pid) - used_s) / idle_s if idle_s else 0.0
            agent.terminate()
            if agent.wait(30) != 0:
                raise SystemExit("the agent did not end cleanly")
            return 1000 * (peer.first_request_at["/gp/seram/handshake"] - begin), memory_mib, idle_percent


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS in /proc")


def _cpu_s(pid: int) -> float:
    """Return the CPU time of a process, user's and system's."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _measure_agent(opentsm: Path) -> list[Figure]:
    _, _, idle_percent = _session(opentsm, _IDLE_S)  # the first start writes and caches byte code as well
    runs = [_session(opentsm) for _ in range(_STARTS)]
    return [
        Figure("agent: exec to first handshake", "ms", statistics.median(ms for ms, _, _ in runs), _START_GOAL_MS),
        Figure("agent: VmRSS after first session", "MiB", max(mib for _, mib, _ in runs), _MEMORY_GOAL_MIB),
        Figure(f"agent: CPU while idle for {_IDLE_S:g} s", "%", idle_percent, _IDLE_GOAL_PERCENT),
    ]


_CARD_HOST: Final = """\
import sys
sys.path.insert(0, {support!r})
from pcsc_rig import Pcscd, PcscdError
from agent_peers import ATR
class Constant:
    atr = ATR
    def transmit(self, command): return b"\\x5a" * 100 + b"\\x90\\x00"
    def reset(self): return ATR
try:
    pcscd = Pcscd(entries=1)
except PcscdError as error:
    sys.exit(str(error))
with pcscd:
    pcscd.slots[0].card = Constant()
    print(pcscd.environment["PCSCLITE_CSOCK_NAME"], pcscd.slots[0].reader, sep="\\n", flush=True)
    sys.stdin.read()
"""


def _measure_pcsc() -> list[Comparison]:
    """Compare the link's `transmit` with bare SCardTransmit on the same card; the card is in another process."""
    host = [sys.executable, "-c", _CARD_HOST.format(support=str(_ROOT / "tests" / "support"))]
    with subprocess.Popen(host, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cards:
        assert cards.stdout is not None
        socket, reader = cards.stdout.readline().strip(), cards.stdout.readline().strip()
        if not socket:
            print("left out: the pcsc link", file=sys.stderr)
            return []
        os.environ["PCSCLITE_CSOCK_NAME"] = socket
        comparison = _compare_pcsc(reader)
    return [comparison]


def _compare_pcsc(reader: str) -> Comparison:
    from smartcard import scard  # noqa: PLC0415 - reads PCSCLITE_CSOCK_NAME

    from opentsm_agent.links import open_link  # noqa: PLC0415 - as above

    def through_link() -> int:
        with open_link(f"pcsc:{reader}") as link:
            for _ in range(_EXCHANGES):
                link.transmit(_COMMAND)
        return _EXCHANGES

    def bare() -> int:
        _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
        exclusive, protocol = scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_PROTOCOL_T1
        _, card, _ = scard.SCardConnect(context, reader, exclusive, protocol)
        scard.SCardReconnect(card, exclusive, protocol, scard.SCARD_RESET_CARD)
        command = list(_COMMAND)
        for _ in range(_EXCHANGES):
            status, _response = scard.SCardTransmit(card, scard.SCARD_PCI_T1, command)
            if status != scard.SCARD_S_SUCCESS:
                raise SystemExit(f"SCardTransmit: {scard.SCardGetErrorMessage(status)}")
        scard.SCardDisconnect(card, scard.SCARD_RESET_CARD)
        scard.SCardReleaseContext(context)
        return _EXCHANGES

    return alternate("pcsc link: transmit against SCardTransmit", through_link, bare, unit="APDU", goal=0.8)


def main() -> None:
    """Measure, and print."""
    arguments = sys.argv[1:]
    if "--opentsm" in arguments:
        agent = _measure_agent(Path(arguments[arguments.index("--opentsm") + 1]))
    else:
        with _installed() as opentsm:
            agent = _measure_agent(opentsm)
    report([*agent, *_measure_pcsc()])


if __name__ == "__main__":
    main()
