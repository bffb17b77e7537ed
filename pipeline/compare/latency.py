"""The limits on latency -> Verdicts, by pairs of processes that took turns: pipeline/statistics/paired_test.py."""

from collections.abc import Sequence

import msgspec

from pipeline import units
from pipeline.compare.by_interval import latency_ratio
from pipeline.compare.by_pairs import UNPAIRED, by_turns
from pipeline.compare.limits import by_interval, not_measured
from pipeline.plan import LimitsTable
from pipeline.records import Measurement, NotMeasured, Outcome, Paired, TailRatios, Verdict
from pipeline.statistics.paired_test import judged, rule_of

METRIC = "latency_regression"


def latency(
    candidate: Measurement, baseline: Measurement | None, paired: Paired | None, unpaired: Sequence[NotMeasured],
    limits: LimitsTable,
) -> list[Verdict]:  # fmt: skip
    """REGRESSED where slower by more than the limit (0.03 is 3 %) or the plan's smaller margin, PASS where by less than the limit.
    Then the tail, where it can be told.
    """
    limit = limits.latency_regression or 0.0
    if baseline is None:
        return [not_measured(candidate.label, METRIC, limit, "nothing to compare with was measured in this runtime")]
    failed = next((each for each in unpaired if each.label == candidate.label), None)
    if failed is not None:
        return [not_measured(candidate.label, METRIC, limit, f"{failed.evidence}. {failed.remedy}")]
    if paired is None:
        ratio, low, high = latency_ratio(candidate.latency, baseline.latency)
        values = (baseline.latency.median_s, candidate.latency.median_s)
        change = (ratio - 1, low - 1, high - 1)
        return [by_interval(candidate, baseline, METRIC, "s", values, change, limit, UNPAIRED)]
    rule = rule_of(limit, limits.latency_margin)
    alone = [doubt for each in (candidate, baseline) for doubt in each.doubts if doubt.touches == "latency"]
    medians = (paired.baseline.quantile(50), paired.candidate.quantile(50))
    verdict = by_turns(
        candidate, baseline, paired, paired.log_ratios, rule, METRIC, "s", medians, "slower",
        "that it is on one side of the limit could not be shown: measure it where less else runs", doubts=[*alone, *paired.doubts],
    )  # fmt: skip
    tails = () if verdict.outcome is Outcome.INVALID else paired.tails
    judged_tails = (_tail(candidate, baseline, tail, paired, limits.latency_tail) for tail in tails)
    return [verdict, *(tail for tail in judged_tails if tail is not None)]


def _tail(
    candidate: Measurement, baseline: Measurement, tail: TailRatios, paired: Paired, limit: float
) -> Verdict | None:
    """A looser limit on an upper quantile: a 10th percentile can not see a tail. None where it can not be told: other programs
    lengthened the tails, or the pairs differ too much.
    """
    if any(doubt.withholds == "tail" for each in (candidate, baseline, paired) for doubt in each.doubts):
        return None
    rule = rule_of(limit, None)
    if judged(tail.log_ratios, rule) is Outcome.INCONCLUSIVE:
        return None
    name = f"the {units.count(tail.percent)}th percentile"
    values = (paired.baseline.quantile(tail.percent), paired.candidate.quantile(tail.percent))
    worse = f"{name} slower"
    verdict = by_turns(candidate, baseline, paired, tail.log_ratios, rule, "latency_tail", "s", values, worse)
    return msgspec.structs.replace(verdict, percent=tail.percent)
