"""Convolutions with channels first, as others with channels last between two transpositions: TFLite has kernels for these alone."""

from typing import Any

from pipeline.frameworks.keras_graph import Copies, graph_of, rebuild
from pipeline.frameworks.types import KerasLayer, KerasModel, KerasNode, KerasTensor, LayerConfig

KINDS = {
    *(f"{kind}{axes}D" for kind in ("Conv", "AveragePooling", "MaxPooling") for axes in (1, 2, 3)),
    *("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D", "UpSampling2D", "UpSampling3D"),
    *("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
}
"""Layers of Keras whose weights are the same in both layouts."""
LAST_AXIS = ("softmax", "log_softmax", "sparsemax")
"""Activations along the last axis, which is another one in the other layout."""


def channels_last(model: KerasModel) -> KerasModel:
    """Return the model with such layers replaced; the model itself where it has none, or no graph of layers."""
    layers = model._flatten_layers(include_self=False)  # noqa: SLF001 - Keras has no public way into layers in layers
    if graph_of(model) is None or not any(_is_first(each) for each in layers):
        return model
    copies = Copies()

    def visit(node: KerasNode, *args: Any, **options: Any) -> KerasTensor:
        layer = node.operation
        if not _is_first(layer):
            return copies.call(layer, *args, **options)

        def make(config: LayerConfig) -> KerasLayer:
            return type(layer).from_config(config | {"data_format": "channels_last"})

        return _moved(copies.replace(layer, make, layer.get_weights, _moved(args[0], 1, -1)), -1, 1)

    return rebuild(model, visit)


def _moved(x: KerasTensor, source: int, target: int) -> KerasTensor:
    import keras

    return keras.ops.moveaxis(x, source, target)


def _is_first(layer: KerasLayer) -> bool:
    """Return whether it is a layer that can be replaced."""
    activation = getattr(getattr(layer, "activation", None), "__name__", "")
    return (
        getattr(layer, "data_format", None) == "channels_first"
        and type(layer).__name__ in KINDS
        and type(layer).__module__.startswith("keras.")
        and activation not in LAST_AXIS
    )
