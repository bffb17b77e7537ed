"""Measurement x baseline -> Verdict: against the plan's [limits] and against the uncompressed model of the same run."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.baseline import baseline_of, is_judged
from pipeline.compare import limits as judge
from pipeline.compare.by_interval import LAUNCHES, Interval, accuracy_drop, latency_ratio
from pipeline.compare.energy import energy
from pipeline.compare.latency import latency
from pipeline.errors import PlanError
from pipeline.plan import LimitsTable, Plan
from pipeline.records import (
    Compared,
    Comparison,
    Data,
    Deployment,
    Measured,
    Measurement,
    NotMeasured,
    Outcome,
    Paired,
    Verdict,
)
from pipeline.spelling import did_you_mean
from pipeline.statistics.paired_test import effect, rule_of
from pipeline.store import Store

SEVERITY = (Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.REGRESSED, Outcome.INVALID)
# what is judged, and the limit that it is judged by
METRICS = {
    "size_bytes": "size_bytes",
    "accuracy_drop_points": "accuracy_drop_points",
    "latency_regression": "latency_regression",
    "energy_regression": "energy_regression",
    "memory_growth_bytes": "memory_regression_bytes",
    "memory_peak_bytes": "memory_regression_bytes",
}


def check(plan: Plan, formats: Sequence[str], runtimes: Sequence[str]) -> None:
    """What can be said before anything is measured: a limit must have something to judge and to judge it against.

    `formats` and `runtimes` are what this plan can measure.
    """
    limits = plan.tables.limits
    for entry in limits.applies_to:
        format_name, _, runtime = entry.partition("@")
        if format_name not in formats or (runtime and runtime not in runtimes):
            names = [*formats, *(f"{name}@{each}" for name in formats for each in runtimes)]
            raise PlanError(
                f'{plan.path}: limits.applies_to: "{entry}" is nothing that this plan measures',
                hint=f'{did_you_mean(entry, names)}Write "format" or "format@runtime". Formats: {", ".join(formats)}; runtimes: {", ".join(runtimes)}.',
            )
    relative = {
        limits.accuracy_drop_points, limits.latency_regression, limits.energy_regression, limits.memory_regression_bytes
    } != {None}  # fmt: skip
    compares = plan.tables.compare.baseline or plan.tables.compress or any(name.endswith("-int8") for name in formats)
    if relative and not compares:
        raise PlanError(
            f"{plan.path}: limits: accuracy_drop_points, latency_regression, energy_regression and memory_regression_bytes need something to compare with",
            hint='Name the file that is in use now: [compare] baseline = "released.tflite". It is measured in the same run.',
        )
    if limits.accuracy_drop_points is not None and plan.tables.data.evaluation is None:
        raise PlanError(
            f"{plan.path}: limits.accuracy_drop_points needs rows to judge by, but data.evaluation is missing",
            hint='Add to [data]: evaluation = "module:function" or an .npz with x and y.',
        )
    for name, margin, limit in (
        ("latency", limits.latency_margin, limits.latency_regression),
        ("energy", limits.energy_margin, limits.energy_regression),
    ):
        if margin is not None and margin > (limit or 0):
            raise PlanError(
                f"{plan.path}: limits.{name}_margin is {margin}, above {name}_regression",
                hint=f"The margin is for a sharper rule: from a smaller change on than {name}_regression it is REGRESSED. Leave it out for the limit itself.",
            )
    if limits.energy_regression is not None and not plan.tables.measure.meters:
        raise PlanError(
            f"{plan.path}: limits.energy_regression needs a power meter, but measure.meters is empty",
            hint='Leave measure.meters out ("auto"), or name one; docs/energy.md.',
        )
    if limits.memory_regression_bytes is not None and plan.tables.measure.launches < LAUNCHES:
        raise PlanError(
            f"{plan.path}: measure.launches: {plan.tables.measure.launches} launches can not tell whether memory_regression_bytes holds",
            hint=f"{LAUNCHES} are the fewest of which no order is more likely than 1 %.",
        )


def compare(measured: Measured, plan: Plan, data: Data, deployment: Deployment, store: Store) -> Compared:
    """Set each measured file beside its baseline, and judge every limit for every file that it applies to."""
    limits, answers = plan.tables.limits, _Answers(data, deployment, store)
    comparisons: list[Comparison] = []
    verdicts: list[Verdict] = []
    for candidate in (each for each in measured.measurements if not each.of_step):
        baseline = baseline_of(candidate, measured.measurements)
        is_baseline = baseline is candidate
        drop = answers.drop(candidate, baseline) if baseline and not is_baseline else None
        paired = next((each for each in measured.paired if each.subject == candidate.label), None)
        if baseline is not None and not is_baseline:
            comparisons.append(_comparison(candidate, baseline, drop, paired))
        if not is_judged(plan, candidate):
            continue
        if limits.size_bytes is not None:
            verdicts.append(judge.size(candidate, limits.size_bytes))
        if limits.accuracy_drop_points is not None and not is_baseline:
            verdicts.append(judge.accuracy(candidate, baseline, drop, limits.accuracy_drop_points))
        if limits.latency_regression is not None and not is_baseline:
            verdicts += latency(candidate, baseline, paired, measured.unpaired, limits)
        if limits.energy_regression is not None and not is_baseline:
            turns = next((each for each in measured.energy_paired if each.subject == candidate.label), None)
            verdicts.append(energy(candidate, baseline, turns, limits))
        if limits.memory_regression_bytes is not None and not is_baseline:
            verdicts += judge.memory(candidate, baseline, limits.memory_regression_bytes)
    for failure in measured.failures:
        if is_judged(plan, failure):
            verdicts += [judge.not_measured(failure.label, *each, failure.evidence) for each in _set(limits)]
    verdicts += _unjudged(limits, verdicts, measured)
    return Compared(
        verdicts=tuple(verdicts), comparisons=tuple(comparisons), outcome=_outcome(plan, measured, verdicts),
        steps=tuple(_steps(measured.measurements)), notes=tuple(dict.fromkeys(_kinds(plan, measured.measurements))),
    )  # fmt: skip


def _kinds(plan: Plan, measurements: Sequence[Measurement]) -> Iterator[str]:
    """What the plan's baseline is, by its tensors: a change of the kind of file is a part of what is compared."""
    named = {each.artifact: each for each in measurements if each.variant == "baseline" and each.kind}
    for baseline in named.values():
        others = [each for each in measurements if is_judged(plan, each) and each.kind not in ("", baseline.kind)]
        float_file = "" if baseline.kind == "float32" else ", not a float32 file"
        yield f"What is judged against is {baseline.kind}{float_file}: {baseline.file}."
        for one in others:
            yield f"{one.file} is {one.kind} and {baseline.file} is {baseline.kind}: what changed is the kind of the file, too."


def _steps(measurements: Sequence[Measurement]) -> Iterator[Comparison]:
    """Each model of the chain of passes beside the one before it."""
    chains: dict[tuple[str, str], list[Measurement]] = {}
    for one in measurements:
        if one.variant != "baseline" and not one.swept:
            chains.setdefault((one.format, one.runtime), []).append(one)
    for chain in chains.values():
        chain.sort(key=_place_in_chain)
        for before, after in itertools.pairwise(chain):
            yield _comparison(after, before, None)


def _place_in_chain(one: Measurement) -> float:
    ends = {"original": 0.0, "compressed": math.inf}
    return ends[one.variant] if one.variant in ends else float(one.variant.partition("-")[0])


def _set(limits: LimitsTable) -> list[tuple[str, float]]:
    return [(metric, limit) for metric, key in METRICS.items() if (limit := getattr(limits, key)) is not None]


def _unjudged(limits: LimitsTable, verdicts: Sequence[Verdict], measured: Measured) -> list[Verdict]:
    """What a limit names and nothing was measured for: never silently green."""
    judged = {each.subject for each in verdicts}
    every: list[Measurement | NotMeasured] = [*measured.measurements, *measured.failures]
    found = [(each.format, each.runtime) for each in every if each.label in judged]
    names = {name for format_name, runtime in found for name in (format_name, f"{format_name}@{runtime}")}
    missing = [entry for entry in limits.applies_to if entry not in names]
    if not verdicts and not limits.applies_to:
        missing = ["every file"]
    why = "nothing was measured that this limit could judge"
    return [judge.not_measured(entry, *each, why) for entry in missing for each in _set(limits)]


def _outcome(plan: Plan, measured: Measured, verdicts: Sequence[Verdict]) -> Outcome:
    """The worst verdict; without limits, whether what was asked for was measured validly."""
    if verdicts:
        return max((verdict.outcome for verdict in verdicts), key=SEVERITY.index)
    valid = any(each.valid for each in measured.measurements)
    failed = any(is_judged(plan, each) for each in measured.failures)
    return Outcome.PASS if valid and not failed else Outcome.INVALID


def _comparison(
    candidate: Measurement, baseline: Measurement, drop: Interval | None, paired: Paired | None = None
) -> Comparison:
    """By the pairs where there are any, else by the rounds of launches."""
    ratio, low, high = latency_ratio(candidate.latency, baseline.latency)
    if paired is not None:
        found = effect(paired.log_ratios, rule_of(paired.limit, paired.margin))
        ratio, low, high = found.ratio, found.low, found.high
    return Comparison(
        subject=candidate.label,
        baseline_subject=baseline.label,
        size_ratio=candidate.artifact.size_bytes / baseline.artifact.size_bytes,
        latency_ratio=ratio,
        latency_low=low,
        latency_high=high,
        accuracy_drop_points=drop[0] if drop else None,
        trusted=candidate.trusted and baseline.trusted and not (paired and paired.doubts),
        pairs=len(paired.log_ratios) if paired else None,
    )


class _Answers:
    """Which rows each measured file answered rightly on the board."""

    def __init__(self, data: Data, deployment: Deployment, store: Store) -> None:
        self._store = store
        self._labels = None
        if data.evaluation is not None and data.evaluation.y is not None and deployment.evaluation_indices is not None:
            indices = np.load(store.path(deployment.evaluation_indices), allow_pickle=False)
            self._labels = np.load(store.path(data.evaluation.y), allow_pickle=False)[indices]

    def drop(self, candidate: Measurement, baseline: Measurement) -> Interval | None:
        if self._labels is None or candidate.accuracy is None or baseline.accuracy is None:
            return None
        right = [
            np.load(self._store.path(answers), allow_pickle=False) == self._labels
            for answers in (baseline.accuracy.answers, candidate.accuracy.answers)
            if answers is not None
        ]
        return accuracy_drop(*right) if len(right) == 2 else None
