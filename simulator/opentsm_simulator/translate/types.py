"""What the references of a package are: the classes and arrays that reach each place of its code.

A CAP file without its Descriptor says of a field or an argument that it is a reference, no more. What it can refer to
is what the package itself puts there: a field is what all stores to it bring, an argument what all calls pass, a
result what the method returns. Where others can put something too (what is exported, what an API calls), the API's
descriptor says what it is, or it stays an Object and is cast where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentsm_simulator.translate.classes import OwnClass, OwnInterface, Slot
from opentsm_simulator.translate.flow import BodyFlow
from opentsm_simulator.translate.hierarchy import INT, NULL, OBJECT, SHORT, Hierarchy, descriptor_of, reference_in
from opentsm_simulator.translate.linkage import KnownClass
from opentsm_simulator.translate.opcodes_tables import STATIC_ARRAYS
from opentsm_simulator.translate.signature import parameters, result_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.cap import CapFile
    from opentsm_simulator.translate.analysis import Analysis, Body
    from opentsm_simulator.translate.classes import OwnClasses
    from opentsm_simulator.translate.flow import State
    from opentsm_simulator.translate.signature import SignatureVariable

__all__ = ["Types"]

_PACKAGE_VISIBLE: Final = 0x80
_REFERENCE_BYTES: Final = 2
_JVM: Final = {"S": "I", "I": "I", "V": "V"}


@dataclass(slots=True)
class _Place:
    """A field, argument or result: what reaches it, and the methods that must be looked at again when that widens."""

    type: str = NULL
    readers: dict[int, Body] = field(default_factory=dict)


class Types:
    """Infers the types of references over a whole package.

    Args:
        cap: the package.
        classes: its classes.
        analysis: its methods.
    """

    def __init__(self, cap: CapFile, classes: OwnClasses, analysis: Analysis) -> None:
        self._classes = classes
        self.analysis = analysis
        self.hierarchy = Hierarchy(classes)
        self._places: dict[tuple[object, ...], _Place] = {}
        self._waiting: dict[int, Body] = {}
        self._this: dict[int, str] = {}
        self.states: dict[int, dict[int, State]] = {}
        self._receivers()
        self._overriding()
        self._open_exports(cap)
        for applet in cap.applets:
            self.widen(self.argument(analysis.bodies[applet.install_method_offset].signature, 0), "[B")
        for number, array in enumerate(cap.static_fields.array_init):
            self.widen(("static", number * _REFERENCE_BYTES), STATIC_ARRAYS.get(array.type, OBJECT))
        self._waiting = {offset: body for offset, body in analysis.bodies.items() if not body.is_abstract}
        self._settle()

    # --- places ---

    @staticmethod
    def argument(signature: SignatureVariable, number: int) -> tuple[object, ...]:
        """Return the place of an argument."""
        return ("argument", id(signature.root), number)

    @staticmethod
    def result(signature: SignatureVariable) -> tuple[object, ...]:
        """Return the place of a method's result."""
        return ("result", id(signature.root))

    def widen(self, place: tuple[object, ...], type_: str) -> None:
        """Say that a place holds references of a type, too."""
        known = self._places.setdefault(place, _Place())
        joined = self.hierarchy.join(known.type, type_)
        if joined != known.type:
            known.type = joined
            self._waiting |= known.readers

    def read(self, place: tuple[object, ...], reader: Body) -> str:
        """Return what a place is known to hold, for a method that is looked at again when that widens."""
        known = self._places.setdefault(place, _Place())
        known.readers[reader.offset] = reader
        return known.type

    def type_of(self, place: tuple[object, ...]) -> str:
        """Return what a place holds."""
        known = self._places.get(place)
        return OBJECT if known is None or known.type == NULL else known.type

    def this(self, body: Body) -> str | None:
        """Return the class of the receiver of a virtual method's code; None for other methods."""
        return self._this.get(body.offset)

    def arguments_of(self, signature: SignatureVariable) -> list[str]:
        """Return the types of a method's arguments, its receiver's among them."""
        return [
            self.type_of(self.argument(signature, number)) if kind == "A" else INT if kind == "I" else SHORT
            for number, kind in enumerate(signature.settle().params)
        ]

    def arguments(self, body: Body) -> list[str]:
        """Return the types that a method's code takes its arguments as."""
        types = self.arguments_of(body.signature)
        this = self.this(body)
        return types if this is None else [this, *types[1:]]

    def result_descriptor(self, signature: SignatureVariable) -> str:
        """Return the JVM descriptor of a method's result."""
        result = signature.settle().result
        return descriptor_of(self.type_of(self.result(signature))) if result == "A" else _JVM[result]

    def descriptor(self, signature: SignatureVariable, arguments: Iterable[str]) -> str:
        """Return the JVM descriptor of a method with some arguments."""
        params = ("I" if type_ in {SHORT, INT} else descriptor_of(type_) for type_ in arguments)
        return f"({''.join(params)}){self.result_descriptor(signature)}"

    # --- what others put there ---

    def _receivers(self) -> None:
        for cls in self._classes.classes():
            for _, offset in cls.declared():
                known = self._this.get(offset, NULL)
                self._this[offset] = self.hierarchy.join(known, cls.name)

    def _overriding(self) -> None:
        """Take arguments and results of methods that override or implement known ones from those."""
        for cls in self._classes.classes():
            for token, _ in cls.declared():
                member = cls.member(token)
                if member is not None:
                    self._called_with(self.analysis.slots[cls.slot(token)], member.descriptor)
            for implemented in cls.info.interfaces:
                interface = self._classes.find(implemented.interface)
                for number, token in enumerate(implemented.index):
                    self._implementing(cls, interface, number, token)

    def _implementing(
        self, cls: OwnClass, interface: OwnClass | OwnInterface | KnownClass, number: int, token: int
    ) -> None:
        slots = self.analysis.slots
        if isinstance(interface, KnownClass):
            member = interface.virtual.get(number)
            if member is not None and cls.implementation(token) is not None:
                self._called_with(slots[cls.slot(token)], member.descriptor)
            return
        # A known superclass's method in an interface of the package: what that gives, comes back.
        inherited = cls.member(token)
        slot = Slot(interface.offset, number, interface=True)
        if cls.implementation(token) is None and inherited is not None and slot in slots:
            self.widen(self.result(slots[slot]), reference_in(result_of(inherited.descriptor)))

    def _called_with(self, signature: SignatureVariable, descriptor: str) -> None:
        for number, parameter in enumerate(parameters(descriptor), 1):
            self.widen(self.argument(signature, number), reference_in(parameter))
        result = result_of(descriptor)
        if result[0] in "L[":
            self.widen(self.result(signature), reference_in(result))

    def _open_exports(self, cap: CapFile) -> None:
        """Other packages can call what is exported with anything, override it, and write its fields."""
        for info in cap.exports.class_exports if cap.exports is not None else ():
            entry = self._classes.by_offset.get(info.class_offset)
            for offset in info.static_method_offsets:
                self._open(self.analysis.bodies[offset].signature, result=False)
            for offset in info.static_field_offsets:
                self.widen(("static", offset), OBJECT)
            if isinstance(entry, OwnClass):
                for token in range(entry.info.declared_instance_size):
                    self.widen(("field", entry.name, token), OBJECT)
                for token, _ in entry.declared():
                    if token < _PACKAGE_VISIBLE and entry.member(token) is None:
                        self._open(self.analysis.slots[entry.slot(token)], result=True)
            elif entry is not None:
                for slot, signature in self.analysis.slots.items():
                    if slot.interface and slot.root == entry.offset:
                        self._open(signature, result=True)

    def _open(self, signature: SignatureVariable, *, result: bool) -> None:
        for number, kind in enumerate(signature.settle().params):
            if kind == "A":
                self.widen(self.argument(signature, number), OBJECT)
        if result:
            self.widen(self.result(signature), OBJECT)

    # --- to where nothing changes any more ---

    def _settle(self) -> None:
        while self._waiting:
            while self._waiting:
                offset = next(iter(self._waiting))
                body = self._waiting.pop(offset)
                self.states[offset] = BodyFlow(self, body).run()
            # What nothing was found for is declared as an Object, and has to be taken for one.
            for known in self._places.values():
                if known.type == NULL:
                    known.type = OBJECT
                    self._waiting |= known.readers
