"""Texts from elsewhere: shortened where they are quoted, with their cause in sight."""

import pytest

from device_agent.wire import MAX_TEXT
from pipeline import errors
from pipeline.safe_text import MOST, clean, clean_lines

LONG = "the cause: " + "x" * 20_000_000 + " the last words"


@pytest.mark.parametrize("kind", errors.KINDS.values())
@pytest.mark.parametrize("part", ["message", "hint"])
def test_an_error_quotes_no_more_than_is_read(kind, part):
    error = kind(**{"message": "m", "hint": "h", part: LONG})
    said = getattr(error, part)
    assert len(said) == MAX_TEXT
    assert said.startswith("the cause: x")
    assert said.endswith("x the last words")
    assert "characters left out" in said
    again = kind(message=error.message, hint=error.hint)  # as it arrives from a child process
    assert (again.message, again.hint) == (error.message, error.hint)
    assert str(error) == error.message


def test_a_short_text_stays_as_it_is():
    error = errors.DataError("x" * MAX_TEXT, hint="y" * MAX_TEXT)
    assert (error.message, error.hint) == ("x" * MAX_TEXT, "y" * MAX_TEXT)


def test_a_name_in_a_report_is_shortened():
    assert len(clean(LONG)) == MOST
    assert clean("a\x1bb") == "a\\x1bb"


def test_what_a_program_reads_is_not_shortened():
    assert clean_lines("1" * 10_000) == "1" * 10_000
