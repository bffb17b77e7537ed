"""The levels of a codebook: formulas by hand, and against an exhaustive search."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.compress.codebooks import levels

TENTHS = np.arange(1, 11, dtype=np.float32) / 10
METHODS = ("uniform", "kmeans", "quantile")
WEIGHTS = arrays.arrays(np.float32, st.integers(1, 200), elements=st.floats(-4, 4, width=32, allow_subnormal=False))


def inverse_cdf(weights, probability):
    """The definition, literally: the smallest weight of which at least this share is not above it."""
    return min(w for w in weights if np.mean(weights <= w) >= probability)


def squared_error(weights, found):
    return float(np.square(weights - found.levels[found.indices], dtype=np.float64).sum())


def test_uniform_with_a_scale_of_a_hundredth():
    index, value = levels.uniform(1.23456, 0.01)
    assert index == 123
    assert value == pytest.approx(1.23)


def test_quantile_levels_by_hand():
    assert np.array_equal(levels.quantile_levels(TENTHS[::-1], 2), TENTHS[[2, 7]])  # F^-1 of 1/4 and 3/4
    assert np.array_equal(levels.quantile_levels(TENTHS, 10), TENTHS)


@given(WEIGHTS, st.integers(1, 16))
@settings(max_examples=60, deadline=None)
def test_quantile_levels_are_the_inverse_empirical_cdf(weights, count):
    exact = [inverse_cdf(weights, (2 * j + 1) / (2 * count)) for j in range(count)]
    found = levels.quantile_levels(weights, count)
    # A share such as 3/10 is not what 0.3 is in floating point: compare where the definition itself does not round.
    sure = [j for j in range(count) if (2 * j + 1) * len(weights) % (2 * count)]
    assert [found[j] for j in sure] == [exact[j] for j in sure]


def test_kmeans_finds_what_an_exhaustive_search_finds():
    weights = np.array([-1.0, -0.9, -0.1, 0.1, 0.8, 1.0, 1.2], np.float32)
    best = min(
        sum(float(np.square(part - part.mean()).sum()) for part in np.split(weights, cuts))
        for cuts in itertools.combinations(range(1, 7), 2)
    )
    found = levels.quantized(weights, "kmeans", 8)
    assert squared_error(weights, found) == 0
    centroids = levels.kmeans_levels(weights, 3)
    assert centroids == pytest.approx([-0.95, 0, 1.0])
    error = squared_error(weights, levels.Levels(centroids, levels.nearest(weights, centroids)))
    assert error == pytest.approx(best, rel=1e-5)


def test_kmeans_goes_on_until_no_level_moves():
    """Each level is the mean of the weights that it stands for: some 60 rounds here, and two are not enough."""
    weights = np.random.default_rng(0).normal(0, 0.05, 2000).astype(np.float32)
    centroids = levels.kmeans_levels(weights, 8)
    members = levels.nearest(weights, centroids)
    means = [weights[members == each].mean(dtype=np.float64) for each in range(8)]
    assert np.abs(centroids - means).max() < 1e-7


@given(WEIGHTS, st.sampled_from(METHODS), st.integers(1, 8))
@settings(max_examples=120, deadline=None)
def test_few_levels_the_nearest_one_and_zero_stays_zero(weights, method, bits):
    found = levels.quantized(weights, method, bits)
    assert len(found.levels) <= 2**bits
    assert (np.diff(found.levels) > 0).all() or len(found.levels) == 1
    values = found.levels[found.indices]
    assert not values[weights == 0].any()
    gaps = np.abs(weights[:, None].astype(np.float64) - found.levels)
    assert np.allclose(np.abs(weights - values.astype(np.float64)), gaps.min(axis=1))


def test_kmeans_errs_least_on_weights_of_a_trained_kind():
    weights = np.random.default_rng(0).laplace(0, 0.05, 20_000).astype(np.float32)
    errors = {method: squared_error(weights, levels.quantized(weights, method, 4)) for method in METHODS}
    assert errors["kmeans"] == min(errors.values())


def test_uniform_levels_are_exact_multiples_of_a_short_scale():
    weights = np.random.default_rng(0).normal(0, 0.05, 1000).astype(np.float32)
    found, indices = levels.quantized(weights, "uniform", 4)
    scale = found[9]
    assert np.array_equal(found.astype(np.float64), np.arange(-8, 8) * float(scale))
    assert np.frexp(scale)[0] * 2**levels.SCALE_BITS % 1 == 0
    assert np.abs(weights - found[indices]).max() <= scale / 2 * (1 + 1e-6)


def test_one_bit():
    weights = np.array([-0.3, -0.1, 0.2, 0.4], np.float32)
    assert levels.quantized(weights, "uniform", 1).levels == pytest.approx([-0.25, 0.25], rel=1e-4)
    assert levels.quantized(np.append(weights, 0), "uniform", 1).levels == pytest.approx([0, 0.2], rel=1e-4)
    assert levels.quantized(np.append(weights, 0), "kmeans", 1).levels == pytest.approx([0, 0.05])


def test_a_kernel_of_zeros():
    for method in METHODS:
        found = levels.quantized(np.zeros(5, np.float32), method, 4)
        assert not found.levels[found.indices].any()
