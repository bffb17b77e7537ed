"""What to do when a converter refuses a Keras model: what its own layers show, before the next format is tried."""

from collections.abc import Iterator

from pipeline.frameworks.types import KerasLayer, KerasModel

NEXT = {
    "tflite-int8": "Try tflite-fp32 or the ONNX formats",
    "tflite-fp16": "Try tflite-fp32 or the ONNX formats",
    "tflite-fp32": "Try the ONNX formats",
    "onnx-fp32": "Try the TFLite formats",
}


def for_model(model: KerasModel | None, tried: str) -> str:
    """Return a hint. `tried` is the format that was refused, which is never what to try next; `model`: None of a SavedModel."""
    layers = [] if model is None else list(_layers(model))
    random = [
        each for each in layers if type(each).__name__.startswith(("Random", "AugMix", "MixUp", "CutMix", "RandAug"))
    ]
    if random:
        return (
            f"{_named(random)} changes the rows at random, for training only: save the model for the board without it "
            "(keras.Model from the layer after it to the end)."
        )
    half = [each for each in layers if str(getattr(each, "compute_dtype", "")) in ("float16", "bfloat16")]
    if half:
        return (
            f"{_named(half)} computes in {half[0].compute_dtype} (mixed precision): build the same model under "
            "keras.mixed_precision.set_global_policy('float32'), and give it these weights with set_weights."
        )
    if layers and type(layers[-1]).__name__.lower() == "argmax":
        return (
            f"It ends in {_named(layers[-1:])}: take that off (keras.Model(model.input, <the layer before>.output)), and let the "
            "program on the board choose the largest."
        )
    return f"It uses an operator that this format does not have. {NEXT.get(tried, 'Try another format')}; if they refuse it too, replace the layer that uses it."


def loops(model: KerasModel) -> str:
    """Return the layers that run as a loop over time, for a sentence; "" where there are none."""
    found = [
        each
        for each in _layers(model)
        if hasattr(each, "cell") or type(each).__name__ in ("LSTM", "GRU", "SimpleRNN", "RNN")
    ]
    return _named([each for each in found if not getattr(each, "unroll", False)])


def _named(layers: list[KerasLayer]) -> str:
    told = [f"{type(each).__name__} '{each.name}'" for each in layers[:3]]
    return ", ".join(told) + (f" and {len(layers) - 3} more" if len(layers) > 3 else "")


def _layers(model: KerasModel) -> Iterator[KerasLayer]:
    for layer in getattr(model, "operations", None) or model.layers:  # operations: also keras.ops in a functional model
        if getattr(layer, "layers", None):
            yield from _layers(layer)
        elif hasattr(layer, "forward_layer"):  # Bidirectional
            yield layer.forward_layer
        else:
            yield layer
