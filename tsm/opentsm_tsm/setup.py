"""Setting a central TSM up: its folder with CA, key store, server certificate, configuration; and opening it.

The CA's private key is the key store's secret `ca-key`; the CA's certificate is `ca.pem`. An operator's certificate is
made too: its holder asks for enrolment codes and the audit log, and locks SEs.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import ProtocolError
from opentsm_tsm import enrolment, inventory, pki, temporary_keys
from opentsm_tsm.app import Front, create_app
from opentsm_tsm.centre import Centre
from opentsm_tsm.config import TEMPLATE, load
from opentsm_tsm.desk import Desk
from opentsm_tsm.engine import Engine
from opentsm_tsm.errands import Errands
from opentsm_tsm.handlers import HANDLERS, SE_STATUS
from opentsm_tsm.keystore import KeyStore, read_passphrase
from opentsm_tsm.signals import Signals
from opentsm_tsm.store import Store
from opentsm_tsm.tls import server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable
    from pathlib import Path

    from starlette.applications import Starlette

    from opentsm_tsm.config import TsmConfig

__all__ = ["CA_KEY", "CentralTsm", "init", "issue", "open_authority", "open_keystore"]

CA_KEY: Final = "ca-key"
_MASTER: Final = "central-master"
_MASTER_BYTES: Final = 16
_MASTER_LENGTHS: Final = frozenset({16, 24, 32, 48, 72, 96})


def init(
    folder: Path,
    passphrase: bytes | None = None,
    hosts: Iterable[str] = ("127.0.0.1", "localhost"),
    *,
    master: bytes | None = None,
) -> Path:
    """Make a central TSM's folder, and return the path of its configuration file.

    Args:
        folder: is made; may exist, without any of the files.
        passphrase: of the key store; random when None. It is written to the file `passphrase`, for its owner only.
        hosts: DNS names and addresses of the server's certificate.
        master: the master key of the central security domains (16, 24 or 32 bytes, or three keys of one length in one);
            random when None.

    Raises:
        ProtocolError: one of the files exists, or a host or the master key is none.
    """
    hosts = tuple(hosts)
    pki.check_hosts(hosts)
    if master is not None and len(master) not in _MASTER_LENGTHS:
        raise ProtocolError(f"the master key: {len(master)} bytes, want 16, 24 or 32, or three keys of one length")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "tsm.toml"
    for name in ("tsm.toml", "keystore.json", "passphrase", "ca.pem", "server.pem", "server.key"):
        if (folder / name).exists():
            raise ProtocolError(f"{folder / name}: exists already")
    if passphrase is None:
        passphrase = secrets.token_hex(16).encode()
    pki.write_private(folder / "passphrase", passphrase + b"\n")
    authority = pki.CertificateAuthority.create("opentsm central TSM")
    store = KeyStore.create(folder / "keystore.json", passphrase)
    store.put(CA_KEY, authority.key_pem())
    store.put(_MASTER, master if master is not None else secrets.token_bytes(_MASTER_BYTES))
    (folder / "ca.pem").write_bytes(pki.certificate_pem(authority.certificate))
    issue(authority, folder / "server", [("tsm", "central")], hosts=hosts)
    issue(authority, folder / "operator", [("operator", "operator")])
    config.write_text(TEMPLATE)
    return config


def issue(
    authority: pki.CertificateAuthority,
    stem: Path,
    names: list[tuple[str, str]],
    *,
    hosts: Iterable[str] = (),
    request: bytes | None = None,
) -> Path:
    """Make a key and a certificate as the files STEM.key and STEM.pem (with the CA's behind it); return the latter.

    Args:
        authority: the CA.
        stem: the files' path without suffix.
        names: roles and ids.
        hosts: names of a server.
        request: PEM certificate request of somebody who keeps the key: then no key is made.

    Raises:
        FileExistsError: the key exists.
        ProtocolError: the request is not valid.
    """
    if request is None:
        key = pki.create_key()
        certificate = authority.issue(key.public_key(), names, hosts=hosts)
        pki.write_private(stem.with_name(stem.name + ".key"), pki.key_pem(key))
    else:
        certificate = authority.issue(pki.load_request(request), names, hosts=hosts)
    path = stem.with_name(stem.name + ".pem")
    path.write_bytes(pki.certificate_pem(certificate) + pki.certificate_pem(authority.certificate))
    return path


def open_keystore(config: TsmConfig) -> KeyStore:
    """Open the key store of a configuration.

    Raises:
        ProtocolError: it, or the passphrase's file, is not there.
        StorageError: the passphrase is wrong.
    """
    return KeyStore.open(config.path(config.keystore), read_passphrase(config.path(config.passphrase_file)))


def open_authority(config: TsmConfig, keystore: KeyStore) -> pki.CertificateAuthority:
    """Return the CA of a configuration.

    Raises:
        ProtocolError: its key or certificate is missing, or they are not each other's.
    """
    path = config.path(config.ca)
    certificate, key = pki.read_certificate(path), pki.load_key(keystore.get(CA_KEY))
    if certificate.public_key() != key.public_key():
        raise ProtocolError(f"{path}: not the certificate of the CA's key in {config.path(config.keystore)}")
    return pki.CertificateAuthority(certificate, key)


@dataclass(frozen=True, slots=True)
class CentralTsm:
    """A central TSM, opened from its configuration: everything that runs, and nothing running yet.

    Args:
        config, store, keystore, authority: what it was opened from.
        centre, desk, engine: its parts.
        app: the ASGI application.
        context: the TLS context to serve it with.
    """

    config: TsmConfig
    store: Store
    keystore: KeyStore
    authority: pki.CertificateAuthority
    centre: Centre
    desk: Desk
    engine: Engine
    app: Starlette
    context: ssl.SSLContext

    @classmethod
    def open(cls, path: Path) -> CentralTsm:
        """Open a central TSM; SEs of the configuration that are new go into the inventory.

        Raises:
            ProtocolError: the configuration or one of its files is not as it should be.
            StorageError: the key store or the database does not open.
        """
        config = load(path)
        keystore = open_keystore(config)
        authority = open_authority(config, keystore)
        store = Store(config.path(config.database))
        with store.transaction():
            for seed in config.se:
                inventory.add(store, seed, config.central_keys.version)
        centre = Centre(store, keystore, config, Signals())
        engine = Engine(centre, HANDLERS)
        desk = Desk(centre, HANDLERS)
        front = Front(centre, desk, engine, authority)
        app = create_app(front, desk, Errands(centre, engine, SE_STATUS))
        context = server_context(
            config.path(config.certificate),
            config.path(config.key),
            [config.path(config.ca)],
            client_certificate=False,
        )
        return cls(config, store, keystore, authority, centre, desk, engine, app, context)

    def check(self) -> None:
        """Check what only serving needs, so that no request meets it first: the files of MNOs and SPs, the master key.

        Raises:
            ProtocolError: one is missing or malformed; the message names it.
        """
        config = self.config
        master = config.central_keys.master
        if len(self.keystore.get(master)) not in _MASTER_LENGTHS:
            raise ProtocolError(f"{config.path(config.keystore)}: {master} is no key: it has a wrong length")
        for mno in config.mno:
            pki.read_certificate(config.path(mno.ca))
        for sp in config.sp:
            temporary_keys.read_recipient(config.path(sp.encryption_key))

    def issue(self, stem: Path, role: str, name: str, request: bytes | None = None) -> Path:
        """Issue a certificate for a role and an id, and remember it; see `issue`."""
        path = issue(self.authority, stem, [(role, name)], request=request)
        with self.store.transaction():
            enrolment.record_certificate(self.store, pki.load_certificate(path.read_bytes()), role, "command line")
        return path

    def close(self) -> None:
        """Close the database."""
        self.store.close()
