"""Compile Java sources with the Eclipse compiler, in process; classes are kept in the user's cache.

The cache's key is a digest over the sources' names and bytes, the archives' digests and the options, so a changed
source is another folder and an old one is never stale. A folder appears by an atomic rename, whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jpype

from opentsm_build import artifacts, java
from opentsm_card.errors import OpenTsmError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CompileError", "compile_sources"]

# jCardSim's classes, and those that a translated CAP file gives, are of this generation.
_OPTIONS: Final = ("-source", "1.8", "-target", "1.8", "-encoding", "UTF-8", "-g", "-proc:none", "-nowarn")

_loader: list[Any] = []


class CompileError(OpenTsmError):
    """Java sources do not compile; the message is the compiler's, with file and line."""


def _key(sources: Sequence[tuple[str, Path]], class_path: Sequence[Path]) -> str:
    digest = hashlib.sha256(" ".join((*_OPTIONS, artifacts.ECJ.sha256)).encode())
    for name, path in sources:
        content = path.read_bytes()
        digest.update(f"\0{name}\0{len(content)}\0".encode())
        digest.update(content)
    for path in class_path:
        # A folder of classes in our cache is named by its own key; a jar by what it holds.
        digest.update(path.name.encode() if path.is_dir() else hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _sources(roots: Sequence[Path]) -> list[tuple[str, Path]]:
    found = [(path.relative_to(root).as_posix(), path) for root in roots for path in sorted(root.rglob("*.java"))]
    if not found:
        raise CompileError(f"no Java sources under {', '.join(map(str, roots))}")
    return found


def compile_sources(roots: Sequence[Path], class_path: Sequence[Path] = ()) -> Path:
    """Compile all `.java` files under some folders and return the folder of their classes.

    Starts the JVM when it has to compile; a cached result needs none.

    Args:
        roots: folders of sources (package folders in them).
        class_path: jars, and folders that an earlier call returned.

    Raises:
        CompileError: the sources do not compile, or there are none.
        TransportError: the compiler itself could not be fetched.
    """
    sources = _sources(roots)
    target = artifacts.cache_directory() / "classes" / _key(sources, class_path)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".compile-", dir=target.parent) as scratch:
        output = Path(scratch) / "classes"
        _run([str(path) for _, path in sources], class_path, output)
        try:
            output.rename(target)
        except OSError:
            # Another process compiled the same at the same time; its result is as good.
            if not target.is_dir():
                raise
    return target


def _run(sources: list[str], class_path: Sequence[Path], output: Path) -> None:
    jar = artifacts.resolve(artifacts.ECJ)
    if not _loader:
        _loader.append(java.class_loader([jar]))
    batch = jpype.JClass("org.eclipse.jdt.core.compiler.batch.BatchCompiler", loader=_loader[0])
    said = jpype.JClass("java.io.StringWriter")()
    writer = jpype.JClass("java.io.PrintWriter")(said)
    path = os.pathsep.join(map(str, class_path)) or str(output)
    arguments = [*_OPTIONS, "-d", str(output), "-cp", path, *sources]
    array = jpype.JArray(jpype.JClass("java.lang.String"))(arguments)
    if not batch.compile(array, writer, writer, None):
        raise CompileError(str(said.toString()).strip())
