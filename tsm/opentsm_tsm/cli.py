"""The `opentsm tsm` command: set up, run and look after a central TSM."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from opentsm_card.errors import ProtocolError
from opentsm_tsm import audit as audit_log
from opentsm_tsm import desk, enrolment, inventory, operations, setup, tls
from opentsm_tsm.config import SeSeed, load
from opentsm_tsm.messages import ResolveOperation
from opentsm_tsm.setup import CentralTsm
from opentsm_tsm.store import Store
from opentsm_tsm.wire import WireError, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["tsm"]

_ACTOR = "operator:command-line"

config_option = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False),
    default="tsm.toml",
    show_default=True,
    help="The central TSM's configuration file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


@contextlib.contextmanager
def _opened(config: Path) -> Iterator[CentralTsm]:
    central = CentralTsm.open(config)
    try:
        yield central
    finally:
        central.close()


@click.group()
def tsm() -> None:
    """Run the central TSM: the one intermediary between SP TSMs and secure elements.

    \b
    opentsm tsm init DIR                    make CA, key store, certificates, configuration
    opentsm tsm serve --config DIR/tsm.toml
    opentsm tsm se add --config DIR/tsm.toml --json ses.json
    opentsm tsm enrol-code --config DIR/tsm.toml --se ese-1
    """  # noqa: D301 - click's mark for text that is not to be wrapped


@tsm.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--host", "hosts", multiple=True, default=("127.0.0.1", "localhost"), help="A name of the server.")
@click.option("--master-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Master key, hex.")
def init(folder: Path, hosts: tuple[str, ...], master_file: Path | None) -> None:
    """Make FOLDER with a CA, an encrypted key store, the server's and an operator's certificate, and tsm.toml."""
    master = None
    if master_file is not None:
        try:
            master = bytes.fromhex(master_file.read_text().strip())
        except ValueError:
            raise ProtocolError(f"{master_file}: not hexadecimal") from None
        if not master:
            raise ProtocolError(f"{master_file}: empty")
    path = setup.init(folder, None, hosts, master=master)
    click.echo(f"{path}: add [[mno]], [[sp]] and [[se]] sections, then: opentsm tsm serve --config {path}")


@tsm.command()
@config_option
@click.option("--verbose", is_flag=True, help="Log more.")
def serve(config: Path, *, verbose: bool) -> None:
    """Serve until SIGTERM or SIGINT; one line of JSON says when it is ready, and where."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )
    # An HTTP client's log would name session ids and MNOs' paths.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    central = CentralTsm.open(config)
    central.check()
    host, port = central.config.address()
    with tls.listen(host, port) as sock:
        bound = sock.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host

        def ready() -> None:
            click.echo(json.dumps({"ready": True, "tsm": central.config.id, "url": f"https://{shown}:{bound}"}))

        try:
            tls.serve(central.app, central.context, sock, on_ready=ready)
        finally:
            central.close()


@tsm.group()
def se() -> None:
    """Look after the inventory of secure elements."""


@se.command("add")
@config_option
@click.option(
    "--json",
    "document",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="A list of SEs; - (or nothing) for stdin.",
)
def se_add(config: Path, document: Path | None) -> None:
    """Add SEs to the inventory, from JSON with the fields of [[se]] in tsm.toml.

    Example: [{"id": "ese-1", "type": "eSE", "configuration": "embedded", "mno": "north", "msisdn": "+49170..."}]
    """
    if document is None or str(document) == "-":
        text, source = sys.stdin.buffer.read(), "stdin"
    else:
        text, source = document.read_bytes(), str(document)
    try:
        seeds = decode(text, list[SeSeed])
    except WireError as error:
        raise ProtocolError(f"{source}: {error}") from None
    with _opened(config) as central:
        for seed in seeds:
            if central.config.find_mno(seed.mno) is None:
                raise ProtocolError(f"se {seed.id}: there is no mno {seed.mno!r} in {config}")
        with central.store.transaction():
            added = [seed.id for seed in seeds if inventory.add(central.store, seed, _version(central))]
            for name in added:
                audit_log.record(central.store, _ACTOR, "se", "added", se=name)
        click.echo(f"{len(added)} added, {len(seeds) - len(added)} known already")


def _version(central: CentralTsm) -> int:
    return central.config.central_keys.version


@se.command("list")
@config_option
@json_option
def se_list(config: Path, *, as_json: bool) -> None:
    """List the secure elements."""
    with _opened(config) as central:
        rows = inventory.every(central.store)
    if as_json:
        names = ("id", "type", "configuration", "mno", "status", "life_cycle")
        click.echo(json.dumps([{name: getattr(row, name) for name in names} for row in rows]))
        return
    for row in rows:
        click.echo(f"{row.id:24} {row.type:5} {row.configuration:9} {row.mno:12} {row.status:10} {row.life_cycle}")


@se.command("trust-keys")
@config_option
@click.option("--id", "name", required=True, help="The SE.")
def se_trust_keys(config: Path, name: str) -> None:
    """Let the central TSM try an SE's keys again, after they were wrong and have been mended."""
    with _opened(config) as central:
        found = inventory.find(central.store, name)
        if found is None or found.status != "keys-wrong":
            raise ProtocolError(f"there is no SE {name!r} whose keys were wrong")
        with central.store.transaction():
            inventory.update(central.store, name, status="ok", stale=1)
            audit_log.record(central.store, _ACTOR, "trust-keys", "done", se=name)


@tsm.command("enrol-code")
@config_option
@click.option("--se", "ses", multiple=True, required=True, help="An SE that the agent speaks for; may be repeated.")
@json_option
def enrol_code(config: Path, ses: tuple[str, ...], *, as_json: bool) -> None:
    """Make a single-use code with which an agent gets its certificate: opentsm agent enrol --code CODE.

    The code is shown once and stored as a hash only.
    """
    with _opened(config) as central:
        for name in ses:
            if inventory.find(central.store, name) is None:
                raise ProtocolError(f"there is no SE {name!r} in the inventory")
        certificate, valid_s = central.authority.certificate, central.config.enrolment_s
        code, until = enrolment.create_code(central.store, certificate, ses, valid_s, _ACTOR)
    click.echo(json.dumps({"code": code.encode(), "until": until}) if as_json else code.encode())


@tsm.command("issue-cert")
@config_option
@click.option("--role", type=click.Choice(["sp", "mno", "operator", "se"]), required=True)
@click.option("--id", "name", required=True, help="Whom it is for.")
@click.option("--out", type=click.Path(path_type=Path), help="Files OUT.key and OUT.pem; ROLE-ID when left out.")
@click.option(
    "--csr",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A certificate request: certify its key, and make none (OUT.pem only).",
)
def issue_cert(config: Path, role: str, name: str, out: Path | None, csr: Path | None) -> None:
    """Make a certificate for a service provider, an MNO or an operator, and its key unless there is a request."""
    stem = out if out is not None else Path(f"{role}-{name}")
    try:
        with _opened(config) as central:
            path = central.issue(stem, role, name, None if csr is None else csr.read_bytes())
    except FileExistsError as error:
        raise ProtocolError(f"{error.filename}: exists already") from None
    click.echo(str(path))


@tsm.command()
@config_option
@click.option("--fingerprint", required=True, help="SHA-256 of the certificate, or the start of it, in hex.")
def revoke(config: Path, fingerprint: str) -> None:
    """Refuse a certificate from now on."""
    with _opened(config) as central:
        rows = central.store.rows("SELECT fingerprint, names FROM certificate WHERE revoked IS NULL")
        wanted = fingerprint.lower().replace(":", "")
        found = [row for row in rows if len(wanted) >= 8 and row["fingerprint"].hex().startswith(wanted)]
        if len(found) != 1:
            raise ProtocolError(f"{len(found)} certificates begin with {fingerprint!r}")
        with central.store.transaction():
            central.store.run(
                "UPDATE certificate SET revoked = ? WHERE fingerprint = ?", time.time(), found[0]["fingerprint"]
            )
            audit_log.record(central.store, _ACTOR, "certificate", "revoked", detail=found[0]["names"])
        click.echo(f"revoked: {found[0]['names']}")


@tsm.command("operations")
@config_option
@click.option("--in-doubt", is_flag=True, help="Only those that wait for a word of their owner.")
@json_option
def list_operations(config: Path, *, in_doubt: bool, as_json: bool) -> None:
    """List the newest operations."""
    with _opened(config) as central:
        rows = [row for row in operations.of_caller(central.store, None) if not in_doubt or row.state == "in-doubt"]
    if as_json:
        click.echo(encode([operations.view(row) for row in rows]))
        return
    for row in rows:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.updated))
        click.echo(f"{when}  {row.caller:20} {row.id:34} {row.function:28} {row.se:16} {row.state:9} {row.phase}")


@tsm.command()
@config_option
@click.option("--caller", required=True, help="Whose operation, such as sp:bank.")
@click.argument("operation")
@click.argument("decision", type=click.Choice(["accept", "reset"]))
def resolve(config: Path, caller: str, operation: str, decision: str) -> None:
    """Settle an OPERATION in doubt for its owner: accept it as done, or reset it (not done).

    Its owner does the same with POST /gp/messaging/v2/operations/{id}/resolve, and may probe the SE before.
    """
    with _opened(config) as central:
        found = operations.find(central.store, caller, operation)
        if found is None:
            raise ProtocolError(f"{caller} has no operation {operation!r}")
        with central.store.transaction():
            desk.settle(
                central.centre, found, ResolveOperation(decision="accept" if decision == "accept" else "reset"), _ACTOR
            )
        click.echo(f"{operation}: {found.state}")


@tsm.command()
@config_option
@click.option(
    "--after", type=click.IntRange(0, (1 << 63) - 1), default=0, help="Number of the last record that is known."
)
@json_option
def audit(config: Path, after: int, *, as_json: bool) -> None:
    """Show the audit log."""
    settings = load(config)
    if not settings.path(settings.database).exists():
        raise ProtocolError(f"{settings.path(settings.database)}: no such database")
    with Store(settings.path(settings.database)) as store:
        records = audit_log.read(store, after)
    if as_json:
        click.echo(encode(records))
        return
    for record in records:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.at))
        where = " ".join(filter(None, (record.se_id, record.operation, record.detail)))
        click.echo(f"{record.number:6} {when}  {record.actor:22} {record.event:28} {record.outcome:10} {where}")


@tsm.group()
def key() -> None:
    """Look after the key store."""


@key.command("add")
@config_option
@click.option("--name", required=True, help="Name of the secret, such as central-master.")
@click.option("--file", "source", type=click.File("r"), required=True, help="Hexadecimal; - for stdin.")
def key_add(config: Path, name: str, source: TextIO) -> None:
    """Add a secret to the key store."""
    try:
        secret = bytes.fromhex(source.read().strip())
    except ValueError:
        raise ProtocolError(f"{source.name}: not hexadecimal") from None
    if not secret:
        raise ProtocolError(f"{source.name}: empty")
    setup.open_keystore(load(config)).put(name, secret)


@key.command("list")
@config_option
def key_list(config: Path) -> None:
    """List the names of the secrets."""
    for name in setup.open_keystore(load(config)).names():
        click.echo(name)


@key.command("remove")
@config_option
@click.option("--name", required=True)
@click.confirmation_option(prompt="Remove this secret for good?")
def key_remove(config: Path, name: str) -> None:
    """Remove a secret from the key store."""
    keystore = setup.open_keystore(load(config))
    if name not in keystore.names():
        raise ProtocolError(f"there is no secret {name!r} to remove")
    keystore.remove(name)
