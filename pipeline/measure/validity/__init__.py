"""Why a measurement should not be trusted, read from what the agent saw around it. Doubt is a result.

A rule is a function from an Observed to a Doubt or None, and one line of RULES (docs/tuning.md describes them). docs/add-a-doubt.md lists the doubts
that are raised elsewhere, because they need more than an Observed.
"""

from collections.abc import Callable, Sequence

from device_agent.wire import Launched, Paired
from pipeline.measure.validity import board, contention, identity, steadiness
from pipeline.measure.validity.evidence import Expected, Observed, alone, in_pairs
from pipeline.records import BoardFacts, Doubt, Latency

__all__ = ["RULES", "Expected", "Observed", "alone", "doubts_of", "doubts_of_board", "doubts_of_pairs", "in_pairs"]

RULES: dict[str, Callable[[Observed], Doubt | None]] = {
    "throttled": board.throttled,
    "under-voltage": board.undervoltage,
    "clocks differ": board.clocks_differ,
    "below its clock": board.below_pinned,
    "governor changed": board.governor,
    "clock limits changed": board.clock_limits,
    "power mode changed": board.power_mode,
    "clock stepped": board.clock_stepped,
    "swapped": board.swapped,
    "another file": identity.other_file,
    "another runtime": identity.other_runtime,
    "golden differs": identity.golden_differs,
    "fell back": identity.fell_back,
    "not accelerated": identity.not_accelerated,
    "contended": contention.contended,
    "short of memory": contention.short_of_memory,
    "clock drifts": board.clock_drifts,
    "warmed up": board.warmed_up,
    "times all the same": steadiness.times_all_the_same,
    "never steady": steadiness.never_steady,
    "few launches": steadiness.few_launches,
    "launches disagree": steadiness.launches_disagree,
}
"""By the name of the doubt that each raises."""

NOTHING = Expected()


def doubts_of(launches: Sequence[Launched], latency: Latency, what: Expected = NOTHING) -> tuple[Doubt, ...]:
    """About one file in one runtime, measured alone."""
    return _doubts(alone(tuple(launches), latency, what))


def doubts_of_pairs(
    pairs: Sequence[Paired], baseline: Expected = NOTHING, candidate: Expected = NOTHING
) -> tuple[Doubt, ...]:
    """About a baseline and a candidate that took turns: an invalid one forbids the verdict."""
    return _doubts(in_pairs(tuple(pairs), baseline, candidate)) if pairs else ()


def _doubts(observed: Observed) -> tuple[Doubt, ...]:
    return tuple(doubt for rule in RULES.values() if (doubt := rule(observed)) is not None)


def doubts_of_board(where: BoardFacts) -> tuple[Doubt, ...]:
    """Return what is doubted whatever was seen while measuring, because of where it was measured."""
    if not where.emulated:
        return ()
    return (
        Doubt(
            what="emulated",
            evidence="the processor is emulated by a program: its times are of that program, not of a board",
            remedy="Measure on a real board. Accuracy and size are judged here as on any other board.",
            decides_nothing=True,
        ),
    )
