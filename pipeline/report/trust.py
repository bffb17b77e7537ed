"""How far each number may be trusted, and what is printed in its place when it may not."""

from pipeline import units
from pipeline.order_statistics import ENOUGH
from pipeline.records import Compared, Comparison, Doubt, Measurement, Outcome, RunRecord
from pipeline.report.view import Case, Objection

TRUSTED, DOUBTFUL, INVALID = "", "doubtful", "invalid"
WORSE = (TRUSTED, DOUBTFUL, INVALID)


class Trust:
    """The marks of one run's measurements, by label; and its comparisons, none where it was not judged."""

    def __init__(self, run: RunRecord) -> None:
        self.compared = run.compared or Compared(verdicts=(), comparisons=(), outcome=Outcome.PASS)
        self.marks: dict[str, str] = {}
        self.measurements: dict[str, Measurement] = {}
        for measurement in run.measured.measurements:
            known = self.marks.get(measurement.label, TRUSTED)
            self.marks[measurement.label] = max(known, mark_of(measurement), key=WORSE.index)
            self.measurements[measurement.label] = measurement

    def of_accuracy(self, *labels: str | None) -> str:
        """The worst mark that the accuracy of these measurements has."""
        found = [self.measurements[label] for label in labels if label in self.measurements]
        return max((accuracy_mark_of(one) for one in found), key=WORSE.index, default=TRUSTED)

    def of(self, label: str | None) -> str:
        """A label that nothing was measured under is doubtful: there is nothing to look its doubts up in."""
        return self.marks.get(label or "", DOUBTFUL)

    def of_comparison(self, comparison: Comparison) -> str:
        """A ratio is worth what the worse of its two sides is worth."""
        own = TRUSTED if comparison.trusted else DOUBTFUL
        return max(own, self.of(comparison.subject), self.of(comparison.baseline_subject), key=WORSE.index)

    def doubts_of(self, comparison: Comparison) -> str:
        """What the two sides are doubted for, in short."""
        sides = (self.measurements.get(label) for label in (comparison.subject, comparison.baseline_subject))
        return ", ".join(dict.fromkeys(doubt.what for side in sides if side for doubt in side.doubts))

    def decides_nothing(self, comparison: Comparison) -> bool:
        """Whether its times are such that no difference between them may be told."""
        sides = (self.measurements.get(label) for label in (comparison.subject, comparison.baseline_subject))
        return any(doubt.decides_nothing for side in sides if side for doubt in side.doubts)

    def has_interval(self, comparison: Comparison) -> bool:
        sides = (self.measurements.get(label) for label in (comparison.subject, comparison.baseline_subject))
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
    doubts = [doubt for doubt in measurement.doubts if doubt.touches == "accuracy"]
    if any(doubt.invalid for doubt in doubts):
        return INVALID
    return DOUBTFUL if doubts else TRUSTED


def energy_mark_of(measurement: Measurement) -> str:
    """Of the energies that are shown at all: an invalid one is not."""
    return DOUBTFUL if any(doubt.touches == "energy" for doubt in measurement.doubts) else TRUSTED


def guarded(text: str, mark: str) -> str:
    """Return the text, marked where it is doubted; where it is invalid, no number at all."""
    if mark == INVALID:
        return INVALID
    return f"{text} ?" if mark == DOUBTFUL and text != units.UNKNOWN else text


def objections(found: list[tuple[str, Doubt]]) -> tuple[Objection, ...]:
    """Group (row, doubt): the same doubt once, the worst kind first; rows with the same evidence stand together."""
    groups: dict[tuple[bool, str, str], dict[str, list[str]]] = {}
    for row, doubt in found:
        rows = groups.setdefault((doubt.invalid, doubt.what, doubt.remedy), {}).setdefault(doubt.evidence, [])
        if row and row not in rows:
            rows.append(row)
    return tuple(
        Objection(
            what=what,
            invalid=invalid,
            remedy=remedy,
            cases=tuple(Case(rows=tuple(rows), evidence=evidence) for evidence, rows in cases.items()),
        )
        for (invalid, what, remedy), cases in sorted(groups.items(), key=lambda group: not group[0][0])
    )
