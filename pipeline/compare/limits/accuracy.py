"""The limit on accuracy, by the same rows of both files as the board answered them."""

from pipeline.compare.by_interval import by_interval
from pipeline.compare.case import Case
from pipeline.compare.reasons import not_measured
from pipeline.errors import PlanError
from pipeline.metrics import ACCURACY
from pipeline.plan import Plan
from pipeline.records import Verdict

KEYS: tuple[str, ...] = ("accuracy_drop_points",)
METRICS: tuple[str, ...] = (ACCURACY,)
RELATIVE = True
REQUIRED = True


def check(plan: Plan) -> None:
    """Accuracy needs rows with labels."""
    if plan.tables.data.evaluation is None:
        raise PlanError(
            f"{plan.path}: limits.accuracy_drop_points needs rows to judge by, but data.evaluation is missing",
            hint='Add to [data]: evaluation = "module:function" or an .npz with x and y.',
        )


def judge(case: Case) -> list[Verdict]:
    """Judge the points of accuracy lost against the baseline. INVALID where the board answered no labelled rows."""
    limit, candidate, baseline = case.limits.accuracy_drop_points or 0.0, case.candidate, case.baseline
    if case.drop is None or baseline is None or candidate.accuracy is None or baseline.accuracy is None:
        why = "the board answered no labelled rows for it and its baseline"
        return [not_measured(candidate.subject, ACCURACY, limit, why)]
    values = (baseline.accuracy.accuracy_ratio, candidate.accuracy.accuracy_ratio)
    return [by_interval(candidate, baseline, ACCURACY, values, case.drop, limit)]
