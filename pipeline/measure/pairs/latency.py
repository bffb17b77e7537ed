"""The latency of each judged file against its baseline: run the pairs, and put them into a record."""

from collections.abc import Sequence

import numpy as np

from device_agent import wire
from pipeline.measure.experiment import Experiment
from pipeline.measure.pairs import ratio
from pipeline.measure.pairs.run import MeasuredPairs, block_lengths_for, until_decided
from pipeline.measure.pairs.sides import Sides
from pipeline.measure.remedies import evidence
from pipeline.measure.summary import P99_RUNS, quantiles_of
from pipeline.records import BoardSample, Measurement, NotMeasured, Paired, Side, TailRatios
from pipeline.statistics.paired_test import Rule, rule_of

TAILS = ((95, 130), (99, P99_RUNS))
"""Per cent, and the runs that it needs: fewer than ln 0.01 / ln 0.95 = 90 hold nothing beyond it in one case of a hundred; MLPerf
asks for 64 for a p90 and 662 for a p99, 130 lies between.
"""


def latency_in_pairs(
    experiment: Experiment, measurements: Sequence[Measurement]
) -> tuple[tuple[Paired, ...], tuple[NotMeasured, ...]]:
    """What was measured in pairs, and what could not be. Nothing without a limit on latency, or where it could judge nothing."""
    limits = experiment.plan.tables.limits
    if limits.latency_regression is None or experiment.deployment.board.emulated:
        return (), ()
    rule = rule_of(limits.latency_regression, limits.latency_margin)
    found, failed = [], []
    for sides in Sides.all_of(experiment, measurements):
        one = sides.candidate
        shape = block_lengths_for(max(sides.baseline.latency.median_s, one.latency.median_s))
        measured = until_decided(
            experiment.session,
            sides.pairing(sides.launches, shape, rule),
            sides.progress_of(rule, f"{one.label}, in pairs with its baseline"),
        )
        if measured.failed is not None:
            why = f"it could not be measured in pairs with its baseline: {evidence(measured.failed)}"
            failed.append(experiment.candidate_of(one).not_measured(why, measured.failed))
        else:
            found.append(_paired(sides, measured, rule))
    return tuple(found), tuple(failed)


def _paired(sides: Sides, measured: MeasuredPairs, rule: Rule) -> Paired:
    pairs = measured.paired
    runs = min(len(side.latency_ns) for pair in pairs for side in (pair.a, pair.b))
    return Paired(
        subject=sides.candidate.subject,
        baseline_subject=sides.baseline.subject,
        margin=rule.margin,
        limit=rule.limit,
        log_ratios=measured.log_ratios,
        tails=tuple(
            TailRatios(percent=percent, log_ratios=tuple(ratio.quantile_log_ratio(pair, percent) for pair in pairs))
            for percent, needed in TAILS
            if runs >= needed
        ),
        baseline=_side([pair.a for pair in pairs]),
        candidate=_side([pair.b for pair in pairs]),
        seconds=measured.seconds,
        board_samples=_board_samples(pairs),
        doubts=sides.doubts_of(pairs),
        raw=sides.experiment.keep(pairs, packed=True),
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


def _board_samples(pairs: Sequence[wire.Paired]) -> tuple[BoardSample, ...]:
    start_ns = pairs[0].blocks[0].start_ns
    return tuple(
        BoardSample(
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
