"""`agent.toml`: where the TSM and the network's gateway are, who this device is, and which secure elements it has.

`example.toml` beside this file shows every entry with what it means; `opentsm agent example` prints it. Paths are
relative to the configuration. All that is wrong with it is said at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar, cast

import msgspec

from opentsm_agent.config_problems import path_problems, value_problems
from opentsm_agent.handshake import SecureElement
from opentsm_agent.logs import Level
from opentsm_card.documents import check_all, parse_whole_toml
from opentsm_card.errors import ProtocolError

__all__ = [
    "AgentConfig",
    "Control",
    "Document",
    "Hook",
    "Identity",
    "Local",
    "Log",
    "Metrics",
    "Network",
    "SecureElementConfig",
    "Wake",
    "WakeMqtt",
    "WakeSms",
    "example",
    "load_config",
    "read_config",
]

# Files of the example that the agent writes.
_WRITTEN: Final = ("device.pem", "device.key", "tsm-ca.pem", "journal", "apdus.pcapng", "clock")

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class _Tsm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: _Text


class _Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gateway: _Text
    ca: _Text | None = None


class _Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    certificate: _Text
    key: _Text
    ca: _Text
    renew: bool = True


class _Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: _Text


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: _Text


class _Se(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: _Text
    type: Literal["eSE", "iSE", "uicc", "euicc", "ieuicc", "undefined"]
    link: _Text
    timeout_s: _Seconds = 30.0
    card: _Text | None = None
    channel: Literal["basic", "logical"] = "basic"


class _Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    floor: _Text


class Local(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The socket for the device's own applications: its path, its mode, and the hash that stands for each Unix user."""

    socket: _Text
    users: dict[str, Annotated[str, msgspec.Meta(pattern=r"\A([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})\Z")]]
    mode: Annotated[str, msgspec.Meta(pattern=r"\A0?[0-7]{3}\Z")] = "660"


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How events are written: text for people or JSON, and from which level on, by area."""

    format: Literal["text", "json"] = "text"
    level: Level = Level.INFO
    areas: dict[str, Level] = {}


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where Prometheus may fetch figures: HOST:PORT."""

    listen: _Text


class Hook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that is run at events: its command line, the events (all when empty), and its time-out in seconds."""

    command: Annotated[list[_Text], msgspec.Meta(min_length=1)]
    events: list[_Text] = []
    timeout_s: _Seconds = 10.0


class WakeMqtt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network's MQTT broker: its URL, CA, the topic of an element (`{se}` in it), MQTT's version, and our name."""

    broker: _Text
    ca: _Text | None = None
    topic: Annotated[str, msgspec.Meta(pattern=r"\A[^+#\0]+\Z")] = "opentsm/{se}/wake"
    version: Literal["3.1.1", "5"] = "5"
    client_id: _Text | None = None


class WakeSms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wake-ups by SMS: the modem's AT port for them, the destination port, and who may send them (empty: anyone)."""

    port: _Text
    baud: Annotated[int, msgspec.Meta(ge=300, le=4_000_000)] = 115200
    destination_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 16520
    senders: list[_Text] = []


class Wake(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the agent is woken, beside by its user.

    `every_s` is how often the gateway is asked for wake-ups, in seconds; None to hold a request open there.
    """

    every_s: Annotated[float, msgspec.Meta(gt=0, le=7 * 86400)] | None = None
    mqtt: WakeMqtt | None = None
    sms: WakeSms | None = None


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The local socket on which `opentsm agent` commands reach the running agent: its path, mode and group."""

    socket: _Text
    mode: Annotated[str, msgspec.Meta(pattern=r"\A0?[0-7]{3}\Z")] = "600"
    group: _Text | None = None


_Listening = TypeVar("_Listening", Local, Control)


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `agent.toml` says, as it is written there."""

    tsm: _Tsm
    network: _Network
    identity: _Identity
    journal: _Journal
    se: Annotated[list[_Se], msgspec.Meta(min_length=1)]
    log: Log = Log()
    metrics: Metrics | None = None
    hook: Hook | None = None
    policy: _File | None = None
    trace: _File | None = None
    clock: _Clock | None = None
    local: Local | None = None
    wake: Wake = Wake()
    control: Control | None = None


class Identity(msgspec.Struct, frozen=True):
    """What says who the device is, and whom it trusts.

    Args:
        certificate: PEM file of the device's certificate.
        key: PEM file of its private key, or the URI of one in a token or TPM (`opentsm_agent.hardware_keys`).
        ca: PEM file of the TSM's CA.
        renew: get a new certificate before this one ends.
    """

    certificate: Path
    key: Path | str
    ca: Path
    renew: bool = True


class Network(msgspec.Struct, frozen=True):
    """The mobile network's gateway: its URL, and the CA that its certificate comes from."""

    gateway: str
    ca: Path


class SecureElementConfig(msgspec.Struct, frozen=True):
    """A secure element of the device.

    Args:
        element: who it is to the TSM.
        link: URI of the link to it.
        timeout_s: the link's time-out, in seconds.
        card: what the card must say it is before anything is run on it, as `iccid:…`, `cin:…` or `cplc:…`; None
            for any card.
        channel: "basic": a session holds the element; "logical": each has a logical channel, which SCP03 allows.
    """

    element: SecureElement
    link: str
    timeout_s: float
    card: str | None = None
    channel: str = "basic"


class AgentConfig(msgspec.Struct, frozen=True):
    """What `agent.toml` says, checked, with absolute paths."""

    tsm_url: str
    network: Network
    identity: Identity
    journal: Path
    secure_elements: tuple[SecureElementConfig, ...]
    log: Log = Log()
    metrics: Metrics | None = None
    hook: Hook | None = None
    policy: Path | None = None
    trace: Path | None = None
    clock: Path | None = None
    local: Local | None = None
    wake: Wake = Wake()
    control: Control | None = None


def example(state: str | None = None) -> str:
    """Return a configuration with every entry that there is, explained.

    Args:
        state: folder for the files that the agent writes; None for the configuration's own.
    """
    text = Path(__file__).with_name("example.toml").read_text(encoding="utf-8")
    for name in _WRITTEN if state else ():
        text = text.replace(f'= "{name}"', f'= "{state}/{name}"')
    return text


def load_config(path: Path) -> AgentConfig:
    """Read and check `agent.toml`.

    Raises:
        ProtocolError: the file can't be read, or values are wrong; the message names each with its place.
    """
    config, problems = read_config(path)
    check_all(str(path), problems)
    return config


def read_config(path: Path) -> tuple[AgentConfig, list[str]]:
    """Return what `agent.toml` says, and all that is wrong with it; what is wrong or missing is UNSET, which is false.

    Raises:
        ProtocolError: the file can't be read, or is no TOML.
    """
    try:
        document = path.read_bytes()
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    parsed, problems = parse_whole_toml(document, Document, str(path))
    problems.extend(value_problems(parsed))
    config = _resolved(parsed, path.absolute().parent)
    problems.extend(path_problems(config))
    return config, problems


def _key(base: Path, text: str) -> Path | str:
    # The schemes of opentsm_agent.hardware_keys, which devices with a key in a file never import.
    return text if text and text.startswith(("pkcs11:", "handle:")) else _below(base, text)


def _below(base: Path, text: str) -> Path:
    """Return a path that the configuration names; what is not set stays so."""
    return base / text if text else cast("Path", text)


def _resolved(parsed: Document, base: Path) -> AgentConfig:
    identity = parsed.identity
    return AgentConfig(
        tsm_url=parsed.tsm.url,
        network=Network(parsed.network.gateway, _below(base, parsed.network.ca or identity.ca)),
        identity=Identity(
            _below(base, identity.certificate), _key(base, identity.key), _below(base, identity.ca), identity.renew
        ),
        journal=_below(base, parsed.journal.path),
        secure_elements=tuple(
            SecureElementConfig(SecureElement(se.type, se.id), se.link, se.timeout_s, se.card, se.channel)
            for se in parsed.se or ()
        ),
        log=parsed.log,
        metrics=parsed.metrics,
        hook=_hook(parsed.hook, base),
        policy=_below(base, parsed.policy.path) if parsed.policy else None,
        trace=_below(base, parsed.trace.path) if parsed.trace else None,
        clock=_below(base, parsed.clock.floor) if parsed.clock else None,
        local=_with_socket(parsed.local, base),
        wake=_wake(parsed, base),
        control=_with_socket(parsed.control, base),
    )


def _wake(parsed: Document, base: Path) -> Wake:
    mqtt = parsed.wake.mqtt
    if not mqtt:
        return parsed.wake
    named = mqtt.ca or parsed.network.ca or parsed.identity.ca
    ca = str(base / named) if named else None
    return msgspec.structs.replace(parsed.wake, mqtt=msgspec.structs.replace(mqtt, ca=ca))


def _hook(hook: Hook | None, base: Path) -> Hook | None:
    if not hook or not hook.command:
        return hook
    program, *arguments = hook.command
    # A name alone is looked for in PATH.
    return msgspec.structs.replace(hook, command=[str(base / program) if "/" in program else program, *arguments])


def _with_socket(parsed: _Listening | None, base: Path) -> _Listening | None:
    return msgspec.structs.replace(parsed, socket=str(base / parsed.socket)) if parsed and parsed.socket else parsed
