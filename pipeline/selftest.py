"""How often is the verdict wrong on this board? Trials of a file against itself, and against itself made slower by arithmetic."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from statistics import median, stdev

from device_agent import wire
from pipeline.decision import POWER, Rule, detectable, judged
from pipeline.errors import StageError
from pipeline.measure.paired import Traces, shape_of, until_decided
from pipeline.order_statistics import proportion_interval
from pipeline.progress import Progress
from pipeline.records import Outcome, Record
from targets import Session

SLOWDOWNS = (0.0, 0.02, 0.03, 0.05, 0.10)
"""Injected into every recorded time of the candidate, as shares. 0: nothing changed, and every REGRESSED is a false alarm."""


class Rate(Record, frozen=True):
    """What the verdicts were on one slowdown. `low` and `high`: exact 95 % interval of the share that was REGRESSED."""

    slowdown: float
    trials: int
    regressed: int
    passed: int
    inconclusive: int
    regressed_low: float
    regressed_high: float
    passed_high: float


class SelfTest(Record, frozen=True):
    board: str
    address: str
    model_sha256: str
    runtime: str
    runtime_version: str
    latency_s: float
    created_utc: str
    margin: float
    limit: float
    rates: tuple[Rate, ...]
    deviation: float  # of one pair's log ratio
    detectable: float  # by the first look, after 10 pairs
    detectable_last: float  # by the last look
    seconds_median: float  # of a verdict on an unchanged file
    seconds_longest: float
    invalid: int  # trials that the board was not fit for


def trials(
    session: Session, launch: wire.Launch, latency_s: float, rule: Rule, number: int, seed: int, progress: Progress,
    slower: wire.Launch | None = None,
) -> Iterator[Traces]:  # fmt: skip
    """Each trial measures until the verdict on every slowdown is known; `slower`, another file, is judged as it is."""
    factors = (0.0,) if slower else tuple(math.log1p(share) for share in SLOWDOWNS)
    for trial in range(number):
        traces = until_decided(
            session, launch, slower or launch, shape_of(latency_s), [rule], seed + trial, "selftest",
            lambda done, trial=trial: progress.step(  # type: ignore[misc]
                trial * rule.looks[-1] + done, number * rule.looks[-1], f"trial {trial + 1} of {number}"
            ),
            factors,
        )  # fmt: skip
        session.forget_fetched()
        if traces.failed:
            raise StageError(
                f"the file does not run on this board: {traces.failed.error} in phase {traces.failed.phase}: "
                f"{traces.failed.message}",
                hint="Choose another --runtime or --model.",
            )
        yield traces


def rates(ratios: Sequence[Sequence[float]], rule: Rule, slowdowns: Sequence[float] = SLOWDOWNS) -> tuple[Rate, ...]:
    """The verdicts on the log ratios of each trial, slowed down by each share."""
    found = []
    for share in slowdowns:
        outcomes = [judged([ratio + math.log1p(share) for ratio in trial], rule) for trial in ratios]
        regressed, passed = outcomes.count(Outcome.REGRESSED), outcomes.count(Outcome.PASS)
        low, high = proportion_interval(regressed, len(outcomes))
        found.append(
            Rate(
                slowdown=share, trials=len(outcomes), regressed=regressed, passed=passed,
                inconclusive=len(outcomes) - regressed - passed, regressed_low=low, regressed_high=high,
                passed_high=proportion_interval(passed, len(outcomes))[1],
            )
        )  # fmt: skip
    return tuple(found)


def summary(
    session: Session,
    launch: wire.Launch,
    latency_s: float,
    version: str,
    rule: Rule,
    found: Sequence[Traces],
    invalid: int,
) -> SelfTest:
    ratios = [trace.log_ratios for trace in found]
    deviation = stdev(ratio for trial in ratios for ratio in trial)
    seconds = [seconds_of(trace, rule) for trace in found]
    return SelfTest(
        board=session.machine.model or session.machine.cpu or session.machine.arch,
        address=session.address,
        model_sha256=launch.model_sha256,
        runtime=launch.runtime,
        runtime_version=version,
        latency_s=latency_s,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        margin=rule.margin,
        limit=rule.limit,
        rates=rates(ratios, rule),
        deviation=deviation,
        detectable=detectable(deviation, rule.looks[0], rule),
        detectable_last=detectable(deviation, rule.looks[-1], rule),
        seconds_median=median(seconds),
        seconds_longest=max(seconds),
        invalid=invalid,
    )


def seconds_of(traces: Traces, rule: Rule) -> float:
    """What the verdict on the unchanged file took: a trial goes on for the slowdowns, too."""
    needed = next(
        (look for look in rule.looks if judged(traces.log_ratios[:look], rule) is not Outcome.INCONCLUSIVE),
        len(traces.log_ratios),
    )
    return traces.seconds * min(1.0, needed / len(traces.log_ratios))


def resolved(found: Sequence[Rate]) -> float | None:
    """The smallest slowdown that was caught as often as POWER asks; None: not even the largest."""
    return next((rate.slowdown for rate in found if rate.slowdown and rate.regressed >= POWER * rate.trials), None)
