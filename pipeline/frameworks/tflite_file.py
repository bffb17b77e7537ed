"""TFLite files in LiteRT."""

from pathlib import Path

import numpy as np

from pipeline.errors import ModelError
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.rows import BATCH_ROWS, Array, Count, one_each
from pipeline.frameworks.types import TfliteDetail
from pipeline.records import TensorSpec


class Tflite:
    """A .tflite file in LiteRT, one row at a time: what a board does."""

    def __init__(self, path: Path, name: str, *, plain: bool = False) -> None:
        from ai_edge_litert import interpreter as litert

        self.path, self.name = path, name
        kind = "BUILTIN_WITHOUT_DEFAULT_DELEGATES" if plain else "AUTO"  # plain: without XNNPACK, to see every operator
        try:
            self.interpreter = litert.Interpreter(
                model_path=str(path), num_threads=1, experimental_op_resolver_type=litert.OpResolverType[kind]
            )
            self.interpreter.allocate_tensors()
            inputs, outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        except Exception as error:
            raise ModelError(
                f"LiteRT cannot open {name}: {cause_of(error, path)}",
                hint="It may be damaged, or need operators that LiteRT does not have; convert it again from its source.",
            ) from error
        one_each(len(inputs), len(outputs), name, "tflite")
        self.input, self.output = inputs[0], outputs[0]
        if len(self.input["shape"]) < 1 or self.input["shape"][0] != 1:
            raise ModelError(
                f"{name} takes batches of {list(self.input['shape'])[:1]} rows; a board answers one row at a time",
                hint="Convert it again with a batch of 1.",
            )

    def specs(self) -> tuple[TensorSpec, TensorSpec]:
        return self._spec(self.input), self._spec(self.output)

    @staticmethod
    def _spec(detail: TfliteDetail) -> TensorSpec:
        signature = detail.get("shape_signature", detail["shape"])
        shape = tuple(None if size < 0 else int(size) for size in signature[1:])
        return TensorSpec(name=detail["name"], shape=shape, dtype=np.dtype(detail["dtype"]).name)

    def answers(self, x: Array, count: Count) -> Array:
        runner, into, out = self.interpreter, self.input["index"], self.output["index"]
        rows = quantize(x, self.input)
        found = np.empty((len(x), *self.output["shape"][1:]), self.output["dtype"])
        for i in range(len(x)):
            try:
                runner.reset_all_variables()  # a fused LSTM keeps its state between calls
                runner.set_tensor(into, rows[i : i + 1])
                runner.invoke()
                found[i] = runner.get_tensor(out)[0]
            except Exception as error:
                raise ModelError(
                    f"LiteRT cannot run {self.name}: {cause_of(error)}",
                    hint="Does it answer such a row where it was made? Convert it again from its source.",
                ) from error
            if i % BATCH_ROWS == 0:
                count(i, len(x))
        return dequantize(found, self.output)

    def in_other_kernels(self) -> "Tflite | None":
        """The same file without XNNPACK: the kernels of tflite-runtime. None where nothing is quantized: they would answer the same."""
        details = self.interpreter.get_tensor_details()
        if not any(len(each["quantization_parameters"]["scales"]) for each in details):
            return None
        return Tflite(self.path, self.name, plain=True)

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


def quantize(x: Array, detail: TfliteDetail) -> Array:
    """Real numbers to what the input holds: round half to even, then clip, as the agent on the board does."""
    dtype = np.dtype(detail["dtype"])
    scale, zero = detail["quantization"]
    if x.dtype == dtype or scale == 0:
        return x.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    steps: Array = np.rint(x / np.float32(scale)) + zero
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def dequantize(values: Array, detail: TfliteDetail) -> Array:
    scale, zero = detail["quantization"]
    if scale == 0 or np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float32)
    return (values.astype(np.float32) - np.float32(zero)) * np.float32(scale)
