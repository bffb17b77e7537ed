"""What a report says: the same in every renderer, nothing that the record does not hold, nothing false as if true."""

import ast
import contextlib
import html
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pipeline.report
from pipeline import report, units
from pipeline.errors import StageError
from pipeline.records import Doubt, Energy, EnergyParts, EnergyReading, Outcome, RunRecord
from pipeline.report.compose import view_of
from pipeline.report.pictures.files import binomial
from pipeline.report.pictures.svg import Scale
from pipeline.report.renderers import terminal
from pipeline.report.renderers.markdown import escape
from pipeline.safe_text import UNSAFE, clean
from pipeline.store import Store
from tests.support.sample_run import (
    CAN_NOT_RUN,
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

FOLDER = Path(pipeline.report.__file__).parent
HOSTILE = "<script>alert(1)</script>|\n`x` \x1b[31mred\x9b0m \u202egnp.exe [a](b) @someone"


def all_texts(run: RunRecord, store: Store) -> dict[str, str]:
    return {name: report.renderer(name).render(run, store) for name in report.RENDERERS}


def result(run: RunRecord, row: int) -> dict[str, str]:
    """One row of the results, by heading."""
    table = view_of(run).table("results")
    return dict(zip((column.heading for column in table.columns), table.lines[row].cells, strict=True))


def page_text(page: str) -> str:
    """What a reader sees: the page without tags and styles."""
    words: list[str] = []

    class Reader(HTMLParser):
        silent = False

        def handle_starttag(self, tag, attrs):
            self.silent = tag == "style"

        def handle_data(self, data):
            if not self.silent:
                words.append(data)

    Reader().feed(page)
    return " ".join(" ".join(words).split())


# --- the contract of every renderer


@pytest.mark.parametrize("name", report.RENDERERS)
@pytest.mark.parametrize(
    "run",
    [
        whole_run(),
        run_of((measurement(),)),
        run_of((), failures=(CAN_NOT_RUN,), outcome=Outcome.INVALID),
        run_of((measurement(accuracy=None), measurement("compressed", doubts=(THROTTLED,)))),
        run_of((measurement(latency=latency(1e-3, launches=1)),), compared=None),
        run_of((measurement("compressed", doubts=(THROTTLED,)),), facts=board(is_board=False)),
    ],
    ids=["whole", "one measurement", "failures only", "no accuracy", "not judged", "all invalid"],
)
def test_every_renderer_renders_every_kind_of_run(name, run, store):
    text = report.renderer(name).render(run, store)
    assert run.loaded.model.name in text.replace("\\_", "_")
    assert text == report.renderer(name).render(run, store)
    assert text.endswith("\n")


def test_report_writes_its_pages_and_says_where(store):
    paths = report.report(whole_run(), store)
    assert {path.name for path in paths.values()} == {"report.md", "report.json", "report.html"}
    assert {path.parent for path in paths.values()} == {store.report_folder(whole_run().run_id)}
    assert all(path.stat().st_size > 1000 for path in paths.values())


def test_json_reads_back_as_the_same_record(store):
    run = run_of((measurement(runtime=HOSTILE),))
    text = report.renderer("json").render(run, store)
    assert report.read(text.encode()) == run
    assert text.startswith('{\n  "schema": ')


def test_a_record_of_another_version_is_an_error_with_a_remedy():
    with pytest.raises(StageError) as failed:
        report.read(b'{"schema": 99}')
    assert "edgepress run" in failed.value.hint


def brief_cells(run, line):
    """What the terminal shows of a row: the other columns are on the page."""
    return [
        cell for cell, column in zip(line.cells, view_of(run).table("results").columns, strict=True) if column.brief
    ]


def test_the_renderers_agree_on_the_rows(store):
    run = whole_run()
    wide = terminal.render(run, store, width=400, colour=False)
    markdown = report.renderer("markdown").render(run, store)
    page = page_text(report.renderer("html").render(run, store))
    for line in view_of(run).table("results").lines:
        assert re.search(r"\s+".join(map(re.escape, brief_cells(run, line))), wide)
        assert f"| {' | '.join(escape(cell) for cell in line.cells)} |" in markdown
        assert all(cell in page for cell in line.cells)
    for text in (wide, page):
        flat = " ".join(text.split())
        assert view_of(run).headline in flat
        assert all(finding.text in flat for finding in view_of(run).findings)
        assert all(one.remedy in flat for one in (*view_of(run).doubts, *view_of(run).failures))


# --- numbers


def energy_of(net_j, meter="ina226", quality="measured"):
    """By one meter, within 10 %; None: it has no valid number."""
    parts = EnergyParts(gain_j=None, sampling_j=(net_j or 0) / 10, sync_j=0.0, idle_j=0.0)
    numbers = (
        {"net_j": net_j, "gross_j": 2 * net_j, "net": parts, "gross": parts, "window_s": 5.0}
        if net_j
        else {"invalid": "it died"}
    )
    reading = EnergyReading(meter=meter, rail="5 V", quality=quality, inferences=9, readings=500, failed=0, **numbers)
    return Energy(readings=(reading,), note="")


@given(
    median_s=st.floats(1e-7, 10),
    size_bytes=st.integers(1, 10**9),
    accuracy_ratio=st.none() | st.floats(0, 1),
    energy_j=st.none() | st.floats(1e-6, 100),
)
def test_every_number_comes_from_the_record_through_units(median_s, size_bytes, accuracy_ratio, energy_j):
    one = measurement(
        median_s=median_s,
        size_bytes=size_bytes,
        accuracy_ratio=accuracy_ratio,
        energy=energy_of(energy_j),
    )
    assert result(run_of((one,)), 0) == {
        "#": "1",
        "file": "original tflite-fp32",
        "runtime": "ai_edge_litert",
        "size": units.size(size_bytes),
        "smaller": "-",
        "accuracy": units.percent(accuracy_ratio),
        "lost": "-",
        "differs from host": units.percent(0.0),
        "latency": units.seconds(median_s),
        "95 % interval": units.interval(one.latency.low_s, one.latency.high_s),
        "x time": "-",
        "its interval": "-",
        "cold start": units.seconds(one.cold_start_s),
        "memory": units.size(49 << 20),
        "model memory": units.size(4 << 20),
        "energy": units.energy_within(energy_j, energy_j / 10) if energy_j else "invalid",
    }


def test_numbers_become_text_in_units_and_nowhere_else():
    """No format of a number in the sources; svg.py writes coordinates, which are no text for people."""
    for path in FOLDER.rglob("*.py"):
        if path.name in {"svg.py", "json.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.FormattedValue) and node.format_spec), f"{path.name}:{node.lineno}"
            assert not (isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"round", "format"}), path.name


@pytest.mark.parametrize(("energy", "expected"), [
    (Energy(readings=(), note="no power meter; a Pi 4 has none"), "no meter"),
    (Energy(readings=(), note="it failed"), "not measured"),
    (energy_of(None), "invalid"),
])  # fmt: skip
def test_energy_that_was_not_measured_is_no_number(energy, expected, store):
    run = run_of((measurement(energy=energy),))
    assert result(run, 0)["energy"] == expected
    for name, text in all_texts(run, store).items():
        assert name == "json" or not re.search(r"\b[0-9.]+ [mµ]?J\b", text)
        assert name == "json" or (energy.note or energy.readings[0].invalid) in html.unescape(text)


def test_each_meter_has_a_line_with_its_class_and_the_parts_of_its_uncertainty():
    coarse, exact = energy_of(0.3, meter="pi5_pmic", quality="coarse"), energy_of(0.25)
    run = run_of((measurement(energy=Energy(readings=coarse.readings + exact.readings, note="")),))
    table = view_of(run).table("energy")
    assert [line.cells[1:4] for line in table.lines] == [
        ("pi5_pmic", "coarse", "300 ± 30.0 mJ"),
        ("ina226", "measured", "250 ± 25.0 mJ"),
    ]
    assert table.lines[0].cells[5:9] == ("-", "30.0 mJ", "0 J", "0 J")  # nobody says how exact it is
    assert result(run, 0)["energy"] == "250 ± 25.0 mJ"  # what is measured before what is coarse
    assert "not tried with any power meter's hardware" in table.note


# --- trust


TIMED = ("latency", "95 % interval", "x time", "its interval", "cold start")


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
    assert (row["x time"], row["latency"]) == ("invalid", "500 µs")


def test_few_launches_make_no_95_percent_interval():
    base = measurement(latency=latency(1e-3, launches=5))
    one = measurement("compressed", latency=latency(5e-4, launches=5))
    run = run_of((base, one), comparisons=(comparison(one, base),))
    assert (result(run, 1)["95 % interval"], result(run, 1)["its interval"]) == ("-", "-")
    assert any("6 launches are needed" in finding.text for finding in view_of(run).findings)
    assert not any("faster on" in finding.text for finding in view_of(run).findings)


@pytest.mark.parametrize(("ratio", "spread", "tone", "words"), [
    (0.28, 0.01, "better", "on ai_edge_litert: 0.28x the time of original tflite-fp32"),
    (13.0, 0.01, "worse", "SLOWER on the board"),
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
    assert "0.24x ?" in found.text
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


# --- what others wrote


@given(st.text())
def test_cleaned_text_holds_nothing_that_a_terminal_obeys(text):
    assert not UNSAFE.search(clean(text))
    assert clean("Raspberry Pi 5 µ°é 板") == "Raspberry Pi 5 µ°é 板"


def hostile_run(text: str) -> RunRecord:
    doubt = Doubt(what=text, evidence=text, remedy=text)
    base, one = measurement(runtime=text), measurement("compressed", format=text, runtime=text, doubts=(doubt,))
    run = run_of(
        (base, one),
        comparisons=(comparison(one, base),),
        verdicts=(verdict("latency_regression", one, base, (1e-3, 2e-3, 1.0, 0.9, 1.1, 0.03), Outcome.REGRESSED),),
        failures=(msgspec.structs.replace(CAN_NOT_RUN, evidence=text, format=text),),
        facts=board(model=text, cpu=text, governor=text, is_board=False),
        plan_path=text,
        run_id="1",
    )
    model = msgspec.structs.replace(run.loaded.model, name=text)
    return msgspec.structs.replace(run, loaded=msgspec.structs.replace(run.loaded, model=model))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.just(HOSTILE) | st.text(min_size=1, max_size=30))
def test_hostile_names_do_nothing_in_any_renderer(text, store):
    harmless = all_texts(hostile_run("harmless"), store)
    for name, out in all_texts(hostile_run(text), store).items():
        assert not UNSAFE.search(out.replace("\n", "").replace("\u200b", "")), name
        if name == "html":
            assert tags(out) == tags(harmless[name])
        if name == "markdown":
            assert "<script" not in out
            assert [line.count("|") - line.count("\\|") for line in out.splitlines() if line.startswith("| ")] == [
                line.count("|") for line in harmless[name].splitlines() if line.startswith("| ")
            ]


def tags(page: str) -> list[str]:
    """Every element of the page, in order, and that each is closed (the page writes all its ends)."""
    found: list[str] = []
    open_: list[str] = []
    void = {"meta", "link", "br"}

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append(tag)
            if tag not in void:
                open_.append(tag)

        def handle_startendtag(self, tag, attrs):
            found.append(tag)

        def handle_endtag(self, tag):
            assert open_.pop() == tag

    Reader(convert_charrefs=True).feed(page)
    assert open_ == []
    return found


def test_markdown_notifies_nobody_and_links_nowhere():
    assert escape("@someone #12 https://x.y www.x.y a|b <b> *c* [d](e)") == (
        "@\u200bsomeone #\u200b12 https:\u200b//x.y www\u200b.x.y a\\|b &lt;b&gt; \\*c\\* \\[d\\](e)"
    )
    assert escape("original tflite-int8 @ sleep") == "original tflite-int8 @ sleep"


# --- the terminal


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_the_table_fits_the_terminal_and_nothing_is_cut_off(width, store):
    text = terminal.render(whole_run(), store, width=width, colour=False)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = re.sub(r"\s", "", text)
    lines = view_of(whole_run()).table("results").lines
    assert all(cell.replace(" ", "") in words for line in lines for cell in brief_cells(whole_run(), line))


def test_colour_only_where_it_is_asked_for(store):
    assert "\x1b[" in terminal.render(whole_run(), store, width=120, colour=True)
    with contextlib.redirect_stdout(io.StringIO()):
        assert "\x1b" not in terminal.render(whole_run(), store)
    plain = re.sub(r"\x1b\[[\d;]*m", "", terminal.render(whole_run(), store, width=120, colour=True))
    assert re.sub(r" +\n", "\n", plain) == terminal.render(whole_run(), store, width=120, colour=False)


def test_doubts_come_last_and_the_outcome_ends_it(store):
    text = terminal.render(whole_run(), store, width=120, colour=False)
    order = [
        text.index(f"\n{title}\n")
        for title in ("Measured on the board", "Limits", "What was found", "Failed", "Doubts")
    ]
    assert order == sorted(order)
    assert text.index("\nINVALID  2 of 5 limits not passed") > order[-1]


# --- the page


def test_the_page_needs_nothing_but_itself(store):
    page = report.renderer("html").render(whole_run(), store)
    assert not re.search(r"https?:|<script|<img|<iframe|@import|url\(", page)
    assert set(re.findall(r'(?:href|src)="([^"#]+)', page)) == {"data:,"}
    assert "default-src 'none'" in page
    assert "svg" in tags(page)
    assert len(re.findall(r'id="([^"]+)"', page)) == len(set(re.findall(r'id="([^"]+)"', page)))


def test_every_link_of_the_page_leads_somewhere(store):
    for run in (whole_run(), run_of((measurement(),)), run_of((), failures=(CAN_NOT_RUN,))):
        page = report.renderer("html").render(run, store)
        assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))


def test_every_picture_says_in_words_what_it_shows(store):
    page = report.renderer("html").render(whole_run(), store)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 4 + 7 + 8  # the distribution of the invalid one is not drawn
    assert all(re.search(r"<title id=.*?>.+?</title><desc id=.*?>.+?</desc>", picture) for picture in pictures)


@given(st.floats(1e-7, 1), st.floats(1.001, 1e4), st.booleans())
def test_a_scale_keeps_its_order_and_its_ticks_are_inside(low, wider, log):
    scale = Scale(low=low, high=low * wider, start=10, end=400, log=log)
    assert (scale.at(low), scale.at(low * wider)) == (pytest.approx(10), pytest.approx(400))
    ticks = scale.ticks()
    assert ticks == sorted(ticks)
    assert all(10 - 1e-6 <= scale.at(tick) <= 400 + 1e-6 for tick in ticks)
    assert len(ticks) <= 11


def test_the_interval_of_a_share_is_wilsons():
    low, high = binomial(0.5, 100)  # Brown, Cai and DasGupta (2001): 0.4038 to 0.5962
    assert (round(low, 4), round(high, 4)) == (0.4038, 0.5962)
    assert binomial(1.0, 50)[1] == 1.0
    assert binomial(0.0, 50)[0] == 0.0
    assert 0 < binomial(1.0, 50)[0] < 1
