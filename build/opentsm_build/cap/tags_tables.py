"""The components of a CAP file: tags, names, files and load order.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.1 (table 6-1), 6.2 (file names), 6.3 (load order).
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

__all__ = ["COMPONENT_FILES", "FIRST_CUSTOM_TAG", "KNOWN_TAGS", "LOAD_ORDER", "ComponentTag", "HeaderFlag"]


class ComponentTag(IntEnum):
    """Component tags. Spec: JCVM 3.1, table 6-1."""

    HEADER = 1
    DIRECTORY = 2
    APPLET = 3
    IMPORT = 4
    CONSTANT_POOL = 5
    CLASS = 6
    METHOD = 7
    STATIC_FIELD = 8
    REFERENCE_LOCATION = 9
    EXPORT = 10
    DESCRIPTOR = 11
    DEBUG = 12
    STATIC_RESOURCES = 13

    @property
    def title(self) -> str:
        """The component's name, as the specification writes it and errors show it."""
        return self.name.title().replace("_", "")


class HeaderFlag(IntFlag):
    """Flags of the Header component. Spec: JCVM 3.1, table 6-4."""

    INT = 0x01
    EXPORT = 0x02
    APPLET = 0x04
    EXTENDED = 0x08


KNOWN_TAGS: Final = frozenset(int(tag) for tag in ComponentTag)

# Components with tags from here on belong to whoever wrote the file (JCVM 3.1, 6.1.4).
FIRST_CUSTOM_TAG: Final = 128

COMPONENT_FILES: Final = {
    ComponentTag.HEADER: "Header.cap",
    ComponentTag.DIRECTORY: "Directory.cap",
    ComponentTag.APPLET: "Applet.cap",
    ComponentTag.IMPORT: "Import.cap",
    ComponentTag.CONSTANT_POOL: "ConstantPool.cap",
    ComponentTag.CLASS: "Class.cap",
    ComponentTag.METHOD: "Method.cap",
    ComponentTag.STATIC_FIELD: "StaticField.cap",
    ComponentTag.REFERENCE_LOCATION: "RefLocation.cap",
    ComponentTag.EXPORT: "Export.cap",
    ComponentTag.DESCRIPTOR: "Descriptor.cap",
    ComponentTag.DEBUG: "Debug.cap",
    ComponentTag.STATIC_RESOURCES: "StaticResources.cap",
}

# JCVM 3.1, 6.3: the order in which components are installed. Descriptor and Debug are not needed on a card.
LOAD_ORDER: Final = (
    ComponentTag.HEADER,
    ComponentTag.DIRECTORY,
    ComponentTag.IMPORT,
    ComponentTag.APPLET,
    ComponentTag.CLASS,
    ComponentTag.METHOD,
    ComponentTag.STATIC_FIELD,
    ComponentTag.EXPORT,
    ComponentTag.CONSTANT_POOL,
    ComponentTag.REFERENCE_LOCATION,
    ComponentTag.STATIC_RESOURCES,
    ComponentTag.DESCRIPTOR,
    ComponentTag.DEBUG,
)
