"""The plain libraries: LiteRT, ONNX Runtime, Keras and TensorFlow with one small interface.

Each is used as its own documentation shows. Everything here runs in a process of its own (plain_process).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Value = Any  # an array; a list or None where ONNX has a sequence or an optional value

ONNX_TYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "string": "str",
    **{each: each for each in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
}  # fmt: skip


class NotTensors(Exception):
    """An input that is a sequence, a map, an optional value, or of a type that numpy lacks: no rows can be drawn for it."""


@dataclass(frozen=True)
class Spec:
    name: str
    shape: tuple[int | None, ...]  # None: an open axis
    dtype: str
    scale: float = 0.0  # of a quantized tensor; 0: it is not
    zero: int = 0


class Onnx:
    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.outputs = [each.name for each in self.session.get_outputs()]

    def inputs(self) -> list[Spec]:
        return [Spec(each.name, _open(each.shape), _onnx_type(each)) for each in self.session.get_inputs()]

    def run(self, row: dict[str, Value]) -> list[Value]:
        return list(self.session.run(None, row))


def _open(shape) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) and size >= 0 else None for size in shape)


def _onnx_type(argument) -> str:
    inner = argument.type.removeprefix("tensor(").removesuffix(")")
    if inner not in ONNX_TYPES:
        raise NotTensors(f"the input {argument.name} is a {argument.type}")
    return ONNX_TYPES[inner]


class Tflite:
    """Names are the signature's where there is one; the order is the signature's, too."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model_path=str(path), num_threads=1)
        signatures = self.interpreter.get_signature_list()
        self.runner = self.interpreter.get_signature_runner(next(iter(signatures))) if signatures else None
        if self.runner:
            self.into, self.out = self.runner.get_input_details(), self.runner.get_output_details()
        else:
            self.into = {each["name"]: each for each in self.interpreter.get_input_details()}
            self.out = {each["name"]: each for each in self.interpreter.get_output_details()}
        self.outputs = list(self.out)
        self.interpreter.allocate_tensors()

    def inputs(self) -> list[Spec]:
        return [self._spec(name, detail) for name, detail in self.into.items()]

    @staticmethod
    def _spec(name: str, detail) -> Spec:
        scale, zero = detail["quantization"]
        shape = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
        dtype = np.dtype(detail["dtype"])
        return Spec(name, _open(map(int, shape)), "str" if dtype.kind in "SOU" else dtype.name, float(scale), int(zero))

    def run(self, row: dict[str, Value]) -> list[Value]:
        if self.runner:
            found = self.runner(**row)
            return [found[name] for name in self.outputs]
        resized = [
            self.interpreter.resize_tensor_input(detail["index"], row[name].shape)
            for name, detail in self.into.items()
            if tuple(row[name].shape) != tuple(detail["shape"])
        ]
        if resized:
            self.interpreter.allocate_tensors()
        for name, detail in self.into.items():
            self.interpreter.set_tensor(detail["index"], row[name])
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(detail["index"]) for detail in self.out.values()]

    def real(self, values: list[Value]) -> list[Value]:
        """What quantized outputs stand for, as real numbers."""
        return [
            (np.float32(value) - np.float32(detail["quantization"][1])) * np.float32(detail["quantization"][0])
            if detail["quantization"][0] and np.dtype(detail["dtype"]).kind in "iu" else value
            for value, detail in zip(values, self.out.values(), strict=True)
        ]  # fmt: skip


class Keras:
    def __init__(self, path: Path) -> None:
        import keras

        self.model = keras.models.load_model(path, compile=False)
        self.outputs = [each.name for each in self.model.outputs]

    def inputs(self) -> list[Spec]:
        names = [each.name for each in self.model.inputs]
        return [
            Spec(name, tuple(each.shape), str(each.dtype)) for name, each in zip(names, self.model.inputs, strict=True)
        ]

    def run(self, row: dict[str, Value]) -> list[Value]:
        import keras

        flat = [keras.ops.convert_to_tensor(each) for each in row.values()]
        given = self.model.input if hasattr(self.model, "input") else flat
        answers = self.model(keras.tree.pack_sequence_as(given, flat), training=False)
        return [np.asarray(each) for each in keras.tree.flatten(answers)]


class SavedModel:
    def __init__(self, path: Path) -> None:
        import tensorflow as tf

        self.kept = tf.saved_model.load(str(path))  # a signature alone would outlive its variables
        self.function = self.kept.signatures["serving_default"]
        self.outputs = sorted(self.function.structured_outputs)

    def inputs(self) -> list[Spec]:
        return [
            Spec(name, tuple(each.shape), each.dtype.name)
            for name, each in sorted(self.function.structured_input_signature[1].items())
        ]

    def run(self, row: dict[str, Value]) -> list[Value]:
        import tensorflow as tf

        found = self.function(**{name: tf.constant(value) for name, value in row.items()})
        return [found[name].numpy() for name in self.outputs]


LIBRARIES: dict[str, Any] = {"onnx": Onnx, "tflite": Tflite, "keras": Keras, "saved_model": SavedModel}
