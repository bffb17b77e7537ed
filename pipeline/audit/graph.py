"""What an audit looks at: the operators of a file and the values between them, the same for both families."""

import math
from typing import NamedTuple

REAL = frozenset({"float16", "float32", "float64", "bfloat16"})
BITS = {
    "bool": 8, "int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "float16": 16,
    "bfloat16": 16, "int32": 32, "uint32": 32, "float32": 32, "int64": 64, "uint64": 64, "float64": 64, "complex64": 64,
    "complex128": 128,
}  # fmt: skip
"""Bits of one number; the width of text, and of what a runtime keeps itself, is not known."""


class Value(NamedTuple):
    """A tensor between operators, or one that the file holds."""

    key: str  # unique in the file
    name: str
    dtype: str  # numpy's name where numpy has the type; "": the file does not say
    shape: tuple[int | None, ...] | None  # None for an open axis, or for an unknown rank
    constant: bool = False
    scale: float | None = None  # real = scale * (stored - zero point); None: not quantized, or a scale for each channel
    zero_point: int | None = None
    scales: int = 0  # how many there are
    blockwise: bool = False  # a scale for each block of a channel

    @property
    def elements(self) -> int | None:
        """How many numbers it holds, of an open first axis one row; None where another axis is open, or the rank unknown."""
        sizes = self.sizes
        return None if sizes is None else math.prod(sizes)

    @property
    def sizes(self) -> tuple[int, ...] | None:
        """Its shape in one inference: an open first axis is the batch, and 1. None where another axis is open."""
        if self.shape is None or any(axis is None for axis in self.shape[1:]):
            return None
        return tuple(1 if axis is None else axis for axis in self.shape)

    @property
    def size_bytes(self) -> int | None:
        """What it takes in memory; None where that is not known."""
        elements, bits = self.elements, BITS.get(self.dtype)
        return None if elements is None or bits is None else (elements * bits + 7) // 8


class Operator(NamedTuple):
    """One operator. An input is None where it is left out."""

    kind: str  # of the format, such as CONV_2D or Conv
    version: int  # of the operator; in ONNX of its operator set
    domain: str  # "": one of the format's own; else whose
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    macs: int | None  # multiply-accumulates of one inference; None: not known
    weights: int | None = None  # which input has the weights
    graph: int = 0  # of the file; 0: the one that runtimes run

    @property
    def name(self) -> str:
        """The name of what it makes: operators of .tflite files have none of their own."""
        return self.outputs[0].name if self.outputs else ""

    @property
    def weights_value(self) -> Value | None:
        """Its weights; None where it has none, or leaves them out."""
        return self.inputs[self.weights] if self.weights is not None and self.weights < len(self.inputs) else None

    @property
    def moving(self) -> tuple[Value, ...]:
        """The values that come in with each inference, and those that go out."""
        return tuple(each for each in (*self.inputs, *self.outputs) if each is not None and not each.constant)


class Graph(NamedTuple):
    """A whole file."""

    family: str  # tflite or onnx
    operators: tuple[Operator, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    constants: tuple[Value, ...]
    opset: int = 0  # of ONNX
    ir: int = 0
    domains: tuple[str, ...] = ()  # other operator sets that operators are of
    claims: str = ""  # the lowest runtime that a .tflite file says it needs

    @property
    def open_inputs(self) -> tuple[Value, ...]:
        """The inputs of which more than the first axis is open: what the operators do depends on the rows."""
        return tuple(each for each in self.inputs if each.sizes is None)

    def main(self) -> tuple[Operator, ...]:
        """Return the operators that run with each inference, outside of branches and loops."""
        return tuple(each for each in self.operators if each.graph == 0)


def product(*factors: int | None) -> int | None:
    """Return the product; None where a factor is not known."""
    return None if None in factors else math.prod(each for each in factors if each is not None)
