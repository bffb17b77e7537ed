"""The levels of a codebook: the few values that stand for all weights of a tensor, and which of them stands for each.

All functions take the weights flat and give float32. Zero is one of the levels wherever the weights hold zeros, so what was pruned
stays exactly zero.
"""

from typing import Literal, NamedTuple

import numpy as np

from pipeline.frameworks import Array

Method = Literal["uniform", "kmeans", "quantile"]

SCALE_BITS = 16
"""Of a uniform scale's significand. With an index of 8 bits every product fits the 24 bits of a float32: no rounding anywhere, so the
scale can be found again in the weights, and a board may multiply in any order."""

MOST_ROUNDS = 300  # of k-means: it ends far earlier, as soon as no centroid moves


class Levels(NamedTuple):
    """`levels[index]` is the weight; indices (weights,) uint8, levels ascending and at most 256."""

    levels: Array
    indices: Array


def quantized(weights: Array, method: Method, bits: int) -> Levels:
    """Return at most 2^bits levels for these weights, and the nearest one for each."""
    if method == "uniform":
        return _one_bit(weights) if bits == 1 else _evenly_spaced(weights, bits)
    find = kmeans_levels if method == "kmeans" else quantile_levels
    others = weights[weights != 0]
    zeros = len(others) < len(weights)
    levels = find(others, 2**bits - zeros) if len(others) else np.zeros(0, np.float32)
    levels = np.unique(np.append(levels, np.float32(0)) if zeros else levels)
    return Levels(levels, nearest(weights, levels))


def nearest(weights: Array, levels: Array) -> Array:
    """Index of the nearest of the ascending levels."""
    middles = (levels[1:].astype(np.float64) + levels[:-1]) / 2
    return np.searchsorted(middles, weights).astype(np.uint8)


def uniform(weights: Array, scale: float) -> tuple[Array, Array]:
    """Index round(w / scale), half to even, and value index * scale: 1.23456 with scale 0.01 gives 123 and 1.23."""
    indices = np.rint(np.asarray(weights, np.float64) / scale).astype(np.int64)
    return indices, indices * scale


def _evenly_spaced(weights: Array, bits: int) -> Levels:
    """Multiples of one scale, from -2^(bits-1) to 2^(bits-1) - 1 of them, as small as the largest weights allow."""
    lowest = -(2 ** (bits - 1))
    scale = short(max(float(weights.max()) / (-lowest - 1), float(weights.min()) / lowest))
    if scale == 0:
        return Levels(np.zeros(1, np.float32), np.zeros(len(weights), np.uint8))
    indices, _ = uniform(weights, float(scale))
    levels = np.arange(lowest, -lowest).astype(np.float32) * scale
    return Levels(levels, (np.clip(indices, lowest, -lowest - 1) - lowest).astype(np.uint8))


def _one_bit(weights: Array) -> Levels:
    """One bit has no room for zero and both signs: plus and minus the mean magnitude, which is the best pair in least squares
    (XNOR-Net, arXiv 1603.05279); or, if there are zeros, zero and one sign.
    """
    mean = short(float(np.abs(weights).mean()))
    levels = np.array([-mean, mean], np.float32)
    if (weights == 0).any() or mean == 0:
        levels = np.unique(np.array([0, mean if weights.max() > -weights.min() else -mean], np.float32))
    return Levels(levels, nearest(weights, levels))


def short(scale: float) -> np.float32:
    """The scale with `SCALE_BITS` significant bits, rounded up so that the largest weight stays in reach; 0 if it is too small."""
    significand, exponent = np.frexp(scale)
    rounded = np.float32(np.ldexp(np.ceil(np.ldexp(significand, SCALE_BITS)), int(exponent) - SCALE_BITS))
    return rounded if rounded >= np.finfo(np.float32).tiny * 2**SCALE_BITS else np.float32(0)


def quantile_levels(weights: Array, count: int) -> Array:
    """Return the inverse empirical CDF at (j + 1/2) / count: every level stands for about equally many weights.

    F^-1(p) is the smallest weight w such that at least the share p of the weights is not above w.
    """
    ranks = -(-(2 * np.arange(count, dtype=np.int64) + 1) * len(weights) // (2 * count)) - 1  # in whole numbers: exact
    found: Array = np.sort(weights)[ranks].astype(np.float32)
    return found


def kmeans_levels(weights: Array, count: int) -> Array:
    """Lloyd's algorithm in one dimension, from levels evenly spread over the range.

    That start lost least accuracy in Deep Compression (arXiv 1510.00149, section 3.2), because it keeps the few large weights. It draws
    nothing at random. A level that stands for no weight stays where it is.
    """
    ordered = np.sort(weights).astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    levels = np.linspace(ordered[0], ordered[-1], count)
    for _ in range(MOST_ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(ordered, (levels[1:] + levels[:-1]) / 2), [len(ordered)]])
        members = np.diff(ends)
        moved = np.where(members > 0, np.diff(sums[ends]) / np.maximum(members, 1), levels)
        if np.array_equal(moved, levels):
            break
        levels = moved
    return levels.astype(np.float32)
