"""The central TSM's configuration file, `tsm.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from opentsm_card.configurations import ConfigurationName  # noqa: TC001 - msgspec reads it at run time
from opentsm_card.documents import parse_toml
from opentsm_card.errors import ProtocolError

__all__ = ["TEMPLATE", "CentralKeys", "Mno", "SeSeed", "ServiceProvider", "TsmConfig", "load"]

Identifier = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
HexText = Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{2})*$")]
Digits = Annotated[str, Meta(pattern=r"^\+?[0-9]{5,15}$")]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section: an unknown entry is an error, so that a misspelt one is not silently lost."""


class CentralKeys(_Section, frozen=True, kw_only=True):
    """Where the keys of the central security domains come from: one master key, diversified for each SE.

    Args:
        master: name of the master key in the key store.
        method: "kdf3", or "none" for test cards that hold the master key itself.
        version: their key version on the SEs.
    """

    master: str = "central-master"
    method: Literal["kdf3", "none"] = "kdf3"
    version: Annotated[int, Meta(ge=1, le=127)] = 48


class Mno(_Section, frozen=True, kw_only=True):
    """A mobile network: the push gateway through which alone its devices are woken, and its CA."""

    id: Identifier
    gateway: str
    ca: str


class ServiceProvider(_Section, frozen=True, kw_only=True):
    """A service provider.

    Args:
        id: its name, as in its certificate.
        mnos: the networks it has contracts with; SEs of others do not exist for it.
        encryption_key: PEM file of its public key (P-256), to which temporary keys are encrypted.
        aid_prefixes: what the AIDs of its security domains and applications begin with; empty for any.
    """

    id: Identifier
    mnos: tuple[str, ...]
    encryption_key: str
    aid_prefixes: tuple[HexText, ...] = ()


class SeSeed(_Section, frozen=True, kw_only=True):
    """An SE of the inventory, as `opentsm tsm se add` and `[[se]]` give it.

    Args:
        id: its identifier, as the agent names it.
        type: kind of SE.
        configuration: who holds what on it: "embedded", "uicc", or either with "-third-parties" (figs. 5 to 8).
        mno: the network through which its device is reached.
        msisdn, imsi: subscriptions that it belongs to.
        imei: the device's.
        key_version: of the central SD's keys, where it is not `central_keys.version`.
        diversification_data: 10 bytes; learnt from the SE (and then held to) when absent.
        issuer, central: AIDs of the issuer SD and of the central SD; those of the configuration when absent.
        packages: AIDs of the load files that are built in.
    """

    id: Identifier
    type: Literal["eSE", "uicc"]
    configuration: ConfigurationName
    mno: Identifier
    msisdn: Digits | None = None
    imsi: Digits | None = None
    imei: str | None = None
    key_version: Annotated[int, Meta(ge=1, le=127)] | None = None
    diversification_data: HexText | None = None
    issuer: HexText = "A000000151000000"
    central: HexText | None = None
    packages: tuple[HexText, ...] = ("A0000001515350", "F06F70656E74736D0101", "F06F70656E74736D0102")


class TsmConfig(_Section, frozen=True, kw_only=True):
    """The whole file. Paths are relative to it; times are in seconds.

    Args:
        id: the name of this TSM, as in its certificate.
        listen: HOST:PORT; port 0 is any free one.
        certificate, key: PEM files; the certificate's is followed by its CA's.
        ca: PEM file of the CA whose client certificates are believed.
        keystore, passphrase_file: the encrypted key store.
        database: the SQLite file.
        poll_s: how long an agent's report waits for the next order.
        linger_s: how long a session waits for more work before it is stopped.
        silence_s: after how long a silent agent is woken again while there is work.
        conversation_idle_s: after how long without a request a conversation is ended.
        enrolment_s: how long an enrolment code is good.
    """

    id: Identifier = "central"
    listen: str = "127.0.0.1:7443"
    certificate: str = "server.pem"
    key: str = "server.key"
    ca: str = "ca.pem"
    keystore: str = "keystore.json"
    passphrase_file: str = "passphrase"  # noqa: S105 - the name of a file
    database: str = "tsm.sqlite"
    poll_s: Annotated[float, Meta(ge=0, le=60)] = 10.0
    linger_s: Annotated[float, Meta(ge=0, le=60)] = 1.0
    silence_s: Annotated[float, Meta(gt=0)] = 30.0
    conversation_idle_s: Annotated[float, Meta(gt=0)] = 900.0
    enrolment_s: Annotated[float, Meta(gt=0)] = 900.0
    central_keys: CentralKeys = CentralKeys()
    mno: tuple[Mno, ...] = ()
    sp: tuple[ServiceProvider, ...] = ()
    se: tuple[SeSeed, ...] = ()
    folder: str = "."

    def path(self, name: str) -> Path:
        """Return the path of a file that this file names."""
        return Path(self.folder) / name

    def address(self) -> tuple[str, int]:
        """Return host and port to listen on.

        Raises:
            ProtocolError: `listen` is not HOST:PORT.
        """
        host, colon, port = self.listen.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 0xFFFF:
            raise ProtocolError(f"listen: {self.listen!r} is not HOST:PORT")
        return host.strip("[]"), int(port)

    def find_mno(self, name: str) -> Mno | None:
        """Return a network, or None."""
        return next((mno for mno in self.mno if mno.id == name), None)

    def find_sp(self, name: str) -> ServiceProvider | None:
        """Return a service provider, or None."""
        return next((sp for sp in self.sp if sp.id == name), None)


def load(path: Path) -> TsmConfig:
    """Read a configuration file.

    Raises:
        ProtocolError: it is missing, is no TOML, or an entry is wrong; the message names the entry.
    """
    try:
        config = parse_toml(path.read_bytes(), TsmConfig, str(path))
    except FileNotFoundError:
        raise ProtocolError(f"{path}: No such file; `opentsm tsm init FOLDER` makes one, --config names it") from None
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from None
    config = msgspec.structs.replace(config, folder=str(path.parent))
    try:
        config.address()
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error}") from None
    for table, entries in (("mno", config.mno), ("sp", config.sp), ("se", config.se)):
        ids = [entry.id for entry in entries]
        if twice := {name for name in ids if ids.count(name) > 1}:
            raise ProtocolError(f"{path}: {table}: more than one table for {', '.join(sorted(twice))}")
    for mno in config.mno:
        parts = urlsplit(mno.gateway)
        if parts.scheme != "https" or not parts.hostname:
            raise ProtocolError(f"{path}: mno {mno.id}: gateway {mno.gateway!r}: want https://HOST:PORT")
    for seed in config.se:
        if config.find_mno(seed.mno) is None:
            raise ProtocolError(f"{path}: se {seed.id}: there is no mno {seed.mno!r}")
    for sp in config.sp:
        missing = [name for name in sp.mnos if config.find_mno(name) is None]
        if missing:
            raise ProtocolError(f"{path}: sp {sp.id}: there is no mno {missing[0]!r}")
    return config


TEMPLATE: Final = """\
# The central TSM. Paths are relative to this file, times in seconds.
id = "central"
listen = "127.0.0.1:7443"
certificate = "server.pem"
key = "server.key"
ca = "ca.pem"
keystore = "keystore.json"
passphrase_file = "passphrase"
database = "tsm.sqlite"

# Keys of the central security domains: `master` is a key of the key store (`opentsm tsm key add`).
[central_keys]
master = "central-master"
method = "kdf3"
version = 48

# [[mno]]                       # a mobile network, woken through its gateway alone
# id = "north"
# gateway = "https://127.0.0.1:7444"
# ca = "north-ca.pem"

# [[sp]]                        # a service provider
# id = "bank"
# mnos = ["north"]
# encryption_key = "bank.pub.pem"
# aid_prefixes = ["F06F70656E74736D0A0001", "F06F70656E74736D0B0001"]

# [[se]]                        # or: opentsm tsm se add --json FILE
# id = "ese-1"
# type = "eSE"
# configuration = "embedded" # or "uicc"; with third parties on it: "embedded-third-parties", "uicc-third-parties"
# mno = "north"
# msisdn = "+491700000001"
"""
