"""A run in every form of the report, as text."""

from html.parser import HTMLParser
from pathlib import Path

import msgspec

import pipeline.report
from pipeline import report
from pipeline.records import Outcome, RunRecord
from pipeline.report.compose import view_of
from pipeline.store import Store
from tests.support.sample_run import (
    by_pairs,
    comparison,
    measurement,
    paired,
    run_of,
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


def brief_cells(run, line):
    """What the terminal shows of a row: the other columns are on the page."""
    return [
        cell for cell, column in zip(line.cells, view_of(run).table("results").columns, strict=True) if column.brief
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
