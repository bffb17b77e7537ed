"""The limit on latency, by interleaved pairs of processes: pipeline/statistics/paired_test.py."""

from collections.abc import Sequence

from pipeline.compare.by_interval import by_interval, latency_ratio
from pipeline.compare.by_pairs import by_pairs, check_margin
from pipeline.compare.case import Case
from pipeline.compare.reasons import NO_BASELINE, UNPAIRED, not_measured
from pipeline.metrics import LATENCY
from pipeline.plan import Plan
from pipeline.records import Doubt, Measurement, Paired, Verdict
from pipeline.statistics.paired_test import rule_of

KEYS: tuple[str, ...] = ("latency_regression", "latency_margin")
METRICS: tuple[str, ...] = (LATENCY,)
RELATIVE = True
REQUIRED = True


def check(plan: Plan) -> None:
    """The margin is the smaller of the two."""
    check_margin(plan, *KEYS)


def judge(case: Case) -> list[Verdict]:
    """REGRESSED where slower by more than the limit (0.03 is 3 %) or the plan's smaller margin, PASS where by less than the limit.
    INVALID where its pairs failed; INCONCLUSIVE where none were run, because the limit was set after measuring.
    """
    candidate, baseline, limit = case.candidate, case.baseline, case.limits.latency_regression or 0.0
    if baseline is None:
        return [not_measured(candidate.subject, LATENCY, limit, NO_BASELINE)]
    if case.unpaired is not None:
        why = f"{case.unpaired.evidence}. {case.unpaired.remedy}"
        return [not_measured(candidate.subject, LATENCY, limit, why)]
    if case.paired is None:
        ratio, low, high = latency_ratio(candidate.latency, baseline.latency)
        values = (baseline.latency.median_s, candidate.latency.median_s)
        change = (ratio - 1, low - 1, high - 1)
        return [by_interval(candidate, baseline, LATENCY, values, change, limit, UNPAIRED)]
    paired, rule = case.paired, rule_of(limit, case.limits.latency_margin)
    verdict = by_pairs(
        candidate,
        baseline,
        paired,
        paired.log_ratios,
        rule,
        LATENCY,
        values=(paired.baseline.quantile(50), paired.candidate.quantile(50)),
        worse="slower",
        undecided="that it is on one side of the limit could not be shown: measure it while less else runs",
        doubts=latency_doubts(candidate, baseline, paired),
    )
    return [verdict]


def latency_doubts(candidate: Measurement, baseline: Measurement, paired: Paired) -> Sequence[Doubt]:
    """Return the doubts about either file alone that touch its times, and those about the pairs."""
    alone = [doubt for each in (candidate, baseline) for doubt in each.doubts if doubt.touches == "latency"]
    return [*alone, *paired.doubts]
