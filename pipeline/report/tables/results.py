"""What was measured: a line for each file in each runtime that the plan asked for."""

from pipeline import units
from pipeline.records import Comparison, Energy, Measurement, RunRecord
from pipeline.report.tables.board_facts import place
from pipeline.report.tables.tensors import one_inference
from pipeline.report.trust import (
    DOUBTFUL,
    INVALID,
    Trust,
    accuracy_mark_of,
    asked_for,
    energy_mark_of,
    guarded,
    has_interval,
    level_of,
    mark_of,
)
from pipeline.report.view import Column, Line, Shown, Table, Topic
from pipeline.statistics.order import ENOUGH

TOPIC = Topic.RESULTS
SHOWN = Shown.FIRST
COLUMNS = (
    Column(heading="#", number=True, compact=False),
    Column(heading="file"),
    Column(heading="runtime", under=True),
    Column(heading="size", number=True),
    Column(heading="size change", number=True),
    Column(heading="accuracy", number=True),
    Column(heading="lost", number=True),
    Column(heading="differs from host", number=True, brief=False, compact=False),
    Column(heading="latency", number=True),
    Column(heading="95 % interval", number=True, under=True, brief=False),
    Column(heading="speed", number=True),
    Column(heading="its interval", number=True, under=True, brief=False, compact=False),
    Column(heading="cold start", number=True, brief=False, compact=False),
    Column(heading="memory", number=True, compact=False),
    Column(heading="model memory", number=True, brief=False, compact=False),
    Column(heading="energy", number=True, compact=False),
)


def table(run: RunRecord, trust: Trust) -> Table:
    """A line for each, compared with its baseline where it has one."""
    comparisons = {comparison.subject: comparison for comparison in trust.compared.comparisons}
    baselines = {comparison.baseline_subject for comparison in trust.compared.comparisons}
    lines = tuple(
        _line(
            number,
            measurement,
            comparisons.get(measurement.subject),
            trust,
            is_baseline=measurement.subject in baselines,
        )
        for number, measurement in enumerate(asked_for(run), start=1)
    )
    marks = {line.mark for line in lines}
    note = f"Lost: points of accuracy against the baseline. Latency: {one_inference(run)}, the median over launches. "
    note += "Speed: against the baseline in the same runtime, by pairs where a limit judges it, else by the launches' 10th percentiles. Cold start: from the "
    note += f"start of the process to its first answer, files in the page cache. Memory: the peak of the process; model memory: what the model adds to it. Energy: net, of {one_inference(run)}, with its 95 % uncertainty."
    if not all(has_interval(measurement) for measurement in asked_for(run)):
        note += f" No interval: {units.count(ENOUGH)} launches are needed for one of 95 %."
    if DOUBTFUL in marks:
        note += ' A number followed by "?" is doubted: see the doubts.'
    if INVALID in marks:
        note += ' "invalid": it was measured, but must not be used, so it is not printed: see the doubts.'
    return Table(title=f"Measured on {place(run)}", columns=COLUMNS, lines=lines, note=note if lines else "")


def _line(
    number: int, measurement: Measurement, comparison: Comparison | None, trust: Trust, *, is_baseline: bool
) -> Line:
    mark, accuracy_mark = mark_of(measurement), accuracy_mark_of(measurement)
    none = "baseline" if is_baseline else units.UNKNOWN
    smaller, lost, speed, speed_interval = none, units.UNKNOWN, none, units.UNKNOWN
    if comparison is not None:
        paired = trust.of_comparison(comparison)
        smaller = units.smaller(comparison.size_ratio)
        doubted = trust.of_accuracy(comparison.subject, comparison.baseline_subject)
        lost = guarded(units.points(comparison.accuracy_drop_points), doubted)
        speed = guarded(units.faster(comparison.latency_ratio), paired)
        if trust.has_interval(comparison):
            ends = units.faster_interval(comparison.latency_low, comparison.latency_high)
            speed_interval = guarded(f"{ends} ({level_of(by_test=comparison.pairs is not None)})", paired)
    accuracy, latency, memory = measurement.accuracy, measurement.latency, measurement.memory
    return Line(
        mark=mark,
        cells=(
            units.count(number),
            measurement.file,
            measurement.runtime,
            units.size(measurement.artifact.size_bytes),
            smaller,
            guarded(units.percent(accuracy.accuracy_ratio if accuracy else None), accuracy_mark),
            lost,
            units.percent(accuracy.differs_from_host_ratio if accuracy else None),
            guarded(units.seconds(latency.median_s), mark),
            guarded(units.interval(latency.low_s, latency.high_s), mark)
            if has_interval(measurement)
            else units.UNKNOWN,
            speed,
            speed_interval,
            guarded(units.seconds(measurement.cold_start_s), mark),
            units.size(memory.peak_bytes),
            units.size(memory.model_anonymous_bytes),
            _energy(measurement.energy, energy_mark_of(measurement)),
        ),
    )


def _energy(measured: Energy, mark: str) -> str:
    """Net energy of one inference by the best meter."""
    best = measured.best
    if best is None or best.net is None:
        return (
            INVALID
            if measured.readings
            else "no meter"
            if measured.note.startswith("no power meter")
            else "not measured"
        )
    coarse = " (coarse)" if best.quality != "measured" else ""
    return guarded(units.energy_within(best.net_j, best.net.total_j) + coarse, mark)
