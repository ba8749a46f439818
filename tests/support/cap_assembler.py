"""Packages assembled by hand: static methods from mnemonics, and one applet, in a CAP file without a Descriptor.

package = Assembler()
package.method("add", nargs=2, code="sload_0; sload_1; sadd; sreturn")
cap = package.build()
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from opentsm_build import instructions
from opentsm_build.cap import CapFile, ComponentTag
from opentsm_build.cap.classes import ClassComponent, ClassFlag, ClassInfo
from opentsm_build.cap.constant_pool import ConstantPoolComponent, ConstantPoolEntry, ConstantPoolTag
from opentsm_build.cap.exports import ClassExportInfo, ExportComponent
from opentsm_build.cap.header import AppletComponent, AppletInfo
from opentsm_build.cap.methods import ExceptionHandlerInfo, MethodComponent, MethodInfo
from opentsm_build.cap.static_fields import StaticFieldComponent
from opentsm_build.cap.types import ClassRef
from opentsm_build.opcode_tables import BY_NAME
from opentsm_card.aid import Aid
from small_cap import MODULE, small_cap

__all__ = ["APPLET", "OBJECT", "Assembler", "assemble"]

# javacard.framework.Applet, by its tokens: imports are in the order of `small_cap`.
APPLET: Final = ClassRef.external(0, 3)
OBJECT: Final = ClassRef.external(1, 0)
_APPLET_INIT: Final = 0  # of its static methods and constructors
_REGISTER: Final = 1  # of its virtual methods: register()
_PROCESS: Final = 7  # process(APDU)
_STACK: Final = 20
_LOCALS: Final = 20


def assemble(text: str) -> bytes:
    """Assemble instructions separated by semicolons; `name:` puts a label, `->name` in an operand's place means it."""
    labels: dict[str, int] = {}
    for _ in range(2):  # once to learn where the labels are
        pc = 0
        code = b""
        for part in text.split(";"):
            words = part.split()
            while words and words[0].endswith(":"):
                labels[words.pop(0)[:-1]] = pc
            if not words:
                continue
            operands = [labels.get(word[2:], pc) - pc if word.startswith("->") else int(word, 0) for word in words[1:]]
            encoded = instructions.encode(BY_NAME[words[0]], tuple(operands))
            code += encoded
            pc += len(encoded)
    return code


@dataclass
class Assembler:
    """Collects what a package is made of."""

    pool: list[ConstantPoolEntry] = field(default_factory=list)
    handlers: list[tuple[int, int, bool, int, int]] = field(default_factory=list)
    methods: dict[str, MethodInfo] = field(default_factory=dict)
    statics: StaticFieldComponent = field(default_factory=lambda: StaticFieldComponent(0, 0, (), 0, b""))

    def method(self, name: str, nargs: int, code: str) -> None:
        """Add a static method."""
        self.methods[name] = MethodInfo.of(_STACK, nargs, _LOCALS, assemble(code))

    def reference(self, entry: ConstantPoolEntry) -> int:
        """Add an entry to the constant pool and return its index."""
        self.pool.append(entry)
        return len(self.pool) - 1

    def offset(self, name: str) -> int:
        """Return where a method begins in the Method component; all handlers must have been added."""
        at = 1 + 8 * len(self.handlers)
        for other, info in self.methods.items():
            if other == name:
                return at
            at += info.length_bytes
        raise KeyError(name)

    def build(self, process: str = "process", *, exported: tuple[str, ...] = ()) -> CapFile:
        """Return the CAP file; its applet's process() is the method of that name, where there is one.

        Args:
            process: the method.
            exported: methods that other packages may call; all when there are none. Only methods that something calls,
                or that are exported, are looked at by a translator.
        """
        if process not in self.methods:
            self.method(process, 2, "return")
        static = ConstantPoolTag.STATIC_METHODREF
        above = self.reference(ConstantPoolEntry.of_imported_static(static, APPLET, _APPLET_INIT))
        self.method("init", 1, f"aload_0; invokespecial {above}; return")
        init = self.reference(ConstantPoolEntry.of_static(static, self.offset("init")))
        cls = self.reference(ConstantPoolEntry.of_class(ClassRef.internal(0)))
        virtual = ConstantPoolTag.VIRTUAL_METHODREF
        register = self.reference(ConstantPoolEntry.of_member(virtual, APPLET, _REGISTER))
        self.method("install", 3, f"new {cls}; dup; invokespecial {init}; invokevirtual {register}; return")
        methods = MethodComponent(
            tuple(ExceptionHandlerInfo(*handler) for handler in self.handlers),
            b"".join(info.encode() for info in self.methods.values()),
        )
        info = ClassInfo(
            ClassFlag(0),
            APPLET,
            public_method_table_base=_PROCESS,
            public_virtual_method_table=(self.offset(process),),
        )
        offsets = tuple(self.offset(name) for name in exported or self.methods)
        applet = AppletInfo(Aid(MODULE), self.offset("install"))
        parts = dict(CapFile.parse_load_file(small_cap()).components)
        parts[ComponentTag.APPLET] = AppletComponent((applet,)).encode()
        parts[ComponentTag.CLASS] = ClassComponent((info,)).encode((2, 1))
        parts[ComponentTag.METHOD] = methods.encode()
        parts[ComponentTag.STATIC_FIELD] = self.statics.encode()
        parts[ComponentTag.EXPORT] = ExportComponent((ClassExportInfo(0, (), offsets),)).encode()
        parts[ComponentTag.CONSTANT_POOL] = ConstantPoolComponent(tuple(self.pool)).encode()
        return CapFile(parts)
