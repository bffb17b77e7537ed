"""Cross-layer equalization: give neighbouring layers weights of similar range, channel by channel, so that 8 bits fit them all.

What layer 1 answers in channel i is divided by s_i and what layer 2 reads there is multiplied by it; between them stands only what is
positively homogeneous, f(s x) = s f(x) for s > 0. The outputs stay the same but for rounding. With r the largest weight of a channel,
s_i = sqrt(r1_i r2_i) / r2_i makes both ranges equal (Nagel, van Baalen, Blankevoort, Welling: arXiv 1906.04721, equation 11). Batch
normalisation is folded first. Sweeps over all pairs are repeated until nothing moves.

It pays where one scale holds for a whole weight tensor; onnx-int8 gives every output channel its own and gains less.
"""

from typing import NamedTuple

import numpy as np

from pipeline.compress.base import Changed, Claims
from pipeline.compress.context import Context
from pipeline.compress.onnx_graph.cost import Shapes, shapes_of
from pipeline.compress.onnx_graph.fold import fold, scale_outputs
from pipeline.compress.onnx_graph.graph import Graph, Layer, attribute, copy_of
from pipeline.compress.settings import PassSettings, check_names
from pipeline.errors import PromiseError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import OnnxModel, OnnxNode

ANYWHERE = ("Relu", "LeakyRelu", "PRelu", "Identity", "Dropout")
POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
"""Each channel of these answers s times as much when it is given s times as much, s > 0; pools where channels are axis 1."""
MOST_SWEEPS = 100
STEADY = 1e-4  # a sweep that scales by less has converged
SAME = 1e-2  # how far the ranges of a pair may be apart in the end: float32 and sweeps that stop


class Settings(PassSettings, frozen=True):
    exclude: tuple[str, ...] = ()  # names of nodes whose weights stay as they are


class ChannelLayout(NamedTuple):
    """How the channels of a layer lie in a tensor."""

    axis: int  # -1: the last
    spread: str  # each (one entry each), or flattened: repeat (entries of a channel side by side) or tile


class Pair(NamedTuple):
    first: Layer
    second: Layer
    spread: (
        str  # how a channel of the first lies in the input of the second: each (as it is), repeat or tile (flattened)
    )


def requires(model: OnnxModel, settings: Settings, context: Context) -> None:
    """Refuse settings that name no layer, and graphs without a pair."""
    del context
    graph = copy_of(model)
    check_names(settings.exclude, [layer.name for layer in graph.layers()], "equalize.exclude", "node with weights")
    fold(graph)
    pairs, left = pairs_of(graph, settings)
    if not pairs:
        raise StageError(
            "equalize finds no two layers that it could equalize",
            hint=" ".join(left)
            or "It needs a convolution or matrix product that feeds just one other, through ReLU or pooling.",
        )


def apply(model: OnnxModel, settings: Settings, context: Context) -> Changed:
    """Scale every pair until the ranges are equal."""
    graph = Graph(model)
    fold(graph)
    pairs, left = pairs_of(graph, settings)
    for sweep in range(MOST_SWEEPS):
        context.tell(sweep, 0, f"equalizing {len(pairs)} pairs of layers")
        if max([_equalize(graph, pair) for pair in pairs]) < STEADY:
            break
    return Changed(model, notes=left)


def ensures(before: OnnxModel, after: OnnxModel, settings: Settings) -> Claims:
    """Check that in every pair, both layers have the same range in each channel; no node was added."""
    old, new = copy_of(before), copy_of(after)
    if len(new.nodes) > len(old.nodes):
        raise PromiseError(
            f"the graph had {len(old.nodes)} nodes and has {len(new.nodes)}",
            hint="This is a fault of the pass. Take it out of the plan and report it.",
        )
    fold(old)
    pairs, _ = pairs_of(new, settings)
    worst = max(_apart(new, pair) for pair in pairs)
    if worst > SAME:
        raise PromiseError(
            f"the weight ranges of two equalized layers are still {worst:.1%} apart",
            hint="This is a fault of the pass. Take it out of the plan and report it.",
        )
    return {
        "equalized_pairs": float(len(pairs)),
        "largest_range_ratio_before": max(_spread(old, pair) for pair in pairs_of(old, settings)[0]),
        "largest_range_ratio_after": max(_spread(new, pair) for pair in pairs),
    }


def pairs_of(graph: Graph, settings: Settings) -> tuple[list[Pair], tuple[str, ...]]:
    """Return every pair that can be equalized, and sentences on those that a Clip keeps apart."""
    layers = {layer.node.output[0]: layer for layer in graph.layers() if layer.name not in settings.exclude}
    shapes = shapes_of(graph.model)
    pairs, clipped = [], []
    for layer in layers.values():
        reader, tensor, layout = _reader_after(graph, layer, shapes)
        if reader is None:
            continue
        second = layers.get(reader.output[0])
        if (
            second is not None
            and reader.input[0] == tensor
            and _fits(graph, layer, second, layout, len(shapes.get(tensor, ())))
        ):
            pairs.append(Pair(layer, second, layout.spread))
        elif reader.op_type == "Clip":
            clipped.append(layer.name)
    if not clipped:
        return pairs, ()
    return pairs, (
        f"Not equalized, because ReLU6 or another Clip follows, which does not scale: {', '.join(clipped)}.",
    )


def _reader_after(graph: Graph, layer: Layer, shapes: Shapes) -> tuple[OnnxNode | None, str, ChannelLayout]:
    """Return the first node after a layer that is not homogeneous, what it reads, and how the layer's channels lie there.

    None if something on the way is read twice.
    """
    tensor, layout = layer.output, ChannelLayout(layer.channel_axis, "each")
    while (node := graph.only_reader(tensor)) is not None:
        moved = _layout_after(graph, node, layout, shapes) if node.input[0] == tensor else None
        if moved is None:
            break
        tensor, layout = node.output[0], moved
    return node, tensor, layout


def _layout_after(graph: Graph, node: OnnxNode, layout: ChannelLayout, shapes: Shapes) -> ChannelLayout | None:
    """Return where the channels lie after a homogeneous node; None if it is not one for them."""
    if node.op_type in ANYWHERE or (node.op_type in POOLS and layout.axis == 1):
        return layout
    if layout.axis < 0:
        return None
    if node.op_type == "Transpose":
        order = list(attribute(node, "perm", ()))
        axis = order.index(layout.axis) if layout.axis in order else 0
        return ChannelLayout(axis, layout.spread) if axis else None
    if node.op_type == "Squeeze":  # after global pooling
        axes = attribute(node, "axes", None)
        axes = graph.input_value(node, 1) if axes is None and len(node.input) > 1 else axes
        return ChannelLayout(-1, "each") if layout.axis == 1 and axes is not None and min(axes) > 1 else None
    if node.op_type in ("Flatten", "Reshape") and len(shape := shapes.get(node.output[0], ())) == 2 and shape[0] == 1:
        return ChannelLayout(-1, "repeat" if layout.axis == 1 else "tile")
    return None


def _fits(graph: Graph, first: Layer, second: Layer, layout: ChannelLayout, rank: int) -> bool:
    """Return whether every input channel of the second layer comes from one channel of the first."""
    weight, channels = graph.weight(second), graph.channels(first)
    if layout.axis not in ((1,) if second.channel_axis == 1 else (-1, rank - 1)):
        return False
    if second.groups > 1:
        return second.groups == channels
    length = int(weight.shape[second.input_axis])
    return length == channels if layout.spread == "each" else length % channels == 0


def _ranges(graph: Graph, pair: Pair) -> tuple[Array, Array]:
    """Return the largest weight of each channel between the two: as the first makes it, and as the second reads it."""
    channels = graph.channels(pair.first)
    made = np.moveaxis(graph.weight(pair.first), pair.first.output_axis, 0).reshape(channels, -1)
    return np.abs(made).max(1).astype(np.float64), np.abs(_read_weights(graph, pair)).max(1).astype(np.float64)


def _read_weights(graph: Graph, pair: Pair) -> Array:
    """Weights of the second layer as (channels, all that is multiplied with the channel)."""
    channels = graph.channels(pair.first)
    weight = graph.weight(pair.second)
    if pair.second.groups > 1:
        return weight.reshape(channels, -1)
    flat = np.moveaxis(weight, pair.second.input_axis, 0)
    return (
        flat.reshape(-1, channels, flat[0].size).swapaxes(0, 1).reshape(channels, -1)
        if pair.spread == "tile"
        else flat.reshape(channels, -1)
    )


def _equalize(graph: Graph, pair: Pair) -> float:
    """Scale one pair; return the largest change, as the logarithm of the factor."""
    made, read = _ranges(graph, pair)
    usable = (made > 0) & (read > 0)  # a dead channel has nothing to share
    factor = np.ones(len(made))
    factor[usable] = np.sqrt(made[usable] / read[usable])  # the paper's s_i
    scale_outputs(graph, pair.first, 1 / factor)
    scale_inputs(graph, pair, factor)
    return float(np.abs(np.log(factor)).max())


def scale_inputs(graph: Graph, pair: Pair, factor: Array) -> None:
    """Multiply what the second layer does with each channel of the first by its factor, (channels,)."""
    weight, axis = graph.weight(pair.second), pair.second.input_axis
    if pair.second.groups > 1:
        axis = 0
    times = weight.shape[axis] // len(factor)
    along = np.tile(factor, times) if pair.spread == "tile" else np.repeat(factor, times)
    shape = np.ones(weight.ndim, int)
    shape[axis] = -1
    graph.put(pair.second.node, 1, (weight * along.reshape(shape)).astype(weight.dtype))


def _apart(graph: Graph, pair: Pair) -> float:
    """Return the largest relative difference between the ranges of a channel in the two layers."""
    made, read = _ranges(graph, pair)
    usable = (made > 0) & (read > 0)
    return float(np.abs(made[usable] / read[usable] - 1).max(initial=0))


def _spread(graph: Graph, pair: Pair) -> float:
    """Return the widest channel over the narrowest of the first layer: what one scale for all of them has to span."""
    made, _ = _ranges(graph, pair)
    return float(made.max() / made[made > 0].min()) if np.any(made) else 1.0
