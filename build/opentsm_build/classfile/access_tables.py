"""Access flags of classes, fields and methods. Spec: JVMS 8, tables 4.1-A, 4.5-A, 4.6-A."""

from __future__ import annotations

from typing import Final

__all__ = ["Acc"]


class Acc:
    """ACC_ flags; plain numbers, as several share a value."""

    PUBLIC: Final = 0x0001
    PRIVATE: Final = 0x0002
    PROTECTED: Final = 0x0004
    STATIC: Final = 0x0008
    FINAL: Final = 0x0010
    SYNCHRONIZED: Final = 0x0020  # of a method; ACC_SUPER of a class
    VOLATILE: Final = 0x0040  # of a field; ACC_BRIDGE of a method
    TRANSIENT: Final = 0x0080  # of a field; ACC_VARARGS of a method
    NATIVE: Final = 0x0100
    INTERFACE: Final = 0x0200
    ABSTRACT: Final = 0x0400
    STRICT: Final = 0x0800
    SYNTHETIC: Final = 0x1000
    ANNOTATION: Final = 0x2000
    ENUM: Final = 0x4000
