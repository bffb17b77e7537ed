"""Masks of steps: what Keras keeps next to a tensor becomes a tensor of ones and zeros, which 8 bits hold exactly."""

import inspect

from pipeline.compress.fake_quantize.expand.parts import Parts
from pipeline.frameworks.types import KerasLayer, KerasNode, KerasTensor

NOTICED = {"LSTM", "GRU", "SimpleRNN", "Bidirectional", "GlobalAveragePooling1D"}
"""Kinds of layers whose expansions take masked steps away."""
INDIFFERENT = {"BatchNormalization", "TimeDistributed"}
"""What these answer for steps that are not masked does not depend on the others."""
FAR_BELOW = "it puts the scores of masked steps far below all others, which would have to share 256 values with them"
OTHER = "it is called with a mask that is not of tokens that are 0"
WHY = {"MultiHeadAttention": FAR_BELOW, "Attention": FAR_BELOW, "AdditiveAttention": FAR_BELOW, "Softmax": FAR_BELOW}


def mask_of(node: KerasNode) -> KerasTensor | None:
    """Return the mask of the steps that a call gets: Keras gives it by name, or keeps it next to the first tensor alone."""
    given = node.arguments.kwargs.get("mask")
    return getattr(node.input_tensors[0], "_keras_mask", None) if given is None else given


def tokens_of(mask: KerasTensor | None) -> KerasTensor | None:
    """Return the tokens of which a mask says whether they are 0; None: it says something else."""
    history = getattr(mask, "_keras_history", None)
    if history is None:
        return None
    node = history.operation._inbound_nodes[history.node_index]  # noqa: SLF001 - Keras has no public way to see the calls
    return node.input_tensors[0] if is_one(node) else None


def is_one(node: KerasNode) -> bool:
    """Return whether a call makes a mask of tokens."""
    return type(node.operation).__name__ == "NotEqual" and len(node.input_tensors) == 1 and 0 in node.arguments.args


def begins_one(node: KerasNode) -> bool:
    """Return whether a layer looks up tokens and masks those that are 0. (A layer `Masking`, the other kind, is refused.)"""
    return bool(getattr(node.operation, "mask_zero", False))


def counts(parts: Parts, tokens: KerasTensor) -> KerasTensor:
    """Return (rows, steps, 1): 1 where a step counts, 0 where it is masked."""
    from pipeline.frameworks.operator_layers import Counting

    return Counting(name=parts.copies.name(f"{tokens.name}_counts"))(tokens)


def embedding(parts: Parts, layer: KerasLayer, tokens: KerasTensor) -> KerasTensor:
    return parts.copies.replace(
        layer, lambda config: type(layer).from_config(config | {"mask_zero": False}), layer.get_weights, tokens
    )


def refuse_embedding(node: KerasNode) -> str | None:
    if str(node.input_tensors[0].dtype).startswith("float"):
        return "its rows are floating point numbers, which would be rounded like any other"
    return None


def average(parts: Parts, layer: KerasLayer, x: KerasTensor) -> KerasTensor:
    """GlobalAveragePooling1D: the mean over the steps that count. LiteRT divides in floating point only; x / n is x (1 / sqrt(n))^2."""
    from keras import layers, ops

    from pipeline.frameworks.operator_layers import InverseRoot

    if parts.counts is None:
        return parts.copies.call(layer, x)
    counted = parts.named(layer, "counted", ops.multiply(x, parts.counts))
    y = parts.layer(layer, "mean", layers.GlobalAveragePooling1D, None, counted, keepdims=layer.keepdims)
    share = parts.named(layer, "share", ops.mean(parts.counts, axis=1, keepdims=layer.keepdims))
    root = parts.layer(layer, "inverse_root", InverseRoot, None, share)
    return parts.named(layer, "of_counted", ops.multiply(parts.named(layer, "by_root", ops.multiply(y, root)), root))


def refuse_average(node: KerasNode) -> str | None:
    if node.operation.data_format != "channels_last":
        return "its channels are not on the last axis"
    return refuse_other(node)


def refuse_other(node: KerasNode) -> str | None:
    """Return why a layer of NOTICED cannot take its mask; None: it can, or has none."""
    mask = mask_of(node)
    return OTHER if mask is not None and tokens_of(mask) is None else None


def refuse(node: KerasNode) -> str | None:
    """Return why a call on masked steps cannot be computed in 8 bits; None: it can, or no step is masked."""
    import keras

    layer, kind = node.operation, type(node.operation).__name__
    if (
        not any(getattr(x, "_keras_mask", None) is not None for x in node.input_tensors)
        or kind in NOTICED | INDIFFERENT
    ):
        return None
    if isinstance(layer, keras.Model):
        return "it is a model inside the model, and some steps of its rows are masked"
    if not any("mask" in name for name in inspect.signature(layer.call).parameters):
        return None
    return WHY.get(kind, "some of its steps are masked, and the pass does not know what it makes of that")
