"""Links to secure elements, named by URI: `tcp:`, `pcsc:`, `uart:`, `modem:`, `modemmanager:`, `stdio:` and `replay:`.

A scheme's module is imported when a link of that scheme is opened, so an agent pays only for what it uses.
Other rooms add schemes with `register` (`tools` adds `virtual:`); the agent itself never imports them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from opentsm_card.link import Link

__all__ = ["DEFAULT_TIMEOUT_S", "LinkOpener", "check_uri", "load_scheme", "open_link", "register", "schemes"]

DEFAULT_TIMEOUT_S: Final = 30.0
"""How long a link waits for one answer. Key generation and package loading are the slow commands of real cards."""

LinkOpener = Callable[[str, float], "Link"]
"""Opens a link: what follows the scheme's colon, and the time-out of one exchange in seconds."""

_BUILT_IN: Final = {
    "tcp": "opentsm_agent.links.tcp:open_tcp",
    "pcsc": "opentsm_agent.links.pcsc:open_pcsc",
    "uart": "opentsm_agent.links.uart:open_uart",
    "modem": "opentsm_agent.links.modem_port:open_modem",
    "modemmanager": "opentsm_agent.links.modem_manager:open_modem_manager",
    "stdio": "opentsm_agent.links.stdio:open_stdio",
    "replay": "opentsm_agent.links.replay:open_replay",
}
# The extra that a scheme needs, where it has another name.
_EXTRAS: Final = {"uart": "serial", "modem": "serial"}
_registered: dict[str, LinkOpener] = {}


def register(scheme: str, opener: LinkOpener) -> None:
    """Make `open_link` understand one more scheme; a later registration replaces an earlier one."""
    _registered[scheme] = opener


def schemes() -> tuple[str, ...]:
    """Name the schemes that `open_link` understands now."""
    return tuple(sorted({*_BUILT_IN, *_registered}))


def check_uri(uri: str) -> tuple[str, str]:
    """Split a link URI into its scheme and what follows the first colon, without opening anything.

    Raises:
        ProtocolError: no scheme, an unknown one, or nothing behind it.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon or not rest:
        raise ProtocolError(f"link {uri!r}: want SCHEME:ADDRESS, such as tcp:127.0.0.1:35963 or pcsc:READER")
    if scheme not in _BUILT_IN and scheme not in _registered:
        raise ProtocolError(f"link {uri!r}: unknown scheme {scheme!r}; known: {', '.join(schemes())}")
    if scheme == "tcp" and scheme not in _registered:
        from opentsm_agent.links.tcp import parse_tcp  # noqa: PLC0415 - as every scheme's module

        parse_tcp(rest)
    if scheme == "stdio" and scheme not in _registered:
        from opentsm_agent.links.stdio import split_command  # noqa: PLC0415 - as above

        split_command(rest)
    if scheme == "pcsc" and scheme not in _registered:
        from opentsm_agent.links.pcsc_settings import PcscSettings  # noqa: PLC0415 - as above

        PcscSettings.parse(rest)
    if scheme == "uart" and scheme not in _registered:
        from opentsm_agent.links.uart_settings import UartSettings  # noqa: PLC0415 - as above

        UartSettings.parse(rest)
    if scheme == "modem" and scheme not in _registered:
        from opentsm_agent.links.modem_settings import ModemSettings  # noqa: PLC0415 - as above

        ModemSettings.parse(rest)
    if scheme == "modemmanager" and scheme not in _registered:
        from opentsm_agent.links.modem_settings import ModemSettings  # noqa: PLC0415 - as above

        ModemSettings.parse_managed(rest)
    return scheme, rest


def open_link(uri: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> Link:
    """Open the link that a URI names; the card behind it is freshly reset.

    Args:
        uri: `tcp:HOST:PORT` (vpcd framing; with `?listen` behind it the card dials), `stdio:COMMAND` (a program that
            speaks lines of JSON), `pcsc:READER?…` (a reader, see `PcscSettings`),
            `uart:DEVICE?…` (a card on a serial port, see `UartSettings`), `modem:DEVICE?…` (the card in a modem, see
            `ModemSettings`), `modemmanager:MODEM?…` (in one that ModemManager has), `replay:TRACE` (a recorded
            trace), or a registered scheme.
        timeout_s: how long to wait for one answer, in seconds.

    Raises:
        ProtocolError: the URI makes no sense.
        TransportError: the secure element can't be reached.
    """
    scheme, rest = check_uri(uri)
    return load_scheme(scheme)(rest, timeout_s)


def load_scheme(scheme: str) -> LinkOpener:
    """Return what opens links of a scheme that `check_uri` knows; its module is imported now.

    Raises:
        ProtocolError: a package that the scheme needs is not installed.
    """
    opener = _registered.get(scheme)
    if opener is not None:
        return opener
    module, _, attribute = _BUILT_IN[scheme].partition(":")
    try:
        return cast("LinkOpener", getattr(importlib.import_module(module), attribute))
    except ModuleNotFoundError as error:
        hint = f"pip install 'opentsm[{_EXTRAS.get(scheme, scheme)}]'"
        raise ProtocolError(f"links of scheme {scheme}: need {error.name}; install it with: {hint}") from error
