"""Which measured file is judged, and against which: both `measure`, which pairs them, and `compare` must know."""

from collections.abc import Iterator, Sequence

from pipeline.plan import Plan
from pipeline.records import Measurement, NotMeasured


def baseline_of(candidate: Measurement, measurements: Sequence[Measurement]) -> Measurement | None:
    """Return the plan's baseline file in the same runtime if there is one, else the uncompressed float file of the same family, else, of a
    compressed file that runs as it is, the file as it was given.
    """
    same = [each for each in measurements if (each.runtime, each.threads) == (candidate.runtime, candidate.threads)]
    named = next((each for each in same if each.variant == "baseline"), None)
    original = [each for each in same if each.variant == "original"]
    fp32 = next((each for each in original if each.format.endswith("-fp32")), None)
    as_given = next(
        (each for each in original if candidate.variant == "compressed" and each.format == candidate.format), None
    )
    return named or fp32 or as_given


def is_judged(plan: Plan, one: Measurement | NotMeasured) -> bool:
    """Whether the limits are about this file: one that was asked for, not one that was made only to compare with or for a sweep."""
    if one.swept:
        return False
    formats, limits = plan.tables.convert.formats, plan.tables.limits
    wanted = one.variant == ("compressed" if plan.tables.compress else "original") and one.format in (
        formats or (one.format,)
    )
    return wanted and (
        not limits.applies_to or bool({one.format, f"{one.format}@{one.runtime}"} & set(limits.applies_to))
    )


def with_baselines(plan: Plan, measurements: Sequence[Measurement]) -> Iterator[tuple[int, Measurement, Measurement]]:
    """Yield (index, candidate, baseline) for each judged file that has another file as its baseline."""
    for place, one in enumerate(measurements):
        baseline = baseline_of(one, measurements)
        if baseline is not None and baseline is not one and is_judged(plan, one):
            yield place, one, baseline
