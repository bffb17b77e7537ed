"""What the command prints: the results, the limits, what was found, and last what should be doubted.

A terminal that is too narrow for the table gets it in parts, each with the number of its rows: nothing is cut off.
"""

import io
import os
import shutil
import sys
from collections.abc import Iterator

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Drawn
from rich.text import Text

from pipeline import units
from pipeline.records import RunRecord
from pipeline.report.compose import view_of
from pipeline.report.view import JudgedLimit, SharedDoubt, Shown, Table, View
from pipeline.store import Store

STYLES = {
    "PASS": "bold green", "REGRESSED": "bold red", "INCONCLUSIVE": "bold yellow", "INVALID": "bold red",
    "doubtful": "yellow", "invalid": "red", "better": "green", "worse": "red",
}  # fmt: skip
GAP = 2  # between two cells: one of padding, one that the box draws
NARROWEST = 40


def render(run: RunRecord, _store: Store, *, width: int | None = None, colour: bool | None = None) -> str:
    """`width` and `colour` are those of stdout unless given; where it is not a terminal, 120 columns and plain text."""
    if colour is None:
        colour = (
            sys.stdout is not None
            and sys.stdout.isatty()
            and "NO_COLOR" not in os.environ
            and os.environ.get("TERM") != "dumb"
        )
    console = Console(
        file=io.StringIO(),
        width=max(NARROWEST, width or shutil.get_terminal_size((120, 40)).columns),
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    _print(view_of(run), console)
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _print(view: View, console: Console) -> None:
    console.print(Text(f"{view.model} on {view.board}", style="bold"))
    if view.caveat:
        console.print(Text(view.caveat, style="bold yellow"))
    for section in view.sections:
        if section.shown is not Shown.DETAILS:
            _table(section.table, console)
    _limits(view.limits, console)
    _findings(view, console)
    _doubts("Failed", view.failures, console)
    _doubts("Doubts", view.doubts, console)
    console.print()
    console.print(Text.assemble((view.outcome, STYLES.get(view.outcome, "bold")), f"  {view.headline}"))


def _heading(title: str, console: Console) -> None:
    console.print()
    console.print(Text(title, style="bold"))


def _table(table: Table, console: Console) -> None:
    if not table.lines:
        return
    _heading(table.title, console)
    brief = [index for index, column in enumerate(table.columns) if column.brief]
    for part in _parts(table, brief, console.width):
        drawn = Drawn(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP - 1, 0, 0), show_edge=False)
        for index in part:
            column = table.columns[index]
            drawn.add_column(Text(column.heading), justify="right" if column.number else "left", overflow="fold")
        for line in table.lines:
            drawn.add_row(*(Text(line.cells[index]) for index in part), style=STYLES.get(line.mark))
        console.print(drawn)
        console.print()
    if table.note:
        console.print(Text(table.note, style="dim"))


def _parts(table: Table, brief: list[int], width: int) -> Iterator[list[int]]:
    """The columns, in as many parts as needed, each no wider than `width`; the first column opens every part."""
    first, *others = brief
    part, used = [first], _width(table, first)
    for index in others:
        if used + _width(table, index) > width and len(part) > 1:
            yield part
            part, used = [first], _width(table, first)
        part.append(index)
        used += _width(table, index)
    yield part


def _width(table: Table, index: int) -> int:
    return GAP + max(
        cell_len(text) for text in (table.columns[index].heading, *(line.cells[index] for line in table.lines))
    )


def _limits(limits: tuple[JudgedLimit, ...], console: Console) -> None:
    if not limits:
        return
    _heading("Limits", console)
    for limit in limits:
        found = limit.candidate if limit.change == units.UNKNOWN else limit.change
        interval = f" ({limit.interval})" if limit.interval else ""
        words = f"{limit.metric} of {limit.subject}: {found}{interval}, {limit.bound} {limit.limit}: {limit.why}"
        console.print(
            Padding(Text.assemble((limit.outcome, STYLES.get(limit.outcome, "")), f"  {words}"), (0, 0, 0, 2))
        )


def _findings(view: View, console: Console) -> None:
    if not view.findings:
        return
    _heading("What was found", console)
    for finding in view.findings:
        console.print(Padding(Text(finding.text, style=STYLES.get(finding.tone, "")), (0, 0, 0, 2)))


def _doubts(title: str, doubts: tuple[SharedDoubt, ...], console: Console) -> None:
    if not doubts:
        return
    _heading(title, console)
    for one in doubts:
        kind = "invalid" if one.invalid else "doubtful"
        console.print(Text.assemble((kind if title == "Doubts" else "failed", STYLES[kind]), f"  {one.what}"))
        for case in one.cases:
            _indented(f"{case.evidence} ({', '.join(case.rows)})" if case.rows else case.evidence, console)
        _indented(f"Remedy: {one.remedy}", console)


def _indented(text: str, console: Console) -> None:
    console.print(Padding(Text(text), (0, 0, 0, 4)))
