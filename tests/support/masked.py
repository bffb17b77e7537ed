"""The judge of surgery: the original model, computed without the channels that were removed.

It shares nothing with the rules and the rebuilding but the list of channels that each layer lost. Those are marked by NaN where the layer puts
them out. NaN goes through everything that treats channels one by one; where channels are summed up it counts as zero. A
channel that survives but was mixed with one that did not becomes NaN too, and the outputs differ.
"""

import contextlib

import numpy as np

from pipeline.compress.surgery.graph import functional, is_model, walk
from pipeline.compress.surgery.groups import grouped
from pipeline.compress.surgery.selection import select
from pipeline.frameworks.keras_graph import nodes_of

SUMS = (
    "Conv", "Separable", "Dense", "EinsumDense", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "MultiHeadAttention", "Attention", "AdditiveAttention",
    "Dot", "Matmul", "TimeDistributed",
)  # fmt: skip


def randomise(model, seed=0):
    """Weights of which each matters: statistics, scales and biases as after a training, not zeros and ones."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        name, shape = weight.name, tuple(weight.shape)
        if name in {"gamma", "moving_variance", "scale", "variable"}:  # the last: LayerScale's
            weight.assign(generator.uniform(0.5, 1.5, shape))
        elif name in {"beta", "bias", "moving_mean", "alpha"}:
            weight.assign(generator.normal(0, 0.3, shape))
    return model


def masked(model, selection, inputs, seed=0):
    """What the original answers (a list of arrays) when the channels that the selection removes are left out."""
    import keras

    wiring = walk(model)
    found = grouped(wiring, selection.exclude)
    dead = select(wiring, found, selection, seed).dead
    lost = {key: np.isin(found.components.of[made.ids], dead) for key, made in wiring.producers.items()}
    with _zeros_inside(wiring, lost):
        return [np.asarray(each) for each in _run(model, [keras.ops.convert_to_tensor(each) for each in inputs], lost)]


@contextlib.contextmanager
def _zeros_inside(wiring, lost):
    """Units that are gone say nothing to the other units, and heads that are gone nothing to the output."""
    before = []
    for key, producer in wiring.producers.items():
        layer = producer.layer
        kernels = [layer.output_dense.kernel] if key[1] == "heads" else []
        for cell in (getattr(each, "cell", None) for each in _directions(layer)):
            kernels += [] if cell is None else [cell.recurrent_kernel]
        for kernel in kernels:
            before.append((kernel, np.asarray(kernel).copy()))
            kernel.assign(np.where(lost[key].reshape(-1, *[1] * (len(kernel.shape) - 1)), 0, np.asarray(kernel)))
    try:
        yield
    finally:
        for kernel, values in before:
            kernel.assign(values)


def _directions(layer):
    return [layer.forward_layer, layer.backward_layer] if hasattr(layer, "forward_layer") else [layer]


def _run(model, inputs, lost):
    import keras

    graph = functional(model)
    known = {id(tensor): given for tensor, given in zip(graph.inputs, inputs, strict=True)}
    for node in nodes_of(graph):
        layer = node.operation
        if is_model(layer):
            made = _run(layer, [known[id(tensor)] for tensor in node.input_tensors], lost)
        else:
            args, kwargs = node.arguments.fill_in(known)
            made = _outputs(layer, args, kwargs)
            inner = getattr(layer, "layer", layer)  # of a wrapper
            gone = lost.get((id(layer), "channels"), lost.get((id(inner), "channels")))
            scores = made[1:] if type(layer).__name__ == "MultiHeadAttention" else []
            made = [*(_marked(layer, each, gone) for each in made[: len(made) - len(scores)]), *scores]
        known.update({id(tensor): new for tensor, new in zip(node.outputs, keras.tree.flatten(made), strict=True)})
    return [known[id(tensor)] for tensor in graph.outputs]


def _outputs(layer, args, kwargs):
    import keras

    kind = type(layer).__name__
    one_channel_a_group = getattr(layer, "groups", 1) > 1 and kind.startswith("Conv") and layer.kernel.shape[-2] == 1
    if kind in {"LayerNormalization", "RMSNormalization"}:
        return [keras.ops.convert_to_tensor(_normalised(layer, np.asarray(args[0])))]
    if kind.startswith("MaxPooling") or one_channel_a_group:  # one by one, but NaN would get lost or spread
        lengths = (
            range(2, len(args[0].shape)) if layer.data_format == "channels_first" else range(1, len(args[0].shape) - 1)
        )
        gone = np.isnan(np.asarray(args[0])).any(axis=(0, *lengths)).ravel()
        output = layer(_nan_as_zero(args[0]), **kwargs)
        return [_marked(layer, output, np.repeat(gone, getattr(layer, "filters", len(gone)) // len(gone)))]
    if kind == "Dense":  # where nothing is left to sum up, nothing comes out
        gone = keras.ops.all(keras.ops.isnan(args[0]), axis=-1, keepdims=True)
        return [keras.ops.where(gone, np.nan, layer(_nan_as_zero(args[0])))]
    if kind.startswith(SUMS):
        args, kwargs = (keras.tree.map_structure(_nan_as_zero, each) for each in (args, kwargs))
    return keras.tree.flatten(layer(*args, **kwargs))


def _nan_as_zero(value):
    import keras

    if not keras.ops.is_tensor(value) or "float" not in keras.backend.standardize_dtype(value.dtype):
        return value
    return _like(value, keras.ops.where(keras.ops.isnan(value), 0.0, value))


def _like(before, after):
    """Keras hands the mask of padded sequences on with the tensor."""
    if getattr(before, "_keras_mask", None) is not None:
        after._keras_mask = before._keras_mask
    return after


def _normalised(layer, x):
    """Over the channels that are not gone."""
    axes = tuple(axis % x.ndim for axis in layer.axis)
    shape = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    if type(layer).__name__ == "RMSNormalization":
        return x / np.sqrt(np.nanmean(x**2, axis=axes, keepdims=True) + layer.epsilon) * np.reshape(layer.scale, shape)
    mean, variance = np.nanmean(x, axis=axes, keepdims=True), np.nanvar(x, axis=axes, keepdims=True)
    scaled = (x - mean) / np.sqrt(variance + layer.epsilon) * np.reshape(layer.gamma, shape)
    return (scaled + np.reshape(layer.beta, shape)).astype(x.dtype)


def _marked(layer, output, gone):
    """NaN where a channel is gone."""
    import keras

    if gone is None or not gone.any():
        return output
    axis = 1 if getattr(layer, "data_format", None) == "channels_first" else len(output.shape) - 1
    gone = np.tile(gone, output.shape[axis] // len(gone))  # both directions of a bidirectional layer
    gone = gone.reshape([-1 if i == axis else 1 for i in range(len(output.shape))])
    return _like(output, keras.ops.where(gone, np.nan, output))
