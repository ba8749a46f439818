"""Which methods count a step when they are called, so that code without end is noticed.

A method without loops that calls nothing, or only a few such methods, counts nothing: whoever calls it again and
again loops, or calls itself, and is counted. It is known what a call runs where nothing can override that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_simulator.translate.loops import goes_back
from opentsm_simulator.translate.targets import KnownTarget, OwnTarget

if TYPE_CHECKING:
    from opentsm_simulator.translate.analysis import Analysis, Body

__all__ = ["Calls"]

# Calls that a method and what it calls may make altogether without being counted.
_MOST: Final = 16

# The Java Card API: of its constructors and static methods only those of one class run an applet's methods.
_PLATFORM: Final = ("java/", "javacard/", "javacardx/")
_CALLS_BACK: Final = "javacard/framework/JCSystem"

CALLS: Final = frozenset({"invokestatic", "invokespecial", "invokevirtual", "invokeinterface"})


class Calls:
    """Knows the methods of a package that count when they are called.

    Args:
        analysis: the package's methods.
    """

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._called: dict[int, tuple[int | None, ...] | None] = {}

    def is_counted(self, body: Body) -> bool:
        """Tell whether a method counts a step when it is called."""
        left = _MOST
        waiting = [body.offset]
        while waiting:
            called = self._calls(waiting.pop())
            if called is None or len(called) > left:
                return True
            left -= len(called)
            waiting += [offset for offset in called if offset is not None]
        return False

    def _calls(self, offset: int) -> tuple[int | None, ...] | None:
        """Return the methods of the package that one calls, and None for each of an API; None for what may not end."""
        if offset not in self._called:
            body = self._analysis.bodies[offset]
            loops = any(map(goes_back, body.instructions.values()))
            self._called[offset] = None if loops else self._in(body)
        return self._called[offset]

    def _in(self, body: Body) -> tuple[int | None, ...] | None:
        found: list[int | None] = []
        for instruction in body.instructions.values():
            if instruction.name not in CALLS:
                continue
            target = self._analysis.target(body, instruction)
            if isinstance(target, OwnTarget):
                found.append(target.offset)
            elif isinstance(target, KnownTarget) and _ends(target):
                found.append(None)
            else:
                return None
        return tuple(found)


def _ends(target: KnownTarget) -> bool:
    """Tell whether it is a method of an API that runs none of an applet's."""
    member = target.member
    fixed = member.name == "<init>" or (target.how == "invokestatic" and member.owner != _CALLS_BACK)
    return fixed and target.owner.is_api and member.owner.startswith(_PLATFORM)
