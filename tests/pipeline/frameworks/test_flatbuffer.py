"""The FlatBuffer reader on bytes of any kind: an answer or its own error, in bounded work."""

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frameworks.flatbuffer import DamagedError, Reader

# the root table at 8 with fields 0 (number 7), 1 (text "abc") and 2 (left out); its vtable at 24
TABLE = struct.pack("<I4xi i I 4x 4H", 8, -16, 7, 16, 8, 12, 4, 8) + struct.pack("<I4s", 3, b"abc\0")


def test_the_parts_of_a_table():
    reader = Reader(TABLE)
    root = reader.root()
    assert root == 8
    assert reader.value(root, 0, "i") == 7
    assert reader.text(root, 1) == "abc"
    assert reader.value(root, 2, "i", default=5) == 5
    assert reader.value(root, 900, "i") == 0
    assert (reader.text(root, 2), reader.numbers(root, 2, "i"), reader.tables(root, 2)) == ("", (), [])
    assert (reader.table(root, 2), reader.vector(root, 2, 4)) == (0, (0, 0))


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (0, 10_000, "an offset leads to byte 10000, and the file has 40"),
        (8, 2_000, "an offset leads to byte -1992"),
        (16, 0xFFFFFFF0, "an offset leads to byte"),
        (32, 5, "a list of 5 parts at byte 32 is longer than the file"),
        (32, 0xFFFFFFFF, "longer than the file"),
    ],
)
def test_offsets_that_lead_elsewhere(at, value, says):
    data = bytearray(TABLE)
    data[at : at + 4] = struct.pack("<I", value)
    with pytest.raises(DamagedError, match=says):
        reader = Reader(bytes(data))
        reader.text(reader.root(), 1)


def test_a_name_without_an_end():
    data = TABLE[:32] + struct.pack("<I", 200_000) + bytes(200_000)
    with pytest.raises(DamagedError, match="a name at byte 36 has 200000 characters"):
        Reader(data).text(8, 1)


def test_work_is_bounded():
    reader = Reader(TABLE, budget=50)
    with pytest.raises(DamagedError, match="more parts than any model"):
        for _ in range(50):
            reader.text(8, 1)


@given(st.binary(max_size=200), st.integers(-10, 300), st.integers(0, 400), st.sampled_from("bBhHiIqQ"))
def test_any_bytes_give_an_answer_or_its_own_error(data, table, index, form):
    reader = Reader(data)
    for call in (
        reader.root,
        lambda: reader.value(table, index, form),
        lambda: reader.numbers(table, index, form),
        lambda: reader.reals(table, index),
        lambda: reader.tables(table, index),
        lambda: reader.text(table, index),
        lambda: reader.table(table, index),
    ):
        try:
            call()
        except DamagedError:
            continue


def test_a_vector_of_a_large_file_is_read_at_once():
    """The budget counts each element, and an element costs no call."""
    count = 1_000_000
    data = TABLE[:32] + struct.pack("<I", count) + bytes(4 * count)
    began = time.process_time()
    assert Reader(data).numbers(8, 1, "i") == (0,) * count
    assert time.process_time() - began < 2
