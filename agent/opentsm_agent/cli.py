"""`opentsm agent`: run the agent, enrol the device, and see what the journal holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from opentsm_agent.config import example as example_config
from opentsm_agent.config import load_config
from opentsm_card.errors import TransportError

if TYPE_CHECKING:
    from opentsm_agent.config import AgentConfig, Control

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

    serve(config_path, as_json=as_json)


@agent.command()
@_config_option
@_json_option
def check(config_path: Path, *, as_json: bool) -> None:
    """Say all that is wrong with a configuration and with what it names; what `run` would stop at.

    Nothing is connected to and no card is touched. Exit code 0: an agent can run with it; 4: it can't. A warning, on
    standard error, changes neither.
    """
    from opentsm_agent.checks import check as look  # noqa: PLC0415 - as in `run`
    from opentsm_agent.checks import exposed_key  # noqa: PLC0415 - as above

    config = look(config_path)
    warnings = list(filter(None, [exposed_key(config)]))
    if as_json:
        elements = [se.element.se_id for se in config.secure_elements]
        click.echo(msgspec.json.encode({"ok": True, "secure_elements": elements, "warnings": warnings}))
        return
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
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
    """Say what the configuration and the journal hold, and how the running agent is doing.

    Without [control] in the configuration, or with no agent running, the last part is left out.
    """
    from opentsm_agent.journal import read_journal  # noqa: PLC0415 - as in `run`

    config = load_config(config_path)
    running = _running(config)
    state = read_journal(config.journal)
    unreported = sum(
        session.current is not None and session.current.report is None for session in state.sessions.values()
    )
    facts: dict[str, Any] = {
        "tsm": config.tsm_url,
        "gateway": config.network.gateway,
        "enrolled": config.identity.certificate.exists(),
        "secure_elements": {se.element.se_id: se.link for se in config.secure_elements},
        "open_sessions": len(state.sessions),
        "unfinished_orders": unreported,
        "reports_to_tell": len(state.orphans),
        "running": running is not None,
    }
    if running is not None:
        facts |= {"wake_up": running["wake_up"], "sessions": running["sessions"]}
    if as_json:
        click.echo(msgspec.json.encode(facts))
        return
    if running is not None:
        facts["wake_up"] = {name: "attached" if on else "not attached" for name, on in running["wake_up"].items()}
        facts["sessions"] = "; ".join(_session_line(session) for session in running["sessions"]) or "none"
    for name, value in facts.items():
        shown = ", ".join(f"{key}: {link}" for key, link in value.items()) if isinstance(value, dict) else value
        click.echo(f"{name.replace('_', ' '):18} {shown}")


@agent.command()
@_config_option
@_json_option
def sessions(config_path: Path, *, as_json: bool) -> None:
    """List the sessions that the running agent holds with its TSM: state, age, last order, secure element.

    A session is named by 8 digits that stand for its id, as in the journal: the id itself is a secret. Needs [control]
    in the configuration.
    """
    from opentsm_agent.control import ask  # noqa: PLC0415 - as in `run`

    listed: list[dict[str, Any]] = ask(_control(load_config(config_path), config_path), {"ask": "sessions"})
    for session in listed:
        click.echo(msgspec.json.encode(session) if as_json else _session_line(session))
    if not listed and not as_json:
        click.echo("no session is open")


@agent.command()
@_config_option
@click.option("--session", help="Id of a session to open, as a wake-up would name it.")
@_json_option
def wake(config_path: Path, session: str | None, *, as_json: bool) -> None:
    """Have the running agent look for work now: ask its network's gateway, and try at once what waits in a pause.

    The same as SIGUSR1, by the agent's socket: needs [control] in the configuration. With --session, that session is
    opened; the TSM refuses one that it did not offer.
    """
    from opentsm_agent.control import ask  # noqa: PLC0415 - as in `run`

    request = {"ask": "wake"} | ({"session": session} if session is not None else {})
    answer = ask(_control(load_config(config_path), config_path), request)
    click.echo(msgspec.json.encode(answer) if as_json else "woken")


@agent.command()
@_config_option
@_json_option
def journal(config_path: Path, *, as_json: bool) -> None:
    """Show what the journal holds: orders under way, what was answered, what is in doubt, reports left over.

    Of C-APDUs it has positions and SHA-256 only; of R-APDUs lengths and status words are shown. It is read from the
    running agent where the configuration has [control], or else from the file, which does not disturb the agent.
    """
    from opentsm_agent.journal import read_journal  # noqa: PLC0415 - as in `run`
    from opentsm_agent.journal_view import journal_facts  # noqa: PLC0415 - as above

    config = load_config(config_path)
    facts = _running(config, "journal") or journal_facts(read_journal(config.journal))
    if as_json:
        click.echo(msgspec.json.encode(facts))
        return
    for session in facts["sessions"]:
        click.echo(f"session {session['session']} with {session['tsm']}, last order {session['last_order']}")
        if (order := session["unacknowledged"]) is not None:
            _show_order(order)
    for report in facts["left_over"]:
        click.echo(f"left over from session {report['session']}:")
        _show_order({**report, "state": "to be reported"})
    click.echo(f"{facts['remembered']} ended sessions are remembered")


def _show_order(order: dict[str, Any]) -> None:
    click.echo(f"  order {order['order']}, {order['state']}" + (f": {order['status']}" if "status" in order else ""))
    for number, command in enumerate(order["commands"]):
        if "sent" not in command:
            doubt = ", the next one in doubt" if command["in_doubt"] else ""
            click.echo(f"    SE RAM command {number}: {command['answered']} of {command['c_apdus']} answered{doubt}")
            continue
        click.echo(f"    SE RAM command {number}: {len(command['sent'])} of {command['c_apdus']} C-APDUs sent")
        for exchange in command["sent"]:
            answer = f"{exchange['sw']}, {exchange['answer_bytes']} bytes" if exchange["sw"] else "in doubt"
            click.echo(f"      {exchange['position']:4}  {exchange['c_apdu_sha256'][:16]}  {answer}")


def _session_line(session: dict[str, Any]) -> str:
    where = f" on {session['se']}" if session["se"] else ""
    unreported = ", its report under way" if session["unreported"] else ""
    return (
        f"{session['session']} {session['state']}, for {session['for_s']:g} s, last order {session['last_order']}"
        f"{where}{unreported}"
    )


def _control(config: AgentConfig, path: Path) -> Control:
    if config.control is None:
        raise TransportError(f"{path} has no [control] socket by which an agent could be reached")
    return config.control


def _running(config: AgentConfig, what: str = "status") -> dict[str, Any] | None:
    """Return what the running agent says, None when there is none to be asked."""
    if config.control is None:
        return None
    from opentsm_agent.control import ask  # noqa: PLC0415 - as in `run`

    try:
        answer: dict[str, Any] = ask(config.control, {"ask": what})
    except TransportError:
        return None
    return answer
