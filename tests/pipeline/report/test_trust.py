"""What is doubted is marked, and what is invalid is printed nowhere."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import report, units
from pipeline.records import Doubt, Outcome
from pipeline.report.compose import view_of
from tests.pipeline.report.rendered import all_texts, page_text, result
from tests.support.sample_run import (
    CONTENDED,
    THROTTLED,
    board,
    comparison,
    latency,
    measurement,
    run_of,
    verdict,
    whole_run,
)

TIMED = ("latency", "95 % interval", "speed", "its interval", "cold start")


def test_what_is_doubted_is_marked_and_what_is_not_is_not():
    run = whole_run()
    assert all(result(run, 3)[heading].endswith(" ?") for heading in TIMED)
    assert not any("?" in cell for cell in result(run, 2).values())
    assert result(run, 3)["size"] == units.size(37_700)


def test_what_is_invalid_is_printed_nowhere(store):
    base, bad = measurement(), measurement("compressed", median_s=0.7654321, doubts=(THROTTLED,))
    shown = verdict("latency_regression", bad, base, (1.25e-3, 0.7654321, 611.3, 611.1, 611.5, 0.03), Outcome.INVALID)
    run = run_of((base, bad), comparisons=(comparison(bad, base),), verdicts=(shown,), outcome=Outcome.INVALID)
    assert {result(run, 1)[heading] for heading in TIMED} == {"invalid"}
    for name, text in all_texts(run, store).items():
        if name != "json":
            assert not re.search(r"76[56] ms|0\.7654|61[123]x|6113|6111|6115|1\.99 s|2\.3[0-9] s", text), name
            assert "invalid" in text


def test_a_baseline_that_is_invalid_makes_its_ratios_invalid():
    base, one = measurement(doubts=(THROTTLED,)), measurement("compressed", median_s=5e-4)
    row = result(run_of((base, one), comparisons=(comparison(one, base),)), 1)
    assert (row["speed"], row["latency"]) == ("invalid", "500 µs")


def test_few_launches_make_no_95_percent_interval():
    base = measurement(latency=latency(1e-3, launches=5))
    one = measurement("compressed", latency=latency(5e-4, launches=5))
    run = run_of((base, one), comparisons=(comparison(one, base),))
    assert (result(run, 1)["95 % interval"], result(run, 1)["its interval"]) == ("-", "-")
    assert any("6 launches are needed" in finding.text for finding in view_of(run).findings)
    assert not any("x faster" in finding.text for finding in view_of(run).findings)


@pytest.mark.parametrize(("ratio", "spread", "tone", "words"), [
    (0.28, 0.01, "better", "on ai_edge_litert, compared with original tflite-fp32: 3.57x faster (95 %: "),
    (13.0, 0.01, "worse", "compared with original tflite-fp32: 13.0x slower (95 %: "),
    (1.001, 0.01, "neutral", "no difference in time from original tflite-fp32 could be shown"),
    (0.99, 0.02, "neutral", "prune_channels did not make it measurably faster"),
])  # fmt: skip
def test_a_difference_is_claimed_only_where_the_interval_excludes_1(ratio, spread, tone, words):
    base = measurement()
    one = measurement("compressed", median_s=base.latency.median_s * ratio)
    found = view_of(run_of((base, one), comparisons=(comparison(one, base, spread),))).findings[0]
    assert (found.tone, words in found.text) == (tone, True)


def test_a_doubted_difference_is_said_with_its_doubt_and_is_no_good_news():
    base = measurement()
    one = measurement("compressed", median_s=3e-4, doubts=(CONTENDED,))
    found = view_of(run_of((base, one), comparisons=(comparison(one, base),))).findings[0]
    assert found.tone == "neutral"
    assert "4.17x faster ?" in found.text
    assert "Doubted: contended." in found.text


def test_the_same_doubt_is_said_once_with_all_its_rows():
    run = whole_run()
    first, second = view_of(run).doubts
    assert (first.what, first.invalid) == ("throttled", True)
    assert (second.what, len(second.cases), len(second.cases[0].rows)) == ("contended", 1, 3)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.booleans()), max_size=6))
def test_no_doubt_is_lost_by_grouping(doubts):
    made = tuple(Doubt(what=what, evidence=why, remedy="r", invalid=invalid) for what, why, invalid in doubts)
    run = run_of((measurement(doubts=made), measurement("compressed", doubts=made)))
    grouped = {
        (one.what, case.evidence, one.invalid, row)
        for one in view_of(run).doubts
        for case in one.cases
        for row in case.rows
    }
    labels = [one.label for one in run.measured.measurements]
    assert grouped == {(what, why, invalid, label) for what, why, invalid in doubts for label in labels}


@pytest.mark.parametrize("name", ["terminal", "markdown", "html"])
def test_a_machine_that_is_no_board_is_called_so(name, store):
    run = run_of((measurement(),), facts=board(is_board=False))
    text = report.renderer(name).render(run, store)
    assert "this machine, not a board" in text
    assert "this machine, not a board" not in report.renderer(name).render(run_of((measurement(),)), store)


@pytest.mark.parametrize("name", ["terminal", "markdown", "html"])
def test_why_it_is_another_target_is_said_first(name, store):
    run = run_of((measurement(),))
    run = msgspec.structs.replace(
        run, deployment=msgspec.structs.replace(run.deployment, note="SAMPLE: pi5 was asleep.")
    )
    text = report.renderer(name).render(run, store)
    assert text.index("SAMPLE: pi5 was asleep.") < text.index("1.25 ms")


def test_what_nothing_judged_is_not_called_a_pass(store):
    for run in (run_of((measurement(),)), run_of((measurement(),), compared=None)):
        for name in ("terminal", "markdown", "html"):
            text = report.renderer(name).render(run, store)
            assert "NOT JUDGED" in text
            assert ">PASS<" not in text
            assert "PASS" not in page_text(text)
