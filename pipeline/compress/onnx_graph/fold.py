"""Fold what follows a layer into its weights: batch normalisation, and a constant for each channel that is added or multiplied.

The int8 converter folds too (ONNX Runtime's own preparation), so ranges and errors are looked at where they will be. The outputs stay
the same but for rounding.
"""

import numpy as np

from pipeline.compress.onnx_graph.graph import Graph, Layer, attribute
from pipeline.frameworks import Array
from pipeline.frameworks.types import OnnxNode


def fold(graph: Graph) -> None:
    """Fold until nothing more can be folded."""
    for layer in list(graph.layers()):
        while _fold_next(graph, layer):
            graph.connect()
    graph.tidy()


def _fold_next(graph: Graph, layer: Layer) -> bool:
    after = graph.only_reader(layer.node.output[0]) if layer.channel_axis == 1 else None
    factors = None if after is None else _affine(graph, layer, after)
    if after is None or factors is None:
        return False
    scale, shift = factors
    scale_outputs(graph, layer, scale, shift)
    layer.node.output[0] = after.output[0]
    graph.model.graph.node.remove(after)
    return True


def scale_outputs(graph: Graph, layer: Layer, scale: Array, shift: Array | None = None) -> None:
    """Change weights and bias so that the layer answers `scale * before + shift`; both (channels,)."""
    weight = graph.weight(layer)
    shape = np.ones(weight.ndim, int)
    shape[layer.output_axis] = -1
    bias = graph.bias(layer) * scale + (0 if shift is None else shift)
    graph.put(layer.node, 1, (weight * scale.reshape(shape)).astype(weight.dtype))
    if layer.bias is not None and (np.any(bias) or graph.input_value(*layer.bias) is not None):
        graph.put_bias(layer, bias)


def _affine(graph: Graph, layer: Layer, after: OnnxNode) -> tuple[Array, Array] | None:
    """Scale and shift for each channel that a node applies to the layer's output; None if it is another node."""
    channels = graph.channels(layer)
    if after.op_type == "BatchNormalization" and not attribute(after, "training_mode", 0):
        given = [graph.input_value(after, i) for i in range(1, 5)]
        if any(values is None for values in given):
            return None
        gamma, beta, mean, variance = (np.asarray(values, np.float64) for values in given)
        scale = gamma / np.sqrt(variance + attribute(after, "epsilon", 1e-5))  # the default of ONNX
        return scale, beta - mean * scale
    if after.op_type in ("Add", "Mul"):
        index = 1 - list(after.input).index(layer.node.output[0])
        values = graph.input_value(after, index)
        spatial = graph.weight(layer).ndim - 2
        if values is not None and values.shape in ((1, channels, *[1] * spatial), (channels, *[1] * spatial)):
            each = values.reshape(-1).astype(np.float64)
            return (np.ones(channels), each) if after.op_type == "Add" else (each, np.zeros(channels))
    return None
