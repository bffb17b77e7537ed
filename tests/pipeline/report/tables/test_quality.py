"""What the report says of a task: the interval of each value and how it was made, and what the rows could have shown."""

import msgspec

from pipeline.records import Compared, Comparison, MetricDrop, MetricLevel, Outcome, Quality, Task
from pipeline.report.compose import view_of
from tests.support.sample_run import artifact, measurement, run_of

MAP = Task(kind="detection", metric="map", title="mAP", higher_is_better=True, ratio=True)


def run(drop, *, reads_high=False):
    quality = Quality(value=0.731, rows=120, statistic=artifact("kept", format="npz"))
    measured = []
    for variant in ("original", "compressed"):
        one = measurement(variant)
        measured.append(
            msgspec.structs.replace(one, accuracy=msgspec.structs.replace(one.accuracy, qualities=(quality,)))
        )
    levels = [
        MetricLevel(
            subject=one.subject, value=0.731, low=0.69, high=0.77, method="basic bootstrap", reads_high=reads_high
        )
        for one in measured
    ]
    comparison = Comparison(
        subject=measured[1].subject, baseline_subject=measured[0].subject, size_ratio=1, latency_ratio=1, latency_low=1,
        latency_high=1, accuracy_drop_points=None, trusted=True,
        metric_drops=(MetricDrop(drop=drop, method="paired bootstrap", detectable=0.021),),
    )  # fmt: skip
    compared = Compared(verdicts=(), comparisons=(comparison,), outcome=Outcome.PASS, levels=tuple(levels))
    found = run_of(tuple(measured), compared=compared)
    data = msgspec.structs.replace(found.loaded.data, tasks=(MAP,))
    return msgspec.structs.replace(found, loaded=msgspec.structs.replace(found.loaded, data=data))


def test_each_value_has_its_interval_and_the_difference_its_own():
    table = view_of(run((0.012, -0.001, 0.025))).table("quality")
    cells = [dict(zip((each.heading for each in table.columns), line.cells, strict=True)) for line in table.lines]
    assert [each["its interval"] for each in cells] == ["69.00 % to 77.00 %"] * 2
    assert cells[1]["worse by"] == "+1.20"
    assert cells[1]["interval of that"] == "-0.10 to +2.50"
    assert [each["detects"] for each in cells] == ["-", "2.10 points"]
    assert "of the value by basic bootstrap; of the difference by paired bootstrap" in table.note
    assert "reads high" not in table.note


def test_few_rows_of_a_detector_are_said_to_read_high():
    assert "Few rows: mAP reads high" in view_of(run((0.0, 0.0, 0.0), reads_high=True)).table("quality").note


def test_the_worst_file_and_what_would_have_been_seen_are_found():
    (found,) = [each.text for each in view_of(run((0.012, -0.001, 0.025))).findings if each.text.startswith("By mAP")]
    assert "is worse than original tflite-fp32 @ ai_edge_litert by 1.20 points (95 %: -0.10 to +2.50)" in found
    assert "would show a true difference of 2.10 points." in found
    (found,) = [each.text for each in view_of(run((-0.002, -0.004, 0.001))).findings if each.text.startswith("By mAP")]
    assert "no file is worse than its baseline" in found
