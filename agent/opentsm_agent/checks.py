"""What `run` would stop at, and `check` says: the configuration, and whether all that it names is there.

Nothing is connected to, no card is touched, and nothing is written.
"""

from __future__ import annotations

import importlib
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeGuard, TypeVar

from opentsm_agent.clock import DeviceClock
from opentsm_agent.config import read_config
from opentsm_agent.http import client_context
from opentsm_agent.journal import read_journal
from opentsm_agent.links import check_uri, load_scheme
from opentsm_agent.local_sockets import group_id, socket_address
from opentsm_agent.policy import load_policy
from opentsm_card.documents import check_all
from opentsm_card.errors import OpenTsmError, ProtocolError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentsm_agent.config import AgentConfig

__all__ = ["check", "exposed_key"]

P = ParamSpec("P")
T = TypeVar("T")


def check(path: Path) -> AgentConfig:
    """Return a configuration with which an agent can run.

    Args:
        path: `agent.toml`.

    Raises:
        ProtocolError: none can; the message has all that is wrong, with the file and with what it names.
    """
    config, problems = read_config(path)
    for part in (_identity, _links, _files, _sockets, _extras):
        problems += part(config, path)
    # A file that two entries name is said once.
    check_all(str(path), list(dict.fromkeys(problems)))
    return config


def exposed_key(config: AgentConfig) -> str | None:
    """Say that others than the agent's user and group can read or change the device's key; None where they can't."""
    key = config.identity.key
    mode = key.stat().st_mode if isinstance(key, Path) else 0
    if not mode & (stat.S_IROTH | stat.S_IWOTH):
        return None
    return f"{key}: the device's key is open to every user (mode {stat.S_IMODE(mode):04o}); chmod 600 mends it"


def _identity(config: AgentConfig, path: Path) -> Iterator[str]:
    identity = config.identity
    enrolled = False
    try:
        if _given(identity.certificate):
            identity.certificate.stat()
            enrolled = True
    except FileNotFoundError:
        yield f"{identity.certificate}: no such file; to get it: opentsm agent enrol --config {path} --code CODE"
    except OSError as error:
        yield f"{identity.certificate}: {error.strerror}"
    if enrolled and _given(identity.ca) and identity.key:
        yield from _failure("", client_context, identity.ca, identity.certificate, identity.key)
    mqtt = config.wake.mqtt
    for ca in (config.network.ca, Path(mqtt.ca) if mqtt and mqtt.ca else None):
        # The TSM's CA comes with the enrolment, those of others do not.
        if _given(ca) and ca != identity.ca:
            yield from _failure("", client_context, ca)


def _links(config: AgentConfig, _path: Path) -> Iterator[str]:
    for index, se in enumerate(config.secure_elements):
        try:
            scheme = check_uri(se.link)[0] if se.link else None
        except ProtocolError:
            continue  # which is said already
        if scheme is not None:
            yield from _failure(f"$.se[{index}].link", load_scheme, scheme)


def _files(config: AgentConfig, _path: Path) -> Iterator[str]:
    if _given(config.policy):
        yield from _failure("", load_policy, config.policy)
    if _given(config.clock):
        yield from _failure("", DeviceClock, config.clock)
    if _given(config.journal):
        yield from _failure("", _usable_journal, config.journal)
    if _given(config.trace):
        yield from _failure("", _writable, config.trace, "trace")
    program = config.hook.command[0] if config.hook and config.hook.command else None
    if program and shutil.which(program) is None:
        yield f"{program}: no such program, or none that may be run - at `$.hook.command`"


def _sockets(config: AgentConfig, _path: Path) -> Iterator[str]:
    for place, listening in (("$.control", config.control), ("$.local", config.local)):
        if listening and listening.socket:
            yield from _failure(f"{place}.socket", socket_address, Path(listening.socket))
    if config.control and config.control.group:
        yield from _failure("$.control.group", group_id, config.control.group)


def _extras(config: AgentConfig, _path: Path) -> Iterator[str]:
    """Say which packages are missing for what the configuration asks for."""
    wanted = (
        (config.metrics, "metrics", "metrics", "$.metrics"),
        (config.wake.mqtt, "mqtt", "mqtt", "$.wake.mqtt"),
        (config.wake.sms, "sms", "serial", "$.wake.sms"),
    )
    for is_wanted, module, extra, place in wanted:
        if not is_wanted:
            continue
        try:
            importlib.import_module(f"opentsm_agent.{module}")
        except ModuleNotFoundError as error:
            yield f"{module}: need {error.name}; install it with: pip install 'opentsm[{extra}]' - at `{place}`"


def _given(value: T | None) -> TypeGuard[T]:
    """Tell whether the configuration has a value, and a right one."""
    return bool(value)


def _failure(place: str, attempt: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> Iterator[str]:
    """Say why an attempt fails, if it does."""
    try:
        attempt(*arguments, **named)
    except OpenTsmError as error:
        yield f"{error} - at `{place}`" if place else str(error)


def _usable_journal(path: Path) -> None:
    """See that a journal is sound, and can be written; folders are made for it.

    Raises:
        StorageError: it can't be read, or written.
        JournalDamagedError: it is damaged, or no journal.
    """
    read_journal(path)
    _writable(path, "journal", makes_folders=True)


def _writable(path: Path, what: str, *, makes_folders: bool = False) -> None:
    """See that a file can be written.

    Raises:
        StorageError: it can't.
    """
    place = path
    try:
        if path.is_dir():
            raise StorageError(f"{what} {path}: Is a directory")
        if not path.exists():
            place = path.parent
            while makes_folders and not place.exists():
                place = place.parent
            if not place.is_dir():
                raise StorageError(f"{what} {path}: {place} is no folder")
    except OSError as error:
        raise StorageError(f"{what} {path}: {error.strerror}") from error
    if not os.access(place, os.W_OK):
        raise StorageError(f"{what} {path}: {place} can't be written")
