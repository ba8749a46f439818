"""What of Java Card's APIs the card runtime has.

It has all of release 3.0.5 but seven optional packages. Of later releases it has what 3.0.5 had already, so a package
that imports a later version, or one of the seven, is taken when all it refers to is there: each class and method is
looked for in the class files of the runtime.

Spec: Java Card VM Specification 3.1, Classic Edition, 4.5.2 (which versions go together).
"""

from __future__ import annotations

import functools
import zipfile
from typing import TYPE_CHECKING, Final

from opentsm_build import artifacts
from opentsm_build.cap.constant_pool import ConstantPoolTag
from opentsm_build.classfile import parse_class
from opentsm_simulator.translate.linkage import api_package

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentsm_build.cap import CapFile
    from opentsm_build.cap.constant_pool import ConstantPoolEntry
    from opentsm_build.classfile import ClassFile
    from opentsm_simulator.translate.linkage import KnownClass, KnownPackage
    from opentsm_simulator.translate.signature import Member

__all__ = ["HOLLOW", "NEWEST", "WHOLE", "missing_references"]

# The release that is there as a whole, and the last one whose packages may be imported.
WHOLE: Final = "3.0.5"
NEWEST: Final = "3.2.0"

# Optional packages that jCardSim has the classes of, whose methods are empty: none of them is on a card. Sensitive
# results (javacardx/security) would be found in order whatever they are.
HOLLOW: Final = frozenset(
    {"javacardx/framework/math", "javacardx/framework/string", "javacardx/framework/tlv", "javacardx/external"}
    | {"javacardx/biometry", "javacardx/biometry1toN", "javacardx/security"}
)

_OBJECT: Final = "java/lang/Object"
_OF_OBJECT: Final = frozenset({"<init>", "equals"})
_VIRTUAL: Final = frozenset({ConstantPoolTag.VIRTUAL_METHODREF, ConstantPoolTag.SUPER_METHODREF})


@functools.cache
def _class_files(folder: Path) -> dict[str, ClassFile]:
    """Return the API's classes in the runtime: ours, and jCardSim's where we have none."""
    found: dict[str, ClassFile] = {}
    with zipfile.ZipFile(artifacts.resolve(artifacts.JCARDSIM)) as jar:
        for name in jar.namelist():
            if name.startswith("javacard") and name.endswith(".class") and name.rpartition("/")[0] not in HOLLOW:
                found[name.removesuffix(".class")] = parse_class(jar.read(name), name)
    for path in folder.rglob("*.class"):
        found[path.relative_to(folder).with_suffix("").as_posix()] = parse_class(path.read_bytes(), path.name)
    return found


def _has(classes: dict[str, ClassFile], owner: str | None, name: str, descriptor: str) -> bool:
    if owner is None:
        return False
    cls = classes.get(owner)
    if cls is None:
        # The JVM's own classes have all that Java Card knows of them.
        return owner.startswith("java/") and (owner != _OBJECT or name in _OF_OBJECT)
    return any(method.name == name and method.descriptor == descriptor for method in cls.methods) or any(
        _has(classes, above, name, descriptor) for above in (cls.super_name, *cls.interfaces)
    )


def missing_references(cap: CapFile, runtime: Path) -> tuple[str, ...]:
    """Return the classes and methods of Java Card that a package refers to and the runtime lacks.

    Args:
        cap: a package; what it imports from elsewhere than the APIs says nothing.
        runtime: the folder of the card runtime's classes.

    Returns:
        Such as `javacard.security.XECKey`, `javacard.framework.JCSystem.isArrayView`.
    """
    packages = [api_package(imported.aid, imported.version) for imported in cap.imports]
    return tuple(sorted(set(_missing(_class_files(runtime), cap, packages))))


def _missing(classes: dict[str, ClassFile], cap: CapFile, packages: list[KnownPackage | None]) -> Iterator[str]:
    for entry in cap.constant_pool.constant_pool:
        if entry.is_static and not entry.is_external:
            continue
        reference = entry.class_ref
        if not reference.is_external or reference.package_token >= len(packages):
            continue
        package = packages[reference.package_token]
        cls = None if package is None else package.classes.get(reference.class_token)
        if cls is None:
            continue
        if cls.name not in classes and not cls.name.startswith("java/"):
            yield cls.name.replace("/", ".")
            continue
        member = _method(cls, entry)
        if member is not None and not _has(classes, member.owner, member.name, member.descriptor):
            yield f"{member.owner}.{member.name}".replace("/", ".")


def _method(cls: KnownClass, entry: ConstantPoolEntry) -> Member | None:
    if entry.tag is ConstantPoolTag.STATIC_METHODREF:
        return cls.static.get(entry.token)
    if entry.tag in _VIRTUAL:
        return cls.virtual.get(entry.token)
    return None
