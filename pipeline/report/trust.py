"""How far each number may be trusted, and what is printed in its place when it may not."""

import math
from collections.abc import Iterable

from pipeline import units
from pipeline.metrics import LATENCY
from pipeline.records import (
    Compared,
    Comparison,
    Doubt,
    EnergyPaired,
    Measurement,
    Outcome,
    Paired,
    RunRecord,
    Subject,
    Verdict,
)
from pipeline.report.view import Evidence, SharedDoubt
from pipeline.statistics.order import ENOUGH
from pipeline.statistics.paired_test import ALPHA

TRUSTED, DOUBTFUL, INVALID = "", "doubtful", "invalid"
WORSE = (TRUSTED, DOUBTFUL, INVALID)


class Trust:
    """The marks of one run's measurements, by subject; and its comparisons, none where it was not judged."""

    def __init__(self, run: RunRecord) -> None:
        self.compared = run.compared or Compared(verdicts=(), comparisons=(), outcome=Outcome.PASS)
        self.marks: dict[Subject, str] = {}
        self.measurements: dict[Subject, Measurement] = {}
        self.paired = {paired.subject: paired for paired in run.measured.paired}
        self.energy_paired = run.measured.energy_paired
        for measurement in run.measured.measurements:
            known = self.marks.get(measurement.subject, TRUSTED)
            self.marks[measurement.subject] = max(known, mark_of(measurement), key=WORSE.index)
            self.measurements[measurement.subject] = measurement

    def of_accuracy(self, *subjects: Subject | None) -> str:
        """The worst mark that the accuracy of these measurements has."""
        return max((self.about(each, "accuracy") for each in subjects), key=WORSE.index, default=TRUSTED)

    def about(self, subject: Subject | None, touches: str) -> str:
        """How far that number of this measurement may be trusted."""
        one = self.measurements.get(subject) if subject else None
        return mark_about(one.doubts, touches) if one else TRUSTED

    def of(self, subject: Subject | None) -> str:
        """A subject that was not measured is doubtful: there is nothing to look its doubts up in."""
        return self.marks.get(subject, DOUBTFUL) if subject else DOUBTFUL

    def of_pairs(self, paired: Paired) -> str:
        """What was measured in pairs is doubted for what happened in them, and for what either file is doubted for alone."""
        marks = (mark_about(paired.doubts), self.of(paired.subject), self.of(paired.baseline_subject))
        return max(marks, key=WORSE.index)

    def of_comparison(self, comparison: Comparison) -> str:
        """A ratio is worth what the worse of its two sides is worth."""
        own = TRUSTED if comparison.trusted else DOUBTFUL
        if comparison.subject in self.paired:
            own = max(own, mark_about(self.paired[comparison.subject].doubts), key=WORSE.index)
        return max(own, self.of(comparison.subject), self.of(comparison.baseline_subject), key=WORSE.index)

    def doubts_of(self, comparison: Comparison) -> str:
        """What the two sides, and their pairs, are doubted for, in short."""
        sides = [self.measurements.get(each) for each in (comparison.subject, comparison.baseline_subject)]
        found = [doubt for side in sides if side for doubt in side.doubts]
        found += self.paired[comparison.subject].doubts if comparison.subject in self.paired else ()
        return ", ".join(dict.fromkeys(doubt.what for doubt in found))

    def doubts_of_pairs(self, paired: Paired) -> list[Doubt]:
        """The doubts about its pairs and about either file alone."""
        return [*paired.doubts, *self._doubts_of_sides(paired)]

    def of_energy(self, paired: EnergyPaired) -> str:
        return mark_about([*paired.doubts, *self._doubts_of_sides(paired)], "energy")

    def _doubts_of_sides(self, paired: Paired | EnergyPaired) -> list[Doubt]:
        sides = [self.measurements.get(each) for each in (paired.subject, paired.baseline_subject)]
        return [doubt for side in sides if side for doubt in side.doubts]

    def verdict_of(
        self, paired: Paired | EnergyPaired, metric: str = LATENCY, percent: int | None = None
    ) -> Verdict | None:
        """The verdict on it by that limit. None: it was not judged by it."""
        found = (each for each in self.compared.verdicts if (each.subject, each.metric) == (paired.subject, metric))
        return next((each for each in found if each.percent == percent), None)

    def effect_of(self, paired: Paired) -> Comparison | None:
        """The comparison with its baseline. None: not compared yet."""
        return next((each for each in self.compared.comparisons if each.subject == paired.subject), None)

    def decides_nothing(self, comparison: Comparison) -> bool:
        """Whether its times are such that no difference between them may be reported."""
        sides = (self.measurements.get(each) for each in (comparison.subject, comparison.baseline_subject))
        return any(
            doubt.decides_nothing and doubt.touches == "latency" for side in sides if side for doubt in side.doubts
        )

    def has_interval(self, comparison: Comparison) -> bool:
        if comparison.pairs is not None:
            return comparison.latency_low > 0 and math.isfinite(comparison.latency_high)
        sides = (self.measurements.get(each) for each in (comparison.subject, comparison.baseline_subject))
        return all(side is not None and has_interval(side) for side in sides)


def asked_for(run: RunRecord) -> list[Measurement]:
    """What the plan asked to measure, without the models between two passes: those are in the ledger."""
    return [one for one in run.measured.measurements if not one.of_step]


def has_interval(measurement: Measurement) -> bool:
    """Whether `low_s` to `high_s` is a 95 % interval, and not just the smallest and largest of a few launches."""
    return measurement.latency.launches >= ENOUGH


def mark_of(measurement: Measurement) -> str:
    if not measurement.valid:
        return INVALID
    return TRUSTED if measurement.trusted else DOUBTFUL


def accuracy_mark_of(measurement: Measurement) -> str:
    return mark_about(measurement.doubts, "accuracy")


def mark_about(doubts: Iterable[Doubt], touches: str = "latency") -> str:
    found = [doubt for doubt in doubts if doubt.touches == touches]
    if any(doubt.invalid for doubt in found):
        return INVALID
    return DOUBTFUL if found else TRUSTED


def level_of(*, by_test: bool) -> str:
    """Word the level of the interval of a change. Where a test made it (of pairs, of memory), each of its ends is wrong in ALPHA of all cases at most."""
    return units.level(1 - 2 * ALPHA if by_test else 0.95)


def energy_mark_of(measurement: Measurement) -> str:
    """The mark of an energy that is shown; an invalid one never is."""
    return DOUBTFUL if any(doubt.touches == "energy" for doubt in measurement.doubts) else TRUSTED


def guarded(text: str, mark: str) -> str:
    """Return the text, marked where it is doubted; where it is invalid, no number at all."""
    if mark == INVALID:
        return INVALID
    return f"{text} ?" if mark == DOUBTFUL and text != units.UNKNOWN else text


def shared_doubts(found: list[tuple[str, Doubt]]) -> tuple[SharedDoubt, ...]:
    """Group (row, doubt): the same doubt once, the worst kind first; rows with the same evidence stand together."""
    groups: dict[tuple[bool, str, str], dict[str, list[str]]] = {}
    for row, doubt in found:
        rows = groups.setdefault((doubt.invalid, doubt.what, doubt.remedy), {}).setdefault(doubt.evidence, [])
        if row and row not in rows:
            rows.append(row)
    return tuple(
        SharedDoubt(
            what=what,
            invalid=invalid,
            remedy=remedy,
            cases=tuple(Evidence(rows=tuple(rows), evidence=evidence) for evidence, rows in cases.items()),
        )
        for (invalid, what, remedy), cases in sorted(groups.items(), key=lambda group: not group[0][0])
    )
