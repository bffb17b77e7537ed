"""The user's own functions and the model on the board, timed as one."""

from pipeline import units
from pipeline.records import EndToEnd, EndToEndFunctions, RunRecord
from pipeline.report.tables._columns import columns_of
from pipeline.report.trust import INVALID, Trust, guarded, mark_about
from pipeline.report.view import Line, Shown, Table, Topic
from pipeline.statistics.order import ENOUGH

TOPIC = Topic.RESULTS
SHOWN = Shown.BRIEF


def table(run: RunRecord, _trust: Trust) -> Table:
    """A line for each file that was timed so, also where that failed: a doubt says why."""
    timed = [(one.label, one.end_to_end) for one in run.measured.measurements if one.end_to_end is not None]
    asked = run.loaded.data.end_to_end
    return Table(
        title="End to end",
        columns=columns_of(
            "measurement|end to end>|95 % interval>^|p90>|p99>|preprocess>|inference>|postprocess>|runs>|launches>"
        ),
        lines=tuple(_line(label, one) for label, one in timed),
        note=_note(asked) if asked and timed else "",
    )


def _line(label: str, one: EndToEnd) -> Line:
    whole, mark = one.latency, mark_about(one.doubts)
    if whole is None:
        return Line(cells=(label, "not measured", *[units.UNKNOWN] * 8), mark=INVALID)
    parts = zip((one.preprocess_s, one.inference_s, one.postprocess_s), one.shares, strict=True)
    interval = units.interval(whole.low_s, whole.high_s) if whole.launches >= ENOUGH else units.UNKNOWN
    return Line(
        cells=(
            label,
            *(guarded(text, mark) for text in (units.seconds(whole.median_s), interval)),
            *(guarded(units.seconds(value), mark) for value in (whole.p90_s, whole.p99_s)),
            *(guarded(f"{units.seconds(part)} ({units.percent(share)})", mark) for part, share in parts),
            units.count(whole.runs),
            units.count(whole.launches),
        ),
        mark=mark,
    )


def _note(asked: EndToEndFunctions) -> str:
    named = [
        f"{key} {function.module}:{function.name}"
        for key, function in (("preprocess", asked.preprocess), ("postprocess", asked.postprocess))
        if function is not None
    ]
    return (
        f"One row through the plan's {' and '.join(named)} and the model, in Python on the board, in launches of their own after all others; "
        f"{units.counted(asked.before.rows, 'evaluation row')} in rotation. Preprocess: with bringing the row into the form that the model "
        "takes; postprocess: with reading the answers. The three are medians, and shares of their sum. No limit judges them."
    )
