"""Each judged file beside its baseline: runs the pairs and puts them into a record."""

import gzip
from collections.abc import Iterator, Sequence

import numpy as np

from device_agent import wire
from pipeline.baseline import beside_baselines
from pipeline.measure.expected import asked_of
from pipeline.measure.pairs import ratio
from pipeline.measure.pairs.run import Traces, shape_of, until_decided
from pipeline.measure.remedies import evidence, remedy
from pipeline.measure.schedule import Candidate, cooling_of, launch_of
from pipeline.measure.summary import P99_RUNS, quantiles_of
from pipeline.measure.validity import Asked, doubts_of_pairs
from pipeline.plan import Plan
from pipeline.progress import Progress
from pipeline.records import Deployment, Doubt, Glance, Measurement, NotMeasured, Paired, Side, TailRatios
from pipeline.statistics.paired_test import Rule, rule_of
from pipeline.store import Store
from targets import Session

TAILS = ((95, 130), (99, P99_RUNS))
"""Per cent, and the runs that it needs: fewer than ln 0.01 / ln 0.95 = 90 hold nothing beyond it in one case of a hundred; MLPerf
asks for 64 for a p90 and 662 for a p99, 130 lies between.
"""


def beside(
    session: Session, plan: Plan, deployment: Deployment, candidates: Sequence[Candidate], measurements: Sequence[Measurement],
    store: Store, progress: Progress,
) -> tuple[tuple[Paired, ...], tuple[NotMeasured, ...]]:  # fmt: skip
    """What was measured in pairs, and what could not be. Nothing without a limit on latency, or where it could judge nothing."""
    limits = plan.tables.limits
    if limits.latency_regression is None or deployment.board.emulated:
        return (), ()
    limit = limits.latency_regression
    rule = rule_of(limit, limits.latency_margin)
    found, failed = [], []
    for number, one, baseline in beside_baselines(plan, measurements):
        sides = tuple(candidate_of(each, candidates) for each in (baseline, one))
        a, b = (launch_of("time", each, plan, deployment, 0) for each in sides)
        slower_s = max(baseline.latency.median_s, one.latency.median_s)
        traces = until_decided(
            session, a, b, shape_of(slower_s), [rule], plan.tables.seed + number, str(plan.path),
            lambda done, label=one.label: progress.step(done, rule.looks[-1], f"{label}, beside its baseline"),  # type: ignore[misc]
            cooling=cooling_of(plan),
        )  # fmt: skip
        if traces.failed is not None:
            failed.append(_failure(one, traces.failed))
        else:
            doubts = doubts_of_pairs(
                traces.paired, *asked_of_pairs(traces.paired, sides, (baseline, one), deployment, store)
            )
            found.append(_paired(one, baseline, traces, rule, doubts, store))
    return tuple(found), tuple(failed)


def asked_of_pairs(
    pairs: Sequence[wire.Paired],
    sides: Sequence[Candidate],
    measured: Sequence[Measurement],
    deployment: Deployment,
    store: Store,
) -> Iterator[Asked]:
    """Of the baseline, then of the candidate."""
    launches = [pair.a for pair in pairs], [pair.b for pair in pairs]
    for candidate, one, mine in zip(sides, measured, launches, strict=True):
        yield asked_of(candidate, deployment, store, mine, one.golden)


def candidate_of(one: Measurement, candidates: Sequence[Candidate]) -> Candidate:
    return next(each for each in candidates if each.label == one.label)


def _paired(
    one: Measurement, baseline: Measurement, traces: Traces, rule: Rule, doubts: tuple[Doubt, ...], store: Store
) -> Paired:
    pairs = traces.paired
    runs = min(len(side.latency_ns) for pair in pairs for side in (pair.a, pair.b))
    return Paired(
        subject=one.label,
        baseline_subject=baseline.label,
        margin=rule.margin,
        limit=rule.limit,
        log_ratios=traces.log_ratios,
        tails=tuple(
            TailRatios(percent=percent, log_ratios=tuple(ratio.quantile_log_ratio(pair, percent) for pair in pairs))
            for percent, needed in TAILS
            if runs >= needed
        ),
        baseline=_side([pair.a for pair in pairs]),
        candidate=_side([pair.b for pair in pairs]),
        seconds=traces.seconds,
        glances=_glances(pairs),
        doubts=doubts,
        raw=store.put_bytes(gzip.compress(b"".join(wire.encode(pair) for pair in pairs), mtime=0), "jsonl.gz"),
    )


def _side(launches: Sequence[wire.Launched]) -> Side:
    runs_s = np.concatenate([np.asarray(launch.latency_ns, float) for launch in launches]) / 1e9
    mean_s = float(runs_s.mean())
    return Side(
        runs=len(runs_s),
        mean_s=mean_s,
        throughput_per_s=1 / mean_s,
        quantiles=quantiles_of(runs_s),
        pair_p10_s=tuple(float(np.percentile(launch.latency_ns, ratio.QUANTILE)) / 1e9 for launch in launches),
    )


def _glances(pairs: Sequence[wire.Paired]) -> tuple[Glance, ...]:
    start_ns = pairs[0].blocks[0].start_ns
    return tuple(
        Glance(
            t_s=(block.start_ns - start_ns) / 1e9,
            end_s=(block.end_ns - start_ns) / 1e9,
            pair=number,
            side=block.side,
            cpu_khz=block.cpu_khz,
            temperature_c=None if block.temperature_mc is None else block.temperature_mc / 1000,
        )
        for number, pair in enumerate(pairs)
        for block in pair.blocks
    )


def _failure(one: Measurement, failed: wire.LaunchFailed) -> NotMeasured:
    return NotMeasured(
        variant=one.variant,
        format=one.format,
        runtime=one.runtime,
        name=one.name,
        role=one.role,
        evidence=f"it could not be measured beside its baseline: {evidence(failed)}",
        remedy=remedy(failed),
    )
