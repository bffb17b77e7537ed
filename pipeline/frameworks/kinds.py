"""What kind of file a .tflite or .onnx file is, from its tensors: no name says it for sure."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ModelError
from pipeline.frameworks.tflite_file import Tflite

INTEGERS = ("int8", "uint8", "int16")
HYBRID = {"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "MatMulNBits"}
"""ONNX operators that take numbers in floating point and compute with integer weights."""
OPERATORS_OF_INTEGERS = {"QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd"}
NO_WEIGHTS = ("int32", "int64", "bool")  # biases, shapes and indices say nothing about it


def kind_of_file(path: Path, format: str, name: str) -> str:  # noqa: A002 - the field's name
    """Return the kind of a file, such as float32, int8, float16 or "float with int8 weights" (dynamic range, weights only).

    "" where it is not known, as for a number type that is newer than this code: nothing fails for lack of a name.
    """
    try:
        return _of_tflite(path, name) if format == "tflite" else _of_onnx(path)
    except (ModelError, KeyError, TypeError, ValueError, RuntimeError):
        return ""


def _of_tflite(path: Path, name: str) -> str:
    interpreter = Tflite(path, name, plain=True).interpreter
    details = {each["index"]: each for each in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()  # noqa: SLF001 - the only way that LiteRT 2.3 offers
    made = {index for each in operators for index in each["outputs"]}
    given = made | {each["index"] for each in interpreter.get_input_details()}
    constants: Counter[str] = Counter()
    for index in {index for each in operators for index in each["inputs"]} - given:
        if index in details:  # -1: an optional input that is left out
            constants[np.dtype(details[index]["dtype"]).name] += int(np.prod(details[index]["shape"]))
    computed = Counter(
        np.dtype(details[index]["dtype"]).name
        for each in operators
        if each["op_name"] not in {"DEQUANTIZE", "QUANTIZE"}
        for index in each["outputs"]
        if index in details
    )
    return _named(computed, constants)


def _of_onnx(path: Path) -> str:
    import onnx
    from onnx import helper

    graph = onnx.load(path, load_external_data=False).graph
    constants: Counter[str] = Counter()
    for tensor in graph.initializer:
        constants[helper.tensor_dtype_to_np_dtype(tensor.data_type).name] += int(np.prod(tensor.dims))
    names = {tensor.name for tensor in graph.initializer}
    computed: Counter[str] = Counter()
    for node in graph.node:
        quantizes = node.op_type == "QuantizeLinear" and node.input[0] not in names
        if quantizes or node.op_type in OPERATORS_OF_INTEGERS:
            computed["int8"] += 1
    if any(node.op_type in HYBRID for node in graph.node):
        constants["int8"] += sum(constants.values())
    return _named(computed, constants)


def _named(computed: Counter[str], constants: Counter[str]) -> str:
    """`computed`: how many tensors of each dtype are computed. `constants`: how many numbers of each are stored."""
    integers = {name: count for name, count in computed.items() if name in INTEGERS}
    if 2 * sum(integers.values()) > sum(count for name, count in computed.items() if name not in NO_WEIGHTS):
        return max(integers, key=lambda name: integers[name])
    weights = {name: count for name, count in constants.items() if name not in NO_WEIGHTS}
    most: Any = max(weights, key=lambda name: weights[name], default="float32")
    if most == "float32":
        return "float32"
    return most if computed.get(most) else f"float with {most} weights"
