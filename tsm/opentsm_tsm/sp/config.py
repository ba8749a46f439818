"""The configuration file of an SP TSM (sp.toml).

Paths in the file are relative to the file's own folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from opentsm_card.aid import Aid
from opentsm_card.documents import parse_toml
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Centre", "KeyStoreFile", "Provider", "Service", "SpConfig", "TlsFiles", "check_url", "load_config"]

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: unknown names are errors."""


class Provider(_Table, frozen=True):
    """`[sp]`: who this service provider is.

    Args:
        id: its name at the central TSM.
        sd: AID of its security domain on every SE, hex.
        database: the sqlite file of operations, keys (sealed) and counters.
        key_version: of the key set that replaces the temporary one.
        key_length_bytes: of the keys it makes: 16 or 32.
    """

    id: Name
    sd: str
    database: str = "sp.sqlite"
    key_version: Annotated[int, Meta(ge=1, le=127)] = 1
    key_length_bytes: Literal[16, 32] = 16


class Centre(_Table, frozen=True):
    """`[tsm]`: the central TSM.

    Args:
        url: https://HOST:PORT.
        ca: PEM file of the authority that its certificate must come from.
        patience_s: how long a request is repeated while the central TSM can't be reached.
    """

    url: str
    ca: str
    patience_s: Annotated[float, Meta(ge=0, le=86400)] = 60.0


class TlsFiles(_Table, frozen=True):
    """`[tls]`: PEM files of the client certificate."""

    certificate: str
    key: str


class KeyStoreFile(_Table, frozen=True):
    """`[keys]`: the encrypted key store."""

    store: str
    passphrase_file: str


class Service(_Table, frozen=True):
    """`[[service]]`: one service and the application that serves it.

    Args:
        name: the service's name.
        instance: AID of its instance, hex.
        package: AID of the load file on the SE, hex.
        module: AID of the class, hex.
        label: what the PPSE lists.
        priority: the order in the PPSE, 1 first.
        max_accounts: how many accounts an instance makes room for.
    """

    name: Name
    instance: str
    package: str = "F06F70656E74736D0101"
    module: str = "F06F70656E74736D010101"
    label: Annotated[str, Meta(pattern=r"^[ -~]{1,16}$")] = "opentsm"
    priority: Annotated[int, Meta(ge=1, le=127)] = 1
    max_accounts: Annotated[int, Meta(ge=1, le=6)] = 4


class SpConfig(_Table, frozen=True):
    """A whole sp.toml."""

    sp: Provider
    tsm: Centre
    tls: TlsFiles
    keys: KeyStoreFile
    service: tuple[Service, ...] = ()

    def find_service(self, name: str) -> Service:
        """Return a service by its name.

        Raises:
            ProtocolError: the file has no such service.
        """
        for service in self.service:
            if service.name == name:
                return service
        raise ProtocolError(f"no [[service]] is named {name!r}")


def load_config(path: Path) -> SpConfig:
    """Read and check sp.toml.

    Raises:
        ProtocolError: it is not TOML, or a member is missing, unknown or of the wrong type; the message names it.
    """
    try:
        config = parse_toml(path.read_bytes(), SpConfig, str(path))
    except FileNotFoundError as error:
        raise ProtocolError(f"{path}: No such file; `opentsm sp init` makes one, --config names it") from error
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    check_url(config.tsm.url, f"{path}: tsm.url")
    names = [service.name for service in config.service]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ProtocolError(f"{path}: service: more than one table for {', '.join(sorted(twice))}")
    places = [("sp.sd", config.sp.sd)]
    for position, service in enumerate(config.service):
        places += [
            (f"service[{position}].{name}", getattr(service, name)) for name in ("instance", "package", "module")
        ]
    for place, text in places:
        try:
            Aid.from_text(text)
        except ProtocolError as error:
            raise ProtocolError(f"{path}: {place}: {error}") from error
    return config


def check_url(url: str, place: str) -> None:
    """Check the URL of a central TSM, which stands at `place`.

    Raises:
        ProtocolError: it is not https://HOST:PORT.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises out of 0..65535
        sound = parts.scheme == "https" and bool(parts.hostname) and url.isascii()
    except ValueError:
        sound = False
    if not sound or not url.isprintable() or " " in url:
        raise ProtocolError(f"{place}: {url!r}: want https://HOST:PORT")
