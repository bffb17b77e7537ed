"""How each operator of a file computes: in integers, in floating point, or in floating point by weights that are stored smaller."""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from pipeline.audit.graph import REAL, Graph, Operator, Value

INT8, INT16, HYBRID, FLOAT, FLOAT16, BORDER, OTHER = "int8", "int16", "hybrid", "float", "float16", "border", "other"
"""`hybrid`: the weights are integers and the activations floating point, quantized in each inference. `border`: between integers and
floating point. `other`: of shapes, indices and conditions.
"""
KINDS = (INT8, INT16, HYBRID, FLOAT, FLOAT16, BORDER, OTHER)
INTEGERS = frozenset({INT8, INT16})
SMALL = {"int8": INT8, "uint8": INT8, "int4": INT8, "uint4": INT8, "int2": INT8, "int16": INT16, "uint16": INT16}
"""Types that stand for real numbers -> what is computed with them."""

BIAS, UNTYPED = "int32", "int8"  # the type of a bias, and that of integers whose type the file does not say
TO_REAL, TO_SMALL = frozenset({"DEQUANTIZE", "DequantizeLinear"}), frozenset({"QUANTIZE", "QuantizeLinear"})
UNPACKED = TO_REAL | {"DENSIFY", "CAST", "Cast", "TRANSPOSE", "Transpose"}
"""Operators by which weights that are stored in another form become those that are computed with."""
MOST_UNPACKED = 8  # of them in a row
BORDERS = TO_REAL | TO_SMALL | {"DynamicQuantizeLinear"}
DYNAMIC = frozenset(
    {"ConvInteger", "MatMulInteger", "DynamicQuantizeLSTM", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"}
)
WHOLE = frozenset({"QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearSoftmax", "QLinearConcat",
                   "QLinearLeakyRelu", "QLinearAveragePool", "QLinearGlobalAveragePool", "QAttention"})  # fmt: skip
PASSED = frozenset({
    "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "GATHER", "STRIDED_SLICE", "SLICE", "SPLIT", "PACK", "UNPACK", "PAD", "PADV2",
    "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Gather", "Slice", "Split", "Identity", "Expand", "Pad", "Dropout", "Relu",
    "Clip", "MaxPool",
})  # fmt: skip
"""Operators that give values on: what runtimes move across a border, and never the reason for an island."""
PRODUCTS = frozenset(
    {"MatMul", "Gemm"}
)  # which ONNX Runtime also computes in integers if their answer stays floating point


class Computed(NamedTuple):
    """One operator, and how it computes."""

    operator: Operator
    kind: str  # of KINDS
    stored: str = ""  # the type that its weights are stored in, where it is smaller than what it computes with


class Links:
    """Who makes each value, and who reads it."""

    def __init__(self, operators: Iterable[Operator]) -> None:
        self.maker: dict[str, Operator] = {}
        self.readers: dict[str, list[Operator]] = {}
        for each in operators:
            for made in each.outputs:
                self.maker[made.key] = each
            for read in each.inputs:
                if read is not None:
                    self.readers.setdefault(read.key, []).append(each)

    def stored(self, value: Value | None) -> Value | None:
        """Return the constant that this value is unpacked from, or the value itself where it is one. None: it is not a constant."""
        for _ in range(MOST_UNPACKED):
            if value is None or value.constant:
                return value
            maker = self.maker.get(value.key)
            value = maker.inputs[0] if maker is not None and maker.kind in UNPACKED and maker.inputs else None
        return None

    def unpacks(self, operator: Operator) -> bool:
        """Whether an operator turns a constant into the weights of others."""
        return operator.kind in UNPACKED and bool(operator.inputs) and self.stored(operator.inputs[0]) is not None

    def source(self, value: Value | None) -> Operator | None:
        """Return what makes a value, across operators that give it on."""
        seen: set[str] = set()
        while value is not None and value.key not in seen:
            seen.add(value.key)
            maker = self.maker.get(value.key)
            if maker is None or maker.kind not in PASSED or not maker.inputs:
                return maker
            value = maker.inputs[0]
        return None

    def dequantized(self, value: Value) -> str:
        """Return the type of the integers that a value comes from; "": it comes from none."""
        maker = self.source(value)
        first = maker.inputs[0] if maker is not None and maker.kind in TO_REAL and maker.inputs else None
        return "" if first is None else first.dtype or UNTYPED

    def ends_in(self, value: Value, kinds: Collection[str]) -> bool:
        """Whether all that reads a value, across operators that give it on, is of these kinds."""
        todo, seen = [value.key], set()
        found = False
        while todo:
            key = todo.pop()
            if key in seen:
                continue
            seen.add(key)
            readers = self.readers.get(key, [])
            for each in readers:
                if each.kind in kinds:
                    found = True
                elif each.kind in PASSED and each.outputs:
                    todo.append(each.outputs[0].key)
                else:
                    return False
            if not readers:
                return False  # the answer itself
        return found


def computed(graph: Graph) -> tuple[Computed, ...]:
    """Return how each operator computes, in the order of the file."""
    links = Links(graph.operators)
    of: Callable[[Operator, Links], tuple[str, str]] = _of_tflite if graph.family == "tflite" else _of_onnx
    return tuple(Computed(each, *of(each, links)) for each in graph.operators)


def _of_tflite(operator: Operator, links: Links) -> tuple[str, str]:
    if operator.kind in BORDERS or links.unpacks(operator):
        return _border(operator, links)
    types = {each.dtype for each in operator.moving}
    if types & REAL:
        kind = FLOAT16 if types & REAL == {FLOAT16} else FLOAT
        weights, stored = operator.weights_value, _stored(operator, links)
        is_hybrid = weights is not None and weights.constant and weights.dtype in SMALL
        return HYBRID if is_hybrid else kind, "" if stored == kind else stored
    small = {SMALL[each] for each in types if each in SMALL}
    if small and any(each.scales for each in operator.moving):
        return INT16 if INT16 in small else INT8, ""
    return OTHER, ""


def _of_onnx(operator: Operator, links: Links) -> tuple[str, str]:
    if operator.kind in BORDERS or links.unpacks(operator):
        return _border(operator, links)
    if operator.kind in WHOLE:
        return INT8, ""
    stored = _stored(operator, links)
    if operator.kind in DYNAMIC:
        return HYBRID, stored
    if operator.kind == "MatMulNBits":
        return FLOAT, "int4"
    types = {each.dtype for each in operator.moving}
    if not types & REAL and "" not in types:
        return OTHER, ""
    given = [links.dequantized(each) for each in operator.inputs if each is not None and each.dtype in {*REAL, ""}]
    borders = [SMALL.get(each, "") for each in given if each != BIAS]
    leaves = operator.kind in PRODUCTS or all(links.ends_in(each, TO_SMALL) for each in operator.outputs)
    if borders and all(borders) and leaves:
        return INT16 if INT16 in borders else INT8, ""
    kind = FLOAT16 if types & REAL == {FLOAT16} else FLOAT
    return kind, "" if stored == kind else stored


def _stored(operator: Operator, links: Links) -> str:
    """Return the type that the weights lie in the file in; "": none that is smaller than float32."""
    constant = links.stored(operator.weights_value)
    return constant.dtype if constant is not None and (constant.dtype in SMALL or constant.dtype == FLOAT16) else ""


def _border(operator: Operator, links: Links) -> tuple[str, str]:
    """What unpacks a constant belongs to the operator that reads it."""
    return OTHER if not operator.inputs or links.stored(operator.inputs[0]) is not None else BORDER, ""
