"""The contract of every section of the report, and that each form shows it where it should."""

from pathlib import Path

import pytest

from pipeline import report
from pipeline.records import Outcome
from pipeline.report import tables
from pipeline.report.compose import view_of
from pipeline.report.renderers import html, terminal
from pipeline.report.renderers.markdown import escape
from pipeline.report.trust import Trust
from pipeline.report.view import Shown, Topic
from tests.support.sample_run import CAN_NOT_RUN, measurement, paired_run, run_of, whole_run

RUNS = {
    "whole": whole_run(),
    "pairs": paired_run(),
    "one measurement": run_of((measurement(),)),
    "failures only": run_of((), failures=(CAN_NOT_RUN,), outcome=Outcome.INVALID),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("key", tables.SECTIONS)
def test_the_contract_of_a_section(key, run):
    section = tables.SECTIONS[key]
    table = section.table(run, Trust(run))
    assert table == section.table(run, Trust(run))
    assert table.title
    assert table.columns
    assert all(len(line.cells) == len(table.columns) for line in table.lines)
    assert all(isinstance(cell, str) and cell for line in table.lines for cell in line.cells[1:])
    assert not table.facts or len(table.columns) == 2
    assert view_of(run).table(key).title == table.title


def test_a_section_is_a_file_and_a_line():
    files = {path.stem for path in Path(tables.__file__).parent.glob("[!_]*.py")}
    assert files == set(tables.SECTIONS)


def test_each_section_has_a_title_of_its_own():
    titles = [section.table.title for section in view_of(whole_run()).sections]
    assert len(set(titles)) == len(titles) == len(tables.SECTIONS)


def test_each_place_is_in_one_chapter_of_the_page():
    places = [place for chapters in (html.FIRST, html.LAST) for *_, each in chapters.values() for place in each]
    assert sorted(places) == sorted(Topic)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_each_form_shows_a_section_once_and_none_without_lines(run, store):
    page = report.renderer("html").render(run, store)
    folded = report.renderer("markdown").render(run, store)
    printed = terminal.render(run, store, width=400, colour=False).splitlines()
    for section in view_of(run).sections:
        title, there = section.table.title, bool(section.table.lines)
        assert (page.count(f'<caption class="unseen">{title}</caption>') == 1) is there
        assert page.count(f">{title}</h") == there
        assert folded.splitlines().count(f"#### {escape(title)}") == there
        assert printed.count(title) == (there and section.shown is not Shown.DETAILS)


@pytest.mark.parametrize("shown", Shown)
def test_what_is_shown_first_stands_before_the_limits(shown, store):
    run = paired_run()
    text = report.renderer("markdown").render(run, store)
    for section in view_of(run).sections:
        if section.shown is shown and section.table.lines and section.key != "results":  # of which a part stands there
            first = text.index(f"#### {escape(section.table.title)}\n") < text.index("**Limits**")
            assert first is (shown is Shown.FIRST)
    assert text.index("| file | runtime | size |") < text.index("**Limits**")
