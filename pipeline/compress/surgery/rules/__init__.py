"""What each kind of layer does with channels: a rule is a function from a call to the axes of its outputs.

A new kind of layer is one rule and one line here. A rule may:

    call.new       make channels                       call.makes     say that they are the layer's own, and can be pruned
    call.tie       let channels go only together       call.keep      let channels stay, and say why
    call.weight    say what runs along a weight        call.size      say what in the layer's config counts channels

Weights that no rule names stay whole; a layer without a rule keeps its inputs and outputs as they are.
Only Keras's own classes are looked up: a class derived from one may do something else with its channels.
"""

from collections.abc import Callable

from pipeline.compress.surgery.channels import Axes
from pipeline.compress.surgery.rules import (
    attention,
    convolution,
    dense,
    elementwise,
    merging,
    normalisation,
    recurrent,
    shape,
    windows,
    wrappers,
)
from pipeline.compress.surgery.wiring import Call
from pipeline.frameworks.types import KerasLayer

Rule = Callable[[Call], list[Axes]]

LAYERS: dict[str, Rule] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), convolution.plain),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), convolution.transposed),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), convolution.depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), convolution.separable),
    "Dense": dense.dense,
    "EinsumDense": dense.einsum,
    "Embedding": dense.embedding,
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), recurrent.recurrent),
    "Bidirectional": recurrent.bidirectional,
    "MultiHeadAttention": attention.multi_head,
    "Attention": attention.dot_product,
    "AdditiveAttention": attention.additive,
    "BatchNormalization": normalisation.batch,
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), normalisation.layer),
    "GroupNormalization": normalisation.group,
    "Normalization": normalisation.normalization,
    "PReLU": normalisation.prelu,
    "LayerScale": normalisation.layer_scale,
    "CustomScaleLayer": elementwise.joined,  # of Keras's InceptionResNetV2: x + scale * y
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"), elementwise.joined),
    "Concatenate": merging.concatenated,
    "Dot": merging.dot,
    "Activation": elementwise.activation,
    "Softmax": elementwise.against_each_other,
    "Rescaling": elementwise.rescaling,
    **dict.fromkeys(
        (
            "ReLU", "LeakyReLU", "ELU", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout",
            "GaussianNoise", "GaussianDropout", "ActivityRegularization", "Identity", "StochasticDepth",
        ),
        elementwise.each,
    ),
    **dict.fromkeys(
        (
            *(f"{kind}Pooling{n}D" for kind in ("Max", "Average", "AdaptiveMax", "AdaptiveAverage") for n in (1, 2, 3)),
            *(f"{kind}{n}D" for kind in ("ZeroPadding", "Cropping", "UpSampling") for n in (1, 2, 3)), "Resizing",
        ),
        windows.windows,
    ),
    **dict.fromkeys((f"Global{kind}Pooling{n}D" for kind in ("Max", "Average") for n in (1, 2, 3)), windows.whole),
    "Flatten": shape.flatten,
    "Reshape": shape.reshape,
    "Permute": shape.permute,
    "RepeatVector": shape.repeat_vector,
    "TimeDistributed": wrappers.time_distributed,
}  # fmt: skip
"""Class name of a layer -> its rule."""

OPERATIONS: dict[str, Rule] = {
    **dict.fromkeys(
        (
            "Absolute", "Abs", "Clip", "Exp", "Expm1", "Log", "Log1p", "Negative", "Reciprocal", "Round", "Sign", "Sin", "Cos",
            "Sqrt", "Rsqrt", "Square", "Tanh", "Relu", "Relu6", "Sigmoid", "Softplus", "Softsign", "SoftShrink", "Silu",
            "Squareplus", "LogSigmoid", "LeakyRelu", "HardSigmoid", "HardSilu", "Elu", "Selu", "Gelu", "Celu", "TanhShrink",
            "HardTanh", "HardShrink", "Threshold", "Erf", "Cast", "StopGradient", "Identity", "Copy",
        ),
        elementwise.each,
    ),
    **dict.fromkeys(
        ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Power", "Where"), elementwise.joined
    ),
    **dict.fromkeys(("Softmax", "LogSoftmax"), elementwise.against_each_other),
    **dict.fromkeys(("Mean", "Sum", "Max", "Min", "Amax", "Amin", "Prod", "Std", "Var"), windows.reduced),
    "Concatenate": merging.concatenated,
    "Stack": merging.stacked,
    "Matmul": merging.matmul,
    "Split": shape.split,
    "GetItem": shape.get_item,
    "Reshape": shape.reshape,
    "Transpose": shape.transpose,
    "Swapaxes": shape.swap_axes,
    "ExpandDims": shape.expand_dims,
    "Squeeze": shape.squeeze,
    "Pad": windows.pad,
}  # fmt: skip
"""Class name of an operation of keras.ops -> its rule."""


def rule_of(layer: KerasLayer) -> Rule | None:
    """Return the rule of a layer or an operation; None: what it does with channels is not known."""
    import keras

    kind = type(layer)
    if not kind.__module__.startswith("keras.") or getattr(layer, "quantization_mode", None) is not None:
        return None
    return (LAYERS if isinstance(layer, keras.Layer) else OPERATIONS).get(kind.__name__)
