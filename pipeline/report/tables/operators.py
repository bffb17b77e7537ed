"""Where an inference spends its time: the slowest kernels of each file in each runtime."""

from pipeline import units
from pipeline.records import Measurement, RunRecord
from pipeline.report.tables._columns import columns_of
from pipeline.report.trust import Trust, asked_for, guarded, mark_of
from pipeline.report.view import Line, Shown, Table, Topic

TOPIC = Topic.TIMES
SHOWN = Shown.DETAILS
SLOWEST = 8  # of each file: they make up most of the time of any network


def table(run: RunRecord, _trust: Trust) -> Table:
    """The slowest of each file, then the rest of it in one line."""
    lines = [line for one in asked_for(run) for line in _lines(one)]
    known = [(one.label, one.operators_note) for one in asked_for(run) if one.operators_note]
    notes = {note: ", ".join(label for label, other in known if other == note) for _, note in known}
    return Table(
        title="The slowest operators",
        columns=columns_of("measurement|operator|kind|shapes|mean>|share>"),
        lines=tuple(lines),
        note=" ".join(
            [
                "In a launch of their own: a profile slows down what it measures. Mean: without the slowest tenth of the runs. Share: of the sum of all operators."
            ]
            + [f"{labels}: {note}." for note, labels in notes.items()]
        )
        if known
        else "",
    )


def _lines(one: Measurement) -> list[Line]:
    mark, whole_s = mark_of(one), sum(each.mean_s for each in one.operators)
    if not one.operators or not whole_s:
        missing = (one.label, "unavailable", *[units.UNKNOWN] * 4)
        return [Line(cells=missing)] if one.operators_note else []
    slowest = sorted(one.operators, key=lambda each: -each.mean_s)[:SLOWEST]
    rest_s = whole_s - sum(each.mean_s for each in slowest)
    rows = [(each.name, each.kind, each.shapes or units.UNKNOWN, each.mean_s) for each in slowest]
    others = len(one.operators) - len(slowest)
    if others:
        rows.append((f"{units.count(others)} more", units.UNKNOWN, units.UNKNOWN, rest_s))
    return [
        Line(
            cells=(
                one.label if number == 0 else "",
                name,
                kind,
                shapes,
                guarded(units.seconds(mean_s), mark),
                guarded(units.percent(mean_s / whole_s), mark),
            ),
            mark=mark,
        )
        for number, (name, kind, shapes, mean_s) in enumerate(rows)
    ]
