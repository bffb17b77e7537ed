"""What treats every channel for itself, and what sets channels against each other."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.compress.surgery.channels import Axes, Ids
from pipeline.compress.surgery.wiring import Call, Tensor
from pipeline.frameworks.types import TfTensor

PER_CHANNEL = {
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "linear",
    "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softplus", "softsign", "sparse_plus",
    "sparse_sigmoid", "squareplus", "tanh", "tanh_shrink", "threshold",
}  # fmt: skip
"""keras.activations that treat every value for itself; softmax, log_softmax, sparsemax and glu do not."""


def activated(call: Call, activation: Callable[..., TfTensor] | None, ids: Ids | None) -> None:
    """Keep channels whose values an activation compares with each other, or may."""
    if activation is None:
        return
    name = getattr(activation, "__name__", type(activation).__name__)
    ours = getattr(activation, "__module__", type(activation).__module__).startswith("keras.")
    if not (ours and name in PER_CHANNEL | {"ReLU", "LeakyReLU", "ELU"}):
        call.keep(ids, f"the activation '{name}' of '{call.name}' sets them against each other")


def activation(call: Call) -> list[Axes]:
    for ids in call.x:
        activated(call, call.layer.activation, ids)
    return [call.x]


def each(call: Call) -> list[Axes]:
    return [call.x]


def against_each_other(call: Call) -> list[Axes]:
    """Softmax along some axes: what is removed there would change all the others."""
    axis = call.layer.axis
    axes = range(len(call.x)) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    for i in axes:
        call.keep(call.x[i], f"'{call.name}' sets them against each other")
    return [call.x]


def rescaling(call: Call) -> list[Axes]:
    if np.ndim(call.layer.scale) or np.ndim(call.layer.offset):
        call.keep(call.x[-1], f"'{call.name}' holds a scale for each of them")
    return [call.x]


def joined(call: Call) -> list[Axes]:
    """Add, multiply and the like: channels at the same place go together. Axes of one channel are spread over the other's."""
    rank = len(call.out_shapes[0])
    out: list[Ids | None] = [None] * rank
    operands = [*call.inputs, *(_constant(value) for value in call.arguments.values() if _is_array(value))]
    for axis in range(1, rank):
        size = call.out_shapes[0][axis]
        met = [
            operand.axes[place]
            for operand in operands
            if (place := axis - rank + len(operand.shape)) >= 0 and operand.shape[place] == size
        ]
        for operand in operands:
            place = axis - rank + len(operand.shape)
            if place >= 0 and operand.shape[place] != size:
                call.keep(operand.axes[place], f"'{call.name}' spreads it over all channels")
        for ids in met[1:]:
            call.tie(met[0], ids)
        out[axis] = met[0] if all(ids is not None for ids in met) else None
    return [tuple(out)]


def _is_array(value: Any) -> bool:
    parts = value if isinstance(value, list | tuple) else [value]
    return not any(isinstance(part, Tensor) or part is None for part in parts) and np.ndim(value) > 0


def _constant(value: Any) -> Tensor:
    return Tensor((None,) * np.ndim(value), np.shape(value))
