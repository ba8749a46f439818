"""Compile Java sources; classes are kept in the user's cache.

The compiler is Eclipse's, in process (started once, it stays warm for the packages that follow), or a JDK's javac.

The cache's key is a digest over the sources' names and bytes, the archives' digests and the options, so a changed
source is another folder and an old one is never stale. A folder appears by an atomic rename, whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentsm_build import artifacts
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CompileError", "compile_sources", "expect_short_life"]

# jCardSim's classes, and those that a translated CAP file gives, are of this generation.
_OPTIONS: Final = ("-source", "1.8", "-target", "1.8", "-encoding", "UTF-8", "-g", "-proc:none", "-nowarn")
# Errors as `file:line: error: what`, as editors and javac have them.
_ECJ_OPTIONS: Final = ("-Xemacs",)
_JAVAC_OPTIONS: Final = ("-Xlint:-options",)

_loader: list[Any] = []
_short_lived: list[bool] = []


def expect_short_life() -> None:
    """Say that this process only compiles: a JVM that is started for it warms up less and starts sooner."""
    _short_lived.append(True)


class CompileError(CapError):
    """Java sources do not compile; the message is the compiler's, with file and line."""


def _key(
    sources: Sequence[tuple[str, Path]], class_path: Sequence[Path], boot: Path | None = None, javac: Path | None = None
) -> str:
    compiler = artifacts.ECJ.sha256 if javac is None else _version(javac)
    digest = hashlib.sha256(" ".join((*_OPTIONS, compiler)).encode())
    for name, path in sources:
        content = path.read_bytes()
        digest.update(f"\0{name}\0{len(content)}\0".encode())
        digest.update(content)
    for path in (*class_path, *([] if boot is None else [boot])):
        # A folder of classes in our cache is named by its own key; a jar by what it holds.
        digest.update(path.name.encode() if path.is_dir() else hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _sources(roots: Sequence[Path]) -> list[tuple[str, Path]]:
    found = [(path.relative_to(root).as_posix(), path) for root in roots for path in sorted(root.rglob("*.java"))]
    if not found:
        raise CompileError(f"no Java sources under {', '.join(map(str, roots))}")
    return found


def _version(javac: Path) -> str:
    """Return what a javac says of itself."""
    try:
        done = subprocess.run([javac, "-version"], check=True, capture_output=True, text=True)  # noqa: S603 - the user's
    except (OSError, subprocess.CalledProcessError) as error:
        raise CompileError(f"{javac} is no javac: {error}") from error
    return (done.stdout + done.stderr).strip()


def compile_sources(
    roots: Sequence[Path], class_path: Sequence[Path] = (), *, boot: Path | None = None, javac: Path | None = None
) -> Path:
    """Compile all `.java` files under some folders and return the folder of their classes.

    Starts the JVM when it has to compile; a cached result needs none.

    Args:
        roots: folders of sources (package folders in them).
        class_path: jars, and folders that an earlier call returned.
        boot: jar of the platform's own classes (`java.lang`, …); None for the running JVM's.
        javac: a JDK's compiler to use instead of Eclipse's.

    Raises:
        CompileError: the sources do not compile, or there are none.
        TransportError: the compiler itself could not be fetched.
    """
    sources = _sources(roots)
    target = artifacts.cache_directory() / "classes" / _key(sources, class_path, boot, javac)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".compile-", dir=target.parent) as scratch:
        output = Path(scratch) / "classes"
        output.mkdir()
        path = os.pathsep.join(map(str, class_path)) or str(output)
        arguments = [*_OPTIONS, "-d", str(output), "-cp", path]
        arguments += [] if boot is None else ["-bootclasspath", str(boot)]
        # The JVM keeps the working directory that it was started in.
        arguments += [str(path.absolute()) for _, path in sources]
        if javac is None:
            _run([*_ECJ_OPTIONS, *arguments])
        else:
            _run_javac(javac, arguments)
        try:
            output.rename(target)
        except OSError:
            # Another process compiled the same at the same time; its result is as good.
            if not target.is_dir():
                raise
    return target


def _run_javac(javac: Path, arguments: list[str]) -> None:
    command = [str(javac), *_JAVAC_OPTIONS, *arguments]
    with tempfile.TemporaryDirectory(prefix="opentsm-javac-") as scratch:
        # A javac that fails leaves notes in its working directory.
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=scratch)  # noqa: S603 - a list, no shell; the program is the one that the user named
    if done.returncode:
        raise CompileError((done.stderr or done.stdout).strip())


def _run(arguments: list[str]) -> None:
    import jpype  # noqa: PLC0415 - what is cached needs no JVM, and reading class files no extra

    from opentsm_build import java  # noqa: PLC0415 - as above

    jar = artifacts.resolve(artifacts.ECJ)
    if not _loader:
        java.start(short_lived=bool(_short_lived))
        _loader.append(java.class_loader([jar]))
    batch = jpype.JClass("org.eclipse.jdt.core.compiler.batch.BatchCompiler", loader=_loader[0])
    said = jpype.JClass("java.io.StringWriter")()
    writer = jpype.JClass("java.io.PrintWriter")(said)
    array = jpype.JArray(jpype.JClass("java.lang.String"))(arguments)
    if not batch.compile(array, writer, writer, None):
        raise CompileError(str(said.toString()).strip())
