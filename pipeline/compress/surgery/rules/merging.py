"""Several tensors become one: end to end, or by products."""

import numpy as np

from pipeline.compress.surgery.channels import Axes, Ids
from pipeline.compress.surgery.wiring import Call


def concatenated(call: Call) -> list[Axes]:
    """End to end along one axis; along the others the channels at the same place go together."""
    rank = len(call.out_shapes[0])
    joint = call.layer.axis % rank
    out: list[Ids | None] = []
    for axis in range(rank):
        met = [tensor.axes[axis] for tensor in call.inputs]
        if axis == joint:
            out.append(_end_to_end(call, axis))
            continue
        for ids in met[1:]:
            call.tie(met[0], ids)
        out.append(met[0] if all(ids is not None for ids in met) else None)
    return [tuple(out)]


def stacked(call: Call) -> list[Axes]:
    """Along a new axis; the channels at the same place go together."""
    joint, out = call.layer.axis % len(call.out_shapes[0]), list[Ids | None]()
    for axis in range(len(call.out_shapes[0]) - 1):
        met = [tensor.axes[axis] for tensor in call.inputs]
        for ids in met[1:]:
            call.tie(met[0], ids)
        out.append(met[0] if all(ids is not None for ids in met) else None)
    return [(*out[:joint], None, *out[joint:])]


def _end_to_end(call: Call, axis: int) -> Ids | None:
    """What cannot be removed gets ids too, which are kept."""
    if all(tensor.axes[axis] is None for tensor in call.inputs):
        return None
    parts: list[Ids] = []
    for tensor in call.inputs:
        ids, size = tensor.axes[axis], tensor.shape[axis]
        if ids is None:
            if size is None:
                for other in call.inputs:
                    call.keep(other.axes[axis], f"'{call.name}' joins them to an axis of unknown length")
                return None
            ids = call.new(size)
            call.keep(ids, f"'{call.name}' joins them from where nothing can be removed")
        parts.append(ids)
    return np.concatenate(parts)


def matmul(call: Call) -> list[Axes]:
    """The last axis of the first and the last but one of the second are summed over: they go together."""
    if len(call.inputs) != 2 or any(len(tensor.axes) < 3 for tensor in call.inputs):
        return call.fixed()
    one, other = call.inputs
    call.tie(one.axes[-1], other.axes[-2])
    if one.shape[:-2] != other.shape[:-2]:
        return call.fixed()
    for a, b in zip(one.axes[:-2], other.axes[:-2], strict=True):
        call.tie(a, b)
    front = tuple(None if b is None else a for a, b in zip(one.axes[:-2], other.axes[:-2], strict=True))
    return [(*front, one.axes[-2], other.axes[-1])]


def dot(call: Call) -> list[Axes]:
    layer, (one, other) = call.layer, call.inputs
    if layer.normalize:
        return call.fixed(f"'{call.name}' divides by their length")
    axes = (layer.axes, layer.axes) if isinstance(layer.axes, int) else layer.axes
    first, second = axes[0] % len(one.axes), axes[1] % len(other.axes)
    call.tie(one.axes[first], other.axes[second])
    left = [ids for axis, ids in enumerate(one.axes) if axis != first]
    right = [ids for axis, ids in enumerate(other.axes) if axis not in (0, second)]
    return [tuple([*left, *right] if len(left) + len(right) > 1 else [None, None])]
