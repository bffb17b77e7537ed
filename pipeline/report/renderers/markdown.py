"""For a pull request: the verdict, a compact table, the doubts, and the rest folded away. GitHub's dialect."""

import re
from collections.abc import Iterable

from pipeline.records import RunRecord
from pipeline.report.compose import view_of
from pipeline.report.view import JudgedLimit, SharedDoubt, Shown, Table
from pipeline.store import Store

SIGNS = {"PASS": "✅", "REGRESSED": "❌", "INCONCLUSIVE": "❔", "INVALID": "⛔"}

SPECIAL = re.compile(r"([\\`*_{}\[\]|~$])")
HTML = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
INVISIBLE = "\u200b"  # breaks up what would notify people, mention issues or become a link
REFERENCE = re.compile(r"((?<!\w)@(?=\w)|#(?=\d)|GH-(?=\d)|www(?=\.)|:(?=//))", re.IGNORECASE)


def render(run: RunRecord, _store: Store) -> str:
    view = view_of(run)
    lines = [
        f"### {SIGNS.get(view.outcome, '')} {view.outcome}: {escape(view.model)} on {escape(view.board)}".replace(
            "  ", " "
        ),
        "",
        escape(view.headline),
    ]
    if view.caveat:
        lines += ["", f"> **{escape(view.caveat)}**"]
    for section in view.sections:
        if section.shown is Shown.FIRST:
            lines += _table(_compact(section.table), heading=_is_whole(section.table))
    lines += _limits(view.limits)
    if view.findings:
        lines += ["", "**What was found**", "", *(f"- {escape(finding.text)}" for finding in view.findings)]
    lines += _doubts("Failed", view.failures)
    lines += _doubts("Doubts", view.doubts)
    lines += ["", "<details><summary>How it was made and measured</summary>"]
    for section in view.sections:
        if section.shown is not Shown.FIRST or not _is_whole(section.table):
            lines += _table(section.table)
    lines += ["", "</details>", "", f"<sub>{escape(view.origin)}</sub>"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that may hold anything -> Markdown that shows it and does nothing else."""
    return REFERENCE.sub(rf"\1{INVISIBLE}", SPECIAL.sub(r"\\\1", text).translate(HTML))


def _is_whole(table: Table) -> bool:
    """Whether the short table has all of its columns; one that has not stands among the details again, under its title."""
    return all(column.compact for column in table.columns)


def _compact(table: Table) -> Table:
    keep = [index for index, column in enumerate(table.columns) if column.compact]
    return Table(
        title=table.title,
        columns=tuple(table.columns[index] for index in keep),
        lines=tuple(
            type(line)(cells=tuple(line.cells[index] for index in keep), mark=line.mark) for line in table.lines
        ),
        note=table.note,
    )


def _table(table: Table, *, heading: bool = True) -> list[str]:
    if not table.lines:
        return []
    lines = ["", *([f"#### {escape(table.title)}", ""] if heading else [])]
    lines.append(_row(column.heading for column in table.columns))
    lines.append("|" + "|".join(" ---: " if column.number else " --- " for column in table.columns) + "|")
    lines += [_row(line.cells) for line in table.lines]
    if table.note:
        lines += ["", f"<sub>{escape(table.note)}</sub>"]
    return lines


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"


def _limits(limits: tuple[JudgedLimit, ...]) -> list[str]:
    if not limits:
        return []
    lines = ["", "**Limits**", "", "| | what | of | baseline | candidate | change | limit | why |"]
    lines.append("| --- | --- | --- | ---: | ---: | ---: | ---: | --- |")
    for one in limits:
        change = f"{one.change} ({one.interval})" if one.interval else one.change
        cells = (one.metric, one.subject, one.baseline, one.candidate, change, f"{one.bound} {one.limit}", one.why)
        lines.append(_row((f"{SIGNS.get(one.outcome, '')} {one.outcome}".strip(), *cells)))
    return lines


def _doubts(title: str, doubts: tuple[SharedDoubt, ...]) -> list[str]:
    if not doubts:
        return []
    lines = ["", f"**{title}**", ""]
    for one in doubts:
        lines.append(f"- {'**invalid:** ' if one.invalid else ''}{escape(one.what)}")
        for case in one.cases:
            rows = f" ({escape(', '.join(case.rows))})" if case.rows else ""
            lines.append(f"  - {escape(case.evidence)}{rows}")
        lines.append(f"  - *Remedy:* {escape(one.remedy)}")
    return lines
