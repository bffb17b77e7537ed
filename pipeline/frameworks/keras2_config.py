"""What Keras 2 writes of a layer, as Keras 3 takes it: other names, without keys that were removed, values in their new form.

A key that Keras 3's layer does not take is dropped where its value changes nothing, and refused by its name where it does.
"""

import inspect
from typing import NamedTuple

from pipeline.errors import ModelError
from pipeline.frameworks.types import LayerConfig
from pipeline.safe_text import shortened

RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "Convolution1DTranspose": "Conv1DTranspose",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Convolution3DTranspose": "Conv3DTranspose",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
}
NEUTRAL: dict[str, tuple[object, ...]] = {
    "groups": (1,),
    "time_major": (False,),
    "implementation": (0, 1, 2),
    "renorm": (False,),
    "virtual_batch_size": (None,),
    "ragged": (False,),
    "sparse": (False,),
    "zero_output_for_mask": (False,),
    "softmax_robust_masking": (False,),
    "robust_masking": (False,),
}
"""Key -> the values that change no answer."""
NO_MATTER = {
    "adjustment", "batch_input_shape", "dynamic", "force_generator", "fused", "input_length", "key_shape", "noise_shape", "query_shape",
    "rng_type", "stateful_rng", "value_shape",
}  # fmt: skip
"""Keys that change no answer whatever they hold: of training, of kernels, or said by the input's shape, too."""
OF_TRAINING = ("_initializer", "_regularizer", "_constraint")
FUNCTIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
MODELS = ("Functional", "Model", "Sequential")


class BeyondKeras3Error(ModelError):
    """A model that only Keras 2 opens: it has a layer that Keras 3 does not have, or has otherwise."""


class Repaired(NamedTuple):
    """The class of keras.layers, and its configuration for Keras 3."""

    kind: str
    config: LayerConfig


def repaired(layer: LayerConfig, file: str) -> Repaired:
    """One layer of Keras 2's configuration, with what it wraps. ModelError if nothing of Keras 3 answers the same."""
    import keras

    kind, config = _kind(layer), renamed(_kind(layer), dict(layer["config"]))
    name = str(config.get("name", ""))
    if kind == "Lambda":
        raise code_inside(file, name)
    if kind == "ThresholdedReLU":
        kind, config["threshold"] = "ReLU", config.pop("theta", 1.0)
    known = getattr(keras.layers, kind, None)
    if kind in FUNCTIONS or known is None:
        own = "" if kind in FUNCTIONS else " (one of your own is named by [model] custom_objects)"
        raise beyond(file, f"{kind} '{name}'", f"Keras 3 has no such layer{own}")
    takes = inspect.signature(known.__init__).parameters
    for key in [key for key in config if key not in takes]:
        if key in NEUTRAL and config[key] not in NEUTRAL[key]:
            raise beyond(file, f"{kind} '{name}'", f"it has {key}={config[key]!r}, which Keras 3 does not take")
        if key in NEUTRAL or key in NO_MATTER or (key.startswith("kernel_") and key.endswith(OF_TRAINING)):
            del config[key]  # kernel_: of depthwise and separable layers, whose kernels are called otherwise
    if all(
        each.kind is not each.VAR_KEYWORD for each in takes.values()
    ):  # SpatialDropout takes nothing of a layer in general
        config = {key: value for key, value in config.items() if key in takes or key != "trainable"}
    for key in [key for key in config if key.endswith("_initializer")]:
        del config[key]  # the weights come from the file
    return Repaired(kind, {key: _inside(value, file) for key, value in config.items()})


def beyond(file: str, layer: str, why: str) -> BeyondKeras3Error:
    """The error for what only Keras 2 can open."""
    return BeyondKeras3Error(
        f"{file} was made by Keras 2, and its {layer} has no equal in Keras 3: {why}",
        hint=f"With tf_keras it can be converted and measured, not compressed: pip install 'edgepress[legacy]'; next to tensorflow-cpu, "
        f"pip install --no-deps 'tf_keras=={_of_tensorflow()}.*' spares you a second TensorFlow. Or, where it was made, make an ONNX file "
        "of it with tf2onnx, and give that file.",
    )


def _of_tensorflow() -> str:
    """The release of TensorFlow, to which that of tf_keras belongs."""
    import tensorflow as tf

    return ".".join(tf.version.VERSION.split(".")[:2])


def code_inside(file: str, name: str) -> ModelError:
    """The error for a Lambda layer. `name`: of the layer, "" where it has none."""
    which = f", '{shortened(name, 100)}'," if name else ","
    return ModelError(
        f"{file} holds a Lambda layer{which} which is Python code inside the model file; edgepress never runs code from a model",
        hint="Replace the Lambda by a layer of Keras (Rescaling, Reshape, keras.ops in a functional model) and save again.",
    )


def _kind(layer: LayerConfig) -> str:
    kind = str(layer.get("class_name"))
    return RENAMED.get(kind, kind)


def renamed(kind: str, config: LayerConfig) -> LayerConfig:
    """Keys that Keras 3 calls otherwise, and values that it writes otherwise."""
    if isinstance(config.get("name"), str):
        config["name"] = config["name"].replace("/", "_")  # Keras 3 allows none
    if isinstance(config.get("dtype"), dict):  # a policy
        config["dtype"] = str(config["dtype"].get("config", {}).get("name", "float32"))
    if kind == "InputLayer":
        config["batch_shape"] = config.pop("batch_input_shape", config.get("batch_shape"))
    axis = config.get("axis")
    if kind == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]
    if kind == "LeakyReLU" and "alpha" in config:
        config["negative_slope"] = config.pop("alpha")
    if kind in {"Attention", "AdditiveAttention"}:
        config.pop("causal", None)  # of an old release, which said it again at the call
    return config


def _inside(value: object, file: str) -> object:
    """A layer inside a layer (Bidirectional, TimeDistributed, RNN), a regularizer or a constraint."""
    if isinstance(value, list):
        return [_inside(each, file) for each in value]
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    import keras

    kind = _kind(value)
    if kind in MODELS:
        raise beyond(
            file, f"{kind} inside a layer", "a model may stand in a model, but not in a layer such as TimeDistributed"
        )
    for home in ("regularizers", "constraints"):
        if hasattr(getattr(keras, home), kind):
            return {"module": f"keras.{home}", "class_name": kind, "config": value["config"], "registered_name": None}
    inner = repaired(value, file)
    return {"module": "keras.layers", "class_name": inner.kind, "config": inner.config, "registered_name": None}
