"""The demo's world: every party in a process of its own, on loopback, stopped by process id.

    SP TSMs (this process) ── central TSM ── gateway north ── agent of phone 1 ── tap ── SE
                                   └──────── gateway south ── agents of phones 2, 3 ── taps ── SEs

Between an agent and its tap may be another kind of link (`opentsm_tools.demo.ends`).

Processes start beside each other; each says when it is ready, and nothing waits for a fixed time.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import httpx

from opentsm_agent import enrol
from opentsm_agent.config import load_config as load_agent_config
from opentsm_build import artifacts
from opentsm_card.errors import TransportError
from opentsm_tools.demo.cast import DEVICES, MNOS, PROVIDERS
from opentsm_tools.demo.ends import FarEnds
from opentsm_tools.demo.folders import Folders
from opentsm_tools.demo.inspection import Inspector
from opentsm_tools.demo.processes import OPENTSM, Process
from opentsm_tools.demo.tap import Tap
from opentsm_tsm import tls
from opentsm_tsm.messages import BASE, Accepted, Operation
from opentsm_tsm.mno.messages import PushLog
from opentsm_tsm.operator_messages import CreateEnrolmentCode, EnrolmentCodeReply, SeBelief
from opentsm_tsm.sp import SpTsm
from opentsm_tsm.wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from opentsm_tools.demo.cast import Device
    from opentsm_tsm.messages import HandleSEStatusChangeNotification, TerminateService

__all__ = ["Operator", "World"]

_ATTACH_S: Final = 30.0
_LOOK_S: Final = 0.02

M = TypeVar("M")


@dataclass(frozen=True)
class Ends:
    """Where one SE is reached: its two interfaces, and the tap in front of the contact one."""

    contact: str
    contactless: str
    tap: Tap


class Operator:
    """An operator's connection to its own server (the central TSM or a gateway).

    Args:
        url: of the server.
        folder: with operator.pem, operator.key and ca.pem.
    """

    def __init__(self, url: str, folder: Path) -> None:
        context = tls.client_context(folder / "operator.pem", folder / "operator.key", [folder / "ca.pem"])
        self._http = httpx.Client(base_url=url, verify=context, timeout=30, trust_env=False)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def ask(self, method: str, path: str, kind: type[M], body: object = None) -> M:
        """Send a request and return its answer.

        Raises:
            TransportError: no answer, or a refusal.
        """
        try:
            response = self._http.request(method, path, content=None if body is None else encode(body))
        except httpx.HTTPError as error:
            raise TransportError(f"{path}: {str(error) or type(error).__name__}") from error
        if response.status_code >= 300:
            raise TransportError(f"{path}: {response.status_code} {response.text}")
        return decode(response.content, kind)


class World:
    """Everything that runs.

    Args:
        root: the work directory, new or empty.
        say: told what is being done.
        observe: told of each operation of the central TSM that an SP asked for and that came to its end.
        devices: those that take part.
        link: by what kind of link each agent reaches its SE (`opentsm_tools.demo.ends.KINDS`).
        launch: by the name of a process (tsm, se-…, mno-…, a device's), what starts its `opentsm` instead of the usual.
    """

    def __init__(
        self,
        root: Path,
        say: Callable[[str], None],
        observe: Callable[[Operation], None] = lambda _operation: None,
        *,
        devices: tuple[Device, ...] = DEVICES,
        link: str = "tcp",
        launch: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.folders = Folders(root, devices)
        self.devices = devices
        self._launch = launch or {}
        self._link = link
        self._root = root
        self._say = say
        self.observe = observe
        self._processes: list[Process] = []
        self._closing = contextlib.ExitStack()
        self._agents: dict[str, Process] = {}
        self._agent_configs: dict[str, Path] = {}
        self.ends: dict[str, Ends] = {}
        self.inspectors: dict[str, Inspector] = {}
        self.sps: dict[str, SpTsm] = {}
        self.mno_operators: dict[str, Operator] = {}
        self.tsm_url = ""

    def __enter__(self) -> Self:
        """Start everything."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop everything."""
        self.stop()

    def _run(self, name: str, *arguments: str) -> Process:
        process = Process(name, arguments, self.folders.logs, self._launch.get(name, OPENTSM))
        self._processes.append(process)
        return process

    def _start(self) -> None:
        self._say("starting the virtual SEs and the networks' gateways")
        for pin in artifacts.PINS:
            artifacts.resolve(pin, progress=self._say)
        ses = {
            se: self._run(f"se-{se}", "se", "run", "--config", str(path), "--json")
            for se, path in self.folders.make_ses().items()
        }
        self.folders.make_tsm()
        self.folders.make_mnos()
        gateways = {
            mno: self._run(f"mno-{mno}", "mno", "serve", "--config", str(self._root / f"mno-{mno}" / "mno.toml"))
            for mno in MNOS
        }
        self.folders.make_sps()
        urls = {mno: str(process.ready()["url"]) for mno, process in gateways.items()}
        for mno, url in urls.items():
            self.mno_operators[mno] = self._closing.enter_context(
                contextlib.closing(Operator(url, self._root / f"mno-{mno}"))
            )
        self._say("starting the central TSM")
        self._start_tsm(urls)
        self._take_ses({se: process.ready()["ses"][0] for se, process in ses.items()})
        self._say("enrolling the devices and starting their agents")
        taps = {device.se: self.ends[device.se].tap.port for device in self.devices}
        links = self._closing.enter_context(contextlib.closing(FarEnds(self._link, taps))).links
        for device in self.devices:
            self._enrol(device, urls[device.mno], links[device.se])
        for provider in PROVIDERS:
            path = self.folders.sp_config(provider.name, self.tsm_url)
            self.sps[provider.name] = self._closing.enter_context(SpTsm.open(path, self._observed))
        for device in self.devices:
            self.wait_attached(device)

    def _start_tsm(self, gateways: dict[str, str]) -> None:
        """Start the central TSM on any free port, which it keeps when it is started again."""
        path = self.folders.write_tsm_config(gateways)
        self._tsm_arguments = ("tsm", "serve", "--config", str(path))
        self.tsm = self._run("tsm", *self._tsm_arguments)
        self.tsm_url = str(self.tsm.ready()["url"])
        self.folders.write_tsm_config(gateways, self.tsm_url.removeprefix("https://"))
        self.operator = self._closing.enter_context(contextlib.closing(Operator(self.tsm_url, self._root / "tsm")))

    def _take_ses(self, found: dict[str, dict[str, Any]]) -> None:
        """Note where each SE listens, put a tap in front of it, and tell whoever wants to reach it."""
        shown = []
        for device in self.devices:
            entry = found[device.se]
            host, _, port = str(entry["tcp"]).rpartition(":")
            tap = self._closing.enter_context(contextlib.closing(Tap(host, int(port))))
            ends = Ends(f"tcp:{entry['tcp']}", f"tcp:{entry['contactless']}", tap)
            self.ends[device.se] = ends
            self.inspectors[device.se] = Inspector(ends.contactless, self.folders.issuer_keys(device))
            shown.append(
                {
                    "id": device.se,
                    "profile": device.profile,
                    "contact": ends.contact,
                    "contactless": ends.contactless,
                    "keys": str(self.folders.keys_file(device)),
                }
            )
        self.ses_file.write_text(json.dumps({"ses": shown}, indent=2))

    @property
    def ses_file(self) -> Path:
        """The file that tells where each SE is reached and with which keys, for `--before-check`."""
        return self._root / "ses.json"

    def _enrol(self, device: Device, gateway: str, link: str) -> None:
        """Give a device its certificate by a single-use code, and start its agent."""
        path = self.folders.make_device(device, self.tsm_url, gateway, link)
        wanted = CreateEnrolmentCode(ses=(device.se,))
        code = self.operator.ask("POST", f"{BASE}/enrolment-codes", EnrolmentCodeReply, wanted).code
        config = load_agent_config(path)
        enrol.enrol(self.tsm_url, enrol.parse_code(code), config.identity)
        self._agent_configs[device.se] = path
        self._start_agent(device)

    def _start_agent(self, device: Device) -> None:
        path = self._agent_configs[device.se]
        self._agents[device.se] = self._run(device.name, "agent", "run", "--config", str(path), "--json")

    def wait_attached(self, device: Device) -> None:
        """Wait until a device holds its long poll, as its network's operator sees it.

        Raises:
            TransportError: it does not come.
        """
        end = time.monotonic() + _ATTACH_S
        while device.se not in self.pushes(device.mno).online:
            if time.monotonic() > end:
                raise TransportError(f"{device.name} does not attach\n{self._agents[device.se].log_tail()}")
            time.sleep(_LOOK_S)

    def pushes(self, mno: str) -> PushLog:
        """Return a gateway's push log."""
        return self.mno_operators[mno].ask("GET", "/log", PushLog)

    def belief(self, device: Device) -> SeBelief:
        """Return what the central TSM believes of an SE."""
        return self.operator.ask("GET", f"{BASE}/ses/{device.se}", SeBelief)

    def _observed(self, operation: Operation) -> None:
        """Pass on an operation of the central TSM that an SP asked for and that came to its end."""
        self.observe(operation)

    def operate(self, request: HandleSEStatusChangeNotification | TerminateService) -> Operation:
        """Have the central TSM do something as its operator, and return the ended operation."""
        accepted = self.operator.ask("POST", f"{BASE}/{type(request).__name__}", Accepted, request)
        while True:
            operation = self.operator.ask("GET", f"{BASE}/operations/{accepted.operation}?wait=20", Operation)
            if operation.state in {"done", "failed", "in-doubt"}:
                return operation

    def agent_process(self, device: Device) -> Process:
        """Return the process of a device's agent, the last one started."""
        return self._agents[device.se]

    def kill_agent(self, device: Device) -> None:
        """SIGKILL a device's agent."""
        self._agents[device.se].kill()

    def restart_agent(self, device: Device) -> None:
        """Start a device's agent again."""
        self._start_agent(device)

    def kill_tsm(self) -> None:
        """SIGKILL the central TSM."""
        self.tsm.kill()

    def restart_tsm(self) -> None:
        """Start the central TSM again, where it was."""
        self.tsm = self._run("tsm", *self._tsm_arguments)
        self.tsm.ready()

    def stop(self) -> None:
        """Ask every process to stop, all at once, and wait for each; close what is open."""
        # Whoever holds a connection goes first: a server that stops would wait for it to end.
        agents = list(self._agents.values())
        _stop(agents)
        self._closing.close()
        _stop([process for process in self._processes if process not in agents])
        self._processes.clear()


def _stop(processes: list[Process]) -> None:
    """Ask processes to stop, all at once, and wait for each."""
    for process in processes:
        process.ask_to_stop()
    for process in processes:
        process.stop()
