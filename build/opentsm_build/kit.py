"""An Oracle Java Card kit, where a user has one: its converter and its verifier, beside ours.

Nothing of a kit is needed, fetched or kept. Known layouts: 2.2.x (`lib/converter.jar`), 3.0.x (`lib/tools.jar`), 3.1
and 3.2 (export files inside `lib/tools.jar`, a `-target` option). A kit's exit status tells little, so its output is
read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from opentsm_build.api.export_file import ExportFile
from opentsm_build.cap import CapFile
from opentsm_card.errors import CapError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentsm_build.api import ApiPackage
    from opentsm_build.project import Project

__all__ = ["HOME_VARIABLE", "Kit"]

HOME_VARIABLE: Final = "JC_HOME"
_CONVERTERS: Final = ("com/sun/javacard/converter/Main.class", "com/sun/javacard/converter/Converter.class")
_VERIFIER: Final = "com.sun.javacard.offcardverifier.Verifier"
# Breaks the class path of kit 3.0.4.
_LEFT_OUT: Final = "JCBytecodeProfiler.jar"
_EXPORTS: Final = "api_export_files"
# Kits read class files of their time; ours use nothing that came later.
_OLD_CLASS_VERSION: Final = b"\0\0\0\x31"
_TIMEOUT_S: Final = 300


@dataclass(frozen=True, slots=True)
class Kit:
    """A kit.

    Args:
        home: its folder.
        jars: what its tools need on the class path.
        converter: main class of its converter.
        java: the `java` command that runs it.
        exports: (jar, folder) where its export files are inside a jar; None where they are files.
    """

    home: Path
    jars: tuple[Path, ...]
    converter: str
    java: str
    exports: Path | None

    @classmethod
    def find(cls, path: Path | None) -> Self | None:
        """Return the kit at a path, or that of JC_HOME; None when neither is given.

        Raises:
            ProtocolError: there is no kit, or no Java command to run it.
        """
        home = path or (Path(value) if (value := os.environ.get(HOME_VARIABLE)) else None)
        if home is None:
            return None
        jars = tuple(jar for jar in sorted(home.glob("lib/*.jar")) if jar.name != _LEFT_OUT)
        names = {name: jar for jar in jars for name in _names(jar)}
        converter = next((name for name in _CONVERTERS if name in names), None)
        if converter is None:
            raise ProtocolError(f"{home}: no Java Card kit (no converter in lib/*.jar)")
        inside = next((jar for name, jar in names.items() if name.startswith(_EXPORTS)), None)
        return cls(home, jars, converter.removesuffix(".class").replace("/", "."), _java(), inside)

    def convert(self, project: Project, classes: Path, imports: Iterable[ApiPackage]) -> bytes:
        """Convert a project's classes; return the CAP file.

        Raises:
            CapError: the kit's converter refuses them; the message is its output.
        """
        with tempfile.TemporaryDirectory(prefix="opentsm-kit-") as scratch:
            root = Path(scratch)
            old = root / "classes"
            shutil.copytree(classes, old)
            for path in old.rglob("*.class"):
                data = path.read_bytes()
                path.write_bytes(data[:4] + _OLD_CLASS_VERSION + data[8:])
            options = ["-classdir", str(old), "-d", str(root / "out"), "-out", "CAP"]
            options += ["-exportpath", os.pathsep.join(map(str, self._export_folders(project, imports, root)))]
            options += ["-i"] if project.allow_int else []
            options += ["-debug"] if project.debug else []
            # Kits from 3.0 on would compile proxies of shareable interfaces, with a JDK of their time.
            options += ["-useproxyclass"] if self.converter.endswith("Main") else []
            for applet in project.applets:
                options += ["-applet", _hex(applet.aid), applet.class_name.replace("/", ".")]
            version = ".".join(map(str, project.version))
            output = self._run(
                self.converter, [*self._target(project), *options, project.package, _hex(project.aid), version]
            )
            found = list((root / "out").rglob("*.cap"))
            if not found:
                raise CapError(f"the kit's converter refuses it:\n{output}", where=project.package)
            return found[0].read_bytes()

    def verify(
        self, project: Project, cap: bytes, imports: Iterable[ApiPackage], exports: ApiPackage, *, library: bool
    ) -> str:
        """Verify a CAP file; return what the kit's verifier found wrong, empty when nothing."""
        with tempfile.TemporaryDirectory(prefix="opentsm-kit-") as scratch:
            root = Path(scratch)
            file = root / f"{project.name}.cap"
            file.write_bytes(cap)
            folders = self._export_folders(project, imports, root)
            files = [str(path) for folder in folders for path in sorted(folder.rglob("*.exp"))]
            if exports.classes:
                own = root / "own.exp"
                own.write_bytes(ExportFile.of(exports, library=library).encode())
                files.append(str(own))
            output = self._run(_VERIFIER, [*self._target(project), *files, str(file)])
        return "" if " 0 errors" in output else output

    def _target(self, project: Project) -> list[str]:
        return [] if self.exports is None else ["-target", project.target]

    def _export_folders(self, project: Project, imports: Iterable[ApiPackage], root: Path) -> list[Path]:
        """Return folders of export files: the kit's API, and the other packages that the project imports."""
        own = root / "imports"
        for package in imports:
            folder = own / package.name / "javacard"
            folder.mkdir(parents=True, exist_ok=True)
            name = package.name.rpartition("/")[2]
            (folder / f"{name}.exp").write_bytes(ExportFile.of(package, library=True).encode())
        if self.exports is None:
            found = [path for path in self.home.glob(f"{_EXPORTS}*") if path.is_dir()]
            return [*found, own]
        prefix = f"{_EXPORTS}_{project.target}/"
        with zipfile.ZipFile(self.exports) as jar:
            members = [name for name in jar.namelist() if name.startswith(prefix) and ".." not in name]
            if not members:
                raise ProtocolError(f"{self.home}: this kit does not build for {project.target}")
            jar.extractall(root / "api", members)
        return [root / "api" / prefix, own]

    def _run(self, main: str, arguments: list[str]) -> str:
        command = [
            self.java,
            f"-Djc.home={self.home}",
            "-cp",
            os.pathsep.join(map(str, self.jars)),
            main,
            "-nobanner",
            *arguments,
        ]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S)  # noqa: S603 - a list, no shell; the program is the one that the user named
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProtocolError(f"{self.home}: the kit's tool did not run: {error}") from error
        return (done.stdout + done.stderr).strip()


def components(cap: bytes) -> Mapping[str, int]:
    """Return the sizes of a CAP file's components in bytes, by name."""
    return {tag.title: len(data) for tag, data in CapFile.parse(cap).components.items()}


def _names(jar: Path) -> list[str]:
    try:
        with zipfile.ZipFile(jar) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return []


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    own = str(Path(home) / "bin" / "java") if home else None
    found = own if own is not None and Path(own).is_file() else shutil.which("java")
    if found is None:
        raise ProtocolError("a kit's tools need a `java` command: set JAVA_HOME, or put one on the PATH")
    return found


def _hex(aid: bytes) -> str:
    return ":".join(f"0x{byte:02X}" for byte in aid)
