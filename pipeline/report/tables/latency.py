"""The parts of the cold start and the quantiles of the steady state."""

from pipeline import units
from pipeline.records import RunRecord
from pipeline.report.tables._columns import columns_of
from pipeline.report.tables.tensors import one_inference
from pipeline.report.trust import Trust, guarded, mark_of
from pipeline.report.view import Line, Shown, Table, Topic

TOPIC = Topic.TIMES
SHOWN = Shown.DETAILS


def table(run: RunRecord, _trust: Trust) -> Table:
    """The parts of the cold start and the quantiles of the steady state."""
    lines = []
    for one in run.measured.measurements:
        steady, mark = one.latency, mark_of(one)
        times = (
            one.cold_start_s,
            one.import_s,
            one.load_s,
            one.first_inference_s,
            steady.min_s,
            steady.p10_s,
            steady.median_s,
            steady.p90_s,
            steady.p99_s,
        )
        cells = (
            one.label,
            *(guarded(units.seconds(value), mark) for value in times),
            units.count(one.warmup_runs),
            units.count(steady.runs),
            units.count(steady.launches),
        )
        lines.append(Line(cells=cells, mark=mark))
    return Table(
        title="Latency in full",
        columns=columns_of(
            "measurement|cold start>|import>|load>|first>|min>|p10>|median>|p90>|p99>|warm-up>|runs>|launches>"
        ),
        lines=tuple(lines),
        note="Cold start: from the start of the process to its first answer, with Python's start and the import, load and first inference, "
        "which follow it. Files in the page cache: warm, their hashes were checked just before. p99 needs 662 runs (MLPerf's floor)."
        f" From min to p99: of {one_inference(run)}.",
    )
