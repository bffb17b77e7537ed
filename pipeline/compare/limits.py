"""One limit, one measured file -> one Verdict.

A limit is judged by an interval, never by a single number: PASS when the whole interval keeps it, REGRESSED when the whole
interval breaks it, INCONCLUSIVE when it lies on both sides or where nothing can be judged by it (an emulator's times), INVALID without
a valid number. Latency is judged by pairs that took turns, with a margin: pipeline/decision.py.
"""

from collections.abc import Sequence
from statistics import median

from pipeline import units
from pipeline.compare.intervals import LAUNCHES, Interval, latency_ratio, shift
from pipeline.decision import Rule, effect, judged, rule_of
from pipeline.plan import LimitsTable
from pipeline.records import Measurement, NotMeasured, Outcome, Paired, TailRatios, Verdict

KEEPS, BREAKS = "keeps the limit", "breaks the limit"
UNCLEAR = "can not be told apart from the limit: more launches or more rows would tell"
UNPAIRED = "was not measured in turns with its baseline, because the limit was set later: run `edgepress measure` again"


def size(candidate: Measurement, limit: int) -> Verdict:
    """An absolute limit in bytes; no interval, a file has its size."""
    bytes_ = float(candidate.artifact.size_bytes)
    outcome, why = (Outcome.PASS, KEEPS) if bytes_ <= limit else (Outcome.REGRESSED, BREAKS)
    return Verdict(
        subject=candidate.label, metric="size_bytes", unit="B", baseline_subject=None, baseline=None, candidate=bytes_,
        change=bytes_, low=bytes_, high=bytes_, limit=limit, outcome=outcome, why=why,
    )  # fmt: skip


def accuracy(candidate: Measurement, baseline: Measurement | None, drop: Interval | None, limit: float) -> Verdict:
    """At most `limit` points of accuracy less than the baseline, on the same rows, as the board answered them."""
    metric, why = "accuracy_drop_points", "the board answered no labelled rows for it and its baseline"
    if drop is None or baseline is None or candidate.accuracy is None or baseline.accuracy is None:
        return not_measured(candidate.label, metric, limit, why)
    values = (baseline.accuracy.accuracy_ratio, candidate.accuracy.accuracy_ratio)
    return _judged(candidate, baseline, metric, "points", values, drop, limit)


def latency(
    candidate: Measurement, baseline: Measurement | None, paired: Paired | None, unpaired: Sequence[NotMeasured],
    limits: LimitsTable,
) -> list[Verdict]:  # fmt: skip
    """By pairs of processes that took turns: REGRESSED where slower by more than the margin, PASS where by less than the limit
    (0.03 is 3 %). Then the tail, where it can be told.
    """
    metric, limit = "latency_regression", limits.latency_regression or 0.0
    if baseline is None:
        why = "nothing to compare with was measured in this runtime"
        return [not_measured(candidate.label, metric, limit, why)]
    failed = next((each for each in unpaired if each.label == candidate.label), None)
    if failed is not None:
        return [not_measured(candidate.label, metric, limit, f"{failed.evidence}. {failed.remedy}")]
    if paired is None:
        ratio, low, high = latency_ratio(candidate.latency, baseline.latency)
        values = (baseline.latency.median_s, candidate.latency.median_s)
        return [_judged(candidate, baseline, metric, "s", values, (ratio - 1, low - 1, high - 1), limit)]
    verdict = _by_pairs(candidate, baseline, paired, rule_of(limit, limits.latency_margin))
    tails = (
        []
        if verdict.outcome is Outcome.INVALID
        else [_tail(candidate, baseline, each, paired, limits) for each in paired.tails]
    )
    return [verdict, *(tail for tail in tails if tail is not None)]


def _by_pairs(candidate: Measurement, baseline: Measurement, paired: Paired, rule: Rule) -> Verdict:
    metric = "latency_regression"
    doubts = [doubt for each in (candidate, baseline) for doubt in each.doubts if doubt.touches == "latency"]
    doubts += paired.doubts
    invalid = dict.fromkeys(doubt.evidence for doubt in doubts if doubt.invalid)
    if invalid:
        return not_measured(candidate.label, metric, rule.limit, f"it was not measured validly: {'; '.join(invalid)}")
    found, outcome = effect(paired.log_ratios, rule), judged(paired.log_ratios, rule)
    said = {
        Outcome.REGRESSED: f"slower by more than the margin of {units.percent(rule.margin)}",
        Outcome.PASS: "slower by less than the limit, if at all",
        Outcome.INCONCLUSIVE: _undecided(paired, rule),
    }[outcome]
    named = ", ".join(dict.fromkeys(doubt.what for doubt in doubts))
    why = f"{said} (doubted: {named})" if named else said
    return Verdict(
        subject=candidate.label, metric=metric, unit="s", baseline_subject=baseline.label,
        baseline=paired.baseline.quantile(50), candidate=paired.candidate.quantile(50), change=found.ratio - 1,
        low=found.low - 1, high=found.high - 1, limit=rule.limit, outcome=outcome, why=why, detectable=found.detectable,
        pairs=len(paired.log_ratios), seconds=paired.seconds, margin=rule.margin,
    )  # fmt: skip


def _undecided(paired: Paired, rule: Rule) -> str:
    """Pairs are measured until the limit of then is decided: for another they may be too few."""
    if (paired.margin, paired.limit) == (rule.margin, rule.limit) or len(paired.log_ratios) >= rule.looks[-1]:
        return "neither could be shown: measure it where less else runs"
    return "neither could be shown by as many pairs as another limit took: run `edgepress measure` again"


def _tail(
    candidate: Measurement, baseline: Measurement, tail: TailRatios, paired: Paired, limits: LimitsTable
) -> Verdict | None:
    """A looser limit on an upper quantile: a 10th percentile can not see a tail. None where it can not be told: other programs
    lengthened the tails, or the pairs differ too much.
    """
    if any(doubt.withholds == "tail" for each in (candidate, baseline, paired) for doubt in each.doubts):
        return None
    rule = Rule(limit=limits.latency_tail, margin=limits.latency_tail)
    found, outcome = effect(tail.log_ratios, rule), judged(tail.log_ratios, rule)
    if outcome is Outcome.INCONCLUSIVE:
        return None
    why = f"the {units.count(tail.percent)}th percentile {KEEPS if outcome is Outcome.PASS else BREAKS}"
    return Verdict(
        subject=candidate.label, metric="latency_tail", unit="s", baseline_subject=baseline.label,
        baseline=paired.baseline.quantile(tail.percent), candidate=paired.candidate.quantile(tail.percent),
        change=found.ratio - 1, low=found.low - 1, high=found.high - 1, limit=rule.limit, outcome=outcome, why=why,
        detectable=found.detectable, pairs=len(tail.log_ratios), seconds=paired.seconds, margin=rule.margin, percent=tail.percent,
    )  # fmt: skip


def memory(candidate: Measurement, baseline: Measurement | None, limit: int) -> list[Verdict]:
    """At most `limit` bytes more than the baseline: of the model's own anonymous memory, and of the process's peak."""
    verdicts = []
    for metric, name in (("memory_growth_bytes", "launch_growth_bytes"), ("memory_peak_bytes", "launch_peak_bytes")):
        if baseline is None:
            why = "nothing to compare with was measured in this runtime"
            verdicts.append(not_measured(candidate.label, metric, limit, why))
            continue
        before, after = getattr(baseline.memory, name), getattr(candidate.memory, name)
        if min(len(before), len(after)) < LAUNCHES:
            why = f"fewer than {LAUNCHES} launches of it and of its baseline told of their memory"
            verdicts.append(not_measured(candidate.label, metric, limit, why))
            continue
        values = (median(before), median(after))
        change = shift(after, before)
        verdicts.append(_judged(candidate, baseline, metric, "B", values, change, limit))
    return verdicts


def not_measured(subject: str, metric: str, limit: float, why: str) -> Verdict:
    """A limit that can not be judged, because there is no valid number: never silently green."""
    return Verdict(
        subject=subject, metric=metric, unit="", baseline_subject=None, baseline=None, candidate=None, change=None, low=None,
        high=None, limit=limit, outcome=Outcome.INVALID, why=why,
    )  # fmt: skip


def _judged(
    candidate: Measurement, baseline: Measurement, metric: str, unit: str, values: tuple[float | None, float | None],
    change: Interval, limit: float,
) -> Verdict:  # fmt: skip
    """By the interval; a doubt of either side that touches this metric is named, and an invalid one ends it."""
    touches = metric.partition("_")[0]
    doubts = [doubt for each in (candidate, baseline) for doubt in each.doubts if doubt.touches == touches]
    invalid = dict.fromkeys(doubt.evidence for doubt in doubts if doubt.invalid)
    if invalid:
        return not_measured(candidate.label, metric, limit, f"it was not measured validly: {'; '.join(invalid)}")
    middle, low, high = change
    undecided = dict.fromkeys(f"{doubt.evidence}. {doubt.remedy}" for doubt in doubts if doubt.decides_nothing)
    if undecided:
        outcome, why = Outcome.INCONCLUSIVE, " ".join(undecided)
    elif touches == "latency":
        outcome, why = Outcome.INCONCLUSIVE, UNPAIRED
    elif high <= limit:
        outcome, why = Outcome.PASS, KEEPS
    elif low > limit:
        outcome, why = Outcome.REGRESSED, BREAKS
    else:
        outcome, why = Outcome.INCONCLUSIVE, UNCLEAR
    named = ", ".join(dict.fromkeys(doubt.what for doubt in doubts))
    return Verdict(
        subject=candidate.label, metric=metric, unit=unit, baseline_subject=baseline.label, baseline=values[0],
        candidate=values[1], change=middle, low=low, high=high, limit=limit, outcome=outcome,
        why=f"{why} (doubted: {named})" if named else why,
    )  # fmt: skip
