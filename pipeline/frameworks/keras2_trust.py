"""Whether the configuration of a Keras 2 file names nothing but what computes: told before tf_keras sees it.

tf_keras calls the functions of TensorFlow that a file names, imports modules by the names in it, and unmarshals the bytes of a Lambda
in an .h5 file, all while it opens it. So every class and function must be one that is known here; there is no list of bad ones.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any

from pipeline.errors import ModelError
from pipeline.frameworks import keras2_config
from pipeline.frameworks.saved_model_check import OUTSIDE
from pipeline.safe_text import shortened

CODE = ("Lambda", "__lambda__")
VALUES = ("TensorShape", "__tuple__", "__ellipsis__", "__bytes__", "__numpy__", "__tensor__")
"""What stands in JSON for a value."""
FOLDERS = ("TFSMLayer",)  # of tf_keras.layers, and reads a SavedModel from a path in the file
POLICIES = ("Policy", "PolicyV1")
HOMES = ("layers", "initializers", "regularizers", "constraints")
MODULE = re.compile(r"(tf_)?keras(\.\w+)*")
FUNCTION = re.compile(
    r"(compat\.v1\.)?((math|nn|linalg|signal|image|bitwise|__operators__|keras\.activations)\.\w+|quantization\.fake_quant\w+|("
    "argsort|batch_to_space|boolean_mask|broadcast_to|cast|clip_by_norm|clip_by_value|concat|convert_to_tensor|cumsum|dynamic_partition|"
    "dynamic_stitch|einsum|ensure_shape|expand_dims|eye|fill|gather|gather_nd|identity|identity_n|linspace|meshgrid|norm|one_hot|ones|"
    "ones_like|pad|range|rank|realdiv|repeat|reshape|reverse|reverse_sequence|roll|scatter_nd|searchsorted|sequence_mask|shape|shape_n|"
    "size|slice|sort|space_to_batch|split|squeeze|stack|stop_gradient|strided_slice|tensor_scatter_nd_(add|max|min|sub|update)|tensordot|"
    "tile|transpose|unstack|where|zeros|zeros_like))"
)
"""Functions of TensorFlow that compute and do nothing else, by the names that a file gives them."""


def check(config: Any, name: str, custom_objects: Collection[str] = ()) -> None:
    """Raise ModelError if `config` names code, or a class or function that is not of tf_keras or of `custom_objects`."""
    model = {key: value for key, value in config.items() if key != "compile_config"}  # of training, and not opened
    for each in _named(model):
        kind, inner = each["class_name"], each.get("config")
        settings = inner if isinstance(inner, dict) else {}
        if kind in CODE:
            raise keras2_config.code_inside(name, str(settings.get("name", "")))
        if kind == "function":
            names = {str(inner), str(each.get("registered_name") or inner)}
            if names <= {*_activations(), *custom_objects} and each.get("module") in {"builtins", "keras.activations"}:
                continue
            if str(inner) in custom_objects:
                continue
            raise _unknown(name, f"the function {min(names)}")
        registered = each.get("registered_name") or kind
        if registered in custom_objects:
            continue
        module = each.get("module")
        known = kind in _classes() and (module is None or MODULE.fullmatch(str(module)))
        if not known:
            raise _unknown(name, f"the class {registered}")
        _check_settings(kind, settings, name)


def _check_settings(kind: str, settings: Mapping[str, Any], name: str) -> None:
    if kind in keras2_config.FUNCTIONS:
        function = str(settings.get("function", ""))
        if kind == "TensorFlowOpLayer":
            node = settings.get("node_def")
            function = str(node.get("op", "")) if isinstance(node, dict) else ""
            sound = bool(re.fullmatch(r"\w+", function)) and not OUTSIDE.search(function)
        else:
            sound = kind == "SlicingOpLambda" or bool(FUNCTION.fullmatch(function))
            sound = sound and (kind == "TFOpLambda" or function == "__operators__.getitem")
        if not sound:
            raise ModelError(
                f"{name} calls the function tf.{shortened(function, 100)}, which is not one of those that only compute; edgepress runs "
                "no other from a model file",
                hint="Where it was made, make an ONNX file of it with tf2onnx, and give that file.",
            )
    if isinstance(settings.get("vocabulary"), str):
        raise ModelError(
            f"{name} holds a {kind} whose words lie in a file of its own",
            hint="Cut the model after the layer that looks words up, and give it the numbers.",
        )


def _named(config: Any) -> Iterator[dict[str, Any]]:
    """Everything in the configuration that has the name of a class."""
    todo = [config]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            if "class_name" in each:
                yield each
            todo += each.values()
        elif isinstance(each, list):
            todo += each


@cache
def _classes() -> frozenset[str]:
    import tf_keras

    known = {name for home in HOMES for name, value in vars(getattr(tf_keras, home)).items() if isinstance(value, type)}
    others = (*keras2_config.MODELS, *keras2_config.FUNCTIONS, *keras2_config.RENAMED, *VALUES, *POLICIES)
    return frozenset(known.union(others).difference(FOLDERS))


@cache
def _activations() -> frozenset[str]:
    import tf_keras

    others = {"deserialize", "get", "serialize"}
    return frozenset(name for name, value in vars(tf_keras.activations).items() if callable(value)) - others


def _unknown(file: str, what: str) -> ModelError:
    return ModelError(
        f"{file} was made by Keras 2 and names {shortened(what, 100)}, which is not part of tf_keras",
        hint='If it is your own, say where it is: [model] custom_objects = "module:function", whose function returns classes of tf_keras '
        "by the names that the file has.",
    )
