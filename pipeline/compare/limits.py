"""One limit, one measured file -> one Verdict.

A limit is judged by an interval, never by a single number: PASS when the whole interval keeps it, REGRESSED when the whole
interval breaks it, INCONCLUSIVE when it lies on both sides or where nothing can be judged by it (an emulator's times), INVALID without
a valid number. A change for the worse that is proven, though the limit allows it, is told. Latency and energy are judged by pairs
that took turns: turns.py.
"""

from collections.abc import Callable
from statistics import median

from pipeline import units
from pipeline.compare.by_interval import LAUNCHES, Interval, shift
from pipeline.records import Measurement, Outcome, Verdict

KEEPS, BREAKS = "keeps the limit", "breaks the limit"
UNCLEAR = "can not be told apart from the limit: more launches or more rows would tell"

# unit of an interval -> its ends as text
TEXT: dict[str, Callable[[float], str]] = {
    "points": lambda value: f"{value:.2f} points",
    "B": units.size,
    "s": units.percent,
}


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
    return by_interval(candidate, baseline, metric, "points", values, drop, limit)


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
        verdicts.append(by_interval(candidate, baseline, metric, "B", values, change, limit))
    return verdicts


def not_measured(subject: str, metric: str, limit: float, why: str) -> Verdict:
    """A limit that can not be judged, because there is no valid number: never silently green."""
    return Verdict(
        subject=subject, metric=metric, unit="", baseline_subject=None, baseline=None, candidate=None, change=None, low=None,
        high=None, limit=limit, outcome=Outcome.INVALID, why=why,
    )  # fmt: skip


def within(worse: str, change: str, limit: str) -> str:
    """Why a proven change for the worse passes."""
    return f"{worse} by {change} (proven), within the limit of {limit}"


def by_interval(
    candidate: Measurement, baseline: Measurement, metric: str, unit: str, values: tuple[float | None, float | None],
    change: Interval, limit: float, undecided: str = "",
) -> Verdict:  # fmt: skip
    """By the interval; a doubt of either side that touches this metric is named, and an invalid one ends it. `undecided`: why
    nothing is judged by it.
    """
    touches = metric.partition("_")[0]
    doubts = [doubt for each in (candidate, baseline) for doubt in each.doubts if doubt.touches == touches]
    invalid = dict.fromkeys(doubt.evidence for doubt in doubts if doubt.invalid)
    if invalid:
        return not_measured(candidate.label, metric, limit, f"it was not measured validly: {'; '.join(invalid)}")
    middle, low, high = change
    useless = dict.fromkeys(f"{doubt.evidence}. {doubt.remedy}" for doubt in doubts if doubt.decides_nothing)
    if useless or undecided:
        outcome, why = Outcome.INCONCLUSIVE, " ".join(useless) or undecided
    elif high <= limit:
        outcome, why = Outcome.PASS, within("more", *map(TEXT[unit], (middle, limit))) if low > 0 else KEEPS
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
