"""The most that the metric of each task of the plan may be, where lower is better."""

from pipeline.compare import by_value
from pipeline.compare.case import Case
from pipeline.metrics import CEILING
from pipeline.plan import Plan
from pipeline.records import Verdict

KEYS: tuple[str, ...] = ("metric_at_most",)
METRICS: tuple[str, ...] = (CEILING,)
RELATIVE = False
REQUIRED = True


def check(plan: Plan) -> None:
    """It needs a task, rows with labels, and a metric of which lower is better."""
    by_value.check(plan, KEYS[0], higher_is_better=False)


def judge(case: Case) -> list[Verdict]:
    """INVALID where the board answered no labelled rows."""
    return by_value.judge(case, CEILING, case.limits.metric_at_most, higher_is_better=False)
