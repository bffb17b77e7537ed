"""Every field has a range, every value outside is refused by its name, and a line is counted before it is read."""

import json
import re
import tracemalloc
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agent import wire
from device_agent.bench import check, runner
from device_agent.board import machine
from device_agent.record import MAX_TEXT, hints_of, replace, shortened, to_fields
from targets import ranges
from tests.support.launched import CLEAN


def values(hint, name: str):
    """Any value that a field can hold."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    limits = ranges.of(name)
    if origin is typing.Union:
        return st.none() | values(arguments[0], name)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0], name), max_size=min(4, limits.items)).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(each, name) for each in arguments))
    if isinstance(hint, type) and issubclass(hint, wire.Record):
        return records(hint)
    if hint is str and limits.pattern is not None:
        return st.from_regex(limits.pattern, fullmatch=True)
    if hint in (int, float):
        return {int: st.integers, float: st.floats}[hint](*limits.numbers)
    return {str: st.text(max_size=20), bool: st.booleans()}[hint]


def records(kind: type):
    hints = hints_of(kind)
    return st.builds(kind, **{name: values(hint, name) for name, hint in hints.items()})


ANY_RECORD = st.sampled_from(sorted(wire.KINDS)).flatmap(lambda name: records(wire.KINDS[name]))


def fields():
    """(record, field, type, is of a list of any length) of everything that the wire carries, once each."""
    found, kinds = [], list(wire.KINDS.values())
    for kind in kinds:
        for name, hint in hints_of(kind).items():
            listed = False
            inner = [hint]
            while inner:
                one = inner.pop()
                arguments = [each for each in typing.get_args(one) if each not in (Ellipsis, type(None))]
                listed |= Ellipsis in typing.get_args(one)
                inner += arguments
                if not arguments and issubclass(one, wire.Record):
                    if one not in kinds:
                        kinds.append(one)
                elif not arguments:
                    found.append((kind.__name__, name, one, listed))
                if listed and Ellipsis in typing.get_args(one):
                    found.append((kind.__name__, name, tuple, True))
    return found


@pytest.mark.parametrize(("kind", "name", "of", "listed"), fields())
def test_every_field_has_a_range(kind, name, of, listed):
    limits = ranges.of(name)
    if of in (int, float):
        low, high = limits.numbers  # None: give it a unit, or a line of ranges.NUMBERS
        assert -(2**63) <= low < high < 2**63 or of is float
    if of is str:
        assert 0 < limits.characters <= 20_000
    if of is tuple:
        assert limits.items > 0, f"{kind}.{name} has no line in ranges.ITEMS"


def test_no_range_is_of_nothing():
    names = {name for _, name, _, _ in fields()}
    for table in (ranges.NUMBERS, ranges.TEXTS, ranges.LONG_TEXTS, ranges.ITEMS):
        assert set(table) <= names
    assert set(ranges.UNITS) <= {name.rpartition("_")[2] for name in names}


def test_the_ranges_hold_what_the_agent_makes():
    assert check.MAX_RUNS <= ranges.MOST_TIMES
    assert ranges.ITEMS["warmup_ns"] == runner.WARMUP_KEEP
    assert ranges.ITEMS["golden"] == wire.GOLDEN_ROWS * wire.GOLDEN_VALUES
    assert set(ranges.TEXTS["state"].split("|")) == set(wire.STATES)
    most = 2 * ranges.MOST_TIMES + ranges.ITEMS["warmup_ns"]  # two lists of readings, or the times of a pair
    assert most < ranges.MOST_OF[b","]
    assert ranges.ITEMS["operators"] * 20 <= ranges.MOST_OF[b'"']


def spoiled(values, path, value):
    """The record with one number or text, at any depth, replaced."""
    *way, last = path
    inner = values
    for key in way:
        inner = inner[key]
    inner[last] = value
    return json.dumps(values).encode()


def leaves(value, path=()):
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))]
    if isinstance(value, list):
        return [leaf for at, inner in enumerate(value) for leaf in leaves(inner, (*path, at))]
    return [(path, value)]


@settings(max_examples=100, deadline=None)
@given(ANY_RECORD)
def test_what_is_in_its_ranges_is_taken_and_can_be_said_again(record):
    assert ranges.decode(wire.encode(record)) == record


@settings(max_examples=60, deadline=None)
@given(ANY_RECORD, st.data())
def test_a_number_out_of_its_range_is_refused_by_its_name(record, data):
    values = json.loads(wire.encode(record))
    numbers = [path for path, value in leaves(values) if type(value) is int]
    if not numbers:
        return
    path = data.draw(st.sampled_from(numbers))
    name = next(part for part in reversed(path) if isinstance(part, str))
    low, high = ranges.of(name).numbers
    value = data.draw(st.sampled_from([int(low) - 1, int(high) + 1, -(2**62) if low >= 0 else low - 1, 10**30]))
    with pytest.raises(wire.WireError, match=rf"\b{name} (= |does not fit)"):
        ranges.decode(spoiled(values, path, value))


@settings(max_examples=60, deadline=None)
@given(ANY_RECORD, st.data())
def test_any_change_is_taken_or_refused_and_never_crashes(record, data):
    values = json.loads(wire.encode(record))
    path = data.draw(st.sampled_from([path for path, _ in leaves(values)]))
    odd = st.sampled_from(
        [None, True, -1, 0, 2**62, 2**63, 10**400, 0.5, 1e308, "", "\ud800", "x" * 10_000, [], {}, [[]]]
    )
    line = spoiled(values, path, data.draw(odd))
    try:
        found = ranges.decode(line)
    except wire.WireError:
        return
    assert ranges.decode(wire.encode(found)) == found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("arch", "../../x --index-url=http://evil"),
        ("arch", "x86_64\n"),
        ("arch", ""),
        ("python", "3.11.2; rm -rf /"),
        ("python", "3." + "9" * 400),
        ("libc", "newlib"),
        ("libc_version", "9" * 400),
        ("libc_version", "-2.36"),
        ("packages", ["numpy 1"] * 65),
        ("packages", ["--index-url=http://evil 1"]),
        ("cpu_count", -5),
        ("cpu_count", 0),
        ("memory_bytes", -1),
        ("bits", 0),
        ("cpu_max_khz", -1),
        ("model", "x" * (MAX_TEXT + 1)),
    ],
)
def test_a_board_that_can_not_be_is_refused(field, value, described):
    values = {"kind": "Hello", "protocol": wire.PROTOCOL, "agent_sha256": "a" * 64, "machine": to_fields(described)}
    assert ranges.decode(json.dumps(values).encode()).machine == described
    values["machine"][field] = value
    with pytest.raises(ranges.RangeError, match=rf"Machine\.{field} (=|has)"):
        ranges.decode(json.dumps(values).encode())


@pytest.fixture(scope="module")
def described():
    return machine.describe()


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_what_is_no_number_is_refused(text):
    line = b'{"kind":"Blob","sha256":"%s","size_bytes":%s}' % (b"a" * 64, text)
    with pytest.raises(wire.WireError):
        ranges.decode(line)
    with pytest.raises(wire.WireError, match=r"^Launched\.golden = (nan|-?inf), not "):
        ranges.decode(wire.encode(replace(CLEAN, golden=())).replace(b'"golden":[]', b'"golden":[%s]' % text))


def test_the_launch_is_named():
    line = wire.encode(CLEAN).replace(b'"index":0', b'"index":2').replace(b'"latency_ns":[99999', b'"latency_ns":[-1')
    with pytest.raises(ranges.RangeError, match=r"^Launched\.latency_ns = -1, not 50 to \d+ in launch 3$"):
        ranges.decode(line)


@pytest.mark.parametrize("value", [0, -1, 1, 2**62])
def test_an_inference_of_no_time_or_of_a_century_is_refused(value):
    line = wire.encode(CLEAN).replace(b"99999", b"%d" % value)
    with pytest.raises(ranges.RangeError, match="latency_ns"):
        ranges.decode(line)


BOMBS = {
    "nested": b"[" * 30_000_000,
    "nested objects": b'{"kind":"Hello","a":' * 1_000_000,
    "big integer": b'{"kind":"Hello","protocol":' + b"9" * 4_000_000 + b"}",
    "many keys": b"{" + b",".join(b'"k%d":0' % key for key in range(2_000_000)) + b',"kind":"Hello"}',
    "many numbers": b'{"kind":"Hello","protocol":[' + b"300," * 7_000_000 + b"0]}",
    "many lists": b'{"kind":"Hello","protocol":[' + b"[]," * 1_000_000 + b"0]}",
    "big kind": b'{"kind":"' + b"X" * 20_000_000 + b'"}',
    "big text": b'{"kind":"Failure","errno":"","error":"internal","message":"' + b"A" * 20_000_000 + b'"}',
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_line_takes_no_more_memory_than_a_few_times_its_length(bomb):
    tracemalloc.start()
    try:
        with pytest.raises(wire.WireError) as refused:
            ranges.decode(BOMBS[bomb])
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100 << 20
    assert len(str(refused.value)) < 1000


def test_the_longest_answer_is_taken():
    """As many times as an agent sends: the count of what a line holds stands in nobody's way."""
    most = replace(CLEAN, latency_ns=(1234,) * ranges.MOST_TIMES, warmup_ns=(1234,) * 65_536)
    assert ranges.decode(wire.encode(most)) == most
    with pytest.raises(ranges.RangeError, match="1000001 items"):
        ranges.decode(wire.encode(replace(most, latency_ns=(1234,) * (ranges.MOST_TIMES + 1))))


@given(st.text(max_size=3000), st.integers(101, 900))
def test_a_shortened_text_keeps_its_ends(text, most):
    found = shortened(text, most)
    if len(text) <= most:
        assert found == text
    else:
        head, tail = re.split(r" \.\.\. \d+ characters left out \.\.\. ", found)
        assert text.startswith(head)
        assert text.endswith(tail)
        assert len(tail) >= len(head) > 0
        assert most - 2 <= len(found) <= most
        left_out = int(re.search(r"(\d+) characters left out", found.removeprefix(head))[1])
        assert left_out == len(text) - len(head) - len(tail)


def test_a_short_limit_has_a_short_mark():
    assert shortened("a" * 50 + "b" * 50, 41) == "a" * 12 + " ... " + "b" * 24


@settings(max_examples=20, deadline=None)
@given(records(wire.LaunchFailed), st.text(min_size=MAX_TEXT + 1, max_size=5000))
def test_an_agent_shortens_what_a_runtime_says(record, text):
    """Else a model with a long message could not be told of at all."""
    sent = ranges.decode(wire.encode(replace(record, message=text)))
    assert sent.message == shortened(text)
    assert len(sent.message) <= MAX_TEXT
