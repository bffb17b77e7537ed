"""A limit on the metric of a task itself, without a baseline: judged by the interval of its value, and so with the same answers."""

import msgspec

from pipeline.compare import by_task
from pipeline.compare.by_interval import by_interval
from pipeline.compare.by_task import Bound
from pipeline.compare.case import Case
from pipeline.compare.metric_intervals import READS_RIGHT
from pipeline.compare.reasons import not_measured
from pipeline.errors import PlanError
from pipeline.plan import Plan
from pipeline.plan_tables import TaskTable
from pipeline.quality.table import KINDS
from pipeline.records import Outcome, Verdict

FEW = f"fewer than {READS_RIGHT} rows: mAP reads high, so that they cannot prove that it is high enough"
OTHER = {"metric_at_least": "metric_at_most", "metric_at_most": "metric_at_least"}


def check(plan: Plan, key: str, *, higher_is_better: bool) -> None:
    """PlanError unless the plan has a task, rows with labels, and a metric for which `key` is the bound on its bad side."""
    for task in by_task.check(plan, key).values():
        title, higher = _metric(task)
        if higher is None or higher == higher_is_better:
            continue
        better = "higher" if higher else "lower"
        raise PlanError(
            f"{plan.path}: limits.{key}: of the {title}, {better} is better, so that this would bound its good side",
            hint=f"Write {OTHER[key]}."
            if len(plan.tables.tasks) == 1
            else f"Name the tasks that it bounds: {key} = {{ NAME = ... }}.",
        )


def _metric(task: TaskTable) -> tuple[str, bool | None]:
    """Return what the plan's metric is called, and whether higher is better; None where the check of [task] will say what is wrong."""
    known = KINDS[task.kind or ""].METRICS
    metric = known.get(task.metric or next(iter(known), ""))
    return (metric.title, metric.higher_is_better) if metric else (f"metric {task.metric}", task.higher_is_better)


def judge(case: Case, metric: str, bound: Bound | None, *, higher_is_better: bool) -> list[Verdict]:
    """Return a verdict for each task that is judged: INVALID where the board answered no labelled rows of it."""
    limits = by_task.bounds(bound, case.tasks)
    return [_judged(case, metric, *each, higher_is_better=higher_is_better) for each in limits.items()]


def _judged(case: Case, metric: str, task: str, limit: float, *, higher_is_better: bool) -> Verdict:
    candidate, found = case.candidate, case.value.get(task)
    if found is None:
        return not_measured(candidate.subject, metric, limit, "the board answered no labelled rows for it", task)
    sign = -1 if higher_is_better else 1
    ends = sorted((sign * found.low, sign * found.high))
    verdict = by_interval(
        candidate,
        None,
        metric,
        (None, found.value),
        (sign * found.value, ends[0], ends[1]),
        sign * limit,
        found.unknown,
        worse="",
    )
    if verdict.outcome is Outcome.INVALID:
        return msgspec.structs.replace(verdict, limit=limit, task=task)
    if found.reads_high and higher_is_better and verdict.outcome is Outcome.PASS:
        verdict = msgspec.structs.replace(verdict, outcome=Outcome.INCONCLUSIVE, why=FEW)
    low, high = (verdict.low, verdict.high) if verdict.low is None or not higher_is_better else (found.low, found.high)
    return msgspec.structs.replace(verdict, change=found.value, low=low, high=high, limit=limit, task=task)
