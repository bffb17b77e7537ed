"""Activations: which of them TFLite computes in 8 bits, and how."""

from pipeline.frameworks.types import KerasLayer

FIXED = {"sigmoid": (0.0, 255 / 256), "softmax": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}
"""Ranges that TFLite's specification prescribes for outputs: scale 1/256 with zero at -128, scale 1/128 with zero at 0."""
FUSED = {"relu", "relu6"}  # into the operator before, which then rounds once
ALONE = {"leaky_relu", "hard_silu", "gelu"}  # operators of their own
GATED = {"silu"}  # x * sigmoid(x)
REWRITTEN = {"elu", "selu", "hard_sigmoid"}  # of several operators (expand/activations.py)
KNOWN = {"linear", *FIXED, *FUSED, *ALONE, *GATED, *REWRITTEN}

LAYERS = {
    "LeakyReLU": "leaky_relu", "LeakyRelu": "leaky_relu", "Softmax": "softmax", "Gelu": "gelu", "HardSilu": "hard_silu", "Relu": "relu",
    "Relu6": "relu6", "Sigmoid": "sigmoid", "Tanh": "tanh", "Silu": "silu", "ELU": "elu", "Elu": "elu", "Selu": "selu",
    "HardSigmoid": "hard_sigmoid",
}  # fmt: skip
"""Class name of a layer, or of an operation of keras.ops -> the function that it is."""


def function_of(layer: KerasLayer) -> str | None:
    """Return the name of the function that a layer applies to its result; None: it is not an activation, and has none."""
    from pipeline.frameworks.fake_quantization import ROUNDED

    kind = type(layer).__name__
    if kind == "ReLU":
        if layer.threshold == 0 and layer.negative_slope == 0 and layer.max_value in (None, 6):
            return "relu6" if layer.max_value == 6 else "relu"
        return f"ReLU({layer.max_value}, {layer.negative_slope}, {layer.threshold})"
    if kind in LAYERS:
        return LAYERS[kind]
    if kind != "Activation" and type(layer) not in ROUNDED:
        return None
    return str(getattr(layer.activation, "__name__", layer.activation))
