"""Are the agent's reports true? What they say was answered, is in doubt or was not sent, against what the SE ran."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cutting_tap import Ran
    from toxic_proxy import Exchange

__all__ = ["check_statements"]

Key = tuple[str, int]


@dataclass(frozen=True)
class Statement:
    """What a report says of the script of an order."""

    answers: tuple[str, ...]
    in_doubt: bool
    not_sent: int


def check_statements(exchanges: Iterable[Exchange], ran: Iterable[Ran]) -> int:
    """Check each report of an order against what the SE ran between the order and the next one.

    Args:
        exchanges: between agent and TSM, in order.
        ran: C-APDUs that the SE ran, in order.

    Returns:
        how many reports there were.

    Raises:
        AssertionError: one says something else than what was, or an order has two different reports.
    """
    scripts: dict[Key, list[str]] = {}
    begins: list[tuple[int, Key]] = []
    told: dict[Key, Statement] = {}
    for exchange in exchanges:
        for key, statement in _reports(exchange):
            assert told.setdefault(key, statement) == statement, f"order {key[1]} was reported in two ways"
        for key, script in _orders(exchange):
            if key not in scripts:
                scripts[key] = script
                begins.append((exchange.at, key))
            assert scripts[key] == script, f"order {key[1]} was sent with two contents"
    runs: dict[Key, list[Ran]] = {key: [] for key in scripts}
    for entry in ran:
        key = next(key for at, key in reversed(begins) if at <= entry.at)
        runs[key].append(entry)
    for key, script in scripts.items():
        _check(key[1], script, runs[key], told.get(key))
    return len(told)


def _check(number: int, script: list[str], ran: list[Ran], told: Statement | None) -> None:
    commands = [entry.command.hex().upper() for entry in ran]
    assert commands == script[: len(commands)], f"order {number}: the SE ran something else"
    if told is None:
        return  # its session was given up before a report came: all of it was in doubt
    answered = len(told.answers)
    most = len(script) - told.not_sent
    assert (answered < most) if told.in_doubt else (answered == most), (number, told)
    assert answered <= len(commands) <= most, f"order {number}: the SE ran {len(commands)}, and the report says {told}"
    assert list(told.answers) == [entry.answer.hex().upper() for entry in ran[:answered]], number


def _orders(exchange: Exchange) -> Iterator[tuple[Key, list[str]]]:
    if exchange.path.endswith("/remoteManagement") and exchange.response:
        order = json.loads(exchange.response)
        for command in order.get("ramCommands", ()):
            if command["ramCommandType"] == "seRamCommand":
                yield (exchange.session, order["opentsm"]["order"]), command["listOfCAPDU"]


def _reports(exchange: Exchange) -> Iterator[tuple[Key, Statement]]:
    if exchange.path.endswith("/remoteManagement"):
        report = json.loads(exchange.request)
        extension = report.get("opentsm", {})
        if "order" in extension and "ramResponses" in report:
            yield (exchange.session, extension["order"]), _statement(report)
    elif exchange.path.endswith("/recovered-reports"):
        extension = json.loads(exchange.request)
    else:
        return
    for entry in extension.get("recovered", ()):
        yield (entry["session"], entry["order"]), _statement(entry)


def _statement(report: dict[str, Any]) -> Statement:
    (response,) = report["ramResponses"]
    answers = response["listOfRAPDU"][: response["answered"]]
    return Statement(tuple(answers), response["inDoubt"], response["notSent"])
