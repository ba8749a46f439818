"""Links of `opentsm card`: the agent's (`tcp:`, `pcsc:`, `replay:`), and `virtual:PROFILE`, a virtual SE made here.

A virtual SE lives as long as the command; in `opentsm card shell` that is long enough to try things.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, Self, TextIO

from opentsm_agent.links import check_uri, open_link, register
from opentsm_agent.links.traced import ApduTrace, RecordedLink
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, StorageError, TransportError
from opentsm_card.initialize_update import InitializeUpdate
from opentsm_card.redaction import tells_secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentsm_card.keys import KeySet
    from opentsm_card.link import Link

__all__ = ["SELF_DECLARED", "TracedLink", "challenges", "open_card_link", "start_trace", "traced", "virtual_keys"]

SELF_DECLARED: Final = frozenset({"virtual", "replay"})
"""Schemes behind which there is no real card that could be bricked."""


def _open_virtual(profile: str, timeout_s: float) -> Link:
    del timeout_s
    # The JVM's bindings are loaded for those who use a virtual SE.
    from opentsm_simulator import VirtualSe  # noqa: PLC0415 - see above

    return VirtualSe.create(profile).link()


def open_card_link(uri: str, timeout_s: float) -> tuple[Link, bytes]:
    """Open the link that a URI names; return it and the answer to reset of the card behind it.

    Raises:
        ProtocolError: the URI makes no sense.
        TransportError: the card can't be reached.
    """
    register("virtual", _open_virtual)
    check_uri(uri)
    link = open_link(uri, timeout_s)
    atr = getattr(link, "atr", None)
    return link, atr if isinstance(atr, bytes) else link.reset()


def virtual_keys(uri: str) -> KeySet | None:
    """Return the keys of a virtual SE's issuer security domain, which its profile publishes; None for other links.

    Raises:
        ProtocolError: there is no such profile.
    """
    scheme, _, profile = uri.partition(":")
    if scheme != "virtual":
        return None
    from opentsm_simulator.profile import load_profile  # noqa: PLC0415 - as above

    chosen = load_profile(profile)
    names = chosen.instances[0].key_names
    return chosen.key_sets()[names[0]] if names else None


def challenges(link: Link) -> Callable[[int], bytes]:
    """Return what gives host challenges for a link: random ones, and the recorded ones when a trace is replayed."""
    upcoming = getattr(link, "upcoming", None)
    if upcoming is None:
        return os.urandom

    def recorded(size_bytes: int) -> bytes:
        for command in upcoming():
            if len(command) >= 5 + size_bytes and command[1] == InitializeUpdate.INS and command[4] in {8, 16}:
                return bytes(command[5 : 5 + command[4]])
        return os.urandom(size_bytes)

    return recorded


def start_trace(path: Path) -> TextIO:
    """Begin a trace file, readable by its owner only, also where there was one that others could read.

    Raises:
        StorageError: it can't be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        if stat.S_ISREG(os.fstat(handle).st_mode):
            os.fchmod(handle, 0o600)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    return os.fdopen(handle, "w", encoding="ascii")


def traced(link: Link, atr: bytes, path: Path, name: str) -> Link:
    """Return a link whose exchanges are written to a file: for Wireshark where it is named so, else for `replay:`.

    Args:
        link: the link itself.
        atr: the answer to the reset that opened it.
        path: the file; a name that ends in `.pcapng` makes it one.
        name: of the link, for people.

    Raises:
        StorageError: it can't be written.
    """
    if path.suffix != ".pcapng":
        return TracedLink(link, atr, start_trace(path))
    start_trace(path).close()
    trace = ApduTrace(path)
    trace.atr(name, atr)
    return RecordedLink(link, trace, name)


class TracedLink:
    """A link that writes down what passes, in the form that `replay:` reads.

    Command data that could be a secret and is not encrypted is left out; such a trace can't be replayed beyond it.

    Args:
        link: the link itself.
        atr: the answer to the reset that opened it.
        file: where to write; closed with the link.
    """

    def __init__(self, link: Link, atr: bytes, file: TextIO) -> None:
        self._link = link
        self._file = file
        self.encrypted: Callable[[], bool] = lambda: False
        self._write(f"^ {atr.hex().upper()}")

    def transmit(self, command: bytes) -> bytes:
        """Send one C-APDU, and write it and its answer down."""
        # With secure messaging it depends on the session: a MAC alone hides nothing.
        hidden = tells_secret(command) or (tells_secret(bytes((0x80, *command[1:]))) and not self.encrypted())
        if hidden:
            self._write(f"# > {command[:4].hex().upper()}: data not written, it is not encrypted")
        else:
            self._write(f"> {command.hex().upper()}")
        prefix = "# " if hidden else ""
        try:
            answer = self._link.transmit(command)
        except TransportError as error:
            kinds = {LinkTimeoutError: "timeout", CardRemovedError: "removed"}
            self._write(f"{prefix}! {kinds.get(type(error), 'failed')}")
            raise
        self._write(f"{prefix}< {answer.hex().upper()}")
        return answer

    def reset(self) -> bytes:
        """Reset the card, and write it down."""
        atr = self._link.reset()
        self._write(f"^ {atr.hex().upper()}")
        return atr

    def close(self) -> None:
        """Close link and file; safe to call twice."""
        self._link.close()
        self._file.close()

    def __enter__(self) -> Self:
        """Return the link itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close link and file."""
        self.close()

    def _write(self, line: str) -> None:
        # Each line at once: a trace is most wanted when the command that made it died.
        self._file.write(f"{line}\n")
        self._file.flush()
