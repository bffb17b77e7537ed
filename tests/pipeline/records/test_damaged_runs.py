"""A run that no edgepress wrote, or that was damaged since: one error that says so, and what to do."""

import copy
import functools
import json
import operator
import re

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import report
from pipeline.errors import StageError
from pipeline.records import SCHEMA
from tests.pipeline.records.stored_runs import NAMES, unpacked, written


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"schema": 99}', "is of schema 99"),
        (b'{"schema": 0}', "is of schema 0"),
        (b'{"schema": -3}', "is of schema -3"),
        (b'{"schema": "3"}', "cannot be read"),
        (b'{"schema": 3}', "cannot be read: it is not what schema 3 says"),
        (b'{"schema": 1, "deployment": [], "measured": 3}', "cannot be read: it is not what schema 1 says"),
        (b'{"schema": 3, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}", "cannot be read"),
        (b'{"schema": 4, "x": %d}' % 10**30, "cannot be read"),
        (b'{"schema": 4, "loaded": 1, "compressed": {}}', "cannot be read: it is not what schema 4 says"),
        (b"[]", "cannot be read"),
        (b"", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_what_no_edgepress_wrote_is_an_error_with_a_remedy(data, words):
    with pytest.raises(StageError, match=re.escape(words)) as failed:
        report.read(data)
    assert "edgepress run" in failed.value.hint


@pytest.mark.parametrize("name", ["schema-1-first", "schema-3-named", "schema-4"])
def test_a_damaged_older_run_is_read_or_is_an_error(name, tmp_path):
    """Each value of the run in turn: of another kind, or empty. Nothing but StageError gets out."""
    whole = written(unpacked(name, tmp_path))
    for paired in whole["measured"].get("paired", []):
        paired["glances"] = []
    refused = 0
    for path in paths_of(whole):
        for value in (None, 7, []):
            try:
                report.read(json.dumps(damaged(whole, path, value)).encode())
            except StageError:
                refused += 1
    assert refused > 100


def damaged(whole, path, value):
    """A copy of the run with `value` in place of what is at `path`."""
    copied = msgspec.json.decode(msgspec.json.encode(whole))
    *way, last = path
    functools.reduce(operator.getitem, way, copied)[last] = value
    return copied


def paths_of(value, above=(), depth=4):
    """Where something may be damaged: of each list the first, and nothing deeper than `depth`."""
    if not depth:
        return
    keys = value if isinstance(value, dict) else range(min(1, len(value))) if isinstance(value, list) else ()
    for key in keys:
        yield (*above, key)
        yield from paths_of(value[key], (*above, key), depth - 1)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory):
    return {name: written(unpacked(name, tmp_path_factory.mktemp(name))) for name in NAMES}


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_missing_or_odd_is_one_error(whole_runs, data):
    """Parts that are deleted, doubled, swapped or of another kind: it is read, or is StageError; nothing else gets out."""
    run = msgspec.json.decode(msgspec.json.encode(whole_runs[data.draw(st.sampled_from(NAMES))]))
    for _ in range(data.draw(st.integers(1, 3))):
        broken(run, data.draw)
    message = refusal_of(json.dumps(run).encode())
    assert "schema" in message or "cannot be read" in message or not message
    assert len(message) < 1000


def refusal_of(data):
    """Why no run is read; "": it is read."""
    try:
        assert report.read(data).schema == SCHEMA
    except StageError as failed:
        return failed.message
    return ""


def broken(run, draw):
    """Change one part of the run, at any depth."""
    above, key = None, None
    value = run
    while isinstance(value, dict | list) and value and (above is None or draw(st.integers(0, 4))):
        above = value
        key = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(min(len(value), 4))))
        value = value[key]
    if above is None:
        return
    change = draw(st.sampled_from(("delete", "value", "from elsewhere", "more")))
    if change == "delete":
        del above[key]
    elif change == "more" and isinstance(above, dict):
        above[draw(st.text(max_size=5))] = draw(VALUES)
    elif change == "from elsewhere":
        above[key] = copy.deepcopy(run[draw(st.sampled_from(sorted(run)))]) if run else None
    else:
        above[key] = draw(VALUES)
