"""What an expansion builds with: layers and operations that together compute what one layer did."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.frameworks import Array
from pipeline.frameworks.keras_graph import Copies
from pipeline.frameworks.types import KerasLayer, KerasNode, KerasTensor


class Parts:
    """Parts are made once for each layer that they stand for, however often that is called: it keeps sharing its weights."""

    def __init__(self, copies: Copies) -> None:
        self.copies = copies
        self.masks: dict[int, KerasTensor] = {}  # id of tokens -> ones, and zeros where they are 0
        self.counts: KerasTensor | None = None  # those of the layer in hand, where steps of its rows are masked
        self.made: dict[tuple[int, str], KerasLayer] = {}
        self.factors: dict[
            str, Array
        ] = {}  # name of a layer -> what its kernel was multiplied by, and is divided by while it trains
        self.together: dict[
            str, str
        ] = {}  # name of a layer or operation -> name of the one range that it has with others

    def layer(
        self,
        owner: KerasLayer,
        role: str,
        kind: type[KerasLayer],
        weights: list[Array] | None,
        *inputs: Any,
        **config: Any,
    ) -> KerasTensor:
        """Return what this part of `owner` gives; without a role it has the owner's own name."""
        known = self.made.get((id(owner), role))
        if known is not None:
            return known(*inputs)
        name = self.copies.name(f"{owner.name}_{role}" if role else owner.name)
        new = self.made[id(owner), role] = kind(name=name, **config)
        output = new(*inputs)
        if weights is not None:
            new.set_weights(weights)
        return output

    def named(self, owner: KerasLayer, role: str, x: KerasTensor) -> KerasTensor:
        """Give the operation of keras.ops that made this a name: Keras's own counts up from model to model, and a file would differ."""
        x._keras_history.operation.name = self.copies.name(f"{owner.name}_{role}")  # noqa: SLF001 - there is no public way
        return x

    def dense(self, owner: KerasLayer, role: str, x: KerasTensor, kernel: Array, bias: Array | None) -> KerasTensor:
        """X @ kernel + bias, along the last axis."""
        from keras import layers

        weights = [kernel] if bias is None else [kernel, bias]
        return self.layer(owner, role, layers.Dense, weights, x, units=kernel.shape[-1], use_bias=bias is not None)

    def scaled(
        self, owner: KerasLayer, x: KerasTensor, factor: Array, offset: Array, *, held: bool = True
    ) -> KerasTensor:
        """X * factor + offset of each channel, as a depthwise convolution of size 1, which a file has a scale of each channel for.

        `held`: while it trains, the kernel is without the factor, whose size says nothing about how large a step may be.
        """
        from keras import layers

        channels = x.shape[-1]
        factor, offset = (np.broadcast_to(value, channels).astype(np.float32) for value in (factor, offset))
        image = x
        if len(x.shape) != 4:
            shape = (math.prod(x.shape[1:-1]), 1, channels)
            image = self.layer(owner, "as_image", layers.Reshape, None, x, target_shape=shape)
        y = self.layer(
            owner, "", layers.DepthwiseConv2D, [factor.reshape(1, 1, channels, 1), offset], image, kernel_size=1
        )
        if held:
            self.factors[self.made[id(owner), ""].name] = without_zeros(factor.reshape(channels, 1))
        if len(x.shape) != 4:
            y = self.layer(owner, "as_before", layers.Reshape, None, y, target_shape=x.shape[1:])
        return y


Make = Callable[..., Any]
"""(parts, layer, *what the layer was called with) -> what it gave."""


def never(node: KerasNode) -> str | None:
    """Every call of it can be done."""
    del node
    return None


def without_zeros(factor: Array) -> Array:
    """The kernel is divided by it: that of a channel which is multiplied by nothing is 0 by itself."""
    return np.where(factor == 0, 1, factor)
