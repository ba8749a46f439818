"""Put a converted package's components together: offsets and tokens take the place of names.

Spec: JCVM 3.1, 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.cap import CapFile
from opentsm_build.cap.classes import ClassComponent, ClassFlag, ClassInfo, ImplementedInterfaceInfo, InterfaceInfo
from opentsm_build.cap.constant_pool import ConstantPoolComponent, ConstantPoolEntry, ConstantPoolTag
from opentsm_build.cap.exports import ClassExportInfo, ExportComponent
from opentsm_build.cap.header import (
    AppletComponent,
    AppletInfo,
    DirectoryComponent,
    HeaderComponent,
    ImportComponent,
    PackageInfo,
    StaticFieldSizeInfo,
)
from opentsm_build.cap.methods import ExceptionHandlerInfo, MethodComponent, MethodFlag, MethodInfo
from opentsm_build.cap.reference_location import ReferenceLocationComponent
from opentsm_build.cap.tags_tables import ComponentTag, HeaderFlag
from opentsm_build.cap.types import ClassRef, JcType, TypeDescriptor, TypeNibble
from opentsm_build.classfile.access_tables import Acc
from opentsm_build.convert.ops import CLASS_REF, STATIC_FIELD_REF, STATIC_METHOD_REF
from opentsm_build.convert.select import words_of
from opentsm_build.convert.tokens import NO_TOKEN, PACKAGE_BIT
from opentsm_build.convert.universe import OBJECT, dotted, parse_method_descriptor
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from opentsm_build.classfile import ClassFile, Method
    from opentsm_build.convert.assemble import Assembled
    from opentsm_build.convert.ops import Reference
    from opentsm_build.convert.package import Options, Package
    from opentsm_build.convert.pool import Pool
    from opentsm_build.convert.statics import StaticImage
    from opentsm_build.convert.tokens import Tokens
    from opentsm_build.convert.universe import Universe

__all__ = ["Linker"]

_NOWHERE: Final = 0xFFFF
_HANDLER_BYTES: Final = 8
# Of the first handler's catch_type_index, in the Method component's info item.
_CATCH_OFFSET: Final = 7
_MAX_HANDLERS: Final = 255
_PRIMITIVES: Final = {
    "V": TypeNibble.VOID,
    "Z": TypeNibble.BOOLEAN,
    "B": TypeNibble.BYTE,
    "S": TypeNibble.SHORT,
    "I": TypeNibble.INT,
}
_ARRAYS: Final = {
    "[Z": TypeNibble.BOOLEAN_ARRAY,
    "[B": TypeNibble.BYTE_ARRAY,
    "[S": TypeNibble.SHORT_ARRAY,
    "[I": TypeNibble.INT_ARRAY,
}
_INSTALL: Final = "install([BSB)V"

# class and method key
MethodKey = tuple[str, str]


class Linker:
    """The package while it is put together.

    Args:
        package: what is converted.
        options: how.
        universe: the classes that can be named.
        tokens: of the own classes.
        order: own classes, each behind its superclass and interfaces.
        pool: symbolic constant pool.
        codes: assembled methods.
        statics: the static field image.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the results of all steps before
        self,
        package: Package,
        options: Options,
        universe: Universe,
        tokens: Tokens,
        order: list[ClassFile],
        pool: Pool,
        codes: dict[MethodKey, Assembled],
        statics: StaticImage,
    ) -> None:
        self.package, self.options, self.universe, self.tokens = package, options, universe, tokens
        # Interfaces come first in the Class component.
        self.order = sorted(order, key=lambda cls: not cls.is_interface)
        self.pool, self.codes, self.statics = pool, codes, statics
        self.format_version = options.format_version or ((2, 2) if options.debug else (2, 1))
        self.package_tokens: dict[str, int] = {}
        self.method_offsets: dict[MethodKey, int] = {}
        self.handler_indices: dict[MethodKey, int] = {}
        self.class_offsets: dict[str, int] = {}
        # For the Debug component, by method: (JVM pc, JVM slot, local) of each instruction that names a local.
        self.locals: dict[MethodKey, list[tuple[int, int, int]]] = {}

    # --- names to numbers ---

    def methods_of(self, cls: ClassFile) -> list[Method]:
        """Return the methods that have a place in the Method component."""
        if cls.is_interface:
            return []
        return [m for m in (*cls.methods, *self.tokens.classes[cls.name].mirandas) if m.name != "<clinit>"]

    def class_ref(self, name: str) -> ClassRef:
        """Return the reference to a class."""
        if name in self.tokens.classes:
            return ClassRef.internal(self.class_offsets.get(name, 0))
        api = self.universe.api_class(name)
        if api is None:
            raise CapError(f"{dotted(name)} is in none of the imported packages: add it under imports")
        return ClassRef.external(self.package_token(name.rpartition("/")[0]), api.token)

    def package_token(self, name: str) -> int:
        """Return an imported package's token; the first that is asked for gets 0."""
        token = self.package_tokens.setdefault(name, len(self.package_tokens))
        if token >= 0x80:
            raise CapError("more than 128 imported packages")
        return token

    def jc_type(self, descriptor: str) -> JcType:
        """Return a type as components write it."""
        nibble = _PRIMITIVES.get(descriptor) or _ARRAYS.get(descriptor)
        if nibble is not None:
            return JcType(nibble)
        if descriptor.startswith("[L"):
            return JcType(TypeNibble.REFERENCE_ARRAY, self.class_ref(descriptor[2:-1]))
        if descriptor.startswith("L"):
            return JcType(TypeNibble.REFERENCE, self.class_ref(descriptor[1:-1]))
        raise CapError(f"the type {descriptor} does not exist on a card")

    def signature(self, descriptor: str) -> TypeDescriptor:
        """Return the type descriptor of a field or method."""
        if not descriptor.startswith("("):
            return TypeDescriptor.of([self.jc_type(descriptor)])
        parameters, result = parse_method_descriptor(descriptor)
        return TypeDescriptor.of([self.jc_type(each) for each in (*parameters, result)])

    # --- components ---

    def link(self) -> CapFile:
        """Return the CAP file.

        Raises:
            CapError: something is larger than its place in a component.
        """
        from opentsm_build.convert.describe import describe  # noqa: PLC0415 - the two need each other

        self._place_methods()
        self._place_classes()
        components = {
            ComponentTag.CLASS: self._classes().encode(self.format_version),
            ComponentTag.METHOD: self._methods().encode(),
            ComponentTag.STATIC_FIELD: self.statics.component.encode(),
            ComponentTag.CONSTANT_POOL: ConstantPoolComponent(tuple(map(self._entry, self.pool.references))).encode(),
            ComponentTag.REFERENCE_LOCATION: self._reference_locations().encode(),
            ComponentTag.DESCRIPTOR: describe(self).encode(),
        }
        exports = self._exports()
        flags = HeaderFlag.INT if self._has_int() else HeaderFlag(0)
        if exports.class_exports:
            components[ComponentTag.EXPORT] = exports.encode()
            flags |= HeaderFlag.EXPORT
        if self.package.applets:
            components[ComponentTag.APPLET] = self._applets().encode()
            flags |= HeaderFlag.APPLET
        if self.options.debug:
            from opentsm_build.convert.debug import debug_component  # noqa: PLC0415 - rarely asked for

            components[ComponentTag.DEBUG] = debug_component(self)
        imports = self._imports()
        components[ComponentTag.IMPORT] = imports.encode()
        # From format 2.2 on the name is there for packages with remote interfaces; others tell none.
        name = b"" if self.format_version >= (2, 2) else None
        header = HeaderComponent(self.format_version, flags, PackageInfo(self.package.aid, self.package.version), name)
        components[ComponentTag.HEADER] = header.encode()
        components[ComponentTag.DIRECTORY] = self._directory(components, len(imports.packages))
        return CapFile(components, folder_name=dotted(self.package.name))

    def _directory(self, components: dict[ComponentTag, bytes], imports: int) -> bytes:
        static = self.statics.component
        sizes = {tag: len(component) - 3 for tag, component in components.items()}
        arrays = sum(len(array.values) for array in static.array_init)
        info = StaticFieldSizeInfo(static.image_size, len(static.array_init), arrays)
        draft = DirectoryComponent(sizes, info, imports, len(self.package.applets))
        sizes[ComponentTag.DIRECTORY] = len(draft.encode(self.format_version)) - 3
        return DirectoryComponent(sizes, info, imports, len(self.package.applets)).encode(self.format_version)

    def _has_int(self) -> bool:
        descriptors = [entry.descriptor for cls in self.order for entry in cls.fields if entry.constant is None]
        descriptors += [method.descriptor for cls in self.order for method in cls.methods]
        return any("I" in _bare(descriptor) for descriptor in descriptors) or any(
            code.uses_int for code in self.codes.values()
        )

    def _imports(self) -> ImportComponent:
        return ImportComponent(
            tuple(
                PackageInfo(self.universe.packages[name].aid, self.universe.packages[name].version)
                for name in sorted(self.package_tokens, key=self.package_tokens.__getitem__)
            )
        )

    def _applets(self) -> AppletComponent:
        return AppletComponent(
            tuple(AppletInfo(aid, self.method_offsets[name, _INSTALL]) for aid, name in self.package.applets)
        )

    # --- methods ---

    def _place_methods(self) -> None:
        handlers = sum(len(code.handlers) for code in self.codes.values())
        if handlers > _MAX_HANDLERS:
            raise CapError(f"{handlers} exception handlers, {_MAX_HANDLERS} at most in a package: split it")
        at, handler = 1 + _HANDLER_BYTES * handlers, 0
        for cls in self.order:
            for method in self.methods_of(cls):
                key = (cls.name, method.key)
                self.method_offsets[key] = at
                self.handler_indices[key] = handler
                at += self.method_info(cls, method).length_bytes
                handler += len(self.codes[key].handlers) if key in self.codes else 0
        if at > _NOWHERE:
            raise CapError(f"the Method component has {at} bytes, {_NOWHERE} at most: split the package")

    def method_info(self, cls: ClassFile, method: Method) -> MethodInfo:
        """Return header and code of a method."""
        words = argument_words(method)
        code = self.codes.get((cls.name, method.key))
        if code is None:
            flags = MethodFlag.ABSTRACT | (MethodFlag.EXTENDED if words > 15 else MethodFlag(0))
            return MethodInfo(0, words, 0, b"", flags)
        return MethodInfo.of(code.max_stack, words, max(0, code.max_locals - words), code.code)

    def _methods(self) -> MethodComponent:
        handlers, bodies = [], []
        for cls in self.order:
            for method in self.methods_of(cls):
                key = (cls.name, method.key)
                info = self.method_info(cls, method)
                code = self.codes.get(key)
                start = self.method_offsets[key] + info.header_bytes
                if code is not None:
                    info = MethodInfo(info.max_stack, info.nargs, info.max_locals, self._indexed(code), info.flags)
                    for h in code.handlers:
                        catch = 0 if h.catch is None else self.pool.index[h.catch]
                        handlers.append(
                            ExceptionHandlerInfo(start + h.start, h.end - h.start, h.stop, start + h.handler, catch)
                        )
                bodies.append(info.encode())
        return MethodComponent(tuple(handlers), b"".join(bodies))

    @staticmethod
    def _indexed(code: Assembled) -> bytes:
        return code.code

    def _reference_locations(self) -> ReferenceLocationComponent:
        places: dict[int, list[int]] = {1: [], 2: []}
        catches = [handler.catch for code in self._codes_in_order() for handler in code.handlers]
        places[2] = [
            _HANDLER_BYTES * index + _CATCH_OFFSET for index, caught in enumerate(catches) if caught is not None
        ]
        for cls in self.order:
            for method in self.methods_of(cls):
                key = (cls.name, method.key)
                if (code := self.codes.get(key)) is not None:
                    start = self.method_offsets[key] + self.method_info(cls, method).header_bytes
                    for offset, size in code.relocations:
                        places[size].append(start + offset)
        return ReferenceLocationComponent(tuple(places[1]), tuple(places[2]))

    def _codes_in_order(self) -> list[Assembled]:
        keys = ((cls.name, method.key) for cls in self.order for method in self.methods_of(cls))
        return [self.codes[key] for key in keys if key in self.codes]

    # --- classes ---

    def _place_classes(self) -> None:
        at = 0 if self.format_version < (2, 2) else 2
        for cls in self.order:
            self.class_offsets[cls.name] = at
            at += len(self._class_info(cls).encode(self.format_version))

    def _classes(self) -> ClassComponent:
        return ClassComponent(tuple(map(self._class_info, self.order)))

    def _class_info(self, cls: ClassFile) -> InterfaceInfo | ClassInfo:
        interfaces = self.universe.interfaces(cls.name)
        flags = ClassFlag.SHAREABLE if self.universe.is_shareable(cls.name) else ClassFlag(0)
        if cls.is_interface:
            return InterfaceInfo(flags | ClassFlag.INTERFACE, tuple(map(self.class_ref, interfaces)))
        tokens = self.tokens.classes[cls.name]
        public_base = min(tokens.declared, default=len(tokens.public_table))
        package_base = min(tokens.declared_package, default=len(tokens.package_table))
        mapping: tuple[int, ...] = ()
        if self.format_version >= (2, 3):
            inherited = self._inherited_tokens(cls)
            mapping = tuple(token if token < inherited else NO_TOKEN for token in range(len(tokens.public_table)))
        return ClassInfo(
            flags,
            self.class_ref(cls.super_name or OBJECT),
            tokens.size_cells,
            tokens.first_reference,
            tokens.reference_count,
            public_base,
            tuple(_NOWHERE if key is None else self.method_offsets[key] for key in tokens.public_table[public_base:]),
            package_base,
            tuple(_NOWHERE if key is None else self.method_offsets[key] for key in tokens.package_table[package_base:]),
            tuple(self._implemented(cls, interface) for interface in interfaces),
            None,
            mapping,
            len(mapping),
        )

    def _inherited_tokens(self, cls: ClassFile) -> int:
        """Return how many public virtual methods a class has from its superclass."""
        name = cls.super_name or OBJECT
        if name in self.tokens.classes:
            return len(self.tokens.classes[name].public_table)
        api = self.universe.api_class(name)
        methods = () if api is None else api.methods.values()
        virtual = [m.token for m in methods if not m.access & Acc.STATIC and m.name != "<init>"]
        return max(virtual, default=-1) + 1

    def _implemented(self, cls: ClassFile, interface: str) -> ImplementedInterfaceInfo:
        methods = self.tokens.interface_methods(interface)
        tokens = self.tokens.classes[cls.name].public
        index = []
        for key in sorted(methods, key=methods.__getitem__):
            if key not in tokens:
                raise CapError(f"does not implement {key} of {dotted(interface)}", where=cls.place())
            index.append(tokens[key])
        return ImplementedInterfaceInfo(self.class_ref(interface), tuple(index))

    # --- constant pool, exports ---

    def _entry(self, reference: Reference) -> ConstantPoolEntry:
        number, owner, token, _ = reference
        tag = ConstantPoolTag(number)
        if number == CLASS_REF:
            return ConstantPoolEntry.of_class(self.class_ref(owner))
        if number not in (STATIC_FIELD_REF, STATIC_METHOD_REF):
            assert isinstance(token, int)
            return ConstantPoolEntry.of_member(tag, self.class_ref(owner), token)
        if isinstance(token, int):
            return ConstantPoolEntry.of_imported_static(tag, self.class_ref(owner), token)
        assert token is not None
        if number == STATIC_FIELD_REF:
            return ConstantPoolEntry.of_static(tag, self.statics.offsets[owner, token])
        return ConstantPoolEntry.of_static(tag, self.method_offsets[owner, token])

    def _exports(self) -> ExportComponent:
        exported = sorted(
            (self.tokens.classes[cls.name].token, cls.name)
            for cls in self.order
            if self.tokens.classes[cls.name].exported
        )
        return ExportComponent(
            tuple(
                ClassExportInfo(
                    self.class_offsets[name],
                    tuple(self.statics.offsets[name, key] for key in self.tokens.classes[name].statics),
                    tuple(self.method_offsets[name, key] for key in self.tokens.classes[name].static_methods),
                )
                for _, name in exported
            )
        )


def _bare(descriptor: str) -> str:
    """Return a descriptor without class names."""
    bare, inside = [], False
    for letter in descriptor:
        if inside:
            inside = letter != ";"
        elif letter == "L":
            inside = True
        else:
            bare.append(letter)
    return "".join(bare)


def argument_words(method: Method) -> int:
    """Return the words of a method's arguments, `this` among them."""
    return sum(map(words_of, parse_method_descriptor(method.descriptor)[0])) + (not method.is_static)


def method_token(tokens: Tokens, cls: ClassFile, method: Method) -> int:
    """Return the token that the Descriptor tells of a method."""
    own = tokens.classes[cls.name]
    if method.access & (Acc.STATIC | Acc.PRIVATE) or method.name[0] == "<":
        return own.static_methods.get(method.key, NO_TOKEN)
    return own.public.get(method.key, own.package.get(method.key, PACKAGE_BIT))
