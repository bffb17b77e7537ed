"""What a report says and draws of pairs: the verdict can be read off it, and nothing invalid is in it."""

import itertools
import math
import re
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import report, units
from pipeline.records import Doubt, MemoryStep, Outcome, RunRecord
from pipeline.report.compose import view_of
from pipeline.report.pictures import pairs, timeline
from pipeline.report.pictures.memory import memory as memory_picture
from pipeline.report.pictures.svg import Drawing, Picture, Scale, apart
from pipeline.report.renderers import terminal
from pipeline.report.renderers.markdown import escape
from pipeline.report.trust import Trust
from pipeline.safe_text import UNSAFE
from tests.support.sample_run import (
    CAN_NOT_RUN,
    THROTTLED,
    WITHHELD,
    by_pairs,
    comparison,
    glances,
    measurement,
    paired,
    paired_run,
    run_of,
)


def of_one(change: float = 0.055, low: float = 0.051, high: float = 0.059, **changes) -> RunRecord:
    """A run with one judged file. `changes`: of its pairs."""
    base, one = measurement(), measurement("compressed")
    found = paired(one, base, change, **changes)
    verdict = by_pairs(found, Outcome.REGRESSED, change, low, high)
    compared = msgspec.structs.replace(
        comparison(one, base), latency_ratio=1 + change, latency_low=1 + low, latency_high=1 + high, pairs=10
    )
    run = run_of((base, one), verdicts=(verdict,), comparisons=(compared,), outcome=Outcome.REGRESSED)
    return msgspec.structs.replace(run, measured=msgspec.structs.replace(run.measured, paired=(found,)))


def drawn(picture: Picture | None, number: int = 0) -> ET.Element:
    assert picture is not None
    return ET.fromstring(str(picture.drawings[number]))


def shapes(drawing: ET.Element, tag: str, style: str) -> list[ET.Element]:
    return [one for one in drawing.iter(tag) if style in one.attrib.get("class", "").split()]


def heights(drawing: ET.Element, **named: str) -> dict[str, float]:
    """Where the lines stand that have these names."""
    found = {}
    for line in drawing.iter("line"):
        title = line.findtext("title") or ""
        for key, words in named.items():
            if title.startswith(words):
                found[key] = float(line.attrib["y1"])
    return found


# --- the table


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
    assert (finding.tone, "98 %: 1.051x\u20131.059x" in finding.text) == ("worse", True)


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
    assert "above the margin; PASS: surely below the limit (limit 3.00 %, margin 0.50 %)" in told["verdict on latency"]
    run = of_one()
    paired = tuple(msgspec.structs.replace(each, margin=each.limit) for each in run.measured.paired)
    run = msgspec.structs.replace(run, measured=msgspec.structs.replace(run.measured, paired=paired))
    told = dict(line.cells for line in view_of(run).table("method").lines)
    assert "above the limit; PASS: surely below the limit (limit 3.00 %)" in told["verdict on latency"]


def test_what_could_not_be_paired_and_what_pairs_are_doubted_for_is_said(store):
    run = paired_run()
    alone = msgspec.structs.replace(CAN_NOT_RUN, evidence="SAMPLE: too little memory for two")
    run = msgspec.structs.replace(run, measured=msgspec.structs.replace(run.measured, unpaired=(alone,)))
    assert any("for two" in case.evidence for one in view_of(run).failures for case in one.cases)
    rows = [row for one in view_of(run).doubts if one.what == WITHHELD.what for case in one.cases for row in case.rows]
    assert rows == ["compressed tflite-int8 @ ai_edge_litert, beside its baseline"]


# --- doubt


def test_of_invalid_pairs_no_time_is_told_but_the_board_is_shown(store):
    run = of_one(change=0.0617, low=0.0613, high=0.0619, doubts=(THROTTLED,))
    for name in ("terminal", "markdown", "html"):
        text = report.renderer(name).render(run, store)
        assert not re.search(r"6\.1[379] %|1\.06[12]x", text), name
        assert "invalid" in text
    assert [draw(Trust(run)) for draw in (pairs.slower, pairs.together, pairs.tails)] == [None] * 3
    assert "invalid" in [text.text for text in drawn(timeline.steadiness(Trust(run))).iter("text")]
    assert any("a measurement is invalid" in finding.text for finding in view_of(run).findings)


def test_what_is_doubted_is_hollow_and_what_is_not_is_not():
    doubted = Trust(of_one(doubts=(Doubt(what="w", evidence="e", remedy="r"),)))
    for draw, number in ((pairs.slower, 11), (pairs.together, 10)):
        assert len(shapes(drawn(draw(doubted)), "circle", "hollow")) == number
        assert len(shapes(drawn(draw(Trust(of_one()))), "circle", "hollow")) == 0
        picture = draw(doubted)
        assert picture is not None
        assert "doubted" in picture.caption


def test_hostile_names_do_nothing_in_a_picture(store):
    hostile = "</text><script>alert(1)</script>\x1b[31m\u202e"
    base, one = measurement(runtime=hostile), measurement("compressed", runtime=hostile)
    run = run_of((base, one))
    run = msgspec.structs.replace(run, measured=msgspec.structs.replace(run.measured, paired=(paired(one, base),)))
    trust = Trust(run)
    for picture in (*(draw(trust) for draw in (pairs.slower, pairs.together, pairs.tails)), timeline.steadiness(trust)):
        drawing = drawn(picture)
        assert not list(drawing.iter("script"))
        assert any("script" in (text.text or "") for text in drawing.iter("text"))
    for name in ("terminal", "markdown", "html"):
        text = report.renderer(name).render(run, store)
        assert not UNSAFE.search(text.replace("\n", "").replace("\u200b", "")), name
        assert name == "terminal" or "<script" not in text


# --- pictures


@given(
    change=st.floats(-0.9, 5), spread=st.floats(0.0001, 0.3), pairs_=st.sampled_from([10, 14, 20]),
)  # fmt: skip
def test_the_verdict_can_be_read_off_the_picture(change, spread, pairs_):
    low, high = (1 + change) * (1 - spread) - 1, (1 + change) * (1 + spread) - 1
    drawing = drawn(pairs.slower(Trust(of_one(change, low, high, pairs=pairs_))))
    at = heights(drawing, margin="margin", limit="limit", nothing="no change")
    bar = next(line for line in shapes(drawing, "line", "interval"))
    top, bottom = float(bar.attrib["y1"]), float(bar.attrib["y2"])
    assert (bottom <= at["margin"] + 0.01) == (low >= 0.005 - 1e-9) or math.isclose(bottom, at["margin"], abs_tol=0.02)
    assert (top >= at["limit"] - 0.01) == (high <= 0.03 + 1e-9) or math.isclose(top, at["limit"], abs_tol=0.02)
    dots = shapes(drawing, "circle", "v-compressed")
    places = [float(dot.attrib["cx"]) for dot in dots]
    assert len(dots) == pairs_ + 1
    assert places == sorted(places)
    limits = [float(line.attrib[key]) for line in drawing.iter("line") for key in ("y1", "y2")]
    assert all(0 <= y <= float(drawing.attrib["viewBox"].split()[3]) for y in limits)


def test_a_limit_that_was_changed_since_is_drawn_where_it_is_now():
    run = of_one()
    assert run.compared is not None
    verdict = msgspec.structs.replace(run.compared.verdicts[0], limit=0.06, margin=0.01)
    run = msgspec.structs.replace(run, compared=msgspec.structs.replace(run.compared, verdicts=(verdict,)))
    texts = [text.text for text in drawn(pairs.slower(Trust(run))).iter("text")]
    assert {"limit +6.00 %", "margin +1.00 %"} <= set(texts)
    alone = msgspec.structs.replace(verdict, margin=0.06)
    run = msgspec.structs.replace(run, compared=msgspec.structs.replace(run.compared, verdicts=(alone,)))
    texts = [text.text or "" for text in drawn(pairs.slower(Trust(run))).iter("text")]
    assert "limit +6.00 %" in texts
    assert not any("margin" in text for text in texts)


def test_pairs_that_nobody_judged_yet_are_drawn_without_a_verdict():
    run = msgspec.structs.replace(of_one(), compared=None)
    drawing = drawn(pairs.slower(Trust(run)))
    assert "not judged" in [text.text for text in drawing.iter("text")]
    assert len(shapes(drawing, "circle", "v-compressed")) == 10
    assert shapes(drawing, "line", "interval") == []


def test_each_pair_has_both_sides_at_one_place():
    drawing = drawn(pairs.together(Trust(of_one())))
    squares, dots = shapes(drawing, "rect", "side-a"), shapes(drawing, "circle", "v-compressed")
    assert [float(one.attrib["x"]) + 3.5 for one in squares] == [float(one.attrib["cx"]) for one in dots]
    assert all(
        float(b.attrib["cy"]) < float(a.attrib["y"]) for a, b in zip(squares, dots, strict=True)
    )  # slower: above
    assert "slower in 10 of 10 pairs" in [text.text for text in drawing.iter("text")]


def test_the_board_over_time_has_each_block_and_what_it_told():
    drawing = drawn(timeline.steadiness(Trust(of_one())))
    strips = [
        path.attrib["d"].count("M") for style in ("side-a", "v-compressed") for path in shapes(drawing, "path", style)
    ]
    assert strips == [60, 60]
    texts = [text.text for text in drawing.iter("text")]
    assert "2400 MHz throughout" in texts
    assert "48.0 °C to 52.5 °C; mean A 50.2 °C, B 50.2 °C" in texts
    assert len(shapes(drawing, "path", "trace")) == 2


def test_a_board_that_tells_nothing_gets_a_sentence_and_one_that_tells_half_a_lane():
    silent = timeline.steadiness(Trust(of_one(glances=glances(10, told=False))))
    assert silent is not None
    assert (silent.drawings, "neither its temperature nor its clock" in silent.caption) == ((), True)
    half = tuple(msgspec.structs.replace(one, cpu_khz=None) for one in glances(10))
    picture = timeline.steadiness(Trust(of_one(glances=half)))
    assert picture is not None
    assert "does not tell its clock" in picture.caption
    assert len(shapes(drawn(picture), "path", "trace")) == 1


def test_memory_is_stacked_to_scale_whatever_the_steps_are_called():
    steps = tuple(
        MemoryStep(step=name, resident_bytes=None, anonymous_bytes=own, file_bytes=file)
        for name, own, file in (("allocated", 10 << 20, 30 << 20), ("silent", None, None), ("end", 20 << 20, 60 << 20))
    )
    one = measurement()
    run = run_of((msgspec.structs.replace(one, memory=msgspec.structs.replace(one.memory, steps=steps)),))
    drawing = drawn(memory_picture(run))
    bars = [float(bar.attrib["width"]) for bar in shapes(drawing, "rect", "v-original")]
    assert [round(bar / bars[0], 2) for bar in bars] == [1, 3, 2, 6]
    assert "10.0 MiB + 30.0 MiB" in [text.text for text in drawing.iter("text")]
    nothing = msgspec.structs.replace(one.memory, steps=(steps[1],))
    assert memory_picture(run_of((msgspec.structs.replace(one, memory=nothing),))) is None


@given(st.lists(st.floats(0, 300), min_size=1, max_size=8))
def test_labels_stand_apart_in_the_order_of_their_places(places):
    moved = apart(places, 15)
    order = sorted(range(len(places)), key=lambda index: places[index])
    assert all(moved[after] - moved[before] >= 15 - 1e-9 for before, after in itertools.pairwise(order))
    assert all(new >= old for new, old in zip(moved, places, strict=True))


def test_ticks_that_have_no_room_are_left_out():
    drawing = Drawing("name", "title", "words", height=50)
    drawing.ticks(Scale(low=0, high=100, start=20, end=0), 40, 100, units.percent, most=10)
    assert len(shapes(ET.fromstring(str(drawing.svg())), "text", "tick")) == 2


def test_every_picture_of_pairs_is_a_question_with_its_answer_in_words(store):
    page = report.renderer("html").render(paired_run(), store)
    for question in (
        "Did it get slower?",
        "pair by pair?",
        "Are the slow inferences slower, too?",
        "all the time?",
        "memory go?",
    ):
        assert re.search(rf"<h3>[^<]*{re.escape(question)}</h3>", page), question
    assert all(
        re.search(r"<title id=.*?>.+?</title><desc id=.*?>.+?</desc>", svg)
        for svg in re.findall(r"<svg.*?</svg>", page)
    )
    assert len(re.findall(r'id="([^"]+)"', page)) == len(set(re.findall(r'id="([^"]+)"', page)))
