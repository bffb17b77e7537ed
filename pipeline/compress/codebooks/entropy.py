"""Indices as bits: packed, or by how often each occurs (docs/codebook.md).

The entropy coder is rANS (Duda, arXiv 1311.2540) in interleaved lanes (Giesen, arXiv 1402.3392): as good as arithmetic coding, so a
tensor of 90 % zeros costs far less than the one bit a weight that Huffman's code cannot go below, a decoder of ten lines in C, and
all lanes of a step at once in numpy.
"""

import numpy as np

from pipeline.errors import ModelError
from pipeline.frameworks import Array

LANE_SYMBOLS = 1024
"""A lane's state takes 4 bytes, so this is also what bounds the weights that a damaged file can claim: 256 for each of its bytes."""

PROBABILITY_BITS = 12
TOTAL = 1 << PROBABILITY_BITS
LOWEST = 1 << 16  # a state is in LOWEST .. 2^32 - 1, and moves by words of 16 bits


def lanes_of(count: int) -> int:
    return -(-count // LANE_SYMBOLS)


def frequencies(symbols: Array, alphabet: int) -> Array:
    """Return how often each symbol occurs, as whole 4096ths that sum up to 4096; at least one for each that occurs."""
    counts = np.bincount(symbols.ravel(), minlength=alphabet)
    found = np.where(counts > 0, np.maximum(1, counts * TOTAL // symbols.size), 0)
    while (rest := TOTAL - int(found.sum())) != 0:
        at = int(found.argmax())
        found[at] += max(rest, -(int(found[at]) // 2))  # what rounding left over goes to the most frequent
    return found.astype(np.int64)


def encode(symbols: Array, frequency: Array) -> bytes:
    """Return the flat symbols as rANS: the lanes' states (uint32), then words (uint16) in the order in which a decoder takes them."""
    frequency, start = frequency.astype(np.uint64), _starts(frequency)
    lanes = lanes_of(len(symbols))
    states = np.full(lanes, LOWEST, np.uint64)
    blocks: list[Array] = []
    for first in range((len(symbols) - 1) // lanes * lanes, -1, -lanes):
        now = symbols[first : first + lanes]
        state, often = states[: len(now)], frequency[now]
        full = state >= often << np.uint64(32 - PROBABILITY_BITS)
        blocks.append((state[full] & np.uint64(0xFFFF)).astype("<u2"))
        whole, rest = np.divmod(np.where(full, state >> np.uint64(16), state), often)
        states[: len(now)] = (whole << np.uint64(PROBABILITY_BITS)) + rest + start[now]
    return states.astype("<u4").tobytes() + np.concatenate(blocks[::-1]).tobytes()


def decode(data: bytes, count: int, frequency: Array) -> Array:
    """`count` symbols, uint8. ModelError if the data is not what `encode` made of that many. `frequency` sums up to 4096."""
    lanes = lanes_of(count)
    if len(data) < 4 * lanes or len(data) % 2:
        raise broken("the indices are cut off")
    states = np.frombuffer(data, "<u4", lanes).astype(np.uint64)
    words = np.frombuffer(data, "<u2", offset=4 * lanes).astype(np.uint64)
    if (states < LOWEST).any():
        raise broken("the indices do not begin as indices do")
    symbol_at = np.repeat(np.arange(len(frequency), dtype=np.uint8), frequency)
    often_at = frequency.astype(np.uint64)[symbol_at]
    offset_at = np.arange(TOTAL, dtype=np.uint64) - _starts(frequency)[symbol_at]
    found, taken = np.empty(count, np.uint8), 0
    for first in range(0, count, lanes):
        state = states[: min(lanes, count - first)]
        slot = state & np.uint64(TOTAL - 1)
        found[first : first + len(state)] = symbol_at[slot]
        state[:] = often_at[slot] * (state >> np.uint64(PROBABILITY_BITS)) + offset_at[slot]
        empty = np.flatnonzero(state < LOWEST)
        if taken + len(empty) > len(words):
            raise broken("the indices are cut off")
        state[empty] = (state[empty] << np.uint64(16)) | words[taken : taken + len(empty)]
        taken += len(empty)
    if taken != len(words) or (states != LOWEST).any():
        raise broken("the indices do not end as indices do")
    return found


def _starts(frequency: Array) -> Array:
    return (np.cumsum(frequency) - frequency).astype(np.uint64)


def pack(symbols: Array, bits: int) -> bytes:
    """Return the flat symbols in `bits` bits each, the lowest bit first."""
    split = (symbols[:, None] >> np.arange(bits, dtype=np.uint8)) & np.uint8(1)
    return np.packbits(split.ravel(), bitorder="little").tobytes()


def unpack(data: bytes, count: int, bits: int) -> Array:
    """`count` symbols, uint8, of exactly the bytes that they take."""
    split = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits, bitorder="little").reshape(count, bits)
    found: Array = np.packbits(split, axis=1, bitorder="little")[:, 0]
    return found


def broken(what: str) -> ModelError:
    """Return the error for a container that cannot be read."""
    return ModelError(
        f"this is not a whole codebook container: {what}",
        hint="It was probably cut off or changed on its way: copy it again, or write it again with the pass codebook.",
    )
