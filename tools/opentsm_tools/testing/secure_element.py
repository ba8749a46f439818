"""The secure element under test: a link to it, and a host with a secure channel where there are keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import click

from opentsm_agent.links import DEFAULT_TIMEOUT_S
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.delete import DeleteObject
from opentsm_card.errors import ProtocolError
from opentsm_card.select import Select
from opentsm_tools.card import links
from opentsm_tools.card.channels import parse_level
from opentsm_tools.card.key_choice import declared_keys
from opentsm_tools.card.key_sources import Material
from opentsm_tools.card.manager import CardManager, RefusedError
from opentsm_tools.card.options import Given
from opentsm_tools.card.safety import Caution
from opentsm_tools.testing.exchanges import ObservedLink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentsm_build.cap import CapFile
    from opentsm_card.aid import Aid
    from opentsm_card.apdu import Command
    from opentsm_card.link import Link
    from opentsm_simulator import VirtualSe
    from opentsm_tools.card.key_sources import KeySource

__all__ = ["SeOptions", "SecureElement"]

_ABSENT: Final = 0x6A88


@dataclass(frozen=True, slots=True)
class SeOptions:
    """Which secure element, and what is declared about it.

    Args:
        uri: its link.
        key_file: file of its security domain's keys; None for none.
        key_version: which key version; None for the card's choice.
        sd: the security domain to work with; None for the issuer's.
        security: security level in hex; None for the strongest.
        test_card: it is a test card: published test keys may be tried.
        after_failure: go on although an authentication failed with it before.
        replace: delete what an earlier run left on it.
        trace: folder of a report on what a virtual SE executed and wrote; None for none.
        timeout_s: how long to wait for one answer.
    """

    uri: str
    key_file: Path | None = None
    key_version: str | None = None
    sd: Aid | None = None
    security: str | None = None
    test_card: bool = False
    after_failure: bool = False
    replace: bool = False
    trace: Path | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S


class SecureElement:
    """A secure element that tests share; each finds it reset, a virtual one as it was delivered.

    Args:
        options: which.

    Raises:
        ProtocolError: the link's URI makes no sense, or keys can't be had.
        TransportError: the card can't be reached.
    """

    def __init__(self, options: SeOptions) -> None:
        self.options = options
        self.virtual: VirtualSe | None = None
        self._source = self._keys()
        opened, self.atr = self._open()
        self.link = ObservedLink(opened, self._fault)
        self.host = self._manager()
        self._loaded: set[Aid] = set()
        self._tested: set[Aid] = set()
        self.sources: set[Path] = set()

    def __repr__(self) -> str:
        """Show which it is."""
        return f"SecureElement({self.options.uri!r})"

    def _open(self) -> tuple[Link, bytes]:
        scheme, _, profile = self.options.uri.partition(":")
        if scheme != "virtual":
            return links.open_card_link(self.options.uri, self.options.timeout_s)
        from opentsm_simulator import VirtualSe  # noqa: PLC0415 - tests on real cards need no JVM

        self.virtual = VirtualSe.create(profile, trace=self.options.trace is not None)
        return self.virtual.link(), self.virtual.atr

    def _fault(self) -> str:
        """Return what a virtual SE knows of the exception that ended an applet."""
        fault = None if self.virtual is None else self.virtual.fault()
        return "" if fault is None else str(fault)

    def _keys(self) -> KeySource | None:
        given = Given(link=self.options.uri, key_file=self.options.key_file, key_version=self.options.key_version)
        try:
            return declared_keys(given, lambda _line: None)
        except click.UsageError:
            return None

    def _manager(self) -> CardManager:
        scheme = self.options.uri.partition(":")[0]
        declared = isinstance(self._source, Material) and self._source.test_card
        test_card = self.options.test_card or declared or scheme in links.SELF_DECLARED
        caution = Caution(test_card, self.options.after_failure)
        return CardManager(self.link, self.atr, caution=caution)

    def close(self) -> None:
        """Delete what was loaded for tests, and close the link."""
        try:
            if self._loaded and self.virtual is None:
                self.recover()
                for aid in tuple(self._loaded):
                    self.delete(aid, related=True)
        finally:
            self.link.close()
            self._write_trace()

    def _write_trace(self) -> None:
        if self.options.trace is None or self.virtual is None or self.virtual.trace is None:
            return
        from opentsm_simulator.trace.files import write_report  # noqa: PLC0415 - where it is asked for
        from opentsm_simulator.trace.report import TraceReport  # noqa: PLC0415 - as above

        report = TraceReport.of(self.virtual.trace, "trace", self._tested or None)
        write_report(report, self.options.trace, self.sources)

    def begin(self, test: str = "") -> None:
        """Begin a test: reset the SE, make a virtual one anew, and open the secure channel where there are keys.

        Args:
            test: its name, for the trace.
        """
        if self.virtual is not None and self.virtual.trace is not None and test:
            self.virtual.trace.mark(test)
        if self.virtual is not None:
            self.virtual.renew()
            self._loaded.clear()
        self.link.forget()
        self.recover()

    def recover(self) -> None:
        """Reset the SE, and open the secure channel where there are keys.

        Raises:
            TransportError, CardError, SecureChannelError, SafetyError: see `CardManager`.
        """
        if self.virtual is not None:
            self.virtual.cut_power(at_write=0)
        with self.link.aside():
            self.atr = self.host.reset()
            if self._source is not None:
                self.open_channel()

    def open_channel(self) -> None:
        """Select the security domain and open a secure channel with it.

        Raises:
            ProtocolError: there are no keys.
            TransportError, CardError, SecureChannelError, SafetyError: see `CardManager`.
        """
        if self._source is None:
            raise ProtocolError(
                f"no keys of {self.options.uri} are given, and none are tried unasked: --se-key-file, se_key_file in "
                "the configuration, or OPENTSM_CARD_KEY in the environment"
            )
        self.host.select()
        self.host.identify()
        if self.options.sd is not None and self.options.sd != self.host.selected:
            self.host.select(self.options.sd)
        level = None if self.options.security is None else parse_level(self.options.security)
        self.host.authenticate(self._source, level)

    def manager(self) -> CardManager:
        """Return the host with its secure channel open, which is opened anew where something else was selected.

        Raises:
            ProtocolError, TransportError, CardError, SecureChannelError, SafetyError: as `open_channel`.
        """
        if not self.host.authenticated:
            with self.link.aside():
                self.open_channel()
        return self.host

    # What tests send.

    def transmit(self, command: bytes) -> bytes:
        """Exchange one C-APDU as it is, beside the secure channel.

        Raises:
            TransportError: no answer came.
        """
        if len(command) > 1 and command[1] == Select.INS:
            self.host.forget_session()
        return self.link.transmit(command)

    def send(self, command: bytes | Command | CommandApdu) -> ResponseApdu:
        """Send a command in the clear, and collect its whole answer (61xx, 6Cxx).

        Raises:
            ProtocolError: no C-APDU.
            TransportError: no answer came.
        """
        return self.host.plain(CommandApdu.parse(command) if isinstance(command, bytes) else command)

    def reset(self) -> bytes:
        """Reset the SE, and return the ATR: nothing is selected, and the secure channel is gone."""
        return self.host.reset()

    # Content.

    def make_known(self, cap: CapFile) -> None:
        """Have a virtual SE tell of a package by the names and lines of its sources."""
        if self.virtual is not None:
            from opentsm_simulator.symbols import make_known  # noqa: PLC0415 - real cards tell nothing

            make_known(cap)

    def load(self, aid: Aid, how: Callable[[CardManager], None]) -> None:
        """Load a load file that stays until the last test, unless it was loaded before.

        Args:
            aid: the load file's.
            how: loads it.

        Raises:
            ProtocolError: it is there already, from before.
            RefusedError: the card refused.
        """
        self._tested.add(aid)
        if aid in self._loaded:
            return
        card = self.manager()
        with self.link.aside():
            if card.registry().find(aid) is not None:
                if not self.options.replace:
                    raise ProtocolError(
                        f"load file {aid} is on the card already, perhaps from a run that was cut off: --se-replace "
                        "deletes it, with its instances, before it is loaded"
                    )
                self.delete(aid, related=True)
            how(card)
        self._loaded.add(aid)

    def delete(self, aid: Aid, *, related: bool = False) -> None:
        """Delete an instance or a load file; nothing happens where there is none.

        Raises:
            RefusedError: the card refused.
        """
        card = self.manager()
        with self.link.aside():
            response = card.send(DeleteObject(aid, related))
        if response.sw not in {0x9000, _ABSENT}:
            raise RefusedError(response.sw, f"DELETE {aid}")
        if related:
            self._loaded.discard(aid)

    def __enter__(self) -> Self:
        """Return the secure element itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close it."""
        self.close()
