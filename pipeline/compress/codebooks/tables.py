"""Tables and indices of a tensor that has few values: found in the values themselves, and turned back into them."""

import math
from typing import NamedTuple

import numpy as np

from pipeline.frameworks import Array

MOST_SYMBOLS = 256
WIDEST_EXPONENTS = 38
"""Between the smallest and the largest level of one scale: their significands of 24 bits must fit 63 bits side by side."""


class Coded(NamedTuple):
    """A tensor as symbols (its shape, uint8) into tables; `axes` number the tables, in row-major order.

    Either each table has a row of `levels` (tables, alphabet) float32, or all share `multiples` (alphabet,) int16 and each has one of
    `scales` (tables,) float32. The weight is `levels[table, symbol]` or `multiples[symbol] * scales[table]`, in float32.
    """

    symbols: Array
    axes: tuple[int, ...]
    alphabet: int
    levels: Array
    multiples: Array | None
    scales: Array


def rows_of(values: Array, axes: tuple[int, ...]) -> Array:
    """Return the tensor as a matrix: a row for each table."""
    rest = [axis for axis in range(values.ndim) if axis not in axes]
    return values.transpose([*axes, *rest]).reshape(math.prod(values.shape[axis] for axis in axes), -1)


def from_rows(rows: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """Undo `rows_of`."""
    order = [*axes, *(axis for axis in range(len(shape)) if axis not in axes)]
    return np.ascontiguousarray(rows.reshape([shape[axis] for axis in order]).transpose(np.argsort(order)))


def code(values: Array, axes: tuple[int, ...]) -> Coded | None:
    """Return the smallest tables that give exactly these values; None if a table would need more than 256 levels."""
    if not np.issubdtype(values.dtype, np.floating) or values.dtype.itemsize > 4 or not np.isfinite(values).all():
        return None
    rows = rows_of(values.astype(np.float32), axes)
    levels = []
    for row in rows:
        levels.append(np.unique(row))
        if len(levels[-1]) > MOST_SYMBOLS:
            return None
    widest = max(len(each) for each in levels)
    scaled = _scaled(levels)
    if scaled is not None and 2 * len(scaled[0]) + 4 * len(rows) < 4 * widest * len(rows):
        multiples, scales = scaled
        of_rows = [multiples * scale for scale in scales]
        symbols = np.stack([_symbols(row, table, each) for row, table, each in zip(rows, of_rows, levels, strict=True)])
        return Coded(from_rows(symbols, values.shape, axes), axes, len(multiples), rows[:, :0], multiples, scales)
    tables = np.stack([_zero_first(each, widest) for each in levels])
    symbols = np.stack([_symbols(row, table, each) for row, table, each in zip(rows, tables, levels, strict=True)])
    return Coded(from_rows(symbols, values.shape, axes), axes, widest, tables, None, rows[:0, 0])


def _zero_first(levels: Array, width: int) -> Array:
    """Zero has the same symbol in every table, which then costs least; short tables repeat their last level."""
    ordered = levels[np.argsort(levels != 0, kind="stable")]
    return np.pad(ordered, (0, width - len(ordered)), mode="edge")


def _symbols(row: Array, table: Array, levels: Array) -> Array:
    """Return where each weight's level stands in the table first. `levels`: those of the row, ascending."""
    order = np.argsort(table, kind="stable")
    places = order[np.searchsorted(table[order], levels)].astype(np.uint8)
    return places[np.searchsorted(levels, row)]


def _scaled(rows: list[Array]) -> tuple[Array, Array] | None:
    """Multiples that all tables share and a scale for each table, with exactly these products; None if there are none."""
    found = [_scale_of(levels) for levels in rows]
    scales = [each for each in found if each is not None]
    if len(scales) < len(rows):
        return None
    wanted = [np.rint(levels / scale) for levels, scale in zip(rows, scales, strict=True)]
    multiples = np.unique(np.concatenate(wanted))
    if len(multiples) > MOST_SYMBOLS or np.abs(multiples).max() > np.iinfo(np.int16).max:
        return None
    return multiples.astype(np.int16), np.array(scales, np.float32)


def _scale_of(levels: Array) -> float | None:
    """The largest number of which all levels are whole multiples, if a float32 holds it; 1 if all are zero."""
    significands, exponents = np.frexp(levels[levels != 0].astype(np.float64))
    if not len(exponents):
        return 1.0
    lowest = exponents.min()
    if exponents.max() - lowest > WIDEST_EXPONENTS:
        return None
    whole = np.ldexp(significands, 24).astype(np.int64) << (exponents - lowest).astype(np.int64)
    scale = float(np.ldexp(float(np.gcd.reduce(np.abs(whole))), int(lowest) - 24))
    return scale if float(np.float32(scale)) == scale else None


def decode(coded: Coded) -> Array:
    """Return the values, float32."""
    groups = math.prod(coded.symbols.shape[axis] for axis in coded.axes)
    shape = [size if axis in coded.axes else 1 for axis, size in enumerate(coded.symbols.shape)]
    in_order = np.arange(groups, dtype=np.int64).reshape([coded.symbols.shape[axis] for axis in coded.axes])
    table = in_order.transpose(np.argsort(coded.axes)).reshape(shape) if coded.axes else np.int64(0)
    if coded.multiples is None:
        levels: Array = coded.levels[table, coded.symbols]
        return levels
    found: Array = coded.multiples.astype(np.float32)[coded.symbols] * coded.scales[table]
    return found
