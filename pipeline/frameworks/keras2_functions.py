"""TensorFlow's functions inside a Keras 2 model (TFOpLambda, SlicingOpLambda), as the same functions of keras.ops."""

from collections.abc import Callable
from typing import Any

from pipeline.frameworks import keras2_config
from pipeline.frameworks.types import KerasTensor, LayerConfig

STEEPER = 1.2
"""Keras 2's hard_sigmoid is clip(0.2 x + 0.5), Keras 3's clip(x / 6 + 0.5): the first of x is the second of 1.2 x."""
OF_TWO = {
    "__operators__.add": "add", "math.add": "add", "math.subtract": "subtract", "math.multiply": "multiply", "math.truediv": "true_divide",
    "math.divide": "true_divide", "math.floordiv": "floor_divide", "math.pow": "power", "math.maximum": "maximum", "math.minimum": "minimum",
    "linalg.matmul": "matmul",
}  # fmt: skip
OF_ONE = {
    "math.negative": "negative", "math.abs": "absolute", "math.exp": "exp", "math.log": "log", "math.sqrt": "sqrt", "math.rsqrt": "rsqrt",
    "math.square": "square", "math.tanh": "tanh", "math.sigmoid": "sigmoid", "math.sin": "sin", "math.cos": "cos", "nn.relu": "relu",
    "nn.relu6": "relu6", "nn.sigmoid": "sigmoid", "nn.tanh": "tanh", "nn.silu": "silu", "nn.swish": "silu", "nn.elu": "elu",
    "nn.softplus": "softplus", "nn.softsign": "softsign", "math.softplus": "softplus", "math.sign": "sign", "math.floor": "floor",
    "math.ceil": "ceil", "identity": "copy",
}  # fmt: skip
OF_AXES = {
    "math.reduce_mean": "mean", "math.reduce_sum": "sum", "math.reduce_max": "max", "math.reduce_min": "min", "math.reduce_prod": "prod",
}  # fmt: skip
"""TensorFlow's name -> that of keras.ops."""


def called(layer: LayerConfig, inputs: Any, options: dict[str, Any], file: str) -> KerasTensor:
    """What the function gives for these tensors. ModelError names a function that is not translated."""
    name = str(layer["config"].get("function", layer["class_name"]))
    found = _function(name)
    options = {key: value for key, value in options.items() if key != "name"}
    told = f"{layer['class_name']} '{layer['config'].get('name')}'"
    if found is None:
        raise keras2_config.beyond(file, told, f"tf.{name} is a function of TensorFlow inside the model")
    try:
        return found(inputs, **options)
    except Exception as error:
        raise keras2_config.beyond(
            file, told, f"tf.{name} is called there in another way than keras.ops allows ({sorted(options)})"
        ) from error


def _function(name: str) -> Callable[..., KerasTensor] | None:
    from keras import ops

    if name in OF_TWO:
        return lambda x, y: getattr(ops, OF_TWO[name])(x, y)  # noqa: PLW0108 - TensorFlow's names of the arguments, here and below
    if name in OF_ONE:
        return getattr(ops, OF_ONE[name])  # type: ignore[no-any-return]
    if name in OF_AXES:
        return lambda x, axis=None, keepdims=False: getattr(ops, OF_AXES[name])(x, axis=_axes(axis), keepdims=keepdims)
    others: dict[str, Callable[..., KerasTensor]] = {
        "__operators__.getitem": lambda x, slice_spec: x[tuple(map(_slice, slice_spec))],
        "cast": ops.cast,
        "clip_by_value": lambda x, clip_value_min, clip_value_max: ops.clip(x, clip_value_min, clip_value_max),  # noqa: PLW0108
        "concat": lambda x, axis: ops.concatenate(x, axis=axis),
        "expand_dims": ops.expand_dims,
        "nn.bias_add": lambda x, bias: ops.add(x, bias),  # noqa: PLW0108
        "nn.leaky_relu": lambda x, alpha=0.2: ops.leaky_relu(x, negative_slope=alpha),
        "nn.softmax": lambda x, axis=-1: ops.softmax(x, axis=-1 if axis is None else axis),
        "reshape": lambda x, shape: ops.reshape(x, shape),  # noqa: PLW0108
        "squeeze": lambda x, axis=None: ops.squeeze(x, axis=_axes(axis)),
        "stack": ops.stack,
        "transpose": lambda x, perm=None: ops.transpose(x, perm),
    }
    return others.get(name.removeprefix("compat.v1."))


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _slice(part: Any) -> Any:
    """JSON of a part of x[...]."""
    if not isinstance(part, dict):
        return part
    if part.get("class_name") == "__ellipsis__":
        return ...
    return slice(part.get("start"), part.get("stop"), part.get("step"))
