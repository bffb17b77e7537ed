"""The wire's text form: what was encoded is decoded, and nothing else is."""

import json
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agent import wire
from device_agent.record import hints_of

HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)


def values(hint, name: str):
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        return st.none() | values(arguments[0], name)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0], name), max_size=4).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(each, name) for each in arguments))
    if isinstance(hint, type) and issubclass(hint, wire.Record):
        return records(hint)
    if hint is str and name.endswith("sha256"):
        return HASHES | st.just("")
    if hint is str and name == "job_id":
        return st.binary(min_size=16, max_size=16).map(bytes.hex)
    numbers = {int: st.integers(-(2**63), 2**63 - 1), float: st.floats(allow_nan=False, allow_infinity=False)}
    return {str: st.text(max_size=20), bool: st.booleans(), **numbers}[hint]


def records(kind: type):
    hints = hints_of(kind)
    return st.builds(kind, **{name: values(hint, name) for name, hint in hints.items()})


ANY_RECORD = st.sampled_from(sorted(wire.KINDS)).flatmap(lambda name: records(wire.KINDS[name]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", sorted(wire.KINDS))
def test_every_record_survives_the_wire(name):
    @settings(max_examples=15, deadline=None)
    @given(records(wire.KINDS[name]))
    def check(record):
        line = wire.encode(record)
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert wire.decode(line) == record

    check()


@settings(max_examples=150, deadline=None)
@given(ANY_RECORD, st.data())
def test_a_truncated_line_is_never_a_record(record, data):
    line = wire.encode(record)
    cut = data.draw(st.integers(0, len(line) - 2))  # without the newline it is still whole
    with pytest.raises(wire.WireError):
        wire.decode(line[:cut])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_noise_is_refused_and_never_crashes(noise):
    with pytest.raises(wire.WireError):
        wire.decode(noise)


@settings(max_examples=300, deadline=None)
@given(ANY_RECORD, JSON, st.data())
def test_a_changed_field_is_refused_or_of_the_right_type(record, value, data):
    fields = json.loads(wire.encode(record))
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = value
    try:
        decoded = wire.decode(json.dumps(fields).encode())
    except wire.WireError:
        return
    assert json.loads(wire.encode(decoded)) == fields


@settings(max_examples=100, deadline=None)
@given(ANY_RECORD, st.data())
def test_missing_and_unknown_fields_are_named(record, data):
    fields = json.loads(wire.encode(record))
    with pytest.raises(wire.WireError, match="surplus"):
        wire.decode(json.dumps({**fields, "surplus": 1}).encode())
    names = sorted(set(fields) - {"kind"})
    if names:
        name = data.draw(st.sampled_from(names))
        del fields[name]
        with pytest.raises(wire.WireError, match=name):
            wire.decode(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"kind": "Observe"' + b" " * wire.MAX_LINE_BYTES + b"}",
        b'{"kind": "Get", "sha256": "' + b"a" * 64 + b'\\n"}',  # $ in a regular expression would let it through
        b'{"kind": "Get", "sha256": "' + b"A" * 64 + b'"}',
        b'{"kind": "Put", "sha256": "' + b"a" * 64 + b'", "size_bytes": true}',
        b'{"kind": "Put", "sha256": "' + b"a" * 64 + b'", "size_bytes": 1.0}',
        b'{"kind": ["Observe"]}',
        b'{"kind": "Launch"}',
        b"\xff\xfe",
    ],
)
def test_what_must_not_pass(line):
    with pytest.raises(wire.WireError):
        wire.decode(line)


@given(st.integers(min_value=2**63) | st.integers(max_value=-(2**63) - 1))
def test_numbers_that_no_clock_and_no_file_has_are_refused(number):
    line = wire.encode(wire.Blob("a" * 64, number))
    with pytest.raises(wire.WireError, match="64 bits"):
        wire.decode(line)
