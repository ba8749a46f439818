"""The pytest plugin: applets under test on virtual and real secure elements.

`plugin` is what pytest loads, with every run of whoever has opentsm installed: it imports nothing but pytest. The
fixtures' types are here for annotations:

    from opentsm_tools.testing import Applet, PowerCut, SecureElement
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentsm_tools.testing.applet import Applet
    from opentsm_tools.testing.power_cut import PowerCut
    from opentsm_tools.testing.secure_element import SecureElement

__all__ = ["Applet", "PowerCut", "SecureElement"]

_MODULES: Final = {"Applet": "applet", "PowerCut": "power_cut", "SecureElement": "secure_element"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute
    """Import a fixture's type when it is used."""
    if name not in _MODULES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
