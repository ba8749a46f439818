"""The report of a trace as one HTML page: nothing is fetched, nothing runs; light or dark as the reader's system is."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from opentsm_card.commands import command_name
from opentsm_card.status import meaning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentsm_simulator.trace.recorder import Row
    from opentsm_simulator.trace.report import MethodReport, PackageReport, TraceReport

__all__ = ["page"]

_STYLE: Final = """
:root { color-scheme: light dark; --text: #1c1e21; --back: #fff; --soft: #f2f3f5; --edge: #d5d8dc; --dim: #5d6570;
  --hit: #dff3e2; --part: #fbf0cd; --miss: #fadcd9; --bar: #2e8b57; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e6eb; --back: #18191b; --soft: #232528; --edge: #3a3d42;
  --dim: #a0a7b1; --hit: #1d3a26; --part: #453b17; --miss: #4a2422; --bar: #55b982; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 78rem; color: var(--text); background: var(--back);
  font: 15px/1.45 system-ui, sans-serif; }
code, pre, .code { font: 13px/1.4 ui-monospace, monospace; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } .dim { color: var(--dim); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid var(--edge); vertical-align: top; }
th { font-weight: 600; } .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.code td { border: 0; padding: 0 .6rem; white-space: pre; }
.hit { background: var(--hit); } .part { background: var(--part); } .miss { background: var(--miss); }
details { margin: .3rem 0; border: 1px solid var(--edge); border-radius: 4px; }
summary { padding: .3rem .6rem; background: var(--soft); cursor: pointer; overflow-wrap: anywhere; }
meter { width: 7rem; accent-color: var(--bar); }
.mark td { background: var(--soft); font-weight: 600; }
"""

_TITLES: Final = (
    "command",
    "selected",
    "answer",
    "instructions",
    "writes",
    "objects",
    "persistent",
    "reset",
    "deselect",
)
_HINTS: Final = (
    "",
    "",
    "",
    "",
    "persistent writes",
    "",
    "bytes",
    "bytes that a reset clears",
    "bytes that deselection clears",
)


def page(report: TraceReport, sources: Mapping[str, str] | None = None) -> str:
    """Return the page.

    Args:
        report: what it shows.
        sources: source files by their names, without folder, to be shown with their lines.
    """
    title = f"Trace of {report.se}"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *_summary(report.packages),
    ]
    for package in report.packages:
        parts += _package(package, sources or {})
    parts += [*_commands(report.rows), "</body></html>"]
    return "\n".join(parts) + "\n"


def _share(covered: int, all_: int) -> str:
    percent = f"{100 * covered / all_:.1f} %" if all_ else "none"
    return f'<meter max="{max(all_, 1)}" value="{covered}"></meter> {percent}'


def _package_name(package: PackageReport) -> str:
    return escape(f"{package.name or package.aid} {package.version}")


def _summary(packages: Sequence[PackageReport]) -> Iterator[str]:
    yield '<div class="wide"><table><tr><th>package</th><th>instructions covered</th><th class="n">of</th>'
    yield '<th>lines covered</th><th class="n">of</th><th class="n">executed</th></tr>'
    for package in packages:
        lines = [line for of_file in package.lines().values() for line in of_file.values()]
        hit = sum(count > 0 for count, _ in lines)
        yield f'<tr><td><a href="#p{package.aid}">{_package_name(package)}</a></td>'
        yield f"<td>{_share(package.covered, package.instructions)}</td>"
        yield f'<td class="n">{package.covered}/{package.instructions}</td><td>{_share(hit, len(lines))}</td>'
        yield f'<td class="n">{hit}/{len(lines)}</td><td class="n">{package.executed}</td></tr>'
    yield "</table></div>"


def _package(package: PackageReport, sources: Mapping[str, str]) -> Iterator[str]:
    yield f'<h2 id="p{package.aid}">{_package_name(package)} <span class="dim">{package.aid}</span></h2>'
    for name, lines in sorted(package.lines().items()):
        if name in sources:
            yield from _source(name, sources[name], lines)
    for method in package.methods:
        yield from _method(method)


def _source(name: str, text: str, lines: Mapping[int, tuple[int, bool]]) -> Iterator[str]:
    hit = sum(count > 0 for count, _ in lines.values())
    yield f"<details><summary>{escape(name)} {_share(hit, len(lines))}</summary>"
    yield '<div class="wide"><table class="code">'
    for number, line in enumerate(text.splitlines(), 1):
        count, whole = lines.get(number, (None, True))
        kind = "" if count is None else "miss" if count == 0 else "hit" if whole else "part"
        shown = "" if count is None else str(count)
        yield (
            f'<tr class="{kind}"><td class="n dim">{number}</td><td class="n">{shown}</td><td>{escape(line)}</td></tr>'
        )
    yield "</table></div></details>"


def _method(method: MethodReport) -> Iterator[str]:
    whole = len(method.instructions)
    calls = f"{method.calls} calls, {method.executed} instructions"
    yield f"<details><summary>{_share(method.covered, whole)} <code>{escape(method.title)}</code>"
    yield f'<span class="dim">{calls}</span></summary><div class="wide"><table class="code">'
    line = None
    for each in method.instructions:
        if each.line != line:
            line = each.line
            yield f'<tr><td></td><td></td><td class="dim">// line {line}</td></tr>'
        comment = f'  <span class="dim">; {escape(each.refers_to)}</span>' if each.refers_to else ""
        yield (
            f'<tr class="{"hit" if each.count else "miss"}"><td class="n dim">{each.pc}</td>'
            f'<td class="n">{each.count}</td><td>{escape(each.text)}{comment}</td></tr>'
        )
    yield "</table></div></details>"


def _commands(rows: Sequence[Row]) -> Iterator[str]:
    yield "<h2>Commands</h2>"
    heads = (
        f'<th class="{"n" if number > 2 else ""}" title="{hint}">{title}</th>'
        for number, (title, hint) in enumerate(zip(_TITLES, _HINTS, strict=True))
    )
    yield f'<div class="wide"><table><tr>{"".join(heads)}<th>written</th></tr>'
    for row in rows:
        if row.kind == "mark":
            yield f'<tr class="mark"><td colspan="{len(_TITLES) + 1}">{escape(row.text)}</td></tr>'
            continue
        written = "; ".join(f"{each.what} #{each.number}: {each.writes}" for each in row.written)
        numbers = (row.objects, row.persistent_bytes, row.reset_bytes, row.deselect_bytes)
        cells = [str(row.instructions), str(row.writes), *(f"{number:+d}" if number else "0" for number in numbers)]
        yield (
            f"<tr><td>{_command(row)}</td><td><code>{escape(row.selected)}</code></td><td>{_answer(row)}</td>"
            + "".join(f'<td class="n">{cell}</td>' for cell in cells)
            + f"<td>{escape(written)}</td></tr>"
        )
    yield "</table></div>"


def _command(row: Row) -> str:
    if row.kind == "reset":
        return "reset"
    name = command_name(row.header[1]) if len(row.header) > 1 else "malformed"
    where = "" if row.interface == "contact" else f", {row.interface}"
    return f"<code>{row.header.hex(' ').upper()}</code> {escape(name)}, {row.command_bytes} bytes{escape(where)}"


def _answer(row: Row) -> str:
    if row.kind == "reset":
        return ""
    if row.sw is None:
        return "none"
    data = f", {row.answer_bytes} bytes" if row.answer_bytes else ""
    return f"<code>{row.sw:04X}</code> {escape(meaning(row.sw))}{data}"
