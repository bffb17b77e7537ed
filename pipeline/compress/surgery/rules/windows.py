"""What works along the lengths of a tensor and leaves channels alone: pooling, padding, cropping, upsampling; and reductions."""

from pipeline.compress.surgery.channels import Axes
from pipeline.compress.surgery.wiring import Call
from pipeline.frameworks.types import KerasLayer


def channel_axis(layer: KerasLayer) -> int:
    return 1 if getattr(layer, "data_format", None) == "channels_first" else -1


def windows(call: Call) -> list[Axes]:
    return [call.only(call.x, channel_axis(call.layer))]


def whole(call: Call) -> list[Axes]:
    """Global pooling: only the channels are left."""
    axis = channel_axis(call.layer)
    axes = call.only(call.x, axis)
    return [axes if call.layer.keepdims else (None, axes[axis])]


def reduced(call: Call) -> list[Axes]:
    """Apply the rule of a mean, a sum or the like over some axes."""
    rank, axis = len(call.x), call.layer.axis
    over = range(rank) if axis is None else [i % rank for i in ((axis,) if isinstance(axis, int) else axis)]
    for i in over:
        call.keep(call.x[i], f"'{call.name}' makes one value of them")
    if call.layer.keepdims:
        return [tuple(None if i in over else ids for i, ids in enumerate(call.x))]
    return [tuple(ids for i, ids in enumerate(call.x) if i not in over)]


def pad(call: Call) -> list[Axes]:
    widths = call.layer.pad_width
    if len(widths) != len(call.x):
        return call.fixed()
    return [call.only(call.x, *(axis for axis, width in enumerate(widths) if not any(width)))]
