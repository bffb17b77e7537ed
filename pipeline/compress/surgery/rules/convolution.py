"""Convolutions. Kernels are (..., in, out); the channel axis of tensors is the last, or with channels_first the one after the rows."""

import numpy as np

from pipeline.compress.surgery.channels import Axes, Ids
from pipeline.compress.surgery.rules.elementwise import activated
from pipeline.compress.surgery.rules.windows import channel_axis
from pipeline.compress.surgery.wiring import Call


def plain(call: Call) -> list[Axes]:
    layer, ids = call.layer, _incoming(call)
    space = (None,) * layer.rank
    if layer.groups > 1 and layer.kernel.shape[-2] == 1:
        return _one_channel_a_group(call, ids)
    out = call.new(layer.filters)
    if layer.groups > 1:
        _tie_groups(call, ids, layer.groups)
        _tie_groups(call, out, layer.groups)
    each = None if ids is None else ids[: len(ids) // layer.groups]  # of every group the same places stay
    call.weight(layer.kernel, *space, each, out)
    return [_outgoing(call, out, (layer.kernel, layer.rank + 1))]


def transposed(call: Call) -> list[Axes]:
    """Kernels of transposed convolutions are (..., out, in)."""
    layer, ids = call.layer, _incoming(call)
    out = call.new(layer.filters)
    call.weight(layer.kernel, *(None,) * layer.rank, out, ids)
    return [_outgoing(call, out, (layer.kernel, layer.rank))]


def depthwise(call: Call) -> list[Axes]:
    """Makes no channels of its own: each of its filters goes with the channel that it works on."""
    layer, ids = call.layer, _incoming(call)
    out = None if ids is None else np.repeat(ids, layer.depth_multiplier)
    call.weight(layer.kernel, *(None,) * layer.rank, ids, None)
    call.weight(layer.bias, out)
    activated(call, layer.activation, out)
    return [_placed(call, out)]


def separable(call: Call) -> list[Axes]:
    layer, ids = call.layer, _incoming(call)
    space, out = (None,) * layer.rank, call.new(layer.filters)
    between = None if ids is None else np.repeat(ids, layer.depth_multiplier)
    call.weight(layer.depthwise_kernel, *space, ids, None)
    call.weight(layer.pointwise_kernel, *space, between, out)
    return [_outgoing(call, out, (layer.pointwise_kernel, layer.rank + 1))]


def _incoming(call: Call) -> Ids | None:
    axis = channel_axis(call.layer)
    return call.only(call.x, axis)[axis]


def _outgoing(call: Call, out: Ids, kernel: tuple[object, int]) -> Axes:
    layer = call.layer
    call.weight(layer.bias, out)
    call.size(filters=out)
    call.makes(out, kernel)
    activated(call, layer.activation, out)
    return _placed(call, out)


def _placed(call: Call, out: Ids | None) -> Axes:
    rank, axis = len(call.out_shapes[0]), channel_axis(call.layer) % len(call.out_shapes[0])
    return tuple(out if i == axis else None for i in range(rank))


def _one_channel_a_group(call: Call, ids: Ids | None) -> list[Axes]:
    """Apply the rule of a depthwise convolution, written as one with as many groups as channels."""
    layer = call.layer
    out = None if ids is None else np.repeat(ids, layer.filters // layer.groups)
    call.weight(layer.kernel, *(None,) * (layer.rank + 1), out)
    call.weight(layer.bias, out)
    if ids is not None and out is not None:
        call.size(filters=out, groups=ids)
    activated(call, layer.activation, out)
    return [_placed(call, out)]


def _tie_groups(call: Call, ids: Ids | None, groups: int) -> None:
    """The groups have to stay equally wide: the same place in each of them goes."""
    if ids is not None:
        first, *others = ids.reshape(groups, -1)
        for other in others:
            call.tie(first, other)
