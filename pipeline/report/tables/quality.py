"""How good each file is at the plan's task, on the host and on the board."""

from collections.abc import Iterable, Iterator

from pipeline import units
from pipeline.records import Comparison, MetricLevel, Quality, RunRecord, Task
from pipeline.report.tables._columns import table_of
from pipeline.report.trust import TRUSTED, Trust, accuracy_mark_of, asked_for, guarded
from pipeline.report.view import Finding, Shown, Table, Topic

TOPIC = Topic.RESULTS
SHOWN = Shown.FIRST


def table(run: RunRecord, trust: Trust) -> Table:
    """A line for each measured file; none where the plan names no task, or its rows have no labels."""
    task, lines = run.loaded.data.task, []
    title = (
        "Quality"
        if task is None
        else f"Quality: {task.title} ({'higher' if task.higher_is_better else 'lower'} is better)"
    )
    host = {one.artifact: one.agreement.quality for one in run.converted if one.agreement}
    comparisons = {each.subject: each for each in trust.compared.comparisons}
    levels = {each.subject: each for each in trust.compared.levels}
    for one in asked_for(run):
        found = one.accuracy.quality if one.accuracy else None
        if task is None or found is None:
            continue
        comparison, mark = comparisons.get(one.subject), accuracy_mark_of(one)
        doubted = trust.of_accuracy(one.subject, comparison.baseline_subject) if comparison else mark
        lines.append(
            (
                one.file,
                one.runtime,
                units.count(found.rows),
                value(run.loaded.model.quality, task),
                value(host.get(one.artifact), task),
                guarded(value(found, task), mark),
                guarded(_interval(levels.get(one.subject), task), mark),
                *(guarded(each, doubted) for each in _drop(comparison, task)),
            )
        )
    return table_of(
        title,
        "file|runtime|rows>|the model>|on the host>|on the board>|its interval>^|worse by>|interval of that>^|detects>",
        lines,
        _note(levels.values(), comparisons.values()),
    )


def _note(levels: Iterable[MetricLevel], comparisons: Iterable[Comparison]) -> str:
    """What the columns are, and how each kind of interval was made."""
    own = "; ".join(dict.fromkeys(each.method for each in levels))
    others = "; ".join(dict.fromkeys(each.metric_method for each in comparisons if each.metric_method))
    note = "By the labels of the evaluation rows. Worse by: against the baseline on the same rows, as the board answered them. Intervals are of 95 %"
    note += f": of the value by {own}" if own else ""
    note += f"{';' if own else ':'} of the difference by {others}" if others else ""
    note += ". Detects: the smallest true difference that these rows would show in 95 % of all cases."
    if any(each.reads_high for each in levels):
        note += " Few rows: mAP reads high below some 400 of them. Its difference on the same rows does not."
    return note


def _interval(level: MetricLevel | None, task: Task) -> str:
    if level is None or level.low is None or level.high is None:
        return units.UNKNOWN
    worded = units.percent if task.ratio else units.metric
    return f"{worded(level.low)} to {worded(level.high)}"


def value(quality: Quality | None, task: Task) -> str:
    """Return the metric of the task: a share in percent."""
    if quality is None:
        return units.UNKNOWN
    return units.percent(quality.value) if task.ratio else units.metric(quality.value)


def _drop(comparison: Comparison | None, task: Task) -> tuple[str, str, str]:
    """Return how much worse it is, the interval of that, and what these rows could have shown."""
    if comparison is None or comparison.metric_drop is None:
        return units.UNKNOWN, units.UNKNOWN, units.UNKNOWN
    scale, worded, amount = (
        (100, units.points, units.in_points) if task.ratio else (1, units.metric_change, units.metric)
    )
    worse, low, high = (worded(scale * each) for each in comparison.metric_drop)
    detects = comparison.metric_detectable
    return worse, f"{low} to {high}", amount(None if detects is None else scale * detects)


def findings(run: RunRecord, trust: Trust) -> Iterator[Finding]:
    """Say which file lost most by the task's metric, and how much would have been seen."""
    task = run.loaded.data.task
    known = [
        (each.metric_drop[0], each)
        for each in trust.compared.comparisons
        if each.metric_drop is not None and trust.of_accuracy(each.subject, each.baseline_subject) == TRUSTED
    ]
    if task is None or not known:
        return
    drop, worst = max(known, key=lambda each: each[0])
    _, interval, detects = _drop(worst, task)
    measured = trust.measurements.get(worst.subject)
    rows = units.counted(measured.accuracy.rows, "row") if measured and measured.accuracy else "rows"
    told = f"no file is worse than its baseline (at the most, 95 %: {interval})"
    if drop > 0:
        worse = units.in_points(100 * drop) if task.ratio else units.metric(drop)
        told = f"{worst.subject.label} is worse than {worst.baseline_subject.label} by {worse} (95 %: {interval}), and no other file by more"
    yield Finding(
        tone="neutral", text=f"By {task.title}, {told}. These {rows} would show a true difference of {detects}."
    )
