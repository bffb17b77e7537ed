"""Set the statistics of a changed network right, without labels and without training.

Where channels or weights were removed, what a layer answers has another mean and spread, and what follows it was trained for the old ones.
From the front to the back, each channel's answer y' becomes a y' + b, with a and b such that mean and standard deviation over the rows
are those of the original's answer. Where batch normalisation follows the layer, that is estimating its statistics again, and done there;
in an exported file it is mostly folded away, and the layer's own weights and bias are changed. No node is added.

Fashion-MNIST example (92.3 %, 256 rows for the statistics, 3,000 test rows): 10 % of all channels removed 34.6 %, set right 85.8 %; 70 % of the
weights removed 47.7 and 82.9 %; codebooks of 3 bits for each channel 90.4 and 92.3 %. A least squares fit of y ~ a y' + b in the place of
equal mean and spread gave no more (10, 15 and 25 % of the channels: 85.7, 78.6, 61.3 % against 85.8, 79.8, 63.8 %), and correcting only the
mean can do harm (half of the weights removed: 82.7 % became 26.5 %).
"""

from collections.abc import Sequence

import numpy as np

from pipeline.child import Tell
from pipeline.compress.onnx_graph.fold import scale_outputs
from pipeline.compress.onnx_graph.graph import Graph
from pipeline.compress.onnx_graph.runs import Looked, moments
from pipeline.frameworks import Array
from pipeline.frameworks.types import OnnxNode

NO_ROWS = "The statistics were not set right, because there are no rows: give data.calibration, 100 to 500 rows without labels."
SAME = 1e-5  # changes below this share of the standard deviation are rounding: the layer sees nothing of the pruning


def restore(
    original: Graph,
    changed: Graph,
    rows: Looked,
    tell: Tell,
    *,
    survivors: Sequence[Array] = (),
    exclude: Sequence[str] = (),
    scale_weights: bool = True,
) -> None:
    """Give every layer of the changed graph the original's statistics, but those of `exclude`.

    `survivors`: which of each layer's channels are left, by default all. Without `scale_weights` only where batch normalisation follows
    a layer.
    """
    layers = list(changed.layers())
    survivors = survivors or [np.ones(changed.channels(layer), bool) for layer in layers]
    wanted = moments(original.model, list(original.layers()), rows)
    for i, (layer, stays, goal) in enumerate(zip(layers, survivors, wanted, strict=True)):
        norm = changed.norm_behind(layer)
        if layer.name in exclude or (norm is None and not scale_weights):
            continue
        tell(i, len(layers), f"setting the statistics of {layer.name} right")
        (now,) = moments(changed.model, [layer], rows)
        mean, deviation = goal.mean[stays], goal.deviation[stays]
        usable = (now.deviation > 0) & (deviation > 0)
        scale = np.where(usable, deviation / np.where(usable, now.deviation, 1), 1)
        shift = mean - scale * now.mean if layer.bias is not None or norm is not None else np.zeros_like(mean)
        if np.all(np.abs(scale - 1) <= SAME) and np.all(np.abs(shift) <= SAME * (deviation + np.abs(mean))):
            continue
        if norm is None:
            scale_outputs(changed, layer, scale, shift)
        else:
            _put_into_norm(changed, norm, scale, shift)


def _put_into_norm(graph: Graph, norm: OnnxNode, scale: Array, shift: Array) -> None:
    """Let batch normalisation answer for y' what it would answer for scale * y' + shift: gamma * scale, (mean - shift) / scale."""
    gamma, mean = graph.input_value(norm, 1), graph.input_value(norm, 3)
    assert gamma is not None  # norm_behind looked
    assert mean is not None
    graph.put(norm, 1, (gamma * scale).astype(gamma.dtype))
    graph.put(norm, 3, ((mean - shift) / scale).astype(mean.dtype))
