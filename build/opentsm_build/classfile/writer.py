"""Write class files: as much as a compiler needs to compile against an API.

Spec: JVMS 8, 4.1, 4.4 to 4.7.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

__all__ = ["StubField", "StubMethod", "write_class"]

_VERSION: Final = (0, 49)
# aconst_null, athrow: a body that verifies, whatever the method returns.
_BODY: Final = b"\x01\xbf"
_MAX_LOCALS: Final = 0xFF


@dataclass(frozen=True, slots=True)
class StubField:
    """A field; an int `constant` becomes its ConstantValue."""

    access: int
    name: str
    descriptor: str
    constant: int | None = None


@dataclass(frozen=True, slots=True)
class StubMethod:
    """A method; `body` is False for an abstract one. `default` is an annotation member's: an empty array or ''."""

    access: int
    name: str
    descriptor: str
    exceptions: tuple[str, ...] = ()
    body: bool = True


class _Pool:
    def __init__(self) -> None:
        self._entries: dict[bytes, int] = {}

    def _add(self, entry: bytes) -> int:
        return self._entries.setdefault(entry, len(self._entries) + 1)

    def text(self, text: str) -> int:
        data = text.encode()
        return self._add(b"\x01" + struct.pack(">H", len(data)) + data)

    def class_(self, name: str) -> int:
        return self._add(b"\x07" + struct.pack(">H", self.text(name)))

    def integer(self, value: int) -> int:
        return self._add(b"\x03" + struct.pack(">i", value))

    def encode(self) -> bytes:
        return struct.pack(">H", len(self._entries) + 1) + b"".join(self._entries)


def write_class(  # noqa: PLR0913 - the parts of a class file
    name: str,
    super_name: str | None,
    *,
    access: int,
    interfaces: tuple[str, ...] = (),
    fields: tuple[StubField, ...] = (),
    methods: tuple[StubMethod, ...] = (),
    inner: tuple[tuple[str, str, str, int], ...] = (),
    signature: str | None = None,
) -> bytes:
    """Return a class file; the same input gives the same bytes.

    Args:
        name: in internal form.
        super_name: its superclass; None for java/lang/Object.
        access: ACC_ flags.
        interfaces: direct ones.
        fields: in order.
        methods: in order; those with a body throw.
        inner: member classes: full name, outer class, simple name, flags.
        signature: of a generic class.
    """
    pool = _Pool()
    parts = [struct.pack(">HHH", access, pool.class_(name), 0 if super_name is None else pool.class_(super_name))]
    parts.append(struct.pack(f">H{len(interfaces)}H", len(interfaces), *map(pool.class_, interfaces)))
    parts.append(struct.pack(">H", len(fields)))
    parts += [_field(pool, entry) for entry in fields]
    parts.append(struct.pack(">H", len(methods)))
    parts += [_method(pool, method) for method in methods]
    attributes = []
    if inner:
        rows = b"".join(
            struct.pack(">HHHH", pool.class_(full), pool.class_(outer), pool.text(simple), flags)
            for full, outer, simple, flags in inner
        )
        attributes.append(_attribute(pool, "InnerClasses", struct.pack(">H", len(inner)) + rows))
    if signature is not None:
        attributes.append(_attribute(pool, "Signature", struct.pack(">H", pool.text(signature))))
    parts += [struct.pack(">H", len(attributes)), *attributes]
    return struct.pack(">IHH", 0xCAFEBABE, *_VERSION) + pool.encode() + b"".join(parts)


def _attribute(pool: _Pool, name: str, content: bytes) -> bytes:
    return struct.pack(">HI", pool.text(name), len(content)) + content


def _field(pool: _Pool, entry: StubField) -> bytes:
    head = struct.pack(">HHH", entry.access, pool.text(entry.name), pool.text(entry.descriptor))
    if entry.constant is None:
        return head + struct.pack(">H", 0)
    value = struct.pack(">H", pool.integer(entry.constant))
    return head + struct.pack(">H", 1) + _attribute(pool, "ConstantValue", value)


def _method(pool: _Pool, method: StubMethod) -> bytes:
    attributes = []
    if method.body:
        code = struct.pack(">HHI", 1, _MAX_LOCALS, len(_BODY)) + _BODY + struct.pack(">HH", 0, 0)
        attributes.append(_attribute(pool, "Code", code))
    if method.exceptions:
        names = struct.pack(f">{len(method.exceptions)}H", *map(pool.class_, method.exceptions))
        attributes.append(_attribute(pool, "Exceptions", struct.pack(">H", len(method.exceptions)) + names))
    head = struct.pack(">HHH", method.access, pool.text(method.name), pool.text(method.descriptor))
    return head + struct.pack(">H", len(attributes)) + b"".join(attributes)
