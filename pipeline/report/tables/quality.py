"""How good each file is at the plan's task, on the host and on the board."""

from pipeline import units
from pipeline.records import Comparison, Quality, RunRecord, Task
from pipeline.report.tables._columns import table_of
from pipeline.report.trust import Trust, accuracy_mark_of, asked_for, guarded
from pipeline.report.view import Shown, Table, Topic

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
                _value(run.loaded.model.quality, task),
                _value(host.get(one.artifact), task),
                guarded(_value(found, task), mark),
                *(guarded(each, doubted) for each in _drop(comparison, task)),
            )
        )
    return table_of(
        title,
        "file|runtime|rows>|the model>|on the host>|on the board>|worse by>|95 % interval>",
        lines,
        "By the labels of the evaluation rows. Worse by: against the baseline on the same rows, as the board answered them; the interval is that "
        "of the difference, by drawing the rows again 1,000 times.",
    )


def _value(quality: Quality | None, task: Task) -> str:
    if quality is None:
        return units.UNKNOWN
    return units.percent(quality.value) if task.ratio else units.metric(quality.value)


def _drop(comparison: Comparison | None, task: Task) -> tuple[str, str]:
    if comparison is None or comparison.metric_drop is None:
        return units.UNKNOWN, units.UNKNOWN
    scale, worded = (100, units.points) if task.ratio else (1, units.metric_change)
    value, low, high = (worded(scale * each) for each in comparison.metric_drop)
    return value, f"{low} to {high}"
