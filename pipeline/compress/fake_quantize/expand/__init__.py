"""Layers that TFLite has no operator for, as the ones that a file has instead: a model of equal answers, of operators.py's rows.

A new kind of layer is one function in a file here and one line in EXPANDED. The function gets the parts to build with, the layer and what it
was called with, and returns what the layer gives. A call that it cannot do is refused by its second function, which returns why.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from pipeline.compress.fake_quantize.expand import (
    activations,
    attention,
    convolution,
    dense,
    masks,
    merging,
    normalizing,
    own_layers,
    recurrent,
    scaling,
    volumes,
)
from pipeline.compress.fake_quantize.expand.parts import Make, Parts, never
from pipeline.compress.fake_quantize.functions import REWRITTEN, function_of
from pipeline.frameworks.keras_graph import Copies, rebuild
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasNode, Nested


class Expansion(NamedTuple):
    make: Make
    refuse: Callable[[KerasNode], str | None]


EXPANDED: dict[str, Expansion] = {
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), Expansion(convolution.separable, convolution.refuse)),
    "Conv3D": Expansion(volumes.convolution, volumes.refuse),
    "MaxPooling3D": Expansion(volumes.pooling, volumes.refuse),
    **dict.fromkeys(
        ("GlobalMaxPooling3D", "GlobalAveragePooling3D"), Expansion(volumes.global_pooling, volumes.refuse)
    ),
    "UpSampling3D": Expansion(volumes.up_sampling, volumes.refuse),
    "ZeroPadding3D": Expansion(volumes.zero_padding, volumes.refuse),
    "Cropping3D": Expansion(volumes.cropping, volumes.refuse),
    "Rescaling": Expansion(scaling.rescaling, scaling.refuse_rescaling),
    "Normalization": Expansion(scaling.normalization, scaling.refuse_normalization),
    "LayerNormalization": Expansion(normalizing.of_layer, normalizing.refuse),
    "RMSNormalization": Expansion(normalizing.root_mean_square, normalizing.refuse),
    "GroupNormalization": Expansion(normalizing.in_groups, normalizing.refuse),
    "UnitNormalization": Expansion(normalizing.to_unit_length, normalizing.refuse),
    "Embedding": Expansion(masks.embedding, masks.refuse_embedding),
    "GlobalAveragePooling1D": Expansion(masks.average, masks.refuse_average),
    "EinsumDense": Expansion(dense.einsum, dense.refuse_einsum),
    "TimeDistributed": Expansion(dense.time_distributed, dense.refuse_time_distributed),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), Expansion(recurrent.recurrent, recurrent.refuse)),
    "Bidirectional": Expansion(recurrent.bidirectional, recurrent.refuse),
    "MultiHeadAttention": Expansion(attention.multi_head, attention.refuse),
    **dict.fromkeys(("Add", "Multiply", "Maximum", "Minimum"), Expansion(merging.in_pairs, never)),
    "Average": Expansion(merging.average, never),
}
"""Class name of a layer -> what it becomes."""


def expansion_of(layer: KerasLayer) -> Expansion | None:
    """Only of Keras's own layers: a class derived from one may compute something else, and an operation of keras.ops has no weights."""
    import keras

    kind = type(layer)
    ours = isinstance(layer, keras.Layer) and kind.__module__.startswith("keras.")
    return EXPANDED.get(kind.__name__) if ours else None


def expanded(model: KerasModel) -> tuple[KerasModel, Parts]:
    """Return the model of equal answers, without nested models, and what is to be known of its layers."""
    first, parts = Copies(), Parts(Copies())
    parts.copies = first

    def layers(node: KerasNode, *args: Any, **options: Any) -> Nested:
        expansion = expansion_of(node.operation)
        if masks.begins_one(node) or masks.is_one(node):
            parts.masks[id(node.input_tensors[0])] = masks.counts(parts, args[0])
        parts.counts = parts.masks.get(id(masks.tokens_of(masks.mask_of(node))))
        options.pop("mask", None)
        if expansion is None:
            return first.call(node.operation, *args, **options)
        return expansion.make(parts, node.operation, *args, **options)

    model = rebuild(own_layers.opened(model), layers)
    parts.copies = second = Copies()

    def functions(node: KerasNode, *args: Any, **options: Any) -> Nested:
        layer = node.operation
        if function_of(layer) not in REWRITTEN:
            return second.call(layer, *args, **options)
        return activations.rewritten(parts, second, layer, *args, **options)

    return rebuild(model, functions), parts
