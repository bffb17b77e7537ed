"""The quantiles of every inference in the pairs."""

from pipeline import units
from pipeline.records import Quantile, RunRecord, Side
from pipeline.report.tables._columns import columns_of
from pipeline.report.trust import Trust, guarded
from pipeline.report.view import Line, Shown, Table, Topic

TOPIC = Topic.PAIRS
SHOWN = Shown.DETAILS
QUANTILES = (50, 90, 95, 99)


def table(_run: RunRecord, trust: Trust) -> Table:
    """Two lines for each judged file: all inferences of all pairs."""
    headings = "|".join(f"p{units.count(percent)}>|95 % interval>^" for percent in QUANTILES)
    lines = tuple(
        _quantiles(label, side, one, trust.of_pairs(paired))
        for paired in trust.paired.values()
        for label, side, one in (
            (paired.subject.label, "candidate", paired.candidate),
            (paired.baseline_subject.label, "baseline", paired.baseline),
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
