"""What a report says and draws of pairs: the verdict can be read off it, and nothing invalid is in it."""

import itertools
import math
import re
from xml.etree import ElementTree as ET

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipeline import report, units
from pipeline.records import Doubt, MemoryStep
from pipeline.report.compose import view_of
from pipeline.report.pictures import pairs, timeline
from pipeline.report.pictures.memory import memory as memory_picture
from pipeline.report.pictures.svg import Drawing, Picture, Scale, apart
from pipeline.report.trust import Trust
from pipeline.safe_text import UNSAFE
from tests.pipeline.report.rendered import of_one
from tests.support.sample_run import (
    THROTTLED,
    board_samples,
    measurement,
    paired,
    paired_run,
    run_of,
)


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
    silent = timeline.steadiness(Trust(of_one(board_samples=board_samples(10, told=False))))
    assert silent is not None
    assert (silent.drawings, "neither its temperature nor its clock" in silent.caption) == ((), True)
    half = tuple(msgspec.structs.replace(one, cpu_khz=None) for one in board_samples(10))
    picture = timeline.steadiness(Trust(of_one(board_samples=half)))
    assert picture is not None
    assert "does not report its clock" in picture.caption
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
