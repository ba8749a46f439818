"""What is converted, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentsm_build.api.model import ApiPackage
    from opentsm_build.cap import CapFile
    from opentsm_card.aid import Aid

__all__ = ["Conversion", "Options", "Package"]


@dataclass(frozen=True, slots=True)
class Package:
    """A package to be converted.

    Args:
        name: in internal form (`com/example/wallet`).
        aid: its AID.
        version: (major, minor).
        applets: AID and class (full name in internal form), in order; none for a library.
    """

    name: str
    aid: Aid
    version: tuple[int, int]
    applets: tuple[tuple[Aid, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """How to convert.

    Args:
        allow_int: the package may use int.
        debug: write a Debug component (format 2.2 at least).
        format_version: (major, minor) of the CAP format; None for the one that goes with the rest.
        prune: leave out what can never be reached.
    """

    allow_int: bool = False
    debug: bool = False
    format_version: tuple[int, int] | None = None
    prune: bool = True


@dataclass(frozen=True, slots=True)
class Conversion:
    """A converted package.

    Args:
        cap: the CAP file.
        exports: what other packages can use of it.
        is_library: True without applets.
        write_listing: returns its instructions, as people read them.
        imports: the imported packages that are in the Import component.
        classes: offset of each own class in the Class component's info item, by name.
        methods: offset of each own method in the Method component's info item, by class and (name + descriptor).
    """

    cap: CapFile
    exports: ApiPackage
    is_library: bool
    write_listing: Callable[[], str]
    imports: tuple[ApiPackage, ...] = ()
    classes: Mapping[str, int] = field(default_factory=dict)
    methods: Mapping[tuple[str, str], int] = field(default_factory=dict)
