"""`opentsm mno`: run a mobile network's push gateway."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from opentsm_card.errors import ProtocolError
from opentsm_tsm import pki, tls
from opentsm_tsm.keystore import KeyStore, read_passphrase
from opentsm_tsm.mno.app import create_app
from opentsm_tsm.mno.config import MnoConfig, load_config
from opentsm_tsm.mno.hub import Hub
from opentsm_tsm.mno.issuer import Issuer
from opentsm_tsm.mno.store import MnoStore

if TYPE_CHECKING:
    from opentsm_tsm.mno.broker import Broker

__all__ = ["mno"]

_MASTER_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")

_TEMPLATE: Final = """\
[mno]
id = "{name}"
listen = "{listen}"
database = "mno.sqlite"

[tls]
certificate = "server.pem"
key = "server.key"
# Whose client certificates are read: the central TSM's authority (it enrols the agents), and this network's own.
client_cas = ["ca.pem"]

[peers]
# SHA-256 of certificates: `opentsm mno fingerprint FILE` prints it.
tsm = []
operator = ["{operator}"]

[keys]
store = "mno.keys"
passphrase_file = "passphrase"

# Devices that hold no request here can be woken at a broker:
# [mqtt]
# broker = "mqtts://broker.example:8883"
# ca = "broker-ca.pem"
# certificate = "broker-client.pem"
# key = "broker-client.key"
# topic = "opentsm/{{se}}/wake"

# One table for each SE in a device of this network:
# [[device]]
# se = "ese-1"
# msisdn = "+491700000001"

# One table for each UICC whose issuer security domain is this network's:
# [[uicc]]
# se = "uicc-1"
# diversification_data = "00112233445566778899"
# allow = ["lock", "unlock", "status"]
"""


@click.group()
def mno() -> None:
    """Run a mobile network's push gateway.

    \b
    opentsm mno init --dir DIR --id north      make authority, certificates, key store, mno.toml
    opentsm mno fingerprint tsm/server.pem     for [peers] tsm in DIR/mno.toml
    opentsm mno serve --config DIR/mno.toml

    A network's devices hold a long poll to its gateway; the central TSM wakes them through it, and only through it. The
    gateway also holds the keys of its UICCs' issuer security domains and makes the scripts that lock, unlock and
    terminate those cards.
    """  # noqa: D301 - click's mark for text that is not to be wrapped


@mno.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), required=True, help="A new or empty folder.")
@click.option("--id", "name", required=True, help="The network's name.")
@click.option("--listen", default="127.0.0.1:8450", show_default=True, help="HOST:PORT to serve on.")
@click.option("--host", "hosts", multiple=True, default=("localhost", "127.0.0.1"), help="Name in its certificate.")
def init(folder: Path, name: str, listen: str, hosts: tuple[str, ...]) -> None:
    """Make a gateway's folder: authority, server and operator certificates, key store, mno.toml."""
    # All of it is checked before anything is made.
    pki.check_hosts(hosts)
    if not _NAME.fullmatch(name):
        raise ProtocolError(f"--id {name!r}: want letters, digits, '.', '_', ':' and '-', up to 64")
    _address(listen, "--listen")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ProtocolError(f"{folder}: not empty; keys are never overwritten")
    authority = pki.CertificateAuthority.create(f"opentsm mobile network {name}")
    authority.save(folder / "ca.pem", folder / "ca.key")
    _issue(authority, folder / "server", name, hosts, role="mno")
    operator = _issue(authority, folder / "operator", name, (), role="operator")
    passphrase = secrets.token_urlsafe(24).encode()
    pki.write_private(folder / "passphrase", passphrase)
    store = KeyStore.create(folder / "mno.keys", passphrase)
    store.put("isd-master", secrets.token_bytes(_MASTER_BYTES))
    (folder / "mno.toml").write_text(_TEMPLATE.format(name=name, listen=listen, operator=operator))
    click.echo(f"{folder / 'mno.toml'}: made; add [[device]] tables and the central TSM's certificate")


def _address(text: str, place: str) -> tuple[str, int]:
    """Return the host and port of HOST:PORT, which stands at `place`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise ProtocolError(f"{place}: {text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _issue(authority: pki.CertificateAuthority, base: Path, name: str, hosts: tuple[str, ...], *, role: str) -> str:
    """Write a key and its certificate beside each other and return the certificate's SHA-256 in hex."""
    key = pki.create_key()
    certificate = authority.issue(key.public_key(), [(role, name)], hosts=hosts)
    pki.write_private(base.with_suffix(".key"), pki.key_pem(key))
    chain = pki.certificate_pem(certificate) + pki.certificate_pem(authority.certificate)
    base.with_suffix(".pem").write_bytes(chain)
    return pki.fingerprint(certificate).hex()


@mno.command()
@click.argument("certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def fingerprint(certificate: Path) -> None:
    """Print the SHA-256 of a PEM certificate, as mno.toml's [peers] wants it."""
    click.echo(pki.fingerprint(pki.read_certificate(certificate)).hex())


@mno.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True, help="The gateway's mno.toml.")
def serve(path: Path) -> None:
    """Serve until SIGTERM or Ctrl-C; prints one JSON line when ready."""
    config = load_config(path)
    folder = path.resolve().parent
    host, port = _address(config.mno.listen, f"{path}: mno.listen")
    context = tls.server_context(
        folder / config.tls.certificate,
        folder / config.tls.key,
        [folder / authority for authority in config.tls.client_cas],
    )
    store = MnoStore(folder / config.mno.database)
    broker = _broker(config, path, folder)
    app = create_app(config, Hub(config.mno.push_grace_s), store, _issuer(config, folder, store), broker)
    sock = tls.listen(host, port)
    url = f"https://{host}:{sock.getsockname()[1]}"
    ready = json.dumps({"ready": True, "mno": config.mno.id, "url": url})
    try:
        tls.serve(app, context, sock, on_ready=lambda: click.echo(ready))
    finally:
        if broker is not None:
            broker.close()
        store.close()


def _broker(config: MnoConfig, path: Path, folder: Path) -> Broker | None:
    """Return the connection to this network's MQTT broker, or None where it has none."""
    if config.mqtt is None:
        return None
    try:
        from opentsm_tsm.mno.broker import Broker  # noqa: PLC0415 - needs its extra
    except ModuleNotFoundError as error:
        raise ProtocolError(f"{path}: mqtt: needs {error.name}: pip install 'opentsm[mqtt]'") from error
    return Broker(config.mqtt, folder, f"opentsm-mno-{config.mno.id}")


def _issuer(config: MnoConfig, folder: Path, store: MnoStore) -> Issuer | None:
    """Return the issuer of this network's UICCs, or None where it has none."""
    if config.keys is None or not config.uicc:
        return None
    keys = KeyStore.open(folder / config.keys.store, read_passphrase(folder / config.keys.passphrase_file))
    return Issuer(keys.get(config.keys.master), config.uicc, store)
