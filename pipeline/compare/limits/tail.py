"""A looser limit on the upper quantiles, with that on latency: a 10th percentile cannot see a tail."""

import msgspec

from pipeline import units
from pipeline.compare.by_pairs import by_pairs
from pipeline.compare.case import Case
from pipeline.compare.limits.latency import latency_doubts
from pipeline.metrics import TAIL
from pipeline.plan import Plan
from pipeline.records import Outcome, Verdict
from pipeline.statistics.paired_test import judged, rule_of

KEYS: tuple[str, ...] = ("latency_regression", "latency_tail")
METRICS: tuple[str, ...] = (TAIL,)
RELATIVE = True
REQUIRED = False  # the limit on latency gives a verdict on the same pairs


def check(_plan: Plan) -> None:
    """It has a value of its own in every plan."""


def judge(case: Case) -> list[Verdict]:
    """Return a verdict for each quantile that can be judged. None where other programs lengthened the tails, where its pairs differ too much,
    and where the times of the pairs are invalid.
    """
    candidate, baseline, paired = case.candidate, case.baseline, case.paired
    if baseline is None or paired is None or case.unpaired is not None:
        return []
    if any(doubt.invalid for doubt in latency_doubts(candidate, baseline, paired)):
        return []
    if any(doubt.withholds == "tail" for each in (candidate, baseline, paired) for doubt in each.doubts):
        return []
    rule = rule_of(case.limits.latency_tail, None)
    verdicts = []
    for tail in paired.tails:
        if judged(tail.log_ratios, rule) is Outcome.INCONCLUSIVE:
            continue
        values = (paired.baseline.quantile(tail.percent), paired.candidate.quantile(tail.percent))
        worse = f"the {units.count(tail.percent)}th percentile slower"
        verdict = by_pairs(candidate, baseline, paired, tail.log_ratios, rule, TAIL, values, worse)
        verdicts.append(msgspec.structs.replace(verdict, percent=tail.percent))
    return verdicts
