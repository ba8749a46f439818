"""Links to the interfaces of a virtual SE in this process."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from opentsm_card.errors import CardRemovedError, LinkTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_simulator.faults import Fault

__all__ = ["Interface", "VirtualLink"]

Interface = Literal["contact", "contactless"]

_log: Final = logging.getLogger("opentsm.simulator")
_NO_PRECISE_DIAGNOSIS: Final = b"\x6f\x00"


class VirtualLink:
    """A link to one interface of a virtual SE (`opentsm_card.link.Link`).

    Opening and resetting it ends what was selected and every session on that interface, as a reader's reset does. An SE
    runs one command at a time, on the thread that brings it.
    """

    def __init__(
        self,
        side: Any,  # noqa: ANN401 - Java's
        atr: Callable[[], bytes],
        interface: Interface,
        fault: Callable[[], Fault | None] = lambda: None,
    ) -> None:
        self.interface: Interface = interface
        self._side = side
        self._run: Callable[[bytes], Any] = side.transmit
        self._atr = atr
        self._fault = fault

    def rebind(self, side: Any) -> None:  # noqa: ANN401 - Java objects have no Python types
        """Go on with the same interface of another card, unless the link is closed."""
        if self._side is not None:
            self._side = side
            self._run = side.transmit

    def transmit(self, command: bytes) -> bytes:
        """Run one C-APDU and return its R-APDU; a malformed one is answered by a status word like any other.

        Raises:
            CardRemovedError: the link is closed, or the SE's contactless interface is switched off.
            LinkTimeoutError: the card is mute: an applet ran without end, or its power was cut. A reset helps.
        """
        raw = self._run(command)
        if raw is None:
            why = "its power was cut, or its session locked up" if self._side.isCut() else "an applet runs without end"
            self._log_fault()
            raise LinkTimeoutError(f"the virtual SE is mute: {why}; reset it")
        answer = bytes(raw)
        if answer[-2:] == _NO_PRECISE_DIAGNOSIS:
            self._log_fault()
        if not answer:
            raise CardRemovedError("the contactless interface of the virtual SE is switched off")
        return answer

    def _log_fault(self) -> None:
        """Tell whoever runs the card what the status word does not tell whoever talks to it."""
        fault = self._fault()
        if fault is not None and not fault.is_iso:
            _log.warning("an applet ended with %s", fault)

    def reset(self) -> bytes:
        """Reset this interface and return the ATR."""
        if self._side is None:
            self._removed(b"")
        self._side.reset()
        return self._atr()

    def close(self) -> None:
        """Take the power from this interface; safe to call twice."""
        if self._side is not None:
            self._side.powerOff()
            self._side = None
            self._run = self._removed

    def __enter__(self) -> Self:
        """Return the link itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the link."""
        self.close()

    @staticmethod
    def _removed(_command: bytes) -> bytes:
        raise CardRemovedError("the link to the virtual SE is closed")
