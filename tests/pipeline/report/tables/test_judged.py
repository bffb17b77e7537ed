"""The table of pairs: what a verdict rests on, in every form of the report."""

import msgspec
import pytest

from pipeline import report, units
from pipeline.records import RunRecord
from pipeline.report.compose import view_of
from pipeline.report.pictures import pairs, timeline
from pipeline.report.renderers import terminal
from pipeline.report.renderers.markdown import escape
from pipeline.report.trust import Trust
from tests.pipeline.report.rendered import of_one
from tests.support.sample_run import (
    CAN_NOT_RUN,
    WITHHELD,
    measurement,
    paired_run,
    run_of,
)


def lines(run: RunRecord) -> list[dict[str, str]]:
    table = view_of(run).table("judged")
    return [dict(zip((column.heading for column in table.columns), line.cells, strict=True)) for line in table.lines]


def test_the_table_tells_what_a_verdict_rests_on():
    first, second, third = lines(paired_run())
    assert first == {
        "file": "compressed tflite-fp32 @ ai_edge_litert",
        "against": "original tflite-fp32 @ ai_edge_litert",
        "verdict": "REGRESSED",
        "change": "+5.50 %",
        "98 % interval": "+5.10 % to +5.90 %",
        "detects": "+1.23 %",
        "pairs": "10",
        "took": "22.0 s",
        "its tail": "p95 PASS (+8.20 %); p99 not judged: its pairs differ too much",
    }
    assert (second["verdict"], second["pairs"]) == ("PASS", "14")
    assert (third["change"], third["98 % interval"]) == ("+2.00 % ?", "+0.30 % to +3.60 % ?")
    assert third["its tail"].startswith("p95 not judged: contended between blocks")


def test_a_tail_with_too_few_runs_is_said_to_be_so():
    assert "p99 not judged: too few runs in a pair" in lines(of_one(tails=()))[0]["its tail"]


def test_every_inference_of_both_sides_is_in_the_table_of_quantiles():
    table = view_of(paired_run()).table("quantiles")
    assert [line.cells[1] for line in table.lines] == ["candidate", "baseline"] * 3
    found = paired_run().measured.paired[0].candidate
    value = found.quantiles[3]
    assert table.lines[0].cells[-2:] == (units.seconds(value.value_s), units.interval(value.low_s, value.high_s))
    assert table.lines[0].cells[4] == units.rate(found.throughput_per_s)


@pytest.mark.parametrize("name", ["terminal", "markdown", "html"])
def test_every_renderer_tells_effect_interval_detectable_change_and_time(name, store):
    text = report.renderer(name).render(paired_run(), store)
    for words in ("+5.50 %", "+5.10 % to +5.90 %", "+1.23 %", "22.0 s"):
        assert words in text, words
    assert (escape(view_of(paired_run()).table("quantiles").title) in text) == (name != "terminal")


def test_the_terminal_tells_the_level_of_each_interval(store):
    text = " ".join(terminal.render(paired_run(), store, width=120, colour=False).split())
    assert "latency_regression of compressed tflite-fp32 @ ai_edge_litert: +5.50 % (98 %: +5.10 % to +5.90 %)" in text
    assert "latency_tail (p95) of compressed tflite-fp32" in text
    assert "95 %: 1.0" not in text


def test_pairs_make_an_interval_also_where_launches_are_few():
    run = of_one()
    measured = tuple(
        msgspec.structs.replace(one, latency=msgspec.structs.replace(one.latency, launches=3))
        for one in run.measured.measurements
    )
    run = msgspec.structs.replace(run, measured=msgspec.structs.replace(run.measured, measurements=measured))
    finding = view_of(run).findings[0]
    assert (finding.tone, "98 %: 1.051x to 1.059x slower" in finding.text) == ("worse", True)


def test_without_pairs_there_is_no_table_and_no_picture(store):
    run = run_of((measurement(), measurement("compressed")))
    assert (view_of(run).table("judged").lines, view_of(run).table("quantiles").lines) == ((), ())
    assert [draw(Trust(run)) for draw in (pairs.slower, pairs.together, pairs.tails, timeline.steadiness)] == [None] * 4
    page = report.renderer("html").render(run, store)
    assert "Side by side" not in page
    assert "sign-flip" not in page


def test_the_method_tells_how_pairs_are_judged():
    told = dict(line.cells for line in view_of(of_one()).table("method").lines)
    assert "12 blocks a pair" in told["pairs"]
    assert "looks at 10, 14 and 20 of them, each at 1 % / 3" in told["verdict on latency"]
    assert (
        "above the margin; PASS: provably below the limit (limit 3.00 %, margin 0.50 %)" in told["verdict on latency"]
    )
    run = of_one()
    paired = tuple(msgspec.structs.replace(each, margin=each.limit) for each in run.measured.paired)
    run = msgspec.structs.replace(run, measured=msgspec.structs.replace(run.measured, paired=paired))
    told = dict(line.cells for line in view_of(run).table("method").lines)
    assert "above the limit; PASS: provably below the limit (limit 3.00 %)" in told["verdict on latency"]


def test_what_could_not_be_paired_and_what_pairs_are_doubted_for_is_said(store):
    run = paired_run()
    alone = msgspec.structs.replace(CAN_NOT_RUN, evidence="SAMPLE: too little memory for two")
    run = msgspec.structs.replace(run, measured=msgspec.structs.replace(run.measured, unpaired=(alone,)))
    assert any("for two" in case.evidence for one in view_of(run).failures for case in one.cases)
    rows = [row for one in view_of(run).doubts if one.what == WITHHELD.what for case in one.cases for row in case.rows]
    assert rows == ["compressed tflite-int8 @ ai_edge_litert, in pairs with its baseline"]
