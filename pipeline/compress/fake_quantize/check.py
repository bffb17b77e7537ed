"""What quantize_aware cannot compute in 8 bits is refused by name, before anything is trained."""

from pipeline.compress.fake_quantize.expand import expansion_of, masks, own_layers
from pipeline.compress.fake_quantize.operators import refusal
from pipeline.errors import StageError
from pipeline.frameworks.keras_graph import consumers, nodes_of
from pipeline.frameworks.types import KerasModel, KerasNode

HINT = (
    "docs/passes.md lists the layers that the pass knows. Build the model of those, or take the pass out: prune_channels and recover work on "
    "this model, and the converter quantizes it after training."
)


def check(model: KerasModel) -> None:
    """Raise StageError for the first layer that cannot be computed in 8 bits."""
    import keras

    from pipeline.frameworks.fake_quantization import is_rounding

    if not getattr(model, "inputs", None):
        raise StageError(
            f"quantize_aware cannot look into {model.name} ({type(model).__name__}): it has no graph of layers",
            hint="Build it as keras.Model(inputs, outputs), or as keras.Sequential beginning with keras.Input.",
        )
    model = own_layers.opened(model)
    _check_inputs(model)
    for node in nodes_of(model):
        layer = node.operation
        _refuse(node, masks.refuse(node))
        if isinstance(layer, keras.Model):
            check(layer)
        elif is_rounding(layer):
            raise StageError(
                f"quantize_aware: layer '{layer.name}' of {model.name} is fake-quantized already",
                hint="Use the pass once, as the last one that trains.",
            )
        elif isinstance(layer, keras.layers.BatchNormalization):
            _check_axis(model, node)
        elif not masks.is_one(node):
            _check_known(node)


def _check_inputs(model: KerasModel) -> None:
    """Integers can only be looked up: rounding would make other ones of them."""
    import keras

    users = consumers(model)
    for x in model.inputs:
        tokens = all(
            node is not None and (isinstance(node.operation, keras.layers.Embedding) or masks.is_one(node))
            for node in users.get(id(x), [])
        )
        if not str(x.dtype).startswith("float") and not tokens:
            raise StageError(
                f"quantize_aware cannot round the input '{x.name}' of {model.name}: it holds {x.dtype}",
                hint="It works on networks over floating point rows, and on tokens that go into an Embedding and nowhere else.",
            )


def _check_axis(model: KerasModel, node: KerasNode) -> None:
    layer = node.operation
    if layer.axis not in (-1, len(node.outputs[0].shape) - 1):
        raise StageError(
            f"quantize_aware cannot fold layer '{layer.name}' of {model.name}: it normalises along axis {layer.axis}, and the "
            "outputs of the layer before it are along the last",
            hint="Build it as BatchNormalization(axis=-1), or take the pass out and let the converter quantize the model.",
        )


def _check_known(node: KerasNode) -> None:
    expansion = expansion_of(node.operation)
    _refuse(node, refusal(node) if expansion is None else expansion.refuse(node))


def _refuse(node: KerasNode, why: str | None) -> None:
    layer = node.operation
    if why is not None:
        raise StageError(
            f"quantize_aware cannot compute layer '{layer.name}' ({type(layer).__name__}) in 8 bits: {why}", hint=HINT
        )
