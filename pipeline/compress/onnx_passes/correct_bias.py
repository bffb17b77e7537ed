"""Bias correction: take back the shift that 8-bit weights give to every channel's mean, inside the biases that are there.

Rounded weights answer E[y_rounded] - E[y] too much on average; that is measured on calibration rows and subtracted from the bias
(Nagel, van Baalen, Blankevoort, Welling: arXiv 1906.04721, section 4.2, the empirical variant of appendix D). Layers are corrected from
the front to the back, each after the rounded and corrected ones. Only the rounding of weights is simulated, not that of activations.

No node is added: a convolution without a bias gets one as its third input. The fp32 file that this leaves is meant to be quantized; as
it is, its answers are off by what the correction anticipates. Batch normalisation is folded first.
"""

from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta

from pipeline.compress.base import Changed, Claims
from pipeline.compress.context import Context
from pipeline.compress.onnx_graph.fold import fold
from pipeline.compress.onnx_graph.graph import Graph, Layer, copy_of
from pipeline.compress.onnx_graph.runs import Looked, compared_outputs, moments, rows_of, run
from pipeline.compress.settings import PassSettings, check_names
from pipeline.errors import PromiseError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import OnnxModel

HELD_SHARE = 10  # of the rows, one part compares


class Settings(PassSettings, frozen=True):
    bits: Annotated[int, Meta(ge=2, le=8)] = 8  # of the weights as they will be quantized
    per_channel: bool = True  # one scale for each output channel, as onnx-int8 quantizes
    exclude: tuple[str, ...] = ()  # names of nodes whose bias stays


def requires(model: OnnxModel, settings: Settings, context: Context) -> None:
    """Refuse settings that name no layer, graphs without a bias, and plans without rows."""
    graph = copy_of(model)
    check_names(settings.exclude, [layer.name for layer in graph.layers()], "correct_bias.exclude", "node with weights")
    rows_of(model, context, "correct_bias")
    if not any(layer.bias for layer in _wanted(graph, settings)):
        raise StageError(
            "correct_bias finds no bias in the graph",
            hint="It corrects convolutions and matrix products with constant weights; this graph has none, or all are excluded.",
        )


def apply(model: OnnxModel, settings: Settings, context: Context) -> Changed:
    """Correct one layer after the other; on rows that nothing was taken from, look whether it helps."""
    graph = Graph(model)
    fold(graph)
    every = rows_of(model, context, "correct_bias")
    rows, held = (every.take(some) for some in _split(np.arange(every.rows), context.seed))
    as_it_was, unaided, rounded = copy_of(model), copy_of(model), copy_of(model)
    for layer in unaided.layers():
        unaided.put(layer.node, 1, quantized(unaided.weight(layer), layer, settings))
    exact, pairs = list(graph.layers()), list(zip(graph.layers(), rounded.layers(), strict=True))
    means = [found.mean for found in moments(model, exact, rows)]
    for i, (layer, simulated) in enumerate(pairs):
        context.tell(i, len(pairs), f"correcting the bias of {layer.name}")
        rounded.put(simulated.node, 1, quantized(rounded.weight(simulated), simulated, settings))
        if layer.bias is None or layer.name in settings.exclude:
            continue
        (now,) = moments(rounded.model, [simulated], rows)
        corrected = graph.bias(layer) + means[i] - now.mean
        graph.put_bias(layer, corrected)
        rounded.put_bias(simulated, corrected)
    kept = _better(as_it_was.model, unaided.model, rounded.model, held)
    if kept.worse:
        for layer, old in zip(exact, as_it_was.layers(), strict=True):
            if layer.bias is not None and layer.name not in settings.exclude:
                graph.put_bias(layer, as_it_was.bias(old))
    without = [layer.name for layer in exact if layer.bias is None]
    notes = (
        [f"Not corrected, because they have no bias and none can be put in: {', '.join(without)}."] if without else []
    )
    notes.append(kept.note)
    if not kept.worse:
        notes.append(
            "The biases are set for quantized weights: convert to an int8 format, at fp32 the file is a little off."
        )
    return Changed(model, notes=tuple(notes))


class _Judged(NamedTuple):
    worse: bool
    note: str


def _split(rows: Array, seed: int) -> tuple[Array, Array]:
    """Return the rows to take means from, and the others, a tenth, to compare by; where there are too few, the same."""
    order = np.random.default_rng(seed).permutation(len(rows))
    held = len(rows) // HELD_SHARE
    return (rows[order[held:]], rows[order[:held]]) if held else (rows, rows)


def _better(exact: OnnxModel, unaided: OnnxModel, corrected: OnnxModel, rows: Looked) -> _Judged:
    """Return how far the answers with rounded weights are from those of the model, without the correction and with it."""
    before, after = (_apart(exact, each, rows) for each in (unaided, corrected))
    share = ", as a share of each output's variance," if len(compared_outputs(exact)) > 1 else ""
    told = (
        f"With {rows.rows} other rows, the mean squared error of the answers that rounded weights make{share} was {before:.3g} before the correction and "
        f"{after:.3g} after it"
    )
    worse = not after <= before
    return _Judged(worse, f"{told}: the biases are left as they were." if worse else f"{told}.")


def _apart(exact: OnnxModel, other: OnnxModel, rows: Looked) -> float:
    """Mean squared error of the answers; of several outputs, each as a share of its own variance over the rows."""
    names = compared_outputs(exact)
    squares: list[list[float]] = [[] for _ in names]
    seen: list[list[Array]] = [[] for _ in names]
    for left, right in zip(run(exact, names, rows), run(other, names, rows), strict=True):
        for place, (one, two) in enumerate(zip(left, right, strict=True)):
            squares[place].append(float(np.square(one.astype(np.float64) - two).mean()))
            seen[place].append(one.astype(np.float64))
    if len(names) == 1:
        return float(np.mean(squares[0]))
    shares = [np.mean(each) / (_variance(answers) or 1.0) for each, answers in zip(squares, seen, strict=True)]
    return float(np.mean(shares))


def _variance(answers: list[Array]) -> float:
    """Over the rows, the mean of all places; over all values where the places differ from row to row."""
    if len({each.shape for each in answers}) > 1:
        return float(np.concatenate([each.ravel() for each in answers]).var())
    return float(np.stack(answers).var(axis=0).mean())


def ensures(before: OnnxModel, after: OnnxModel, settings: Settings) -> Claims:
    """No node was added, and nothing but biases has changed."""
    old, new = copy_of(before), copy_of(after)
    fold(old)
    if len(new.nodes) > len(old.nodes):
        raise PromiseError(
            f"the graph had {len(old.nodes)} nodes and has {len(new.nodes)}",
            hint="This is a fault of the pass. Take it out of the plan and report it.",
        )
    corrections = []
    for was, now in zip(old.layers(), new.layers(), strict=True):
        if not np.array_equal(old.weight(was), new.weight(now)):
            raise PromiseError(
                f"the weights of '{now.name}' have changed",
                hint="This is a fault of the pass. Take it out of the plan and report it.",
            )
        if now.bias is not None and now.name not in settings.exclude:
            corrections.append(float(np.abs(new.bias(now) - old.bias(was)).max()))
    return {"corrected_layers": float(len(corrections)), "largest_correction": max(corrections)}


def quantized(weight: Array, layer: Layer, settings: Settings) -> Array:
    """Round to `bits` symmetric levels, -(2^(bits-1) - 1) to 2^(bits-1) - 1, as ONNX Runtime rounds 8-bit weights."""
    steps = 2 ** (settings.bits - 1) - 1
    others = tuple(axis for axis in range(weight.ndim) if axis != layer.output_axis)
    largest = np.abs(weight).max(axis=others if settings.per_channel else None, keepdims=True)
    scale = np.where(largest > 0, largest / steps, 1)
    return (np.rint(weight / scale) * scale).astype(weight.dtype)


def _wanted(graph: Graph, settings: Settings) -> list[Layer]:
    return [layer for layer in graph.layers() if layer.name not in settings.exclude]
