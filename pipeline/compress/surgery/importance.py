"""How important a channel is: the size of the weights that make it.

L1 and L2 norm of filters: Li et al., arXiv 1608.08710. Layers that are tied have weights of different sizes, so each layer's norms are
divided by their mean before they are averaged, as in Torch-Pruning, the implementation of DepGraph (arXiv 2301.12900).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from pipeline.compress.surgery.channels import Ids
from pipeline.compress.surgery.groups import ChannelSet
from pipeline.compress.surgery.wiring import Producer, Wiring
from pipeline.frameworks import Array

Importance = Literal["l1", "l2", "random"]


def importances(wiring: Wiring, of: Ids, groups: Sequence[ChannelSet], how: Importance, seed: int) -> list[Array]:
    """Return for each group the importance of each of its components, 1.0 on average over the layer that makes it."""
    if how == "random":
        generator = np.random.default_rng(seed)
        return [generator.random(len(group.components)) for group in groups]
    norms: dict[int, Array] = {}
    found = []
    for group in groups:
        for producer in group.producers:
            if id(producer) not in norms:
                norms[id(producer)] = _norms(wiring, of, producer, how)
        found.append(np.mean([norms[id(producer)][group.components] for producer in group.producers], axis=0))
    return found


def _norms(wiring: Wiring, of: Ids, producer: Producer, how: Importance) -> Array:
    """Return for every component the norm of this layer's weights that make it, divided by the mean of the layer."""
    total = np.zeros(len(of))
    for kernel, axis in producer.kernels:
        ids = wiring.axes[id(kernel)][axis]
        if ids is not None:
            np.add.at(total, of[ids], sizes_along(np.asarray(kernel), axis, how))
    norms = total if how == "l1" else np.sqrt(total)
    mean = float(norms[np.unique(of[producer.ids])].mean())
    return norms / mean if mean > 0 else norms


def sizes_along(kernel: Array, axis: int, how: Importance) -> Array:
    """Return for each entry of the axis the L1 norm of its weights, or the square of their L2 norm: what adds up over several kernels."""
    values = kernel.astype(np.float32, copy=False)  # 16-bit ones could overflow when they are squared
    others = tuple(each for each in range(values.ndim) if each != axis % values.ndim)
    sizes: Array = (np.abs(values) if how == "l1" else np.square(values)).sum(axis=others, dtype=np.float64)
    return sizes
