"""The coder of indices, by numbers that were worked out by hand and by a coder of whole numbers; files are test_container_file.py's."""

import numpy as np
import pytest

from pipeline.compress.codebooks.entropy import broken, decode, encode, frequencies, lanes_of, pack, unpack
from pipeline.errors import ModelError


def symbols_of(*values):
    return np.array(values, np.uint8)


def test_a_lane_for_each_1024_symbols():
    assert [lanes_of(count) for count in (1, 1024, 1025, 2048, 2049)] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([3, 1], [3072, 1024]),
        ([5], [4096]),
        ([5, 0, 0], [4096, 0, 0]),  # the alphabet has more than what occurs
        ([0, 5, 0], [0, 4096, 0]),
        ([1, 1, 1], [1366, 1365, 1365]),  # what is over goes to the first of the most frequent
        ([1, 2, 0, 2], [819, 1639, 0, 1638]),
        ([10_000, 1, 1, 1], [4093, 1, 1, 1]),  # 4094 + 3 would be one more than there are
        ([9_999, 2, 0, 2], [4094, 1, 0, 1]),
        # each of ten has 408; 246 more take one each, so 230 are too many: the first gives 204, half of what it has, and the second 26
        ([10_000] * 10 + [1] * 246, [204, 382] + [408] * 8 + [1] * 246),
        ([20_000] * 10 + [1] * 246, [205, 373] + [409] * 8 + [1] * 246),  # 240 too many, and half of 409 is 204
    ],
)
def test_how_often_each_symbol_occurs(counts, expected):
    symbols = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    found = frequencies(symbols, len(counts))
    assert found.tolist() == expected
    assert found.dtype == np.int64
    assert frequencies(symbols[:, None], len(counts)).tolist() == expected


def by_whole_numbers(symbols, frequency):
    """rANS of one symbol after the other, from the last to the first."""
    lanes = -(-len(symbols) // 1024)
    states, words = [1 << 16] * lanes, []
    for i in reversed(range(len(symbols))):
        often, start = frequency[symbols[i]], sum(frequency[: symbols[i]])
        state = states[i % lanes]
        if state >= often << 20:
            words.insert(0, state & 0xFFFF)
            state >>= 16
        states[i % lanes] = (state // often << 12) + state % often + start
    return np.array(states, "<u4").tobytes() + np.array(words, "<u2").tobytes()


@pytest.mark.parametrize("count", [1, 2, 5, 1023, 1024, 1025, 1026, 2047, 2048, 2049, 3001])
@pytest.mark.parametrize("weights", [(1,), (0.9, 0.05, 0.03, 0, 0.02), (1 / 256,) * 256])
def test_lanes_of_symbols(count, weights):
    symbols = np.random.default_rng(count).choice(len(weights), count, p=weights).astype(np.uint8)
    frequency = frequencies(symbols, len(weights))
    data = encode(symbols, frequency)
    assert data == by_whole_numbers(symbols.tolist(), frequency.tolist())
    found = decode(data, count, frequency)
    assert found.dtype == np.uint8
    assert np.array_equal(found, symbols)


@pytest.mark.parametrize(
    ("symbols", "frequency", "data"),
    [
        ([0], [4096, 0], "00000100"),  # a symbol that is certain costs nothing
        ([1], [3072, 1024], "000c0400"),  # 65536 / 1024 = 64 times 4096, and 3072
        ([1, 0], [256, 1, 3839], "00010100 0000"),  # after the 0 the state is 2^20, from which on the 1 puts out a word
        ([1, 0], [255, 1, 3840], "ff000100 0110"),  # 257 times 4096 and 1: the word is 0x1001
    ],
)
def test_bytes_by_hand(symbols, frequency, data):
    assert encode(symbols_of(*symbols), np.array(frequency)) == bytes.fromhex(data)
    assert decode(bytes.fromhex(data), len(symbols), np.array(frequency)).tolist() == symbols


def test_the_highest_of_256_symbols():
    frequency = np.full(256, 16)
    assert decode(encode(symbols_of(255, 0, 254), frequency), 3, frequency).tolist() == [255, 0, 254]


SURE = np.array([4096, 0])  # the state stays what it was, and no word is taken
LANE = bytes.fromhex("00000100")


@pytest.mark.parametrize(
    ("data", "count", "frequency", "message"),
    [
        (LANE[:2], 1, SURE, "the indices are cut off"),
        (LANE + LANE[:2], 1025, SURE, "the indices are cut off"),
        (LANE + LANE[:3], 1, SURE, "the indices are cut off"),
        (b"", 1, SURE, "the indices are cut off"),
        (b"\xff\xff\0\0", 1, SURE, "the indices do not begin as indices do"),
        (LANE + b"\xff\xff\0\0", 1025, SURE, "the indices do not begin as indices do"),
        (LANE + b"\0\0", 1, SURE, "the indices do not end as indices do"),
        (b"\1\0\1\0", 1, SURE, "the indices do not end as indices do"),
        (LANE + b"\1\0\1\0", 1025, SURE, "the indices do not end as indices do"),
        (bytes.fromhex("00010100"), 2, np.array([256, 1, 3839]), "the indices are cut off"),
        (bytes.fromhex("00010100 0100"), 2, np.array([256, 1, 3839]), "the indices do not end as indices do"),
        (bytes.fromhex("00010100 0000 0000"), 2, np.array([256, 1, 3839]), "the indices do not end as indices do"),
    ],
)
def test_data_that_is_not_whole(data, count, frequency, message):
    with pytest.raises(ModelError) as caught:
        decode(data, count, frequency)
    assert str(caught.value) == str(broken(message))


def test_what_is_said_of_a_container_that_is_not_whole():
    assert str(broken("it ends")) == "this is not a whole codebook container: it ends"
    assert broken("it ends").hint == (
        "It was probably cut off or changed on its way: copy it again, or write it again with the pass codebook."
    )


def test_several_lanes_that_take_no_words():
    assert decode(LANE * 2, 1025, SURE).tolist() == [0] * 1025
    assert encode(np.zeros(1025, np.uint8), SURE) == LANE * 2


@pytest.mark.parametrize(
    ("symbols", "bits", "data"),
    [
        ([1, 2, 3], 2, "39"),  # 11 10 01
        ([5, 3], 3, "1d"),  # 011 101
        ([1, 0, 0, 0, 0, 0, 0, 0, 1], 1, "0101"),
        ([7, 255, 128], 8, "07ff80"),
        ([31, 0, 16, 1], 5, "1fc000"),  # 00001 10000 00000 11111
    ],
)
def test_packed_bits(symbols, bits, data):
    assert pack(symbols_of(*symbols), bits) == bytes.fromhex(data)
    found = unpack(bytes.fromhex(data), len(symbols), bits)
    assert found.tolist() == symbols
    assert found.dtype == np.uint8
