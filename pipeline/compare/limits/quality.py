"""The limit on the metric of each task of the plan: on how much worse it is than the baseline's on the same rows, as the board answered them."""

import msgspec

from pipeline.compare import by_task
from pipeline.compare.by_interval import by_interval
from pipeline.compare.case import Case
from pipeline.compare.reasons import not_measured
from pipeline.metrics import QUALITY
from pipeline.plan import Plan
from pipeline.records import Verdict

KEYS: tuple[str, ...] = ("metric_drop",)
METRICS: tuple[str, ...] = (QUALITY,)
RELATIVE = True
REQUIRED = True


def check(plan: Plan) -> None:
    """It needs a task, and rows with labels."""
    by_task.check(plan, KEYS[0])


def judge(case: Case) -> list[Verdict]:
    """Return a verdict for each task that is judged: INVALID where the board answered no labelled rows of it."""
    return [_judged(case, *each) for each in by_task.bounds(case.limits.metric_drop, case.tasks).items()]


def _judged(case: Case, task: str, limit: float) -> Verdict:
    candidate, found = case.candidate, case.quality.get(task)
    if found is None or case.baseline is None:
        why = "the board answered no labelled rows for it and its baseline"
        return not_measured(candidate.subject, QUALITY, limit, why, task)
    pair = (found.baseline, found.candidate)
    verdict = by_interval(candidate, case.baseline, QUALITY, pair, found.drop, limit, found.unknown)
    verdict = msgspec.structs.replace(verdict, task=task)
    return msgspec.structs.replace(verdict, low=None, high=None) if found.unknown else verdict
