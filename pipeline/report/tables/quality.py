"""How good each file is at the plan's tasks, on the host and on the board."""

from collections.abc import Iterable, Iterator

from pipeline import units
from pipeline.records import Comparison, MetricDrop, MetricLevel, Quality, RunRecord, Task, quality_of
from pipeline.report.tables._columns import table_of
from pipeline.report.tables.tensors import LONGEST_NAME
from pipeline.report.trust import TRUSTED, Trust, accuracy_mark_of, asked_for, guarded
from pipeline.report.view import Finding, Shown, Table, Topic
from pipeline.safe_text import shortened

TOPIC = Topic.RESULTS
SHOWN = Shown.FIRST


def titles(run: RunRecord) -> dict[str, str]:
    """Return what the metric of each task is called, by the name of the task."""
    return {each.name: _title(each) for each in run.loaded.data.tasks}


def _title(task: Task) -> str:
    return f"{shortened(task.name, LONGEST_NAME)}: {task.title}" if task.name else task.title


def _side(task: Task) -> str:
    return f"{_title(task)} ({'higher' if task.higher_is_better else 'lower'} is better)"


def table(run: RunRecord, trust: Trust) -> Table:
    """A line for each task of each measured file; none where the plan names no task, or its rows have no labels."""
    tasks = run.loaded.data.tasks
    several = len(tasks) > 1
    lines = [cells if several else cells[1:] for task in tasks for cells in _lines(run, trust, task)]
    metric = "metric|" if several else ""
    return table_of(
        "Quality" if several or not tasks else f"Quality: {_side(tasks[0])}",
        f"{metric}file|runtime|rows>|the model>|on the host>|on the board>|its interval>^|worse by>|interval of that>^|detects>",
        lines,
        _note(trust.compared.levels, trust.compared.comparisons),
    )


def _lines(run: RunRecord, trust: Trust, task: Task) -> Iterator[tuple[str, ...]]:
    host = {one.artifact: one.agreement.qualities for one in run.converted if one.agreement}
    comparisons = {each.subject: each for each in trust.compared.comparisons}
    levels = {each.subject: each for each in trust.compared.levels if each.task == task.name}
    for one in asked_for(run):
        found = quality_of(one.accuracy.qualities, task) if one.accuracy else None
        if found is None:
            continue
        comparison, mark = comparisons.get(one.subject), accuracy_mark_of(one)
        doubted = trust.of_accuracy(one.subject, comparison.baseline_subject) if comparison else mark
        yield (
            _side(task),
            one.file,
            one.runtime,
            units.count(found.rows),
            value(quality_of(run.loaded.model.qualities, task), task),
            value(quality_of(host.get(one.artifact, ()), task), task),
            guarded(value(found, task), mark),
            guarded(_interval(levels.get(one.subject), task), mark),
            *(guarded(each, doubted) for each in _drop(_drop_of(comparison, task), task)),
        )


def _drop_of(comparison: Comparison | None, task: Task) -> MetricDrop | None:
    return next((each for each in comparison.metric_drops if each.task == task.name), None) if comparison else None


def _note(levels: Iterable[MetricLevel], comparisons: Iterable[Comparison]) -> str:
    """What the columns are, and how each kind of interval was made."""
    own = "; ".join(dict.fromkeys(each.method for each in levels))
    others = "; ".join(dict.fromkeys(drop.method for each in comparisons for drop in each.metric_drops))
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


def _drop(found: MetricDrop | None, task: Task) -> tuple[str, str, str]:
    """Return how much worse it is, the interval of that, and what these rows could have shown."""
    if found is None:
        return units.UNKNOWN, units.UNKNOWN, units.UNKNOWN
    scale, worded, amount = (
        (100, units.points, units.in_points) if task.ratio else (1, units.metric_change, units.metric)
    )
    worse, low, high = (worded(scale * each) for each in found.drop)
    return worse, f"{low} to {high}", amount(scale * found.detectable)


def findings(run: RunRecord, trust: Trust) -> Iterator[Finding]:
    """Say which file lost most by the metric of each task, and how much would have been seen."""
    for task in run.loaded.data.tasks:
        yield from _of_task(trust, task)


def _of_task(trust: Trust, task: Task) -> Iterator[Finding]:
    drops = [(_drop_of(each, task), each) for each in trust.compared.comparisons]
    known = [
        (drop, each)
        for drop, each in drops
        if drop is not None and trust.of_accuracy(each.subject, each.baseline_subject) == TRUSTED
    ]
    if not known:
        return
    found, worst = max(known, key=lambda each: each[0].drop[0])
    drop = found.drop[0]
    _, interval, detects = _drop(found, task)
    measured = trust.measurements.get(worst.subject)
    rows = units.counted(measured.accuracy.rows, "row") if measured and measured.accuracy else "rows"
    told = f"no file is worse than its baseline (at the most, 95 %: {interval})"
    if drop > 0:
        worse = units.in_points(100 * drop) if task.ratio else units.metric(drop)
        told = f"{worst.subject.label} is worse than {worst.baseline_subject.label} by {worse} (95 %: {interval}), and no other file by more"
    yield Finding(
        tone="neutral", text=f"By {_title(task)}, {told}. These {rows} would show a true difference of {detects}."
    )
