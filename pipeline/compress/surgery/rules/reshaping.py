"""Reshape: which channels of the old shape are at which place of the new one."""

import math
from collections.abc import Iterator

import numpy as np

from pipeline.compress.surgery.channels import Axes, Ids
from pipeline.compress.surgery.wiring import Call

Shape = tuple[int | None, ...]


def reshaped(call: Call, shape: Shape) -> Axes:
    """Axes of the first input in another shape, values in the same (row-major) order.

    Both shapes are cut into blocks of axes that hold the same number of values. In a block, channels along one axis are followed to
    where they are afterwards: (height, width, channels) to one axis repeats them; one axis to (height, width, channels) ties all
    values that come to lie in one channel.
    """
    old = call.inputs[0].shape
    out: list[Ids | None] = [None] * len(shape)
    if None in (*old[1:], *shape[1:]) or _values(old) != _values(shape):
        return _around_unknown(call, shape)
    for before, after in _blocks(old, shape):
        channels = [axis for axis in before if call.x[axis] is not None]
        wide = [axis for axis in after if shape[axis] != 1]
        if len(channels) == 1 and wide:
            ids = _flat(call, before, channels[0]).reshape([shape[axis] or 1 for axis in wide])
            first, *others = ids.reshape(-1, ids.shape[-1])
            for other in others:
                call.tie(first, other)
            out[wide[-1]] = first
        else:
            for axis in channels:
                call.keep(call.x[axis], f"'{call.name}' mixes several axes of channels")
    return tuple(out)


def _values(shape: Shape) -> int:
    return math.prod(size or 1 for size in shape[1:])


def _flat(call: Call, block: list[int], channels: int) -> Ids:
    """Return for each value of a block, in row-major order, the channel that it belongs to."""
    sizes = [call.inputs[0].shape[axis] or 1 for axis in block]
    place = [-1 if axis == channels else 1 for axis in block]
    ids = call.x[channels]
    return np.broadcast_to(np.reshape(np.asarray(ids), place), sizes).ravel()


def _blocks(old: Shape, new: Shape) -> Iterator[tuple[list[int], list[int]]]:
    """Axes of both shapes, in blocks of equally many values. The axis of rows is not among them."""
    i = j = 1
    while i < len(old) or j < len(new):
        before: list[int] = []
        after: list[int] = []
        sizes = [1, 1]
        while True:
            if sizes[0] <= sizes[1] and i < len(old) and (not before or sizes[0] != sizes[1] or old[i] == 1):
                before.append(i)
                sizes[0] *= old[i] or 1
                i += 1
            elif j < len(new) and (not after or sizes[0] != sizes[1] or new[j] == 1):
                after.append(j)
                sizes[1] *= new[j] or 1
                j += 1
            else:
                break
        yield before, after


def _around_unknown(call: Call, shape: Shape) -> Axes:
    """Follow only the last axis, where it stays as it is: other axes have an unknown length."""
    last = call.inputs[0].shape[-1] is not None and call.inputs[0].shape[-1] == shape[-1]
    for ids in call.x[:-1] if last else call.x:
        call.keep(ids, f"'{call.name}' mixes them with an axis of unknown length")
    return (*(None,) * (len(shape) - 1), call.x[-1] if last else None)
