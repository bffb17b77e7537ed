"""The limit on memory, by the launches of both files: on the model's own anonymous memory, and on the process's peak."""

from statistics import median

from pipeline.compare.by_interval import LAUNCHES, by_interval, shift
from pipeline.compare.case import Case
from pipeline.compare.reasons import NO_BASELINE, not_measured
from pipeline.errors import PlanError
from pipeline.metrics import GROWTH, PEAK
from pipeline.plan import Plan
from pipeline.records import Verdict

KEYS: tuple[str, ...] = ("memory_regression_bytes",)
METRICS: tuple[str, ...] = (GROWTH, PEAK)
RELATIVE = True
REQUIRED = True


def check(plan: Plan) -> None:
    """Fewer launches than LAUNCHES cannot decide anything."""
    if plan.tables.measure.launches < LAUNCHES:
        raise PlanError(
            f"{plan.path}: measure.launches: {plan.tables.measure.launches} launches cannot show whether memory_regression_bytes holds",
            hint=f"With fewer than {LAUNCHES} launches a side the rank test cannot reach its 1 % level; set measure.launches to {LAUNCHES} or more.",
        )


def judge(case: Case) -> list[Verdict]:
    """Judge the bytes more than the baseline, for either metric."""
    limit, candidate, baseline = case.limits.memory_regression_bytes or 0, case.candidate, case.baseline
    if baseline is None:
        return [not_measured(candidate.subject, metric, limit, NO_BASELINE) for metric in METRICS]
    one, other = candidate.memory, baseline.memory
    launches = {
        GROWTH: (one.launch_growth_bytes, other.launch_growth_bytes),
        PEAK: (one.launch_peak_bytes, other.launch_peak_bytes),
    }
    verdicts = []
    for metric, (after, before) in launches.items():
        if min(len(before), len(after)) < LAUNCHES:
            why = f"fewer than {LAUNCHES} launches of it and of its baseline reported their memory"
            verdicts.append(not_measured(candidate.subject, metric, limit, why))
            continue
        values = (median(before), median(after))
        verdicts.append(by_interval(candidate, baseline, metric, values, shift(after, before), limit))
    return verdicts
