"""The configuration file of a mobile network's gateway (mno.toml).

Paths in the file are relative to the file's own folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from opentsm_card.aid import Aid
from opentsm_card.documents import parse_toml
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Action",
    "Device",
    "Gateway",
    "KeyStoreFile",
    "MnoConfig",
    "Mqtt",
    "Peers",
    "TlsFiles",
    "Uicc",
    "load_config",
]

_DIVERSIFICATION_BYTES: Final = 10

Action = Literal["lock", "unlock", "terminate", "status"]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
# SHA-256 of a certificate, with or without the colons that openssl prints.
Pin = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}$")]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: unknown names are errors."""


class Gateway(_Table, frozen=True):
    """`[mno]`: who this network is and where it listens.

    Args:
        id: the network's name, as the central TSM's inventory has it.
        listen: HOST:PORT; port 0 takes any free one, told in the ready line.
        database: the sqlite file of counters and push log.
        push_grace_s: how long after a long poll ended a device still counts as attached.
    """

    id: Name
    listen: str = "127.0.0.1:0"
    database: str = "mno.sqlite"
    push_grace_s: Annotated[float, Meta(ge=0, le=3600)] = 5.0


class TlsFiles(_Table, frozen=True):
    """`[tls]`: PEM files; `client_cas` are the authorities whose client certificates are read at all."""

    certificate: str
    key: str
    client_cas: tuple[str, ...]


class Peers(_Table, frozen=True):
    """`[peers]`: SHA-256 of the certificates (DER, hex) that may push and ask for issuer scripts, and read the log."""

    tsm: tuple[Pin, ...]
    operator: tuple[Pin, ...] = ()


class KeyStoreFile(_Table, frozen=True):
    """`[keys]`: the encrypted key store that holds the master of the issuer security domains' keys."""

    store: str
    passphrase_file: str
    master: str = "isd-master"


class Mqtt(_Table, frozen=True):
    """`[mqtt]`: a broker at which devices subscribe for their wake-ups; needs the extra `mqtt`.

    Args:
        broker: mqtts://HOST:PORT.
        ca, certificate, key: PEM files: whom to believe, and who we are.
        topic: of an SE's wake-ups; `{se}` is its identifier.
    """

    broker: Annotated[str, Meta(pattern=r"^mqtts://[^/@?#\s]+$")]
    ca: str
    certificate: str
    key: str
    topic: Annotated[str, Meta(pattern=r"^[^+#]*\{se\}[^+#]*$")] = "opentsm/{se}/wake"


class Device(_Table, frozen=True):
    """`[[device]]`: a subscription: one SE in a device of this network.

    Args:
        se: the SE's identifier, which the device's certificate must name (urn:opentsm:se:…).
        msisdn: its number, for people.
        certificate: SHA-256 of the one certificate accepted for it (DER, hex), or "" for any that names it.
    """

    se: Name
    msisdn: str = ""
    certificate: Pin | Literal[""] = ""


class Uicc(_Table, frozen=True):
    """`[[uicc]]`: a UICC whose issuer security domain is this network's.

    Args:
        se: the SE's identifier.
        diversification_data: 10 bytes, hex: what INITIALIZE UPDATE answers first.
        isd: AID of the issuer security domain, hex.
        key_version: of its SCP03 keys.
        i: the SCP03 "i" parameter.
        allow: what the central TSM may ask for.
    """

    se: Name
    diversification_data: str
    isd: str = "A000000151000000"
    key_version: Annotated[int, Meta(ge=1, le=127)] = 48
    i: Annotated[int, Meta(ge=0, le=0x71)] = 0x70
    allow: tuple[Action, ...] = ("lock", "unlock", "status")


class MnoConfig(_Table, frozen=True):
    """A whole mno.toml."""

    mno: Gateway
    tls: TlsFiles
    peers: Peers
    keys: KeyStoreFile | None = None
    mqtt: Mqtt | None = None
    device: tuple[Device, ...] = ()
    uicc: tuple[Uicc, ...] = ()


def load_config(path: Path) -> MnoConfig:
    """Read and check mno.toml.

    Raises:
        ProtocolError: it is not TOML, or a member is missing, unknown or of the wrong type; the message names it.
    """
    try:
        config = parse_toml(path.read_bytes(), MnoConfig, str(path))
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    for position, uicc in enumerate(config.uicc):
        place = f"{path}: uicc[{position}]"
        try:
            data = bytes.fromhex(uicc.diversification_data)
        except ValueError as error:
            raise ProtocolError(f"{place}.diversification_data is not hex") from error
        if len(data) != _DIVERSIFICATION_BYTES:
            raise ProtocolError(f"{place}.diversification_data: want {_DIVERSIFICATION_BYTES} bytes")
        try:
            Aid.from_text(uicc.isd)
        except ProtocolError as error:
            raise ProtocolError(f"{place}.isd: {error}") from error
    for table, tables in (("device", config.device), ("uicc", config.uicc)):
        ses = [entry.se for entry in tables]
        if twice := {se for se in ses if ses.count(se) > 1}:
            raise ProtocolError(f"{path}: {table}: more than one table for {', '.join(sorted(twice))}")
    if config.uicc and config.keys is None:
        raise ProtocolError(f"{path}: [[uicc]] needs [keys]")
    return config
