"""Measurement x baseline -> Verdict: against the plan's [limits] and against the uncompressed model of the same run."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.baseline import baseline_of, is_judged
from pipeline.compare import metric_intervals
from pipeline.compare.by_interval import Interval, accuracy_drop, latency_ratio
from pipeline.compare.case import Case, QualityDrop
from pipeline.compare.limits import LIMITS, value_of
from pipeline.compare.metric_intervals import MetricInterval
from pipeline.compare.reasons import not_measured
from pipeline.errors import PlanError
from pipeline.plan import Plan
from pipeline.plan_tables import LimitsTable
from pipeline.quality import judge, kept
from pipeline.quality.statistic import Statistic, plain
from pipeline.records import (
    Compared,
    Comparison,
    Data,
    Deployment,
    Measured,
    Measurement,
    MetricDrop,
    MetricLevel,
    NotMeasured,
    Outcome,
    Paired,
    Subject,
    Task,
    Verdict,
)
from pipeline.spelling import did_you_mean
from pipeline.statistics.paired_test import effect, rule_of
from pipeline.store import Store

SEVERITY = (Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.REGRESSED, Outcome.INVALID)


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
    compares = plan.tables.compare.baseline or plan.tables.compress or any(name.endswith("-int8") for name in formats)
    relative = [limit for limit in LIMITS.values() if limit.RELATIVE and limit.REQUIRED]
    if not compares and any(value_of(limit, limits) is not None for limit in relative):
        *others, last = (limit.KEYS[0] for limit in relative)
        raise PlanError(
            f"{plan.path}: limits: {', '.join(others)} and {last} need something to compare with",
            hint='Name the file that is in use now: [compare] baseline = "released.tflite". It is measured in the same run.',
        )
    for limit in LIMITS.values():
        if any(getattr(limits, key) is not None for key in limit.KEYS):
            limit.check(plan)


def compare(measured: Measured, plan: Plan, data: Data, deployment: Deployment, store: Store) -> Compared:
    """Compare each measured file with its baseline, and judge every limit for every file that it applies to."""
    limits, answers = plan.tables.limits, _Answers(data, deployment, store, plan.tables.seed)
    comparisons: list[Comparison] = []
    levels: list[MetricLevel] = []
    verdicts: list[Verdict] = []
    for candidate in (each for each in measured.measurements if not each.of_step):
        baseline = baseline_of(candidate, measured.measurements)
        is_baseline = baseline is candidate
        drop = answers.drop(candidate, baseline) if baseline and not is_baseline else None
        quality = answers.quality_drops(candidate, baseline) if baseline and not is_baseline else {}
        value = answers.values(candidate)
        case = Case(
            candidate=candidate,
            baseline=baseline,
            drop=drop,
            tasks=tuple(answers.tasks) or ("",),
            quality=quality,
            value=value,
            measured=measured,
            limits=limits,
        )
        levels += [_level(candidate, *each) for each in value.items()]
        if baseline is not None and not is_baseline:
            comparisons.append(_comparison(candidate, baseline, drop, case.paired, quality))
        if is_judged(plan, candidate):
            for limit in LIMITS.values():
                if value_of(limit, limits) is not None and not (limit.RELATIVE and is_baseline):
                    verdicts += limit.judge(case)
    for failure in measured.failures:
        if is_judged(plan, failure):
            verdicts += [_not_measured(failure.subject, each, failure.evidence) for each in _required(limits)]
    verdicts += _unjudged(limits, verdicts, measured)
    return Compared(
        verdicts=tuple(verdicts),
        comparisons=tuple(comparisons),
        outcome=_outcome(plan, measured, verdicts),
        steps=tuple(_steps(measured.measurements)),
        notes=tuple(dict.fromkeys(_kinds(plan, measured.measurements))),
        levels=tuple(levels),
    )


def _level(one: Measurement, task: str, found: MetricInterval) -> MetricLevel:
    low, high = (None if math.isnan(each) else each for each in (found.low, found.high))
    return MetricLevel(
        subject=one.subject,
        value=found.value,
        low=low,
        high=high,
        method=found.method,
        reads_high=found.reads_high,
        task=task,
    )


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
    """Compare each model of the chain of passes with the one before it."""
    chains: dict[tuple[str, str], list[Measurement]] = {}
    for one in measurements:
        if one.variant != "baseline" and not one.swept:
            chains.setdefault((one.format, one.runtime), []).append(one)
    for chain in chains.values():
        chain.sort(key=_position_in_chain)
        for before, after in itertools.pairwise(chain):
            yield _comparison(after, before, None)


def _position_in_chain(one: Measurement) -> float:
    if one.step is not None:
        return one.step.number
    return 0 if one.variant == "original" else math.inf


class _Required(NamedTuple):
    metric: str
    limit: float
    task: str  # "": the limit names none


def _required(limits: LimitsTable) -> list[_Required]:
    """Each metric that the plan's limits judge, and what it allows."""
    values = [(limit, value_of(limit, limits)) for limit in LIMITS.values() if limit.REQUIRED]
    return [
        _Required(metric, each, task)
        for limit, value in values
        if value is not None
        for task, each in (value.items() if isinstance(value, Mapping) else (("", value),))
        for metric in limit.METRICS
    ]


def _not_measured(subject: Subject, required: _Required, why: str) -> Verdict:
    return not_measured(subject, required.metric, required.limit, why, required.task)


def _unjudged(limits: LimitsTable, verdicts: Sequence[Verdict], measured: Measured) -> list[Verdict]:
    """What a limit names and nothing was measured for: never silently green."""
    judged = {each.subject for each in verdicts}
    every: list[Measurement | NotMeasured] = [*measured.measurements, *measured.failures]
    found = [(each.format, each.runtime) for each in every if each.subject in judged]
    names = {name for format_name, runtime in found for name in (format_name, f"{format_name}@{runtime}")}
    entries = [entry.partition("@") for entry in limits.applies_to if entry not in names]
    missing = [Subject(format=format_name, runtime=runtime) for format_name, _, runtime in entries]
    if not verdicts and not limits.applies_to:
        missing = [Subject()]
    why = "nothing was measured that this limit could judge"
    return [_not_measured(each, required, why) for each in missing for required in _required(limits)]


def _outcome(plan: Plan, measured: Measured, verdicts: Sequence[Verdict]) -> Outcome:
    """The worst verdict; without limits, whether what was asked for was measured validly. A file that does not answer what its model does
    cannot be PASS, whatever the limits are.
    """
    withheld = [
        Outcome.INVALID if doubt.invalid else Outcome.INCONCLUSIVE
        for each in measured.measurements
        if is_judged(plan, each)
        for doubt in each.doubts
        if doubt.withholds == "run"
    ]
    if verdicts:
        return max((*(verdict.outcome for verdict in verdicts), *withheld), key=SEVERITY.index)
    valid = any(each.valid for each in measured.measurements)
    failed = any(is_judged(plan, each) for each in measured.failures)
    return max((Outcome.PASS if valid and not failed else Outcome.INVALID, *withheld), key=SEVERITY.index)


def _comparison(
    candidate: Measurement,
    baseline: Measurement,
    drop: Interval | None,
    paired: Paired | None = None,
    quality: Mapping[str, QualityDrop] | None = None,
) -> Comparison:
    """By the pairs where there are any, else by the rounds of launches."""
    ratio, low, high = latency_ratio(candidate.latency, baseline.latency)
    if paired is not None:
        found = effect(paired.log_ratios, rule_of(paired.limit, paired.margin))
        ratio, low, high = found.ratio, found.low, found.high
    return Comparison(
        subject=candidate.subject,
        baseline_subject=baseline.subject,
        size_ratio=candidate.artifact.size_bytes / baseline.artifact.size_bytes,
        latency_ratio=ratio,
        latency_low=low,
        latency_high=high,
        accuracy_drop_points=drop[0] if drop else None,
        trusted=candidate.trusted and baseline.trusted and not (paired and paired.doubts),
        pairs=len(paired.log_ratios) if paired else None,
        metric_drops=tuple(
            MetricDrop(drop=found.drop, method=found.method, detectable=found.detectable, task=task)
            for task, found in (quality or {}).items()
            if all(map(math.isfinite, found.drop))
        ),
    )


class _Answers:
    """Which rows each measured file answered rightly on the board, and how well it did the plan's tasks."""

    def __init__(self, data: Data, deployment: Deployment, store: Store, seed: int) -> None:
        self._store, self._seed = store, seed
        self.tasks = {each.name: each for each in data.tasks if judge.labels_of(each, data.evaluation)}
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

    def values(self, one: Measurement) -> dict[str, MetricInterval]:
        """Return the metric of each task; nothing where the board has answered no labelled rows."""
        return {name: self._value(statistic, self.tasks[name]) for name, statistic in self._statistics(one).items()}

    def quality_drops(self, candidate: Measurement, baseline: Measurement) -> dict[str, QualityDrop]:
        """Return by how much the metric of each task is worse; nothing where the board has not answered labelled rows for both."""
        mine, theirs = self._statistics(candidate), self._statistics(baseline)
        return {name: self._drop(mine[name], theirs[name], self.tasks[name]) for name in mine if name in theirs}

    def _statistics(self, one: Measurement) -> dict[str, Statistic]:
        """What each row contributed to the metric of each task."""
        found = one.accuracy.qualities if one.accuracy else ()
        return {each.task: kept.read(self._store.path(each.statistic)) for each in found if each.task in self.tasks}

    def _value(self, statistic: Statistic, task: Task) -> MetricInterval:
        found = metric_intervals.of_value(statistic, self._seed, ratio=task.ratio)
        best = 1.0 if task.ratio and task.higher_is_better else math.inf
        return found._replace(high=min(found.high, best))

    def _drop(self, mine: Statistic, theirs: Statistic, task: Task) -> QualityDrop:
        found = metric_intervals.of_difference(mine, theirs, self._seed, ratio=task.ratio)
        value, low, high = found[:3]
        drop = (-value, -high, -low) if task.higher_is_better else (value, low, high)
        return QualityDrop(drop, plain(theirs), plain(mine), found.method, found.detectable, found.unknown)
