"""The limit on the metric of the plan's task: on how much worse it is than the baseline's on the same rows, as the board answered them."""

import msgspec

from pipeline.compare.by_interval import by_interval
from pipeline.compare.case import Case
from pipeline.compare.reasons import not_measured
from pipeline.errors import PlanError
from pipeline.metrics import QUALITY
from pipeline.plan import Plan
from pipeline.records import Verdict

KEYS: tuple[str, ...] = ("metric_drop",)
METRICS: tuple[str, ...] = (QUALITY,)
RELATIVE = True
REQUIRED = True


def check(plan: Plan) -> None:
    """It needs a task, and rows with labels."""
    if plan.tables.task.kind is None:
        raise PlanError(
            f"{plan.path}: limits.metric_drop needs a metric, and the plan names no task",
            hint="Add to [task]: kind = ... (docs/tasks.md).",
        )
    if plan.tables.data.evaluation is None:
        raise PlanError(
            f"{plan.path}: limits.metric_drop needs rows to judge by, but data.evaluation is missing",
            hint='Add to [data]: evaluation = "module:function" or an .npz with x and y.',
        )


def judge(case: Case) -> list[Verdict]:
    """INVALID where the board answered no labelled rows."""
    limit, candidate, found = case.limits.metric_drop or 0.0, case.candidate, case.quality
    if found is None or case.baseline is None:
        why = "the board answered no labelled rows for it and its baseline"
        return [not_measured(candidate.subject, QUALITY, limit, why)]
    pair = (found.baseline, found.candidate)
    verdict = by_interval(candidate, case.baseline, QUALITY, pair, found.drop, limit, found.unknown)
    return [msgspec.structs.replace(verdict, low=None, high=None) if found.unknown else verdict]
