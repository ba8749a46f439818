"""`agent.toml`: where the TSM and the network's gateway are, who this device is, and which secure elements it has.

    [tsm]
    url = "https://tsm.example:8443"

    [network]                              # the mobile network over which the device is woken
    gateway = "https://gateway.example:9443"
    ca = "gateway-ca.pem"                  # when the gateway has a CA of its own

    [identity]                             # written by `opentsm agent enrol`
    certificate = "device.pem"
    key = "device.key"
    ca = "tsm-ca.pem"

    [journal]
    path = "journal"

    [[se]]
    id = "89001012012341234012345678901224"
    type = "eSE"                           # eSE, iSE, uicc, euicc, ieuicc, undefined
    link = "pcsc:My Reader 00 00"

Paths are relative to the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from opentsm_agent.handshake import SecureElement
from opentsm_agent.http import parse_base_url
from opentsm_agent.links import check_uri
from opentsm_card.documents import parse_toml
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["AgentConfig", "Identity", "Network", "SecureElementConfig", "load_config"]

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _Tsm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: _Text


class _Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gateway: _Text
    ca: _Text | None = None


class _Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    certificate: _Text
    key: _Text
    ca: _Text


class _Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: _Text


class _Se(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: _Text
    type: Literal["eSE", "iSE", "uicc", "euicc", "ieuicc", "undefined"]
    link: _Text
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 30.0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tsm: _Tsm
    network: _Network
    identity: _Identity
    journal: _Journal
    se: Annotated[list[_Se], msgspec.Meta(min_length=1)]


class Identity(msgspec.Struct, frozen=True):
    """The PEM files that say who the device is, and whom it trusts."""

    certificate: Path
    key: Path
    ca: Path


class Network(msgspec.Struct, frozen=True):
    """The mobile network's gateway: its URL, and the CA that its certificate comes from."""

    gateway: str
    ca: Path


class SecureElementConfig(msgspec.Struct, frozen=True):
    """A secure element of the device: who it is, the URI of the link to it, and the link's time-out in seconds."""

    element: SecureElement
    link: str
    timeout_s: float


class AgentConfig(msgspec.Struct, frozen=True):
    """What `agent.toml` says, checked, with absolute paths."""

    tsm_url: str
    network: Network
    identity: Identity
    journal: Path
    secure_elements: tuple[SecureElementConfig, ...]


def load_config(path: Path) -> AgentConfig:
    """Read and check `agent.toml`.

    Raises:
        ProtocolError: the file can't be read, or a value is wrong; the message names the place.
    """
    try:
        parsed = parse_toml(path.read_bytes(), _File, str(path))
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    checks: list[tuple[Callable[[str], object], str, str]] = [
        (parse_base_url, parsed.tsm.url, "$.tsm.url"),
        (parse_base_url, parsed.network.gateway, "$.network.gateway"),
        *((check_uri, se.link, f"$.se[{index}].link") for index, se in enumerate(parsed.se)),
    ]
    for check, value, place in checks:
        try:
            check(value)
        except ProtocolError as error:
            raise ProtocolError(f"{path}: {error} - at `{place}`") from error
    ids = [se.id for se in parsed.se]
    if len(set(ids)) != len(ids):
        raise ProtocolError(f"{path}: two secure elements have the same id - at `$.se`")
    base = path.absolute().parent
    return AgentConfig(
        tsm_url=parsed.tsm.url,
        network=Network(parsed.network.gateway, base / (parsed.network.ca or parsed.identity.ca)),
        identity=Identity(base / parsed.identity.certificate, base / parsed.identity.key, base / parsed.identity.ca),
        journal=base / parsed.journal.path,
        secure_elements=tuple(
            SecureElementConfig(SecureElement(se.type, se.id), se.link, se.timeout_s) for se in parsed.se
        ),
    )
