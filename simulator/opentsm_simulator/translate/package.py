"""A whole package: its code in one class, its classes and interfaces beside it.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import CapError
from opentsm_simulator.translate.accessors import RUNTIME, Accessors
from opentsm_simulator.translate.adapters import WITHOUT_ARGUMENTS, Adapters, load_arguments, returns
from opentsm_simulator.translate.analysis import Analysis
from opentsm_simulator.translate.calls import Calls
from opentsm_simulator.translate.classes import OwnClass, OwnClasses, OwnInterface, Slot
from opentsm_simulator.translate.classwriter import (
    ACC_INTERFACE,
    ACC_STATIC,
    ACC_SYNTHETIC,
    ClassWriter,
    Code,
    Label,
)
from opentsm_simulator.translate.emit import MethodEmitter
from opentsm_simulator.translate.exports import exported
from opentsm_simulator.translate.hierarchy import descriptor_of, reference_in
from opentsm_simulator.translate.linkage import KnownClass, KnownPackage, Linkage
from opentsm_simulator.translate.runs import runs_of
from opentsm_simulator.translate.signature import parameters, result_of
from opentsm_simulator.translate.statics import write_static_initializer
from opentsm_simulator.translate.types import Types

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from opentsm_build.cap import CapFile
    from opentsm_build.instructions import Instruction
    from opentsm_card.aid import Aid
    from opentsm_simulator.symbols import Symbols
    from opentsm_simulator.translate.analysis import Body
    from opentsm_simulator.translate.signature import Signature
    from opentsm_simulator.translate.targets import FieldTarget, StaticFieldTarget, VirtualTarget

__all__ = ["PackageTranslator", "Run", "TranslatedPackage", "translate"]

_PACKAGE_VISIBLE: Final = 0x80
_OBJECT: Final = "java/lang/Object"
_DESCRIPTORS: Final = {"b": "B", "s": "S", "i": "I"}
_INSTALL: Final = "([BSB)V"


@dataclass(frozen=True, slots=True)
class Run:
    """Instructions that are executed together (`runs`).

    Args:
        method: its method's offset in the Method component.
        pcs: of its instructions, from the method's first.
    """

    method: int
    pcs: tuple[int, ...]


@dataclass(frozen=True)
class TranslatedPackage:
    """A package as JVM classes.

    Args:
        aid: its AID.
        version: (major, minor).
        classes: class files by name, in internal form.
        applets: AID of each applet, and the class with its `install([BSB)V`.
        exports: what other packages link to.
        runs: what is counted, where it is: the runs' methods, by their offsets, and the pcs of their instructions.
        code: the instructions of each method, by its offset, where they are counted; a branch's operands are distances.
    """

    aid: Aid
    version: tuple[int, int]
    classes: Mapping[str, bytes] = field(repr=False)
    applets: tuple[tuple[Aid, str], ...]
    exports: KnownPackage = field(repr=False)
    runs: tuple[Run, ...] = field(default=(), repr=False)
    code: Mapping[int, tuple[Instruction, ...]] = field(default_factory=dict, repr=False)


def translate(
    cap: CapFile,
    loaded: Iterable[KnownPackage] = (),
    *,
    firewall: bool = True,
    transactions: bool = True,
    symbols: Symbols | None = None,
    counted: bool = False,
) -> TranslatedPackage:
    """Translate a package to JVM classes that run on `opentsm.runtime.Jcvm` and the Java Card API.

    Args:
        cap: the package; its Descriptor and Debug components are not looked at.
        loaded: packages on the card that it may import, beside the APIs.
        firewall: whether its code asks the card's firewall.
        transactions: whether its code tells the card's memory of its writes.
        symbols: names and lines of its sources: the JVM's traces have the lines then, and else each instruction's pc.
        counted: each run of instructions is counted, in the field `counts` of the class of the code (long[]), which
            whoever loads the class sets.

    Raises:
        CapError: it can't be linked, or is not what a verifier lets pass, or needs what is not supported.
    """
    linkage = Linkage(cap.imports, loaded)
    translator = PackageTranslator(
        cap, linkage, firewall=firewall, transactions=transactions, symbols=symbols, counted=counted
    )
    return translator.run()


class PackageTranslator:
    """Translates one package; see `translate`."""

    def __init__(
        self,
        cap: CapFile,
        linkage: Linkage,
        *,
        firewall: bool = True,
        transactions: bool = True,
        symbols: Symbols | None = None,
        counted: bool = False,
    ) -> None:
        self.cap = cap
        self._symbols = symbols
        self._counted = counted
        self._runs: list[Run] = []
        self.prefix = f"cap/{bytes(cap.package_aid).hex().upper()}/"
        self.classes = OwnClasses(cap, linkage, self.prefix)
        self.analysis = Analysis(cap, self.classes)
        self.types = Types(cap, self.classes, self.analysis)
        self.calls = Calls(self.analysis)
        source = "pc" if symbols is None else symbols.source_file or cap.package_name
        self.code_class = ClassWriter(f"{self.prefix}Code", source_file=source)
        self._writers = {cls.name: self._writer(cls) for cls in self.classes.classes()}
        # What other packages can reach through its classes, or it through theirs: objects of any context.
        self.shares_statics = linkage.shares_statics or self._exports_references()
        self.accessors = Accessors(
            self.code_class,
            self.types.hierarchy,
            firewall=firewall,
            from_start=self.shares_statics,
            transactions=transactions,
        )
        self.adapters = Adapters(
            self.code_class, self.prefix, lambda cls: self._writers[cls.name], self.types.hierarchy, self.accessors
        )
        self._add_step()
        if counted:
            self._add_count()
        self._static_kinds: dict[int, str] = {}
        self._field_kinds: dict[tuple[str, int], str] = {}

    def _exports_references(self) -> bool:
        """Tell whether it has static fields that are references, and classes that others can use."""
        exports = self.cap.exports
        classes = (
            [] if exports is None else [self.classes.by_offset.get(each.class_offset) for each in exports.class_exports]
        )
        return bool(self.cap.static_fields.reference_count) and any(isinstance(each, OwnClass) for each in classes)

    def is_shareable(self, instruction: Instruction) -> bool:
        """Tell whether a checkcast or instanceof is about a shareable interface."""
        atype, index = instruction.operands
        if atype != 0:
            return False
        cls = self.analysis.targets.class_(index)
        return not isinstance(cls, OwnClass) and cls.is_shareable

    def _writer(self, cls: OwnClass) -> ClassWriter:
        interfaces = tuple(dict.fromkeys(self.classes.name(each.interface) for each in cls.info.interfaces))
        writer = ClassWriter(cls.name, cls.superclass.name, interfaces)
        writer.add_method("<init>", "()V", self._whole(cls, writer))
        return writer

    @staticmethod
    def _whole(own: OwnClass, writer: ClassWriter) -> Code:
        """Make the constructor that makes an object whole; its Java Card constructor is called behind it."""
        code = Code(writer, 2, 1)
        code.local("aload", 0)
        superclass = own.superclass
        descriptor = "()V"
        if isinstance(superclass, KnownClass) and superclass.is_api:
            constructors = {each.descriptor for each in superclass.static.values() if each.name == "<init>"}
            if "()V" not in constructors and superclass.name not in WITHOUT_ARGUMENTS:
                descriptor = "(S)V"
                if descriptor not in constructors:
                    raise CapError(f"a class extends {superclass.name}: not supported", component="Class")
                code.push(0)
        code.invoke("invokespecial", superclass.name, "<init>", descriptor)
        code.op("return")
        return code

    def _add_step(self) -> None:
        """Add what counts the steps of the package's code: it asks the card for more when a portion is used up."""
        name = self.code_class.name
        self.code_class.add_field("steps", "I", ACC_STATIC | ACC_SYNTHETIC)
        code = Code(self.code_class, 2, 0)
        enough = Label()
        code.field("getstatic", name, "steps", "I")
        code.push(1)
        code.op("isub")
        code.op("dup")
        code.field("putstatic", name, "steps", "I")
        code.jump("ifge", enough)
        code.invoke("invokestatic", RUNTIME, "portion", "()I")
        code.field("putstatic", name, "steps", "I")
        code.label(enough)
        code.op("return")
        self.code_class.add_method("step", "()V", code, ACC_STATIC)

    def _add_count(self) -> None:
        """Add what counts a run of instructions, by its number."""
        name = self.code_class.name
        self.code_class.add_field("counts", "[J", ACC_STATIC | ACC_SYNTHETIC)
        code = Code(self.code_class, 6, 1)
        code.field("getstatic", name, "counts", "[J")
        code.local("iload", 0)
        for operation in ("dup2", "laload", "lconst_1", "ladd", "lastore", "return"):
            code.op(operation)
        self.code_class.add_method("count", "(I)V", code, ACC_STATIC)

    def begin_runs(self, body: Body) -> dict[int, int]:
        """Return the numbers of a method's runs, by the pc at which each begins; none where nothing is counted."""
        numbers = {}
        for pcs in runs_of(body) if self._counted else ():
            numbers[pcs[0]] = len(self._runs)
            self._runs.append(Run(body.offset, tuple(pc - body.entry for pc in pcs)))
        return numbers

    def line(self, method: int, pc: int) -> int | None:
        """Return the source line of an instruction, or its pc where no lines are known; None where it has none."""
        if self._symbols is None:
            return pc
        symbol = self._symbols.methods.get(method)
        return None if symbol is None else symbol.line(pc)

    # --- names ---

    def method(self, offset: int) -> tuple[str, str]:
        """Return name and descriptor of a method of the Method component, in the class of the code."""
        body = self.analysis.bodies[offset]
        return f"m{offset:04x}", self.types.descriptor(body.signature, self.types.arguments(body))

    def family(self, owner: OwnClass | OwnInterface, slot: Slot) -> tuple[str, str, Signature]:
        """Return name, exact descriptor and signature of a family of virtual methods."""
        variable = self.analysis.slots.get(slot)
        member = owner.member(slot.token) if isinstance(owner, OwnClass) and not slot.interface else None
        if member is not None:
            return member.name, member.descriptor, member.signature
        if variable is None:
            raise CapError(f"a method with token {slot.token} that is nowhere")
        signature = variable.settle()
        if slot.interface:
            name = f"i{slot.root:04x}_{slot.token}"
        elif slot.token & _PACKAGE_VISIBLE:
            name = f"p{slot.token & ~_PACKAGE_VISIBLE}_{bytes(self.cap.package_aid).hex().upper()}"
        else:
            name = f"v{slot.token}"
        descriptor = self.types.descriptor(variable, self.types.arguments_of(variable)[1:])
        return name, descriptor, signature

    def virtual(self, target: VirtualTarget, given: Sequence[str]) -> tuple[str, str]:
        """Return the adapter to a virtual or interface method of the package, for arguments of some types."""
        name, descriptor, _ = self.family(target.owner, target.slot)
        return self.adapters.virtual(target, name, descriptor, given)

    def field(self, target: FieldTarget, kind: str) -> tuple[str, str]:
        """Return name and descriptor of an instance field; it is added to its class where that is ours."""
        if target.member is not None:
            return target.member.name, target.member.descriptor
        known = self._field_kinds.setdefault((target.owner, target.token), kind)
        if known != kind:
            raise CapError(f"field {target.token} of {target.owner} is used as {known} and as {kind}")
        name = f"f{target.token}"
        descriptor = self._descriptor(kind, ("field", target.owner, target.token))
        self._writers[target.owner].add_field(name, descriptor)
        return name, descriptor

    def _descriptor(self, kind: str, place: tuple[object, ...]) -> str:
        return descriptor_of(self.types.type_of(place)) if kind == "a" else _DESCRIPTORS[kind]

    def field_kind(self, owner: str, token: int) -> str | None:
        """Return the kind of an instance field that is used; None for another."""
        return self._field_kinds.get((owner, token))

    def static_kind(self, offset: int) -> str | None:
        """Return the kind of a static field that is used; None for another."""
        return self._static_kinds.get(offset)

    def static_field(self, target: StaticFieldTarget, kind: str) -> tuple[str, str, str]:
        """Return owner, name and descriptor of a static field."""
        if target.member is not None:
            return target.member.owner, target.member.name, target.member.descriptor
        known = self._static_kinds.setdefault(target.offset, kind)
        if known != kind:
            raise CapError(f"the static field at {target.offset:#06x} is used as {known} and as {kind}")
        descriptor = self._descriptor(kind, ("static", target.offset))
        self.code_class.add_field(f"s{target.offset:04x}", descriptor, ACC_STATIC)
        return self.code_class.name, f"s{target.offset:04x}", descriptor

    def _static_descriptors(self) -> dict[int, str]:
        """Return the descriptors of the static fields that are used, by their offset in the image."""
        return {offset: self._descriptor(kind, ("static", offset)) for offset, kind in self._static_kinds.items()}

    # --- writing ---

    def run(self) -> TranslatedPackage:
        """Write all classes.

        Raises:
            CapError: something can't be translated.
        """
        for offset, body in self.analysis.bodies.items():
            if not body.is_abstract:
                self.code_class.add_method(*self.method(offset), MethodEmitter(self, body).run(), ACC_STATIC)
        for cls in self.classes.classes():
            self._virtual_methods(cls)
            self._bridges(cls)
        exports = exported(self)
        for cls in self.classes.classes():
            if not isinstance(cls.superclass, OwnClass):
                self.adapters.lend(cls)
        write_static_initializer(
            self.cap.static_fields, self.code_class, self._static_descriptors(), self.accessors.begin
        )
        applets = tuple(self._applets())
        writers = [self.code_class, *self._writers.values(), *self._interfaces()]
        writers += [writer for writer, _ in self.adapters.protected.values()]
        return TranslatedPackage(
            self.cap.package_aid,
            self.cap.package_version,
            {writer.name: writer.encode() for writer in (*writers, *(writer for _, writer in applets))},
            tuple((aid, writer.name) for aid, writer in applets),
            exports,
            tuple(self._runs),
            self._listing() if self._counted else {},
        )

    def _listing(self) -> dict[int, tuple[Instruction, ...]]:
        return {
            offset: tuple(replace(each, pc=each.pc - body.entry) for each in body.instructions.values())
            for offset, body in self.analysis.bodies.items()
            if not body.is_abstract
        }

    def _virtual_methods(self, cls: OwnClass) -> None:
        writer = self._writers[cls.name]
        for token, offset in cls.declared():
            name, descriptor, signature = self.family(cls, cls.slot(token))
            if writer.has_method(name, descriptor):
                continue
            size = len(signature.params)
            code = Code(writer, size + 3, size + 1)
            if self.analysis.bodies[offset].is_abstract:
                _throw_abstract(code)
            else:
                code.local("aload", 0)
                called = self.method(offset)
                wanted = parameters(called[1])[1:]
                load_arguments(code, wanted, 1, self._passes(descriptor, wanted))
                code.invoke("invokestatic", self.code_class.name, *called)
                returns(code, descriptor, cast=not self._gives(called[1], descriptor))
            writer.add_method(name, descriptor, code)

    def _passes(self, descriptor: str, wanted: list[str]) -> list[bool]:
        """Tell of each argument of a descriptor whether it needs no cast to be another method's."""
        return self.adapters.fits([reference_in(each) for each in parameters(descriptor)], wanted)

    def _gives(self, descriptor: str, wanted: str) -> bool:
        """Tell whether a method's result needs no cast to be another's."""
        return all(self.adapters.fits([reference_in(result_of(descriptor))], [result_of(wanted)]))

    def _bridges(self, cls: OwnClass) -> None:
        """Give a class each interface's methods under the interface's names."""
        writer = self._writers[cls.name]
        for implemented in cls.info.interfaces:
            interface = self.classes.find(implemented.interface)
            for number, token in enumerate(implemented.index):
                if isinstance(interface, KnownClass):
                    member = interface.virtual.get(number)
                    if member is None and interface.is_api:
                        raise CapError(f"{interface.name} has no method {number}", component="Class")
                    if member is None:
                        continue  # nothing that the package with the interface has calls it
                    name, descriptor = member.name, member.descriptor
                else:
                    assert isinstance(interface, OwnInterface)
                    slot = Slot(interface.offset, number, interface=True)
                    if slot not in self.analysis.slots:
                        continue  # a known superclass implements it, and nothing here calls it
                    name, descriptor, _ = self.family(interface, slot)
                self._bridge(cls, writer, token, (name, descriptor))

    def _bridge(self, cls: OwnClass, writer: ClassWriter, token: int, as_: tuple[str, str]) -> None:
        if cls.has(token) or token & _PACKAGE_VISIBLE:
            name, descriptor, _ = self.family(cls, cls.slot(token))
        else:
            member = cls.member(token)
            if member is None:
                raise CapError(f"class at {cls.offset:#06x} has no method {token}", component="Class")
            name, descriptor = member.name, member.descriptor
        if (name, descriptor) == as_ or writer.has_method(*as_):
            return
        size = descriptor.count(";") + len(descriptor)
        code = Code(writer, size + 3, size + 1)
        code.local("aload", 0)
        wanted = parameters(descriptor)
        load_arguments(code, wanted, 1, self._passes(as_[1], wanted))
        code.invoke("invokevirtual", cls.name, name, descriptor)
        returns(code, as_[1], cast=not self._gives(descriptor, as_[1]))
        writer.add_method(*as_, code)

    def _interfaces(self) -> Iterator[ClassWriter]:
        for interface in self.classes.interfaces():
            writer = ClassWriter(interface.name, _OBJECT, interface.superinterfaces, ACC_INTERFACE)
            for slot in self.analysis.slots:
                if slot.interface and slot.root == interface.offset:
                    name, descriptor, _ = self.family(interface, slot)
                    writer.add_abstract_method(name, descriptor)
            yield writer

    def _applets(self) -> Iterator[tuple[Aid, ClassWriter]]:
        """Make a class with a method install for each applet."""
        for number, applet in enumerate(self.cap.applets):
            writer = ClassWriter(f"{self.prefix}Applet{number}")
            code = Code(writer, 4, 3)
            name, descriptor = self.method(applet.install_method_offset)
            load_arguments(code, parameters(descriptor), 0)
            code.invoke("invokestatic", self.code_class.name, name, descriptor)
            code.op("return")
            writer.add_method("install", _INSTALL, code, ACC_STATIC)
            yield applet.aid, writer


def _throw_abstract(code: Code) -> None:
    code.of_class("new", "java/lang/AbstractMethodError")
    code.op("dup")
    code.invoke("invokespecial", "java/lang/AbstractMethodError", "<init>", "()V")
    code.op("athrow")
