"""Baseline and candidate interleaved on the board: pairs of fresh processes, block by block, until a look decides."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import msgspec

from device_agent import wire
from pipeline.errors import StageError
from pipeline.measure.pairs.ratio import log_ratio
from pipeline.statistics.paired_test import Rule, decide
from targets import Session
from targets.session import NO_COOLING, Cooling

BLOCK_NS = 20_000_000  # long compared with a hand-over, short compared with any drift
CYCLES, RUNS = 10, 5
MAX_RUNS = 2000  # of one block: enough for a 10th percentile of a model of 10 microseconds
# one inference: above these a pair has fewer cycles, so that a verdict takes minutes and not hours
SLOW_S, SLOWEST_S = 0.02, 0.2
MAX_KEPT = 2 * CYCLES * MAX_RUNS  # all of a pair for latency; a pair for the meters counts more than it keeps

PairAnswer = wire.Paired | wire.LaunchFailed
RatioOf = Callable[[PairAnswer], float | None]
"""The log of candidate / baseline of a pair. None: it has none, and no further pair is measured."""
JobContext = Callable[[], AbstractContextManager[object]]
"""Makes a context in which one job of pairs runs."""


class BlockLengths(msgspec.Struct, frozen=True, kw_only=True):
    """How long a pair's blocks are. The same for both sides, so that nothing but the file differs."""

    cycles: int
    min_ns: int
    min_runs: int
    max_runs: int

    @property
    def runs(self) -> int:
        """The most of one side whose times are kept."""
        return min(MAX_KEPT, 2 * self.cycles * self.max_runs)


def block_lengths_for(latency_s: float) -> BlockLengths:
    """The shape for `latency_s`, one inference of the slower side."""
    if latency_s > SLOWEST_S:
        return BlockLengths(cycles=4, min_ns=0, min_runs=1, max_runs=2)
    if latency_s > SLOW_S:
        return BlockLengths(cycles=6, min_ns=0, min_runs=3, max_runs=3)
    runs = max(RUNS, min(MAX_RUNS, round(2 * BLOCK_NS / 1e9 / max(latency_s, 1e-9))))
    return BlockLengths(cycles=CYCLES, min_ns=BLOCK_NS, min_runs=RUNS, max_runs=runs)


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """Two launches to compare in pairs, and what decides that they are enough."""

    baseline: wire.Launch
    candidate: wire.Launch
    shape: BlockLengths
    rules: tuple[Rule, ...]  # with the same looks; each has to decide
    seed: int  # of the orders
    label: str  # of the jobs on the board
    factors: tuple[float, ...] = (
        0.0,
    )  # logs: each rule has to decide for the candidate slowed down by each, in arithmetic
    cooling: Cooling = NO_COOLING

    @property
    def looks(self) -> tuple[int, ...]:
        return self.rules[0].looks

    def pairs(self, number: int, shuffle: random.Random) -> tuple[wire.Pair, ...]:
        """Draw `number` pairs, each started and alternated in a random order of its own: that makes the test exact."""
        shape = self.shape
        a, b = (
            wire.Launch(**{**vars(launch), "mode": "turns", "timed_max_runs": shape.runs})
            for launch in (self.baseline, self.candidate)
        )
        return tuple(
            wire.Pair(
                a=a,
                b=b,
                starts=shuffle.choice(("AB", "BA")),
                cycles=tuple(shuffle.choice(("ABBA", "BAAB")) for _ in range(shape.cycles)),
                block_min_ns=shape.min_ns,
                block_min_runs=shape.min_runs,
                block_max_runs=shape.max_runs,
            )
            for _ in range(number)
        )

    def decided(self, log_ratios: Sequence[float]) -> bool:
        """Whether this look, or one before it, has decided for every rule and factor."""
        return all(
            _known([ratio + factor for ratio in log_ratios], rule) for rule in self.rules for factor in self.factors
        )


def _known(log_ratios: Sequence[float], rule: Rule) -> bool:
    return any(decide(log_ratios[:look], rule) is not None for look in rule.looks if look <= len(log_ratios))


class MeasuredPairs(msgspec.Struct, frozen=True, kw_only=True):
    """The pairs that were measured until a look decided."""

    answers: tuple[PairAnswer, ...]
    log_ratios: tuple[float, ...]  # empty where a pair failed
    seconds: float

    @property
    def failed(self) -> wire.LaunchFailed | None:
        return next((answer for answer in self.answers if isinstance(answer, wire.LaunchFailed)), None)

    @property
    def paired(self) -> tuple[wire.Paired, ...]:
        return tuple(answer for answer in self.answers if isinstance(answer, wire.Paired))


def latency_ratio_of(answer: PairAnswer) -> float | None:
    """Return the log ratio of the latencies. None for a pair that failed; StageError for one that cannot be read."""
    if isinstance(answer, wire.LaunchFailed):
        return None
    try:
        return log_ratio(answer)
    except (ValueError, KeyError) as error:
        raise StageError(
            f"the agent sent a pair that cannot be read: {error}", hint="Run again; report it if it happens twice."
        ) from error


def until_decided(
    session: Session,
    pairing: Pairing,
    on_pair: Callable[[int], None],
    ratio_of: RatioOf = latency_ratio_of,
    around: JobContext = nullcontext,
) -> MeasuredPairs:
    """Measure until every rule has decided, or a pair has no ratio. `on_pair` is called with the number of pairs so far; the job of
    each look runs in a context of `around`.
    """
    began = time.monotonic()
    ratios: list[float] = []
    answers: list[PairAnswer] = []
    for answers in look_by_look(session, pairing, on_pair, around):
        for answer in answers[len(ratios) :]:
            ratio = ratio_of(answer)
            if ratio is None:
                break
            ratios.append(ratio)
        if len(ratios) < len(answers):
            ratios = []
            break
        if pairing.decided(ratios):
            break
    return MeasuredPairs(answers=tuple(answers), log_ratios=tuple(ratios), seconds=time.monotonic() - began)


def look_by_look(
    session: Session, pairing: Pairing, on_pair: Callable[[int], None], around: JobContext = nullcontext
) -> Iterator[list[PairAnswer]]:
    """Yield all answers so far, at each look; the caller stops when they are enough."""
    shuffle = random.Random(pairing.seed)  # noqa: S311 - an order, not a secret
    cooling = pairing.cooling
    answers: list[PairAnswer] = []
    for look in pairing.looks:
        wanted = pairing.pairs(look - len(answers), shuffle)
        with around():
            job_id = session.submit((), pairing.label, wanted, cooling)
            for record in session.follow(job_id):
                if isinstance(record, wire.Paired | wire.LaunchFailed):
                    answers.append(record)
                    on_pair(len(answers))
        if len(answers) != look:
            raise StageError(
                f"the agent finished with {len(answers)} of {look} pairs",
                hint="Run again; report it if it happens twice.",
            )
        yield answers
        first = answers[0]
        if cooling.limit_ns and cooling.from_mc is None and isinstance(first, wire.Paired):
            # One band for all pairs. The board is not asked now: a job that is found again has to be the same
            cooling = cooling._replace(from_mc=first.a.before.temperature_mc)
