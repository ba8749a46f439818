"""Power cuts of a virtual SE: at one persistent write, or at every write that something makes, in turn."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import OpenTsmError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentsm_simulator import VirtualSe
    from opentsm_tools.testing.applet import Applet
    from opentsm_tools.testing.secure_element import SecureElement

__all__ = ["NothingCutError", "PowerCut"]

_MOST_CUTS: Final = 10_000


class NothingCutError(OpenTsmError):
    """What was to be cut writes nothing that stays."""


class PowerCut:
    """Cuts the power of the virtual SE under test.

    Args:
        se: the secure element.
        virtual: the same, as a virtual SE.
        applet: the applet under test; None where the test has none.
    """

    def __init__(self, se: SecureElement, virtual: VirtualSe, applet: Applet | None) -> None:
        self._se = se
        self._virtual = virtual
        self._applet = applet

    def at(self, write: int) -> None:
        """Cut the power at the n-th persistent write from now, in place of that write; 0 takes it back.

        From then on nothing is answered (`TransportError`), until `restore`.
        """
        self._virtual.cut_power(at_write=write)

    @property
    def happened(self) -> bool:
        """Whether the power was cut, and is not back yet."""
        return self._virtual.is_cut

    def restore(self) -> None:
        """Give the power back: reset the SE, and select the applet again."""
        self.at(0)
        with self._se.link.aside():
            self._se.reset()
            if self._applet is not None:
                self._applet.select()

    def every(self, action: Callable[[], object], prepare: Callable[[], object] | None = None) -> Iterator[int]:
        """Run an action once for each persistent write it makes, with the power cut at that write.

        Each time the applet is installed anew first, with nothing of the time before, and prepared. Behind the cut the
        SE is reset and the applet selected: look at what state it is in.

        Args:
            action: what is cut; it may raise what a missing answer raises.
            prepare: brings the new instance to where the action begins.

        Yields:
            The number of the write that did not happen, from 1.

        Raises:
            NothingCutError: the action makes no persistent write.
        """
        for write in itertools.islice(itertools.count(1), _MOST_CUTS):
            self._begin(prepare)
            self.at(write)
            try:
                action()
            except TransportError:
                if not self.happened:
                    raise
            if not self.happened:
                self.at(0)
                if write == 1:
                    raise NothingCutError("the action makes no persistent write: there is nothing to cut")
                return
            self.restore()
            yield write
        raise NothingCutError(f"the action still writes behind {_MOST_CUTS} cuts: cut less at a time")

    def _begin(self, prepare: Callable[[], object] | None) -> None:
        if self._applet is not None:
            self._applet.install_again()
        else:
            self._se.begin()
        if prepare is not None:
            prepare()
