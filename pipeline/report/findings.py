"""What the numbers say, in sentences. A sentence claims a difference only where the interval shows one."""

from pipeline import units
from pipeline.records import Comparison, Energy, Measurement, Outcome, RunRecord
from pipeline.report.tables import ledger, quality
from pipeline.report.tables.board_facts import place
from pipeline.report.tables.tensors import LONGEST_NAME
from pipeline.report.trust import DOUBTFUL, INVALID, TRUSTED, Trust, asked_for, guarded, has_interval, level_of, mark_of
from pipeline.report.view import Finding
from pipeline.safe_text import shortened
from pipeline.statistics.order import ENOUGH

BETTER, WORSE, NEUTRAL = "better", "worse", "neutral"


def headline(run: RunRecord, trust: Trust) -> str:
    """One or two sentences: what became of the limits, and what was gained."""
    return " ".join(sentence for sentence in (_withheld(run), _judged(run, trust), _gained(trust)) if sentence)


def _withheld(run: RunRecord) -> str:
    """What forbids that the run is PASS, whatever the limits say."""
    files = [one.label for one in asked_for(run) if any(doubt.withholds == "run" for doubt in one.doubts)]
    what = dict.fromkeys(doubt.what for one in asked_for(run) for doubt in one.doubts if doubt.withholds == "run")
    return (
        f"Not a success, because of {', '.join(what)} of {', '.join(dict.fromkeys(files))}: see the doubts."
        if files
        else ""
    )


def findings(run: RunRecord, trust: Trust) -> tuple[Finding, ...]:
    """What the model itself is, such as one that keeps a state; speed against the baselines, the fastest, accuracy, energy."""
    told = (Finding(tone=NEUTRAL, text=f"{run.loaded.model.name}: {note}") for note in run.loaded.notes)
    passes = ", ".join(
        report.name
        for number, report in enumerate(run.compressed.passes, start=1)
        if not ledger.changed_nothing(run, number)
    )
    known = [one for one in trust.compared.comparisons if not _unknown(one, trust)]
    speed = [_speed(comparison, trust, place(run), passes) for comparison in known]
    kinds = (Finding(tone=NEUTRAL, text=note) for note in trust.compared.notes)
    others = (*kinds, *_not_known(trust), _fastest(run), _accuracy(trust), _differs(run), _apart(run), _energy(run))
    return (
        *told,
        *speed,
        *ledger.findings(run, trust),
        *quality.findings(run, trust),
        *(finding for finding in others if finding is not None),
    )


def _judged(run: RunRecord, trust: Trust) -> str:
    if not run.measured.measurements:
        return f"Nothing could be measured: {units.counted(len(run.measured.failures), 'failure')}."
    if run.compared is None:
        return "Measured, not judged yet."
    verdicts = run.compared.verdicts
    if not verdicts:
        return "No limit was judged: the plan sets none, or none applies to what was measured."
    broken = [verdict for verdict in verdicts if verdict.outcome is not Outcome.PASS]
    if not broken:
        return "The limit holds." if len(verdicts) == 1 else f"All {units.count(len(verdicts))} limits hold."
    worst = next((verdict for verdict in broken if verdict.outcome is trust.compared.outcome), broken[0])
    others = f", and {units.count(len(broken) - 1)} more" if len(broken) > 1 else ""
    return (
        f"{units.count(len(broken))} of {units.counted(len(verdicts), 'limit')} not passed: "
        f"{worst.metric} of {worst.subject.label} is {worst.outcome}{others}."
    )


def _gained(trust: Trust) -> str:
    """The fastest gain that can be trusted, else the fastest that is doubted, else the smallest file."""
    known = trust.compared.comparisons
    shown = [one for one in known if not _unknown(one, trust) and one.latency_high < 1]
    if shown:
        best = min(shown, key=lambda one: (trust.of_comparison(one) != TRUSTED, one.latency_ratio))
        lost = best.accuracy_drop_points
        mark = trust.of_accuracy(best.subject, best.baseline_subject)
        doubtful = " (doubted)" if mark == DOUBTFUL else ""
        accuracy = f", and {units.accuracy_lost(lost)}{doubtful}" if lost is not None and mark != INVALID else ""
        doubted = "" if trust.of_comparison(best) == TRUSTED else " (doubted)"
        return (
            f"Compared with {best.baseline_subject.file} on {best.subject.runtime}, {best.subject.file} is "
            f"{_speed_of(best, trust)}{doubted}, {units.smaller(best.size_ratio)}{accuracy}."
        )
    if known:
        small = min(known, key=lambda one: one.size_ratio)
        if small.size_ratio < 1:
            return (
                f"Compared with {small.baseline_subject.file}, {small.subject.file} is {units.smaller(small.size_ratio)}; "
                "that anything became faster could not be shown."
            )
    return ""


def _speed(comparison: Comparison, trust: Trust, where: str, passes: str) -> Finding:
    """What the interval of one ratio shows. What is doubted is said with its doubts, and never as better or worse."""
    one, other = comparison.subject.file, comparison.baseline_subject.file
    runtime = comparison.subject.runtime
    interval = f"{level_of(by_test=comparison.pairs is not None)}: {units.faster_interval(comparison.latency_low, comparison.latency_high)}"
    by_passes = passes if _same_format(comparison) else ""
    if comparison.latency_low <= 1 <= comparison.latency_high:
        tone, text = (
            NEUTRAL,
            f"{one} on {runtime}: no difference in time from {other} could be shown ({interval})",
        )
        text += f": {by_passes} did not make it measurably faster" if by_passes else ""
    else:
        tone = WORSE if comparison.latency_low > 1 else BETTER
        text = f"{one} on {runtime}, compared with {other}: {_speed_of(comparison, trust)} ({interval}) on {where}"
        text += f", by {by_passes}" if by_passes else ""
    if trust.of_comparison(comparison) == DOUBTFUL:
        return Finding(tone=NEUTRAL, text=f"{text}. Doubted: {trust.doubts_of(comparison) or 'not trusted'}.")
    return Finding(tone=tone, text=f"{text}.")


def _not_known(trust: Trust) -> list[Finding]:
    """One sentence for each reason why a comparison shows nothing."""
    reasons: dict[str, list[str]] = {}
    for comparison in trust.compared.comparisons:
        if reason := _unknown(comparison, trust):
            reasons.setdefault(reason, []).append(comparison.subject.label)
    return [
        Finding(tone=NEUTRAL, text=f"Not known, because {reason}: whether {', '.join(subjects)} became faster.")
        for reason, subjects in reasons.items()
    ]


def _unknown(comparison: Comparison, trust: Trust) -> str:
    """Why its ratio shows nothing at all; "" where it shows something, be it doubted."""
    if trust.of_comparison(comparison) == INVALID:
        return "a measurement is invalid"
    if trust.decides_nothing(comparison):
        return "an emulator's times say nothing of a board's"
    if not trust.has_interval(comparison):
        return f"{units.count(ENOUGH)} launches are needed for a 95 % interval"
    return ""


def _speed_of(comparison: Comparison, trust: Trust) -> str:
    return guarded(units.faster(comparison.latency_ratio), trust.of_comparison(comparison))


def _same_format(comparison: Comparison) -> bool:
    """Whether the two sides differ by the compression passes alone."""
    one, other = comparison.subject, comparison.baseline_subject
    return (one.variant, other.variant) == ("compressed", "original") and one.format == other.format


def _fastest(run: RunRecord) -> Finding | None:
    able = sorted(
        (one for one in asked_for(run) if mark_of(one) == TRUSTED and has_interval(one)),
        key=lambda one: one.latency.median_s,
    )
    if len(able) < 2:
        return None
    first, second = able[:2]
    if first.latency.high_s < second.latency.low_s:
        return Finding(
            tone=NEUTRAL,
            text=f"The fastest is {first.label} with {units.seconds(first.latency.median_s)}; "
            f"next is {second.label} with {units.seconds(second.latency.median_s)}.",
        )
    return Finding(
        tone=NEUTRAL,
        text=f"Which is the fastest is not known: the intervals of {first.label} and {second.label} overlap.",
    )


def _accuracy(trust: Trust) -> Finding | None:
    drops = [
        (one.accuracy_drop_points, one)
        for one in trust.compared.comparisons
        if one.accuracy_drop_points is not None and trust.of_accuracy(one.subject, one.baseline_subject) == TRUSTED
    ]
    if not drops:
        return None
    drop, one = max(drops, key=lambda pair: pair[0])
    measurement = trust.measurements.get(one.subject)
    rows = f" of {units.counted(measurement.accuracy.rows, 'row')}" if measurement and measurement.accuracy else ""
    if drop <= 0:
        return Finding(tone=NEUTRAL, text=f"No file lost accuracy against its baseline on the evaluation set{rows}.")
    text = f"{one.subject.label} {units.accuracy_lost(drop)} against {one.baseline_subject.label}, more than any other file"
    return Finding(tone=NEUTRAL, text=f"{text}{rows and ', on the evaluation set' + rows}.")


def _differs(run: RunRecord) -> Finding | None:
    """Accuracy on the host is not accuracy on the board: kernels round differently."""
    found: list[tuple[float, Measurement]] = [
        (one.accuracy.differs_from_host_ratio, one)
        for one in run.measured.measurements
        if one.accuracy and one.accuracy.differs_from_host_ratio is not None
    ]
    if not found:
        return None
    ratio, one = max(found, key=lambda pair: pair[0])
    if ratio == 0:
        return Finding(
            tone=NEUTRAL, text="Where the host has a runtime to compare with, it chose the same class for every row."
        )
    return Finding(
        tone=NEUTRAL,
        text=f"{one.label} chose another class than the same file on the host for {units.percent(ratio)} of the rows: "
        "judge accuracy by the board.",
    )


def _apart(run: RunRecord) -> Finding | None:
    """The same for answers that are not classes: the worst of the files, in the output's own unit."""
    found = [
        (one.accuracy.error_rms / (one.accuracy.spread or 1.0), one.accuracy, one)
        for one in run.measured.measurements
        if one.accuracy and one.accuracy.error_rms is not None
    ]
    if not found:
        return None
    ratio, accuracy, one = max(found, key=lambda each: each[0])
    if ratio == 0:
        return Finding(tone=NEUTRAL, text="Where the host has a runtime to compare with, it gave the same answers.")
    output = f" in the output '{shortened(accuracy.output, LONGEST_NAME)}', its worst" if accuracy.output else ""
    return Finding(
        tone=NEUTRAL,
        text=f"The answers of {one.label} differ from those of the same file on the host by {units.error(accuracy.error_rms, accuracy.spread)}{output}, "
        "and those of no other file by more.",
    )


def _energy(run: RunRecord) -> Finding | None:
    energies = [one.energy for one in run.measured.measurements]
    if not energies or any(energy.best for energy in energies):
        return None
    notes = "; ".join(dict.fromkeys(note.rstrip(".") for energy in energies for note in _why_none(energy)))
    return Finding(tone=NEUTRAL, text=f"Energy was not measured{notes and f': {notes}'}.")


def _why_none(energy: Energy) -> list[str]:
    return [f"{one.meter}: {one.invalid}" for one in energy.readings if one.invalid] + (
        [energy.note] if energy.note else []
    )
