"""Tables that are shared, and the states of the entropy coder: what a round trip alone does not show."""

import numpy as np
import pytest

from pipeline.compress.codebooks import entropy, tables
from pipeline.compress.codebooks.container_file import Weights, write
from pipeline.errors import ModelError


def test_channels_that_differ_by_their_scale_share_one_table():
    """Of 16 bits a level, and a scale for each channel: less than a table of 32 bits for each."""
    grid = np.random.default_rng(0).integers(-7, 8, (64, 24)).astype(np.float32)
    scales = (np.arange(24, dtype=np.float32) + 65) / 2**12
    coded = tables.code(grid * scales, (1,))
    assert np.array_equal(coded.multiples, np.arange(-7, 8))
    assert np.array_equal(coded.scales, scales)
    assert not coded.levels.size
    assert np.array_equal(tables.decode(coded), grid * scales)
    shared = len(write([Weights("w", grid * scales, (1,))]))
    apart = grid * scales
    apart[0] += np.float32(1e-4)  # no whole multiples any more
    assert shared < len(write([Weights("w", apart, (1,))])) - 24 * 15 * 2


def test_a_state_that_does_not_end_where_it_began():
    """Of a symbol that is always the same nothing else tells that the state was changed: no word is taken or left."""
    symbols = np.zeros(3000, np.uint8)
    frequency = entropy.frequencies(symbols, 1)
    coded = entropy.encode(symbols, frequency)
    assert np.array_equal(entropy.decode(coded, 3000, frequency), symbols)
    changed = bytearray(coded)
    changed[4] += 1  # the second lane's state
    with pytest.raises(ModelError, match="do not end as indices do"):
        entropy.decode(bytes(changed), 3000, frequency)
