"""The energy of each judged file against its baseline under one power meter: pairs of fresh processes, one number a pair."""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from statistics import median

import msgspec

from device_agent import wire
from pipeline import units
from pipeline.measure.energy.capture import Watch, use_of
from pipeline.measure.energy.curve import curve_of_pair
from pipeline.measure.energy.launches import why_none
from pipeline.measure.energy.pair import MAX_EDGE_RATIO, PairJoules, joules_of_pair
from pipeline.measure.energy.reading import REMEDY, SAME_CLOCK, least_window_s
from pipeline.measure.energy.trace import T95, NoEnergyError
from pipeline.measure.experiment import Experiment
from pipeline.measure.pairs.run import BlockLengths, PairAnswer, until_decided
from pipeline.measure.pairs.sides import Sides
from pipeline.measure.remedies import evidence
from pipeline.records import DeployedMeter, Deployment, Doubt, EnergyPaired, EnergyReading, Measurement, PowerCurve
from pipeline.statistics.paired_test import Rule, rule_of, smallest_limit
from targets.meters import CLOCKLESS

CYCLES = 2  # more would only cost hand-overs; 1 where blocks must be long
LEAST_BLOCK_S = 0.25  # a hand-over takes some milliseconds
IDLE_PERIODS, LEAST_IDLE_S = 50, 1.0  # the mean of at least 30 readings, after what is left to settle
OTHER_CLOCK_S = 0.05  # of a meter that this machine reads: half a round trip
MOST_RUNS = 1 << 40  # of a block: its time ends it
STARTS_S = 2.0  # of two processes on a board, for the estimate only
T95_BATCHES = T95[10]  # what made a half-width of the scatter of a file alone


class PairLengths(msgspec.Struct, frozen=True, kw_only=True):
    """How long the blocks and the idle times of a pair under this meter are."""

    shape: BlockLengths
    idle_s: float

    @property
    def pair_s(self) -> float:
        return 4 * self.shape.cycles * self.shape.min_ns / 1e9 + 2 * self.idle_s + STARTS_S


def energy_in_pairs(experiment: Experiment, measurements: Sequence[Measurement]) -> tuple[EnergyPaired, ...]:
    """Measure each judged file; where that fails, the record's doubts say why. Nothing without a limit on energy."""
    limits = experiment.plan.tables.limits
    if limits.energy_regression is None:
        return ()
    rule = rule_of(limits.energy_regression, limits.energy_margin)
    return tuple(_energy_of(sides, rule) for sides in Sides.all_of(experiment, measurements))


def _energy_of(sides: Sides, rule: Rule) -> EnergyPaired:
    began = time.monotonic()
    experiment, one, baseline = sides.experiment, sides.candidate, sides.baseline
    record = EnergyPaired(subject=one.subject, baseline_subject=baseline.subject, margin=rule.margin, limit=rule.limit)
    try:
        meter, readings = meter_for(experiment.deployment, (baseline, one))
    except NoEnergyError as error:
        return msgspec.structs.replace(record, doubts=(_no_verdict(str(error)),), seconds=time.monotonic() - began)
    lengths = lengths_for(meter, readings, experiment.plan.tables.measure.energy_idle_seconds, rule)
    least, most = (units.seconds(look * lengths.pair_s) for look in (rule.looks[0], rule.looks[-1]))
    experiment.progress.say(f"energy of {one.label} in pairs with its baseline, by {meter.name}: {least} to {most}")
    a, b = (_for_meter(launch, meter, lengths) for launch in sides.launches)
    metered = Metered(experiment, meter)
    measured = until_decided(
        experiment.session,
        sides.pairing((a, b), lengths.shape, rule, ", energy in pairs"),
        sides.progress_of(rule, f"energy of {one.label}, in pairs with its baseline"),
        metered.ratio_of,
        metered.watching,
    )
    if metered.why is not None:
        curves, doubts = metered.curves[-1:], [_no_verdict(metered.why)]
    else:
        curves, doubts = metered.curves, [each for each in sides.doubts_of(measured.paired) if each.invalid]
        record = msgspec.structs.replace(
            record,
            log_ratios=measured.log_ratios,
            baseline_j=median(each.baseline_j for each in metered.joules),
            candidate_j=median(each.candidate_j for each in metered.joules),
        )
    return msgspec.structs.replace(
        record,
        meter=meter.name,
        quality=meter.quality,
        doubts=tuple(msgspec.structs.replace(each, touches="energy") for each in doubts),
        raw=experiment.keep(measured.answers, packed=True),
        curve=curves[0] if curves else None,
        seconds=time.monotonic() - began,
    )


def _no_verdict(why: str) -> Doubt:
    return Doubt(what="no verdict on energy", evidence=why, remedy=REMEDY, invalid=True, touches="energy")


def meter_for(deployment: Deployment, sides: Sequence[Measurement]) -> tuple[DeployedMeter, list[EnergyReading]]:
    """Choose the meter that judges, with its reading of each side alone: the first in the plan's order that had a number for both,
    and one that measures rather than a coarse one.

    NoEnergyError where no meter qualifies: then no time is spent on pairs.
    """
    if deployment.board.emulated:
        raise NoEnergyError("an emulated machine draws this host's power, so it cannot stand for a board")
    if not deployment.meters:
        raise NoEnergyError(why_none(deployment))
    why = []
    for meter in sorted(deployment.meters, key=lambda each: each.quality != "measured"):
        readings = [reading for side in sides for reading in side.energy.readings if reading.meter == meter.name]
        valid = [reading for reading in readings if reading.net_j is not None and not reading.invalid]
        if meter.name in CLOCKLESS:
            why.append(f"{meter.name}: the clock of its file is not known while two files alternate")
        elif len(valid) == len(sides):
            return meter, valid
        else:
            said = dict.fromkeys(reading.invalid for reading in readings if reading.invalid)
            why.append(f"{meter.name}: {'; '.join(said) or 'it has no reading of each file alone'}")
    raise NoEnergyError(" | ".join(why))


def lengths_for(meter: DeployedMeter, readings: Sequence[EnergyReading], idle_s: float, rule: Rule) -> PairLengths:
    """Choose how long a pair must be, from this meter's `readings` of both files alone.

    A side lasts until what happened between two readings scatters so little that ten pairs show on which side of the limit an unchanged
    file is (with a margin below the limit: on which side of the margin a file is that is worse by the limit). The scatter of a side falls
    with the root of its time, and a ratio has that of both. A side is never longer than this meter needs for joules, which no ratio
    needs. A block is long enough for MAX_EDGE_RATIO of it to cover its edges.
    """
    edge_s = max(one.edge_s or 0.0 for one in readings) + (0.0 if meter.on_board else OTHER_CLOCK_S)
    least_s = max(LEAST_BLOCK_S, edge_s / MAX_EDGE_RATIO)
    side_s = least_window_s(meter.period_s, accumulates=meter.accumulates)
    allowed = _deviation(rule)
    if allowed > 0:
        side_s = min(side_s, sum(_variance_s(one) for one in readings) / allowed**2)
    side_s = max(side_s, 2 * CYCLES * LEAST_BLOCK_S)
    cycles = CYCLES if side_s >= 2 * CYCLES * least_s else 1
    block_s = max(least_s, side_s / (2 * cycles))
    shape = BlockLengths(cycles=cycles, min_ns=math.ceil(block_s * 1e9), min_runs=1, max_runs=MOST_RUNS)
    return PairLengths(shape=shape, idle_s=min(idle_s, max(LEAST_IDLE_S, IDLE_PERIODS * meter.period_s)))


def _deviation(rule: Rule) -> float:
    """The standard deviation of the pairs' log ratios with which the first look decides, with paired_test.POWER."""
    limit, margin = math.log1p(rule.limit), math.log1p(rule.margin)
    return (limit - margin if margin < limit else limit) / math.log1p(smallest_limit(1.0, rule.looks[0], rule))


def _variance_s(one: EnergyReading) -> float:
    """The variance of its relative net energy over one second."""
    if not (one.net and one.net_j and one.window_s):
        return math.inf
    return (one.net.sampling_j / one.net_j / T95_BATCHES) ** 2 * one.window_s


def _for_meter(launch: wire.Launch, meter: DeployedMeter, lengths: PairLengths) -> wire.Launch:
    changes = {
        "meters": (use_of(meter),) if meter.on_board else (),
        "idle_ns": round(lengths.idle_s * 1e9),
        "timeout_ns": launch.timeout_ns + round(lengths.pair_s * 1e9),
    }
    return wire.Launch(**{**vars(launch), **changes})


class Metered:
    """The pairs of two launches under one meter."""

    def __init__(self, experiment: Experiment, meter: DeployedMeter) -> None:
        self.experiment, self.meter = experiment, meter
        self.watch: Watch | None = None  # of the newest job
        self.joules: list[PairJoules] = []
        self.curves: list[PowerCurve | None] = []
        self.why: str | None = None  # the newest pair has no number

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        with Watch(self.experiment.session, self.experiment.plan, (self.meter,)) as self.watch:
            yield
            self.watch.ended()

    def ratio_of(self, answer: PairAnswer) -> float | None:
        """Return the log of candidate / baseline of a pair's joules. None where the pair has none, and `why` gives the reason."""
        try:
            self.joules.append(self._joules(answer))
        except NoEnergyError as error:
            self.why = str(error)
            return None
        return self.joules[-1].log_ratio

    def _joules(self, answer: PairAnswer) -> PairJoules:
        if isinstance(answer, wire.LaunchFailed):
            self.curves.append(None)
            raise NoEnergyError(evidence(answer))
        traces, sync = answer.power, SAME_CLOCK
        if not self.meter.on_board and self.watch is not None:
            traces, sync = self.watch.traces, self.watch.by_round_trips()
        if len(traces) != 1:
            self.curves.append(None)
            raise NoEnergyError("the agent sent no trace of the meter")
        self.curves.append(curve_of_pair(traces[0], answer, sync.offset_ns))
        return joules_of_pair(answer, traces[0], sync)
