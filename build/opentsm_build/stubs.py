"""Stubs: class files of an API, for compilers. We write them from token tables and export files; they hold no code.

A source that uses what its target lacks fails to compile against them, with a line number. Export files say nothing of
checked exceptions: the few that the API's documentation knows are added, or a correct `catch` would not compile.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentsm_build import artifacts
from opentsm_build.classfile.access_tables import Acc
from opentsm_build.classfile.writer import StubField, StubMethod, write_class

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.api import ApiClass, ApiPackage

__all__ = ["archive", "class_files"]

_OBJECT: Final = "java/lang/Object"
_LANG: Final = "java/lang"
_ANNOTATION: Final = "java/lang/annotation/Annotation"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
# Flags of export files that class files do not know: ACC_SHAREABLE, ACC_REMOTE.
_CLASS_FLAGS: Final = Acc.PUBLIC | Acc.FINAL | Acc.INTERFACE | Acc.ABSTRACT
_SUPER: Final = 0x0020
_PUBLIC_ANNOTATION: Final = Acc.PUBLIC | Acc.INTERFACE | Acc.ABSTRACT | Acc.ANNOTATION
_ENUM_CLASS: Final = Acc.PUBLIC | Acc.FINAL | _SUPER | Acc.ENUM
_STRINGS: Final = "[Ljava/lang/String;"


def class_files(package: ApiPackage) -> dict[str, bytes]:
    """Return the class files of a package, by class name in internal form."""
    files = {cls.name: _class(cls, package) for cls in package.classes.values()}
    if package.name == _LANG:
        files |= _language()
    return files


def archive(packages: Iterable[ApiPackage]) -> Path:
    """Return a jar with the stubs of some packages, from the user's cache or made anew."""
    files: dict[str, bytes] = {}
    for package in packages:
        files |= class_files(package)
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    target = artifacts.cache_directory() / "stubs" / f"{digest.hexdigest()[:32]}.jar"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as jar:
            for name, content in sorted(files.items()):
                jar.writestr(zipfile.ZipInfo(f"{name}.class", _EPOCH), content)
        handle, scratch = tempfile.mkstemp(prefix=".stubs-", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(buffer.getvalue())
        Path(scratch).replace(target)
    return target


def _class(cls: ApiClass, package: ApiPackage) -> bytes:
    methods = [
        StubMethod(m.access, m.name, m.descriptor, _thrown(cls, m.name), body=not m.access & Acc.ABSTRACT)
        for key, m in cls.methods.items()
        if not _inherited(cls, key, package)
    ]
    if not cls.is_interface and not any(m.name == "<init>" for m in methods):
        # Without a constructor of its own that is seen outside, the class can be neither made nor extended.
        methods.append(StubMethod(Acc.PRIVATE, "<init>", "()V"))
    fields = tuple(StubField(f.access, f.name, f.descriptor, f.constant) for f in cls.fields.values())
    return write_class(
        cls.name,
        cls.supers[-1] if cls.supers else None,
        access=cls.access & _CLASS_FLAGS | (0 if cls.is_interface else _SUPER),
        interfaces=cls.interfaces,
        fields=fields,
        methods=tuple(methods),
        inner=_members(cls, package),
    )


def _inherited(cls: ApiClass, key: str, package: ApiPackage) -> bool:
    """Tell whether a superclass or superinterface of the same package has the same method."""
    method = cls.methods[key]
    if method.access & Acc.STATIC or method.name == "<init>":
        return False
    above = [package.classes[name] for name in (*cls.supers, *cls.interfaces) if name in package.classes]
    return any(other.methods.get(key) == method for other in above)


def _thrown(cls: ApiClass, method: str) -> tuple[str, ...]:
    """Return the checked exceptions of a method.

    Spec: Java Card API 3.1, CardException and UserException: throwIt() throws an instance of its class. No other
        method of the API throws a checked exception.
    """
    lineage = (*cls.supers, cls.name)
    checked = "java/lang/Exception" in lineage and "java/lang/RuntimeException" not in lineage
    return (cls.name,) if checked and method == "throwIt" else ()


def _members(cls: ApiClass, package: ApiPackage) -> tuple[tuple[str, str, str, int], ...]:
    """Return the InnerClasses rows of a class that is a member, or has members."""
    rows = []
    for name, other in package.classes.items():
        outer, _, simple = name.rpartition("$")
        if outer and cls.name in (name, outer):
            rows.append((name, outer, simple, other.access & _CLASS_FLAGS | Acc.STATIC))
    return tuple(rows)


def _language() -> dict[str, bytes]:
    """Return what compilers ask for beyond Java Card's java.lang: types of constants and annotations that vanish."""
    files = {
        "java/lang/String": write_class("java/lang/String", _OBJECT, access=Acc.PUBLIC | Acc.FINAL | _SUPER),
        "java/lang/Class": write_class("java/lang/Class", _OBJECT, access=Acc.PUBLIC | Acc.FINAL | _SUPER),
        "java/lang/Enum": write_class(
            "java/lang/Enum",
            _OBJECT,
            access=Acc.PUBLIC | Acc.ABSTRACT | _SUPER,
            signature="<E:Ljava/lang/Enum<TE;>;>Ljava/lang/Object;",
            methods=(
                StubMethod(Acc.PROTECTED, "<init>", "(Ljava/lang/String;I)V"),
                StubMethod(Acc.PUBLIC | Acc.STATIC, "valueOf", "(Ljava/lang/Class;Ljava/lang/String;)Ljava/lang/Enum;"),
                StubMethod(Acc.PUBLIC | Acc.FINAL, "ordinal", "()I"),
            ),
        ),
        _ANNOTATION: write_class(_ANNOTATION, _OBJECT, access=Acc.PUBLIC | Acc.INTERFACE | Acc.ABSTRACT),
    }
    for name, bits in (("java/lang/Byte", 8), ("java/lang/Short", 16), ("java/lang/Integer", 32)):
        bounds = (("MIN_VALUE", -(1 << bits - 1)), ("MAX_VALUE", (1 << bits - 1) - 1))
        letter = {8: "B", 16: "S", 32: "I"}[bits]
        files[name] = write_class(
            name,
            _OBJECT,
            access=Acc.PUBLIC | Acc.FINAL | _SUPER,
            fields=tuple(StubField(Acc.PUBLIC | Acc.STATIC | Acc.FINAL, each, letter, bound) for each, bound in bounds),
            methods=(StubMethod(Acc.PRIVATE, "<init>", "()V"),),
        )
    # javac asks for these whatever the sources use; a package that does use them is refused when it is converted.
    asked: dict[str, str | None] = {"java/lang/Error": "java/lang/Throwable"}
    asked |= dict.fromkeys(
        ("java/lang/Cloneable", "java/io/Serializable", "java/lang/Iterable", "java/lang/AutoCloseable")
    )
    asked |= {f"java/lang/{box}": _OBJECT for box in ("Boolean", "Character", "Long", "Float", "Double", "Void")}
    for name, above in asked.items():
        kind = Acc.PUBLIC | (_SUPER if above else Acc.INTERFACE | Acc.ABSTRACT)
        files[name] = write_class(name, above or _OBJECT, access=kind)
    # Newer javacs check for null by it, where others call getClass().
    require = StubMethod(Acc.PUBLIC | Acc.STATIC, "requireNonNull", "(Ljava/lang/Object;)Ljava/lang/Object;")
    files["java/util/Objects"] = write_class(
        "java/util/Objects", _OBJECT, access=Acc.PUBLIC | Acc.FINAL | _SUPER, methods=(require,)
    )
    # What a lambda is compiled to: the converter says that it can't be, with its line.
    for simple in (
        "MethodHandles",
        "MethodHandles$Lookup",
        "MethodHandle",
        "MethodType",
        "CallSite",
        "LambdaMetafactory",
    ):
        name = f"java/lang/invoke/{simple}"
        lookup = "java/lang/invoke/MethodHandles"
        inner = ((f"{lookup}$Lookup", lookup, "Lookup", Acc.PUBLIC | Acc.STATIC | Acc.FINAL),)
        files[name] = write_class(name, _OBJECT, access=Acc.PUBLIC | _SUPER, inner=inner if "Handles" in simple else ())
    member = Acc.PUBLIC | Acc.ABSTRACT
    annotations: dict[str, tuple[StubMethod, ...]] = {
        "java/lang/Override": (),
        "java/lang/Deprecated": (),
        "java/lang/FunctionalInterface": (),
        "java/lang/SafeVarargs": (),
        "java/lang/SuppressWarnings": (StubMethod(member, "value", f"(){_STRINGS}", body=False),),
        "java/lang/annotation/Documented": (),
        "java/lang/annotation/Inherited": (),
        "java/lang/annotation/Repeatable": (StubMethod(member, "value", "()Ljava/lang/Class;", body=False),),
        "java/lang/annotation/Retention": (
            StubMethod(member, "value", "()Ljava/lang/annotation/RetentionPolicy;", body=False),
        ),
        "java/lang/annotation/Target": (
            StubMethod(member, "value", "()[Ljava/lang/annotation/ElementType;", body=False),
        ),
    }
    for name, members in annotations.items():
        files[name] = write_class(name, _OBJECT, access=_PUBLIC_ANNOTATION, interfaces=(_ANNOTATION,), methods=members)
    enums = {
        "RetentionPolicy": ("SOURCE", "CLASS", "RUNTIME"),
        "ElementType": (
            "TYPE", "FIELD", "METHOD", "PARAMETER", "CONSTRUCTOR", "LOCAL_VARIABLE", "ANNOTATION_TYPE", "PACKAGE",
            "TYPE_PARAMETER", "TYPE_USE",
        ),
    }  # fmt: skip
    for simple, values in enums.items():
        name = f"java/lang/annotation/{simple}"
        access = Acc.PUBLIC | Acc.STATIC | Acc.FINAL | Acc.ENUM
        fields = tuple(StubField(access, value, f"L{name};") for value in values)
        files[name] = write_class(name, "java/lang/Enum", access=_ENUM_CLASS, fields=fields)
    return files
