"""What can be wrong with an `agent.toml` beside the types of its values.

Values that are missing or of a wrong type were told of by whoever read the file: they are UNSET here, which is false,
and are passed over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from opentsm_agent.http import parse_base_url
from opentsm_agent.identifiers import parse_card_identifier
from opentsm_agent.links import check_uri
from opentsm_agent.links.tcp import parse_host_port
from opentsm_agent.logs import AREAS, EVENTS
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentsm_agent.config import AgentConfig, Document, Wake

__all__ = ["path_problems", "value_problems"]

# Who an SMS is from (`opentsm_card.sms_deliver.Address.text`): a number, or a name, which has a letter.
_SENDER: Final = re.compile(r"\A(\+?[0-9*#abc]{1,20}|(?=.*[A-Za-z])[ -#%-?A-Za-z]{1,11})\Z")


def value_problems(parsed: Document) -> Iterator[str]:
    """Say what is wrong with values of the right type; those that are missing or of another are passed over."""
    elements = parsed.se or ()
    checks: list[tuple[Callable[[str], object], str | None, str]] = [
        (parse_base_url, parsed.tsm.url, "$.tsm.url"),
        (parse_base_url, parsed.network.gateway, "$.network.gateway"),
        *((check_uri, se.link, f"$.se[{index}].link") for index, se in enumerate(elements)),
        *((parse_card_identifier, se.card, f"$.se[{index}].card") for index, se in enumerate(elements)),
    ]
    if parsed.metrics:
        checks.append((parse_host_port, parsed.metrics.listen, "$.metrics.listen"))
    for check, value, place in checks:
        try:
            if value:
                check(value)
        except ProtocolError as error:
            yield f"{error} - at `{place}`"
    ids = [se.id for se in elements if se.id]
    if len(set(ids)) != len(ids):
        yield "two secure elements have the same id - at `$.se`"
    yield from _wake_problems(parsed.wake, ids)
    for area in sorted((parsed.log.areas or {}).keys() - AREAS):
        yield f"no area {area!r}; there are: {', '.join(sorted(AREAS))} - at `$.log.areas`"
    for name in (parsed.hook.events or ()) if parsed.hook else ():
        if name and name not in EVENTS:
            yield f"no event {name!r}; there are: {', '.join(sorted(EVENTS))} - at `$.hook.events`"


def _wake_problems(wake: Wake, ids: list[str]) -> Iterator[str]:
    if wake.mqtt:
        if wake.mqtt.broker:
            yield from _broker_problems(wake.mqtt.broker)
        per_element = "{se}" in (wake.mqtt.topic or "{se}")
        if len(ids) > 1 and not per_element:
            yield "the topic of several secure elements needs {se} in it - at `$.wake.mqtt.topic`"
        if per_element:
            yield from (
                f"an id with + or # in it can be no part of a topic: {name!r} - at `$.wake.mqtt.topic`"
                for name in ids
                if set(name) & set("+#")
            )
    for index, sender in enumerate((wake.sms.senders or ()) if wake.sms else ()):
        if sender and not _SENDER.match(sender):
            want = "want a number, such as +491700000000, or a name"
            yield f"sender {sender!r}: {want} - at `$.wake.sms.senders[{index}]`"


def _broker_problems(broker: str) -> Iterator[str]:
    scheme, _, rest = broker.partition("://")
    try:
        parse_base_url(f"https://{rest}")
    except ProtocolError:
        scheme = ""
    if scheme != "mqtts" or "/" in rest:
        yield f"broker {broker!r}: want mqtts://HOST:PORT - at `$.wake.mqtt.broker`"


def path_problems(config: AgentConfig) -> Iterator[str]:
    """Say which files and sockets that the agent makes would be the same."""
    made = {
        "$.journal.path": config.journal,
        "$.trace.path": config.trace,
        "$.clock.floor": config.clock,
        "$.control.socket": config.control and config.control.socket,
        "$.local.socket": config.local and config.local.socket,
    }
    places: dict[str, str] = {}
    for place, path in made.items():
        if path and (other := places.setdefault(str(path), place)) != place:
            yield f"{path} is `{other}` already - at `{place}`"
