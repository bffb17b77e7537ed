"""Each judged file against its baseline, by their pairs."""

from pipeline import metrics, units
from pipeline.records import Paired, RunRecord
from pipeline.report.tables.tensors import one_inference
from pipeline.report.trust import INVALID, Trust, guarded, level_of
from pipeline.report.view import Column, Line, Shown, Table, Topic
from pipeline.statistics.paired_test import POWER

TOPIC = Topic.PAIRS
SHOWN = Shown.FIRST
COLUMNS = (
    Column(heading="file"),
    Column(heading="against", under=True, brief=False),
    Column(heading="verdict"),
    Column(heading="change", number=True),
    Column(heading=f"{level_of(by_test=True)} interval", number=True, under=True),
    Column(heading="detects", number=True),
    Column(heading="pairs", number=True),
    Column(heading="took", number=True),
    Column(heading="its tail", brief=False),
)
NOTE = (
    "Change: of the time of {inference} against the baseline, measured in pairs. Detects: the smallest change that this number of pairs "
    "calls REGRESSED in {power} of all cases."
)
TAIL_PERCENT = (95, 99)  # those that a limit may judge
NOT_JUDGED = "not judged"


def table(run: RunRecord, trust: Trust) -> Table:
    """A line for each judged file."""
    lines = tuple(_line(paired, trust) for paired in trust.paired.values())
    return Table(
        title="Side by side with the baseline",
        columns=COLUMNS,
        lines=lines,
        note=NOTE.format(inference=one_inference(run), power=units.level(POWER)) if lines else "",
    )


def _line(paired: Paired, trust: Trust) -> Line:
    mark, verdict, effect = trust.of_pairs(paired), trust.verdict_of(paired), trust.effect_of(paired)
    change = interval = detects = units.UNKNOWN
    if effect is not None:
        change = units.percent_change(effect.latency_ratio - 1)
        if trust.has_interval(effect):
            interval = change_interval(effect.latency_low - 1, effect.latency_high - 1)
    if verdict is not None:
        detects = units.percent_change(verdict.detectable)
    cells = (
        paired.subject.label,
        paired.baseline_subject.label,
        verdict.outcome if verdict else NOT_JUDGED,
        guarded(change, mark),
        guarded(interval, mark),
        detects,
        units.count(len(paired.log_ratios)),
        units.seconds(paired.seconds),
        "; ".join(f"p{units.count(percent)} {tail(paired, percent, trust)}" for percent in TAIL_PERCENT),
    )
    return Line(cells=cells, mark=mark)


def tail(paired: Paired, percent: int, trust: Trust) -> str:
    """What became of the looser limit on this quantile: its outcome, or why it was not judged."""
    mark, verdict = trust.of_pairs(paired), trust.verdict_of(paired, metrics.TAIL, percent)
    if mark == INVALID:
        return INVALID
    if verdict is not None:
        return f"{verdict.outcome} ({guarded(units.percent_change(verdict.change), mark)})"
    withheld = [doubt.what for doubt in trust.doubts_of_pairs(paired) if doubt.withholds == "tail"]
    if withheld:
        return f"{NOT_JUDGED}: {', '.join(dict.fromkeys(withheld))}"
    if all(each.percent != percent for each in paired.tails):
        return f"{NOT_JUDGED}: too few runs in a pair"
    return f"{NOT_JUDGED}: its pairs differ too much" if trust.verdict_of(paired) else NOT_JUDGED


def change_interval(low: float | None, high: float | None) -> str:
    return f"{units.percent_change(low)} to {units.percent_change(high)}"
