"""What a record is and what it becomes in JSON, and the words in which something else is refused."""
# ruff: noqa: UP006, UP035, UP045 - the types are written as in the agent, for Python 3.8

import json
from typing import Optional, Tuple

import pytest

from device_agent import record, wire
from device_agent.record import MAX_TEXT, Record, WireError, from_fields, replace, shortened, to_fields

LOWEST, HIGHEST = -(2**63), 2**63 - 1
HASH, JOB = "0a" * 32, "0a" * 16


class Inner(Record):
    number: int
    maybe: Optional[int]


class Outer(Record):
    text: str
    real: float
    flag: bool
    inner: Inner
    numbers: Tuple[int, ...]
    words: Tuple[str, ...]
    inners: Tuple[Inner, ...]
    alone: Tuple[int]
    mixed: Tuple[str, int]
    blob_sha256: str
    job_id: str


class Empty(Record):
    pass


INNER = Inner(1, None)
OUTER = Outer("text", 1.5, True, INNER, (1, 2), ("a", "b"), (INNER, Inner(2, 3)), (7,), ("c", 8), HASH, JOB)
FIELDS = {
    "text": "text", "real": 1.5, "flag": True, "inner": {"number": 1, "maybe": None}, "numbers": [1, 2], "words": ["a", "b"],
    "inners": [{"number": 1, "maybe": None}, {"number": 2, "maybe": 3}], "alone": [7], "mixed": ["c", 8], "blob_sha256": HASH,
    "job_id": JOB,
}  # fmt: skip


# --- what it is


def test_values_by_place_and_by_name():
    assert Inner(1, None) == Inner(number=1, maybe=None) == Inner(1, maybe=None)
    assert (INNER.number, INNER.maybe) == (1, None)
    assert Empty() == Empty()


@pytest.mark.parametrize(
    ("values", "named", "words"),
    [
        ((1, 2, 3), {}, "['number', 'maybe']"),
        ((1,), {}, "['number']"),
        ((1, 2), {"maybe": 2}, "['number', 'maybe', 'maybe']"),
        ((1,), {"number": 1, "maybe": 2}, "['number', 'number', 'maybe']"),
        ((1, 2), {"more": 2}, "['number', 'maybe', 'more']"),
        ((), {"number": 1}, "['number']"),
    ],
)
def test_other_values_are_none(values, named, words):
    with pytest.raises(TypeError) as told:
        Inner(*values, **named)
    assert str(told.value) == f"Inner takes ['number', 'maybe'], not {words}"


def test_it_cannot_be_changed():
    with pytest.raises(AttributeError) as told:
        INNER.number = 2
    assert str(told.value) == "Inner cannot be changed"
    assert INNER.number == 1


def test_equal_is_what_has_the_same_values_in_the_same_kind():
    assert Inner(1, 2) == Inner(1, 2)
    assert Inner(1, 2) != Inner(1, 3)
    assert wire.Forget(JOB) != wire.Cancel(JOB)
    assert Inner(1, 2) != (1, 2)
    assert {Inner(1, 2), Inner(1, 2), Inner(1, 3)} == {Inner(1, 2), Inner(1, 3)}
    assert hash(Inner(1, 2)) == hash((1, 2))


def test_in_words():
    assert repr(Inner(1, None)) == "Inner(number=1, maybe=None)"
    assert repr(Empty()) == "Empty()"


def test_replace_leaves_the_other_fields():
    assert replace(INNER, maybe=5) == Inner(1, 5)
    assert INNER.maybe is None
    assert isinstance(replace(wire.Cancel(JOB)), wire.Cancel)


# --- to JSON and back


def test_there_and_back():
    assert json.loads(json.dumps(to_fields(OUTER))) == FIELDS
    assert from_fields(Outer, FIELDS) == OUTER


def test_a_kind_that_was_not_read_before():
    class New(Record):
        number: int

    assert from_fields(New, {"number": 1}) == from_fields(New, {"number": 1}) == New(1)
    with pytest.raises(WireError, match=r"New.number must be int, not str"):
        from_fields(New, {"number": "1"})


def test_long_lists_of_times_are_not_copied():
    assert to_fields(OUTER)["numbers"] is OUTER.numbers
    assert to_fields(replace(OUTER, words=()))["words"] == ()


def test_a_long_text_is_shortened_wherever_it_is():
    whole, long = "x" * MAX_TEXT, "x" * (MAX_TEXT + 400)
    assert to_fields(replace(OUTER, text=whole))["text"] == whole
    assert to_fields(replace(OUTER, text=long))["text"] == shortened(long) != long
    fields = json.loads(wire.encode(wire.Failure("internal", long, "")))
    assert fields["message"] == shortened(long)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (12_345, "H" * 5000 + "T" * 7345),
        (800, "H" * 255 + " ... 11580 characters left out ... " + "T" * 510),
        (101, "H" * 22 + " ... 12279 characters left out ... " + "T" * 44),
        (100, "H" * 31 + " ... " + "T" * 64),
        (20, "H" * 5 + " ... " + "T" * 10),
    ],
)
def test_shortened_keeps_the_head_and_more_of_the_tail(most, expected):
    text = "H" * 5000 + "T" * 7345
    assert shortened(text, most) == expected


# --- what is refused


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text": 1}, "Outer.text must be str, not int"),
        ({"real": 1}, "Outer.real must be float, not int"),
        ({"flag": 1}, "Outer.flag must be bool, not int"),
        ({"inner": [1]}, "Outer.inner must be an object, not list"),
        ({"inner": {"number": True, "maybe": 1}}, "Inner.number must be int, not bool"),
        ({"inner": {"number": 1, "maybe": "1"}}, "Inner.maybe must be int, not str"),
        ({"inner": {"number": HIGHEST + 1, "maybe": 1}}, "Inner.number does not fit 64 bits"),
        ({"inner": {"number": 1, "maybe": LOWEST - 1}}, "Inner.maybe does not fit 64 bits"),
        ({"numbers": {"a": 1}}, "Outer.numbers must be a list, not dict"),
        ({"numbers": [1, HIGHEST + 1]}, "Outer.numbers does not fit 64 bits"),
        ({"numbers": [LOWEST - 1, 1]}, "Outer.numbers does not fit 64 bits"),
        ({"numbers": [True]}, "Outer.numbers must be int, not bool"),
        ({"words": [1, 2]}, "Outer.words must be str, not int"),
        ({"inners": [1]}, "Outer.inners must be an object, not int"),
        ({"alone": []}, "Outer.alone must have 1 items, not 0"),
        ({"alone": [1, 2]}, "Outer.alone must have 1 items, not 2"),
        ({"alone": [True]}, "Outer.alone must be int, not bool"),
        ({"mixed": ["a", "b"]}, "Outer.mixed must be int, not str"),
        ({"blob_sha256": HASH.upper()}, "Outer.blob_sha256 must be 64 hexadecimal digits"),
        ({"blob_sha256": HASH + "0"}, "Outer.blob_sha256 must be 64 hexadecimal digits"),
        ({"job_id": ""}, "Outer.job_id must be 32 hexadecimal digits"),
        ({"job_id": JOB.upper()}, "Outer.job_id must be 32 hexadecimal digits"),
        ({"b": 1, "a": 1}, "Outer: missing [], unknown ['a', 'b']"),
        (dict.fromkeys("gfedcba"), "Outer: missing [], unknown ['a', 'b', 'c', 'd', 'e']"),
        ({"x" * 300: 1}, "Outer: missing [], unknown ['" + "x" * 198),
    ],
)
def test_what_is_wrong_is_named(changes, words):
    with pytest.raises(WireError) as told:
        from_fields(Outer, {**FIELDS, **changes})
    assert str(told.value) == words


def test_what_is_missing_is_named():
    with pytest.raises(WireError) as told:
        from_fields(Inner, {"maybe": 1})
    assert str(told.value) == "Inner: missing ['number'], unknown []"
    with pytest.raises(WireError) as told:
        from_fields(Outer, {})
    assert str(told.value) == "Outer: missing ['alone', 'blob_sha256', 'flag', 'inner', 'inners'], unknown []"


def test_the_ends_of_the_range_and_no_hash_are_taken():
    fields = {**FIELDS, "numbers": [], "inner": {"number": LOWEST, "maybe": HIGHEST}, "blob_sha256": ""}
    taken = from_fields(Outer, fields)
    assert (taken.numbers, taken.inner, taken.blob_sha256) == ((), Inner(LOWEST, HIGHEST), "")


def test_a_list_of_times_is_checked_at_once(monkeypatch):
    """A million of them, one by one, take a second."""
    monkeypatch.setattr(record, "_value", None)
    assert record._items([LOWEST, HIGHEST], (int, ...), "where") == (LOWEST, HIGHEST)
    assert record._items([5], (int, ...), "where") == (5,)


# --- lines


def test_a_line_in_bytes():
    line = b'{"kind":"Put","sha256":"%s","size_bytes":5}\n' % HASH.encode()
    assert wire.encode(wire.Put(HASH, 5)) == line
    assert wire.decode(line) == wire.Put(HASH, 5)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"[1]", "a line must be a JSON object, not list"),
        (b"{}", "unknown kind of record: None"),
        (b'{"kind":["Observe"]}', "unknown kind of record: ['Observe']"),
        (b'{"kind":"%s"}' % (b"x" * 100), "unknown kind of record: '" + "x" * 79),
        (b"x" * 100, f"not a JSON line: Expecting value: line 1 column 1 (char 0) ({b'x' * 80!r})"),
    ],
)
def test_what_is_no_record_is_said(line, words):
    with pytest.raises(WireError) as told:
        wire.decode(line)
    assert str(told.value) == words


def test_the_longest_line(monkeypatch):
    line = b'{"kind":"Observe"}'
    monkeypatch.setattr(wire, "MAX_LINE_BYTES", len(line))
    assert wire.decode(line) == wire.Observe()
    with pytest.raises(WireError) as told:
        wire.decode(line + b" ")
    assert str(told.value) == "a line of 19 bytes is longer than the limit of 18"
