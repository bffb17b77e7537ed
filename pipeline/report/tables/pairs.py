"""What was measured in pairs, in words: each judged file side by side with its baseline."""

from pipeline import units
from pipeline.records import Paired, Quantile, RunRecord, Side
from pipeline.report.tables.details import columns_of
from pipeline.report.trust import INVALID, Trust, guarded, level_of
from pipeline.report.view import Column, Line, Table
from pipeline.statistics.paired_test import ALPHA, LOOKS, POWER

JUDGED = (
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
    f"Change: of the time of one inference against the baseline, both measured in turns. Detects: the smallest change that so many pairs "
    f"call REGRESSED in {units.level(POWER)} of all cases."
)
TAIL_PERCENT = (95, 99)  # those that a limit may judge
QUANTILES = (50, 90, 95, 99)
NOT_JUDGED = "not judged"


def judged(trust: Trust) -> Table:
    """A line for each judged file."""
    lines = tuple(_judged(paired, trust) for paired in trust.paired.values())
    return Table(title="Side by side with the baseline", columns=JUDGED, lines=lines, note=NOTE if lines else "")


def _judged(paired: Paired, trust: Trust) -> Line:
    mark, verdict, effect = trust.of_pairs(paired), trust.verdict_of(paired), trust.effect_of(paired)
    change = interval = detects = units.UNKNOWN
    if effect is not None:
        change = units.percent_change(effect.latency_ratio - 1)
        if trust.has_interval(effect):
            interval = change_interval(effect.latency_low - 1, effect.latency_high - 1)
    if verdict is not None:
        detects = units.percent_change(verdict.detectable)
    cells = (
        paired.subject,
        paired.baseline_subject,
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
    """What became of the looser limit on this quantile: its outcome, or why nobody judged it."""
    mark, verdict = trust.of_pairs(paired), trust.verdict_of(paired, "latency_tail", percent)
    if mark == INVALID:
        return INVALID
    if verdict is not None:
        return f"{verdict.outcome} ({guarded(units.percent_change(verdict.change), mark)})"
    withheld = [doubt.what for doubt in trust.doubts_about(paired) if doubt.withholds == "tail"]
    if withheld:
        return f"{NOT_JUDGED}: {', '.join(dict.fromkeys(withheld))}"
    if all(each.percent != percent for each in paired.tails):
        return f"{NOT_JUDGED}: too few runs in a pair"
    return f"{NOT_JUDGED}: its pairs differ too much" if trust.verdict_of(paired) else NOT_JUDGED


def quantiles(trust: Trust) -> Table:
    """Two lines for each judged file: all inferences of all pairs."""
    headings = "|".join(f"p{units.count(percent)}>|95 % interval>^" for percent in QUANTILES)
    lines = tuple(
        _quantiles(label, side, one, trust.of_pairs(paired))
        for paired in trust.paired.values()
        for label, side, one in (
            (paired.subject, "candidate", paired.candidate),
            (paired.baseline_subject, "baseline", paired.baseline),
        )
    )
    note = (
        "Of every inference in the pairs, one after the other. The intervals are distribution-free and take each inference for an independent "
        "one; the verdict rests on the pairs, not on these."
    )
    return Table(
        title="Every inference, side by side",
        columns=columns_of(f"file|side|runs>|mean>|per second>|{headings}"),
        lines=lines,
        note=note if lines else "",
    )


def _quantiles(label: str, side: str, one: Side, mark: str) -> Line:
    known = {each.percent: each for each in one.quantiles}
    cells = [label, side, units.count(one.runs), guarded(units.seconds(one.mean_s), mark)]
    cells.append(guarded(units.rate(one.throughput_per_s), mark))
    for percent in QUANTILES:
        cells += _quantile(known.get(percent), mark)
    return Line(cells=tuple(cells), mark=mark)


def _quantile(one: Quantile | None, mark: str) -> tuple[str, str]:
    if one is None:
        return units.UNKNOWN, units.UNKNOWN
    return guarded(units.seconds(one.value_s), mark), guarded(units.interval(one.low_s, one.high_s), mark)


def change_interval(low: float | None, high: float | None) -> str:
    return f"{units.percent_change(low)} to {units.percent_change(high)}"


def method(run: RunRecord) -> list[tuple[str, str]]:
    """How pairs were measured and judged, for the table of how it was measured."""
    paired = run.measured.paired
    if not paired:
        return []
    looks = ", ".join(units.count(look) for look in LOOKS[:-1])
    rules = dict.fromkeys((one.margin, one.limit) for one in paired)
    told = "; ".join(
        f"limit {units.percent(limit)}" + (f", margin {units.percent(margin)}" if margin < limit else "")
        for margin, limit in rules
    )
    bound = "margin" if any(margin < limit for margin, limit in rules) else "limit"
    raw = ", ".join(one.raw.sha256[:12] for one in paired)
    return [
        (
            "pairs",
            (
                "baseline and candidate as two fresh processes on the same CPUs, started in an order by chance; they take turns in short blocks, "
                f"ABBA or BAAB by chance, {_blocks(paired)} blocks a pair"
            ),
        ),
        (
            "number of a pair",
            "the median over its cycles of candidate / baseline, each by the 10th percentile of its blocks in that cycle",
        ),
        (
            "verdict on latency",
            (
                f"exact sign-flip test over the pairs, looks at {looks} and {units.count(LOOKS[-1])} of them, each at {units.level(ALPHA)} / "
                f"{units.count(len(LOOKS))}, one-sided. REGRESSED: surely above the {bound}; PASS: surely below the limit ({told})"
            ),
        ),
        (
            "interval by pairs",
            f"{level_of(by_test=True)}, over all looks: the changes that the test does not reject",
        ),
        ("raw pairs", f"every inference of every block is in the store: {raw}"),
    ]


def _blocks(paired: tuple[Paired, ...]) -> str:
    numbers = [len(one.glances) // max(len(one.log_ratios), 1) for one in paired]
    low, high = min(numbers), max(numbers)
    return units.count(low) if low == high else f"{units.count(low)} to {units.count(high)}"
