"""`opentsm agent`: run the agent, enrol the device, and see what the journal holds."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from opentsm_agent.config import example as example_config
from opentsm_agent.config import load_config

__all__ = ["agent"]

_config_option = click.option(
    "--config",
    "config_path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="agent.toml: the TSM, the network's gateway, the device's certificate, its secure elements.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, one object a line.")


@click.group()
def agent() -> None:
    """Relay scripts from the central TSM to this device's secure elements.

    Write agent.toml, enrol the device once with the code that the TSM's operator gives you, and leave the agent
    running:

    \b
      opentsm agent example > agent.toml
      opentsm agent enrol --config agent.toml --code CODE
      opentsm agent run --config agent.toml

    \b
    The least that agent.toml holds, paths relative to it (`example` prints all that it can):
      [tsm]
      url = "https://tsm.example:8443"
      [network]                      # the mobile network that wakes this device
      gateway = "https://gateway.example:9443"
      ca = "gateway-ca.pem"          # without it: the CA of the TSM
      [identity]                     # `enrol` writes these files
      certificate = "device.pem"
      key = "device.key"
      ca = "tsm-ca.pem"
      [journal]
      path = "journal"
      [[se]]                         # one table for each secure element
      id = "ese-1"
      type = "eSE"                   # eSE, iSE, uicc, euicc, ieuicc, undefined
      link = "tcp:127.0.0.1:35963"   # or pcsc:READER, uart:DEVICE, replay:TRACE
    """  # noqa: D301 - click's mark for text that is not to be wrapped


@agent.command()
@_config_option
@_json_option
def run(config_path: Path, *, as_json: bool) -> None:
    """Wait for wake-ups, and run the sessions that they ask for, until SIGTERM or SIGINT.

    A stop waits for the script that is running; whatever was begun is in the journal, and the next start goes
    on with it.
    """
    from opentsm_agent.service import run as serve  # noqa: PLC0415 - `enrol` and `--help` need none of it

    serve(load_config(config_path), config_path, as_json=as_json)


@agent.command()
@_config_option
@_json_option
def check(config_path: Path, *, as_json: bool) -> None:
    """Say all that is wrong with a configuration and with what it names; what `run` would stop at.

    Nothing is connected to and no card is touched. Exit code 0: an agent can run with it; 4: it can't.
    """
    from opentsm_agent.service import check as look  # noqa: PLC0415 - as in `run`

    config = load_config(config_path)
    look(config, config_path)
    if as_json:
        click.echo(
            msgspec.json.encode({"ok": True, "secure_elements": [se.element.se_id for se in config.secure_elements]})
        )
        return
    click.echo(f"{config_path}: an agent can run with it")


@agent.command()
@click.option("--state", help="Folder for what the agent writes, such as /var/lib/opentsm-agent/NAME.")
def example(state: str | None) -> None:
    """Print an agent.toml with every entry that there is, explained."""
    click.echo(example_config(state), nl=False)


@agent.command("system-files")
@click.option("--root", default="/", type=click.Path(path_type=Path), show_default=True, help="Below which they go.")
@click.option(
    "--command", "command_", type=click.Path(path_type=Path), help="The command that is started; default: this."
)
@_json_option
def system_files(root: Path, command_: Path | None, *, as_json: bool) -> None:
    """Write the files with which a Debian runs the agent as a service of its own user.

    \b
    The unit opentsm-agent@NAME reads /etc/opentsm/agent/NAME.toml. As root:
      opentsm agent system-files
      systemd-sysusers && systemd-tmpfiles --create
      systemctl daemon-reload
      systemctl enable --now opentsm-agent@NAME
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    from opentsm_agent.system_files import command_path, install  # noqa: PLC0415 - as in `run`

    written = [str(path) for path in install(root, command_ or command_path())]
    click.echo(msgspec.json.encode({"written": written}) if as_json else "\n".join(written))


@agent.command()
@_config_option
@click.option("--code", required=True, help="The one-time code, from the operator of the TSM.")
@click.option("--tsm", "tsm_url", help="Base URL of the TSM; default: the [tsm] url of the configuration.")
@click.option("--force", is_flag=True, help="Replace a certificate that is there already.")
@_json_option
def enrol(config_path: Path, code: str, tsm_url: str | None, *, force: bool, as_json: bool) -> None:
    """Get the device's certificate for a one-time code, and write the files of [identity].

    The code also pins the CA of the TSM: nobody in between can take its place.
    """
    from opentsm_agent.clock import DeviceClock  # noqa: PLC0415 - as in `run`
    from opentsm_agent.enrol import enrol as get_certificate  # noqa: PLC0415 - `run` must not import cryptography
    from opentsm_agent.enrol import parse_code  # noqa: PLC0415 - as above

    config = load_config(config_path)
    if config.identity.certificate.exists() and not force:
        raise click.UsageError(f"{config.identity.certificate} exists already; --force replaces it")
    clock = DeviceClock(config.clock) if config.clock is not None else None
    ses = get_certificate(tsm_url or config.tsm_url, parse_code(code), config.identity, clock)
    missing = [se.element.se_id for se in config.secure_elements if se.element.se_id not in ses]
    if as_json:
        click.echo(msgspec.json.encode({"enrolled": True, "secure_elements": ses, "not_covered": missing}))
        return
    click.echo(f"Enrolled for {', '.join(ses) or 'no secure element'}; certificate: {config.identity.certificate}")
    for se_id in missing:
        click.echo(f"The certificate does not speak for secure element {se_id} of the configuration.", err=True)


@agent.command()
@_config_option
@_json_option
def renew(config_path: Path, *, as_json: bool) -> None:
    """Get a new certificate for the device's key, under the one that it has; a running agent does so by itself.

    An agent that runs goes on with the one that it has read, until its next start.
    """
    from opentsm_agent.clock import DeviceClock  # noqa: PLC0415 - as in `run`
    from opentsm_agent.enrol import renew as get_certificate  # noqa: PLC0415 - as in `enrol`

    config = load_config(config_path)
    clock = DeviceClock(config.clock) if config.clock is not None else None
    ses = get_certificate(config.tsm_url, config.identity, clock)
    if as_json:
        click.echo(msgspec.json.encode({"renewed": True, "secure_elements": ses}))
        return
    click.echo(f"Renewed for {', '.join(ses)}; certificate: {config.identity.certificate}")


@agent.command()
@_config_option
@_json_option
def status(config_path: Path, *, as_json: bool) -> None:
    """Say what the configuration and the journal hold, without disturbing a running agent."""
    from opentsm_agent.journal import read_journal  # noqa: PLC0415 - as in `run`

    config = load_config(config_path)
    state = read_journal(config.journal)
    unreported = sum(
        session.current is not None and session.current.report is None for session in state.sessions.values()
    )
    facts = {
        "tsm": config.tsm_url,
        "gateway": config.network.gateway,
        "enrolled": config.identity.certificate.exists(),
        "secure_elements": {se.element.se_id: se.link for se in config.secure_elements},
        "open_sessions": len(state.sessions),
        "unfinished_orders": unreported,
        "reports_to_tell": len(state.orphans),
    }
    if as_json:
        click.echo(msgspec.json.encode(facts))
        return
    for name, value in facts.items():
        shown = ", ".join(f"{key} at {link}" for key, link in value.items()) if isinstance(value, dict) else value
        click.echo(f"{name.replace('_', ' '):18} {shown}")
