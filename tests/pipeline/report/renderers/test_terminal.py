"""The report in a terminal."""

import contextlib
import io
import re

import pytest

from pipeline.report.compose import view_of
from pipeline.report.renderers import terminal
from tests.pipeline.report.rendered import brief_cells
from tests.support.sample_run import (
    whole_run,
)


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
