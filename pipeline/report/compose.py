"""A RunRecord -> the View that every renderer shows. Numbers become text in pipeline.units and nowhere else."""

from collections.abc import Callable

from pipeline import units
from pipeline.records import Comparison, Doubt, Energy, Measurement, Outcome, RunRecord, Verdict
from pipeline.report import findings
from pipeline.report.tables import details, energy, ledger, operators, pairs, sensitivity
from pipeline.report.trust import (
    DOUBTFUL,
    INVALID,
    TRUSTED,
    WORSE,
    Trust,
    accuracy_mark_of,
    asked_for,
    energy_mark_of,
    guarded,
    has_interval,
    level_of,
    mark_about,
    mark_of,
    objections,
)
from pipeline.report.view import Column, Limit, Line, Table, View, cleaned
from pipeline.statistics.order import ENOUGH

NOT_JUDGED = "NOT JUDGED"  # not PASS: nothing was held against anything

Text = Callable[[float | None], str]
# metric of a verdict -> how its baseline and candidate, its change, and its limit become text. Levels are as in the
# records (ratio, seconds, bytes); changes and limits are in the metric's own unit: points; a ratio less 1; bytes.
METRICS: dict[str, tuple[Text, Text, Text]] = {
    "accuracy_drop_points": (units.percent, units.points, units.points),
    "latency_regression": (units.seconds, units.percent_change, units.percent_change),
    "latency_tail": (units.seconds, units.percent_change, units.percent_change),
    "energy_regression": (units.energy, units.percent_change, units.percent_change),
    "memory_growth_bytes": (units.size, units.size_change, units.size_change),
    "memory_peak_bytes": (units.size, units.size_change, units.size_change),
    "size_bytes": (units.size, lambda _: units.UNKNOWN, units.size),  # exact and absolute: its change decides nothing
}

RESULTS = (
    Column(heading="#", number=True),
    Column(heading="file"),
    Column(heading="runtime", under=True),
    Column(heading="size", number=True),
    Column(heading="smaller", number=True),
    Column(heading="accuracy", number=True),
    Column(heading="lost", number=True),
    Column(heading="differs from host", number=True, brief=False),
    Column(heading="latency", number=True),
    Column(heading="95 % interval", number=True, under=True, brief=False),
    Column(heading="x time", number=True),
    Column(heading="its interval", number=True, under=True, brief=False),
    Column(heading="cold start", number=True, brief=False),
    Column(heading="memory", number=True),
    Column(heading="model memory", number=True, brief=False),
    Column(heading="energy", number=True),
)


def view_of(run: RunRecord) -> View:
    """Everything that a report says, in words. The only reader of a RunRecord apart from the pictures."""
    trust = Trust(run)
    judged = bool(trust.compared.verdicts) or trust.compared.outcome is not Outcome.PASS
    view = View(
        model=f"{run.loaded.model.name}.{run.loaded.model.artifact.format}",
        board=run.deployment.where,
        caveat=_caveat(run),
        outcome=trust.compared.outcome if judged else NOT_JUDGED,
        headline=findings.headline(run, trust),
        origin=f"run {run.run_id} of {run.created_utc}, plan {run.plan_path}, edgepress {run.edgepress_version}",
        results=_results(run, trust),
        limits=tuple(_limit(verdict, trust) for verdict in trust.compared.verdicts),
        findings=findings.findings(run, trust),
        failures=objections(
            [
                (one.label, Doubt(what="could not be measured on this board", evidence=one.evidence, remedy=one.remedy))
                for one in (*run.measured.failures, *run.measured.unpaired)
            ]
        ),
        doubts=objections(
            [(measurement.label, doubt) for measurement in run.measured.measurements for doubt in measurement.doubts]
            + [
                (f"{paired.subject}, beside its baseline", doubt)
                for paired in run.measured.paired
                for doubt in paired.doubts
            ]
            + [
                (f"{turns.subject}, beside its baseline", doubt)
                for turns in run.measured.energy_paired
                for doubt in turns.doubts
            ]
        ),
        judged=pairs.judged(trust),
        quantiles=pairs.quantiles(trust),
        ledger=ledger.ledger(run, trust),
        sensitivity=sensitivity.table(run),
        conversions=details.conversions(run),
        passes=details.passes(run),
        notes=details.notes(run),
        latency=details.latency(run),
        memory=details.memory(run),
        operators=operators.table(run),
        energy=energy.table(run),
        board_facts=details.board_facts(run),
        conditions=details.conditions(run),
        runtimes=details.runtimes(run),
        method=details.method(run, pairs.method(run)),
        stages=details.stages(run),
    )
    return cleaned(view)


def _caveat(run: RunRecord) -> str:
    """What a reader must know before any number: it was no board, or not the one that was asked for."""
    deployment = run.deployment
    kind = ""
    if deployment.board.emulated:
        kind = (
            f"{deployment.target}: an emulated machine, not a board. Every time in this report is the emulator's: it says "
            "nothing of a board, and no limit on latency is judged by it. Accuracy and size are those of a real ARM system."
        )
    elif not deployment.board.is_board:
        kind = (
            f"{deployment.target}: this machine, not a board. Latency, memory and energy are those of this machine and say "
            "nothing of the board that will run the model."
        )
    return " ".join(filter(None, (kind, deployment.note)))


def _results(run: RunRecord, trust: Trust) -> Table:
    comparisons = {comparison.subject: comparison for comparison in trust.compared.comparisons}
    baselines = {comparison.baseline_subject for comparison in trust.compared.comparisons}
    lines = tuple(
        _line(
            number,
            measurement,
            comparisons.get(measurement.label),
            trust,
            is_baseline=measurement.label in baselines,
        )
        for number, measurement in enumerate(asked_for(run), start=1)
    )
    marks = {line.mark for line in lines}
    note = "Lost: points of accuracy against the baseline. Latency: one inference, batch 1, the median over launches. "
    note += "x time: the ratio to the baseline in the same runtime, by pairs where a limit judges it, else by the launches' 10th percentiles. Cold start: from the "
    note += "start of the process to its first answer, files in the page cache. Memory: the peak of the process; model memory: what the model adds to it. Energy: net, of one inference, with its 95 % uncertainty."
    if not all(has_interval(measurement) for measurement in asked_for(run)):
        note += f" No interval: {units.count(ENOUGH)} launches are needed for one of 95 %."
    if DOUBTFUL in marks:
        note += ' A number followed by "?" is doubted: see the doubts.'
    if INVALID in marks:
        note += ' "invalid": it was measured, but must not be used, so it is not printed: see the doubts.'
    return Table(title=f"Measured on {findings.place(run)}", columns=RESULTS, lines=lines, note=note if lines else "")


def _line(
    number: int, measurement: Measurement, comparison: Comparison | None, trust: Trust, *, is_baseline: bool
) -> Line:
    mark, accuracy_mark = mark_of(measurement), accuracy_mark_of(measurement)
    none = "baseline" if is_baseline else units.UNKNOWN
    smaller, lost, ratio, ratio_interval = none, units.UNKNOWN, none, units.UNKNOWN
    if comparison is not None:
        paired = trust.of_comparison(comparison)
        smaller = units.smaller(comparison.size_ratio)
        doubted = trust.of_accuracy(comparison.subject, comparison.baseline_subject)
        lost = guarded(units.points(comparison.accuracy_drop_points), doubted)
        ratio = guarded(units.change(comparison.latency_ratio), paired)
        if trust.has_interval(comparison):
            ends = units.change_interval(comparison.latency_low, comparison.latency_high)
            ratio_interval = guarded(f"{ends} ({level_of(by_test=comparison.pairs is not None)})", paired)
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
            ratio,
            ratio_interval,
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


def _limit(verdict: Verdict, trust: Trust) -> Limit:
    """Latency is as trusted as its measurements; where the verdict itself is INVALID nothing of it is printed."""
    mark = baseline_mark = TRUSTED
    if verdict.outcome is Outcome.INVALID:
        mark = baseline_mark = INVALID
    elif verdict.metric in {"latency_regression", "latency_tail"}:
        mark, baseline_mark = trust.of(verdict.subject), trust.of(verdict.baseline_subject)
        paired = trust.paired.get(verdict.subject)
        mark = max(mark, mark_about(paired.doubts if paired else ()), key=WORSE.index)
    elif verdict.metric == "accuracy_drop_points":
        mark, baseline_mark = trust.of_accuracy(verdict.subject), trust.of_accuracy(verdict.baseline_subject)
    elif verdict.metric == "energy_regression":
        mark, baseline_mark = trust.about(verdict.subject, "energy"), trust.about(verdict.baseline_subject, "energy")
    elif verdict.metric.startswith("memory_"):
        mark, baseline_mark = trust.about(verdict.subject, "memory"), trust.about(verdict.baseline_subject, "memory")
    by_test = verdict.pairs is not None or verdict.metric.startswith("memory_")
    change_mark = INVALID if INVALID in {mark, baseline_mark} else mark or baseline_mark
    level, difference, limit = METRICS.get(verdict.metric, (units.number, units.number, units.number))
    interval = f"{difference(verdict.low)} to {difference(verdict.high)}" if verdict.low != verdict.high else ""
    return Limit(
        outcome=verdict.outcome,
        subject=verdict.subject,
        metric=verdict.metric + (f" (p{units.count(verdict.percent)})" if verdict.percent else ""),
        baseline_subject=verdict.baseline_subject or "",
        baseline=guarded(level(verdict.baseline), baseline_mark) if verdict.baseline is not None else units.UNKNOWN,
        candidate=guarded(level(verdict.candidate), mark),
        change=guarded(difference(verdict.change), change_mark),
        interval=f"{level_of(by_test=by_test)}: {guarded(interval, change_mark)}"
        if interval and change_mark != INVALID
        else "",
        limit=limit(verdict.limit),
        why=verdict.why,
    )
