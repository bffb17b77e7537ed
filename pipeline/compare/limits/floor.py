"""The least that the metric of each task of the plan may be, where higher is better."""

from pipeline.compare import by_value
from pipeline.compare.case import Case
from pipeline.metrics import FLOOR
from pipeline.plan import Plan
from pipeline.records import Verdict

KEYS: tuple[str, ...] = ("metric_at_least",)
METRICS: tuple[str, ...] = (FLOOR,)
RELATIVE = False
REQUIRED = True


def check(plan: Plan) -> None:
    """It needs a task, rows with labels, and a metric of which higher is better."""
    by_value.check(plan, KEYS[0], higher_is_better=True)


def judge(case: Case) -> list[Verdict]:
    """INVALID where the board answered no labelled rows."""
    return by_value.judge(case, FLOOR, case.limits.metric_at_least, higher_is_better=True)
