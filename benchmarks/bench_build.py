"""Building applets: converter and whole build against an Oracle kit and a JDK's javac, and how cost grows with size.

    python benchmarks/bench_build.py [--json] [--sdk KIT] [DIR …]

DIR are projects to build (`applets/payment` when none is named). Without a kit (`--sdk`, `JC_HOME`) only the growth
is measured. Commands are timed as a user starts them, from the start of the process to its end; nothing is in a cache
but the stubs.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import Comparison, Figure, alternate, report
from opentsm_build import artifacts, stubs
from opentsm_build.build import convert_project
from opentsm_build.classfile import parse_class
from opentsm_build.convert import Options, Package, convert
from opentsm_build.imports import find_imports
from opentsm_build.kit import Kit
from opentsm_build.project import Project
from opentsm_card.aid import Aid

ROOT = Path(__file__).resolve().parent.parent
PAIRS = 5
# As installed: modules are compiled once.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
OPENTSM = str(Path(sys.executable).with_name("opentsm"))

CLASS = """package grow;

public class C{number} {{
    private short sum;
    private byte[] data = new byte[8];

    public short walk(byte[] buffer, short from) {{
{lines}
        return sum;
    }}
}}
"""
LINE = "        if (buffer[{0}] > from) {{ sum += (short) (data[{0}] * {0}); data[{0}] ^= buffer[from++]; }}"


def growth(scratch: Path) -> Figure:
    """Time the conversion of a package and of one with ten times its classes; return the ratio of CPU seconds."""
    seconds = []
    for count in (10, 100):
        folder = scratch / f"grow{count}" / "src" / "grow"
        folder.mkdir(parents=True)
        for number in range(count):
            lines = "\n".join(LINE.format(line % 8) for line in range(12))
            (folder / f"C{number}.java").write_text(CLASS.format(number=number, lines=lines))
        (folder.parents[1] / "applet.toml").write_text('package = "grow"\naid = "F000000001"\n')
        project = Project.load(folder.parents[1])
        _, classes = convert_project(project)
        files = [parse_class(path.read_bytes(), path.name) for path in sorted(classes.rglob("*.class"))]
        imports = find_imports(project, lambda _: None).for_classes(files)  # type: ignore[arg-type,return-value]
        package = Package("grow", Aid.from_text("F000000001"), (1, 0))
        times = []
        for _ in range(PAIRS):
            # As the command does: what a conversion makes lives as long as it.
            gc.collect()
            gc.disable()
            begin = time.process_time()
            convert(package, files, imports, Options()).cap.encode()
            times.append(time.process_time() - begin)
            gc.enable()
        seconds.append(min(times))
    return Figure("converting 10 times the code takes this many times as long", "times", seconds[1] / seconds[0], 12.0)


def against(kit: Kit, project: Project, scratch: Path) -> list[Comparison]:
    """Compare with a kit: converter alone, and from sources."""
    conversion, classes = convert_project(project)
    api_names = find_imports(project, lambda _: None).target  # type: ignore[arg-type,return-value]
    others = [package for package in conversion.imports if package.name not in api_names]
    imports = find_imports(project, lambda folder: convert_project(Project.load(folder))[0].exports)
    boot = stubs.archive([*imports.target.values(), *imports.newest()])
    out = scratch / "out"

    def ours_alone() -> int:
        command = [OPENTSM, "build", str(project.folder), "--classes", str(classes), "--out", str(out)]
        subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
        return 1

    def kit_alone() -> int:
        kit.convert(project, classes, others)
        return 1

    def ours_whole() -> int:
        cache = scratch / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(artifacts.cache_directory() / "maven", cache / "maven")
        command = [OPENTSM, "build", str(project.folder), "--out", str(out)]
        subprocess.run(command, check=True, capture_output=True, env={**ENVIRONMENT, "OPENTSM_CACHE": str(cache)})
        return 1

    def kit_whole() -> int:
        target = scratch / "javac"
        shutil.rmtree(target, ignore_errors=True)
        sources = [str(path) for root in project.sources for path in root.rglob("*.java")]
        options = ["-nowarn", "-Xlint:-options", "-g", "-source", "8", "-target", "8", "-bootclasspath", str(boot)]
        subprocess.run(["javac", *options, "-d", str(target), *sources], check=True, capture_output=True)
        kit.convert(project, target, others)
        return 1

    name = project.name
    return [
        alternate(
            f"{name}: converter alone, against the kit's", ours_alone, kit_alone, unit="packages", pairs=PAIRS, goal=3
        ),
        alternate(
            f"{name}: from sources, against javac and kit", ours_whole, kit_whole, unit="packages", pairs=PAIRS, goal=1
        ),
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sdk", type=Path)
    parser.add_argument("folders", nargs="*", type=Path)
    arguments = parser.parse_args()
    results: list[Comparison | Figure] = []
    with tempfile.TemporaryDirectory(prefix="opentsm-bench-") as scratch:
        results.append(growth(Path(scratch)))
        kit = Kit.find(arguments.sdk)
        if kit is not None:
            for folder in arguments.folders or [ROOT / "applets" / "payment"]:
                results += against(kit, Project.load(folder), Path(scratch))
    report(results, ["--json"] if arguments.json else [])


if __name__ == "__main__":
    main()
