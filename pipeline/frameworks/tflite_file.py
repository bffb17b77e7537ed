"""TFLite files in LiteRT."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import CannotRunError, DataError, ModelError
from pipeline.frameworks import tflite_names, tflite_schema
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.feeds import Feed
from pipeline.frameworks.rows import Array
from pipeline.frameworks.runner import Runner
from pipeline.frameworks.types import TfliteDetail
from pipeline.records import TensorSpec
from pipeline.safe_text import shortened

VARIABLES = {"SVDF", "RNN", "LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "UNIDIRECTIONAL_SEQUENCE_LSTM",
             "BIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_LSTM"}  # fmt: skip
"""Operators that keep a state which the runtime can reset; in the agent, too (runtimes/_tflite.py)."""
RESOURCES = {"VAR_HANDLE", "ASSIGN_VARIABLE", "READ_VARIABLE"}
"""Operators of a state that only opening the file again resets (seen with LiteRT 2.3 and tflite-runtime 2.14)."""
TEXT = ("bytes_", "str_", "object", "bytes", "str")


class Tflite(Runner):
    """A .tflite file in LiteRT, one row at a time: what a board does."""

    def __init__(self, path: Path, name: str, *, plain: bool = False, signature: str | None = None) -> None:
        """`plain`: without XNNPACK, to see every operator. `signature`: of the plan, where the file has it."""
        self.path, self.name, self.plain, self.signature = path, name, plain, signature
        self._open()
        details = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        names = _names(path, name, signature, *details)
        self._inputs, self._outputs = (
            {key: known[index] for key, index in names[what]}
            for what, known in zip(
                ("input", "output"), ({each["index"]: each for each in ends} for ends in details), strict=True
            )
        )
        self.inputs, self.outputs = (
            tuple(_spec(key, each, self.name) for key, each in ends.items()) for ends in (self._inputs, self._outputs)
        )
        operators = {each["op_name"] for each in self.interpreter._get_ops_details()}  # noqa: SLF001 - the only way in LiteRT 2.3
        self.keeps_variables, self.keeps_resources = bool(operators & VARIABLES), bool(operators & RESOURCES)
        self.keeps_state = self.keeps_variables or self.keeps_resources

    def _open(self) -> None:
        from ai_edge_litert import interpreter as litert

        kind = "BUILTIN_WITHOUT_DEFAULT_DELEGATES" if self.plain else "AUTO"
        try:
            self.interpreter: Any = litert.Interpreter(
                model_path=str(self.path), num_threads=1, experimental_op_resolver_type=litert.OpResolverType[kind]
            )
            self._shapes: dict[int, tuple[int, ...]] = {}
            try:
                self.interpreter.allocate_tensors()
            except Exception:
                if not any(_is_open(each) for each in self.interpreter.get_input_details()):
                    raise  # else the sizes that open axes have without rows do not suit the model
        except Exception as error:
            raise ModelError(
                f"LiteRT cannot open {self.name}: {cause_of(error, self.path)}",
                hint="It may be damaged, or need operators that LiteRT does not have; convert it again from its source.",
            ) from error

    def run(self, feed: Feed) -> list[Array]:
        try:
            self._resize(feed)
            for name, x in feed.items():
                self.interpreter.set_tensor(self._inputs[name]["index"], as_input(x, self._inputs[name], name))
            self.interpreter.invoke()
            return [dequantize(self.interpreter.get_tensor(each["index"]), each) for each in self._outputs.values()]
        except DataError:
            raise
        except Exception as error:
            raise CannotRunError(
                f"LiteRT cannot run {self.name}: {cause_of(error)}",
                hint="Does it answer such a row where it was made? Convert it again from its source.",
            ) from error

    def _resize(self, feed: Feed) -> None:
        """Give open axes the lengths of the rows."""
        wanted = {self._inputs[name]["index"]: x.shape for name, x in feed.items() if _is_open(self._inputs[name])}
        if wanted != self._shapes:
            for index, shape in wanted.items():
                self.interpreter.resize_tensor_input(index, list(shape), strict=False)
            self.interpreter.allocate_tensors()
            self._shapes = wanted

    def reset(self) -> None:
        if self.keeps_resources:
            self._open()
        elif self.keeps_variables:
            self.interpreter.reset_all_variables()

    def real_dtype(self, spec: TensorSpec) -> str:
        return "float32" if tflite_schema.scales(*self._inputs[spec.name]["quantization"]) else spec.dtype

    def in_other_kernels(self) -> "Tflite | None":
        """The same file without XNNPACK: the kernels of tflite-runtime. None where nothing is quantized: they would answer the same."""
        details = self.interpreter.get_tensor_details()
        if not any(len(each["quantization_parameters"]["scales"]) for each in details):
            return None
        return Tflite(self.path, self.name, plain=True, signature=self.signature)

    def output_details(self) -> dict[str, TfliteDetail]:
        """What LiteRT reports on each output, by its name."""
        return self._outputs

    def float_operators(self) -> list[str]:
        """Operators that still read or write floating point numbers."""
        dtypes = {detail["index"]: detail["dtype"] for detail in self.interpreter.get_tensor_details()}
        return [
            operator["op_name"]
            for operator in self.interpreter._get_ops_details()  # noqa: SLF001 - the only way that LiteRT 2.3 offers
            if any(
                np.issubdtype(dtypes[index], np.floating)
                for index in (*operator["inputs"], *operator["outputs"])
                if index in dtypes
            )
        ]


def _names(
    path: Path, name: str, signature: str | None, inputs: list[TfliteDetail], outputs: list[TfliteDetail]
) -> dict[str, list[tuple[str, int]]]:
    """The name of each input and output with the index of its tensor; two outputs may be one tensor."""
    try:
        file = tflite_schema.read(path.read_bytes(), name)
    except ModelError:  # LiteRT opens some damaged files, in parts that it does not use
        return {
            what: list(
                zip(
                    tflite_names.unique_names([each["name"] for each in ends], what),
                    [each["index"] for each in ends],
                    strict=True,
                )
            )
            for what, ends in (("input", inputs), ("output", outputs))
        }
    found = tflite_names.run_by_boards(file, name, signature)
    if found.subgraph:
        raise ModelError(
            f"boards run the first function of {name}, and its signature '{shortened(found.signature or '', 100)}' is another one",
            hint="Convert that function alone: TFLiteConverter.from_saved_model(folder, signature_keys=[...]).",
        )
    return {
        what: [(port.name, port.tensor.tensor_index) for port in ports]
        for what, ports in (("input", found.inputs), ("output", found.outputs))
    }


def _is_open(detail: TfliteDetail) -> bool:
    return any(size < 0 for size in detail.get("shape_signature", ()))


def _spec(name: str, detail: TfliteDetail, file: str) -> TensorSpec:
    dtype = np.dtype(detail["dtype"]).name
    if dtype.startswith(TEXT):
        raise ModelError(
            f"'{shortened(name, 100)}' of {file} is text, and only numbers can be given and compared",
            hint="Cut the model where there are numbers, after its tokenizer or StringLookup, and convert that part.",
        )
    shape = detail["shape_signature"] if _is_open(detail) else detail["shape"]
    return TensorSpec(
        name=name,
        shape=tuple(None if size < 0 else int(size) for size in shape),
        dtype=dtype,
        tensor=str(detail["index"]),
    )


def as_input(x: Array, detail: TfliteDetail, name: str) -> Array:
    """Bring a whole tensor into the form of the input, as the agent does: real numbers are scaled by the file's own parameters."""
    dtype = np.dtype(detail["dtype"])
    if x.dtype == dtype:
        return np.asarray(x, order="C")  # not ascontiguousarray, which gives a scalar an axis
    if x.dtype.kind != "f" or not (detail["quantization"][0] or dtype.kind == "f"):
        raise DataError(
            f"the input '{shortened(name, 100)}' takes {dtype}, and the rows are {x.dtype}",
            hint=f"Give them as {dtype}.",
        )
    return quantize(x, detail)


def quantize(x: Array, detail: TfliteDetail) -> Array:
    """Real numbers to what the input holds: round half to even, then clip, as the agent on the board does."""
    dtype = np.dtype(detail["dtype"])
    scale, zero = detail["quantization"]
    if x.dtype == dtype or scale == 0:
        return x.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    steps: Array = np.rint(x.astype(np.float32, copy=False) / np.float32(scale)) + zero
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def dequantize(values: Array, detail: TfliteDetail) -> Array:
    """Real values as float32; integers and truth values that stand for nothing else as they are, as the agent does."""
    scale, zero = detail["quantization"]
    if scale and not np.issubdtype(values.dtype, np.floating):
        return (values.astype(np.float32) - np.float32(zero)) * np.float32(scale)
    return values.astype(np.float32) if np.issubdtype(values.dtype, np.floating) else values
