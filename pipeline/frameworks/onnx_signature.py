"""Inputs and outputs of an ONNX model: names, shapes, types; which cannot be given as rows, which may be a state, whether rows batch."""

import json
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from pipeline.frameworks.types import OnnxModel, OnnxValue
from pipeline.safe_text import shortened

NUMBERS = {
    "float16", "float32", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
}  # fmt: skip
"""The types of numpy that rows and answers can have."""
TENSOR, UNKNOWN = "tensor", "unknown"
KINDS = {
    "tensor_type": TENSOR, "sparse_tensor_type": "sparse tensor", "sequence_type": "sequence", "optional_type": "optional value",
    "map_type": "map", "opaque_type": "opaque value",
}  # fmt: skip
UNNAMED = re.compile(r"unk__\d+|[?*]?")  # how exporters write an axis that has no name

WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
MARKS = {
    "in",
    "out",
    "input",
    "output",
    "new",
    "next",
    "prev",
    "previous",
    "past",
    "present",
    "init",
    "initial",
    "final",
    "n",
    "t",
}
"""Words in which the names of a state before and after a call differ, such as state and stateN."""
ENDINGS = re.compile(r"[_.]?(?:n|N|1|out|new|next)")
"""What follows the name of an input in the name of its next value, such as h and hn, or c and c_1."""


class Value(NamedTuple):
    """One input or output."""

    name: str
    kind: str  # of KINDS
    dtype: str  # numpy's name of it; for a kind that holds other values, theirs
    shape: tuple[int | str | None, ...] | None  # a name or None for an open axis; None for an unknown rank


class Signature(NamedTuple):
    """All inputs that a call must give, and all outputs, in the order of the file."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def signature(model: OnnxModel) -> Signature:
    """Read the ends of a model. Initializers that are listed as inputs, as IR version 3 asked for, are not inputs."""
    constants = {each.name for each in model.graph.initializer}
    constants |= {each.values.name for each in model.graph.sparse_initializer}
    inputs = tuple(_value(each) for each in model.graph.input if each.name not in constants)
    outputs = tuple(_value(each) for each in model.graph.output)
    if any(each.kind == UNKNOWN or each.shape is None for each in outputs):
        outputs = _inferred(model, outputs)
    return Signature(inputs, outputs)


def refusal(value: Value, what: str) -> str | None:
    """Return a sentence on why rows or answers cannot be such a value; None if they can. `what`: "input" or "output"."""
    name = f"the {what} '{shortened(value.name, 80)}'"
    if value.kind == UNKNOWN:
        return f"nothing in the file says the type of {name}"
    if value.kind != TENSOR:
        return f"{name} is {'an' if value.kind[0] == 'o' else 'a'} {value.kind}, and only tensors can be given and compared"
    if value.dtype == "string":
        return f"{name} is text, and only numbers can be given and compared"
    if value.dtype not in NUMBERS:
        return f"{name} holds {value.dtype}, which numpy has no numbers for"
    return None


def cut_hint(values: Collection[Value], whole: Signature, zipped: Mapping[str, str] | None = None) -> str:
    """Return how to cut the model so that these values are neither its inputs nor its outputs. `zipped`: of `zip_maps`."""
    names, instead = {each.name for each in values}, zipped or {}
    outputs = [
        instead.get(each.name, each.name) for each in whole.outputs if each.name not in names or each.name in instead
    ]
    if outputs and not names & {each.name for each in whole.inputs}:
        inputs = [each.name for each in whole.inputs]
        hint = f"Cut it off: onnx.utils.extract_model('model.onnx', 'cut.onnx', {inputs}, {outputs})."
        if names & set(instead):
            hint += " Or export it without ZipMap, which makes maps of the scores: skl2onnx does so with options={'zipmap': False}."
        return hint
    return "Cut the model where there are numbers: onnx.utils.extract_model('model.onnx', 'cut.onnx', [inputs], [outputs])."


def zip_maps(model: OnnxModel) -> dict[str, str]:
    """Return for each output that is a sequence of maps from class to score the tensor of scores that it is made of."""
    return {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "ZipMap" and node.input}


def state_candidates(whole: Signature) -> dict[str, str]:
    """Return for each input that may be a state the output that may be its next value: of the same type and shape, and of nearly the same name.

    For a suggestion in words alone: names prove nothing. A model has at least one input that is not a state.
    """
    found: dict[str, str] = {}
    for value in whole.inputs:
        near = [each.name for each in whole.outputs if _fits(value, each) and _is_next(value.name, each.name)]
        if len(near) == 1:
            found[value.name] = near[0]
    several = {name for name in found.values() if list(found.values()).count(name) > 1}
    found = {before: after for before, after in found.items() if after not in several}
    return found if len(found) < len(whole.inputs) else {}


def suggestion(candidates: Mapping[str, str]) -> str | None:
    """Return a sentence for a plan that names no state; None where there is nothing to suggest."""
    if not candidates:
        return None
    pairs = ", ".join(f"{json.dumps(before)} = {json.dumps(after)}" for before, after in candidates.items())
    before, after = (", ".join(f"'{name}'" for name in names) for names in (candidates, candidates.values()))
    looks = ("By its name", "looks like the next value of the input")
    if len(candidates) > 1:
        looks = ("By their names", "look like the next values of the inputs")
    return shortened(
        f"{looks[0]}, {after} {looks[1]} {before}: if that is so, add to [model]: state = {{ {pairs} }}", 600
    )


def _is_next(before: str, after: str) -> bool:
    if before == after:
        return False
    stem = re.sub(r"[_.]?(?:0|in)$", "", before) or before
    if any(after.startswith(each) and ENDINGS.fullmatch(after[len(each) :]) for each in (before, stem)):
        return True
    words = [
        [word.lower() for word in WORDS.findall(name.replace("past_key_values", "past")) if word.lower() not in MARKS]
        for name in (before, after)
    ]
    return words[0] == words[1] != []


def _fits(value: Value, output: Value) -> bool:
    if (value.kind, value.dtype) != (output.kind, output.dtype) or value.shape is None:
        return False
    if output.shape is None:
        return True
    return len(value.shape) == len(output.shape) and all(
        one == other or not (isinstance(one, int) and isinstance(other, int))
        for one, other in zip(value.shape, output.shape, strict=True)
    )


def _value(value: OnnxValue) -> Value:
    field = value.type.WhichOneof("value")
    kind = KINDS.get(field or "", UNKNOWN)
    if kind not in (TENSOR, "sparse tensor"):
        return Value(value.name, kind, _inner_dtype(value, field), None)
    tensor = getattr(value.type, field)
    dtype = _dtype(tensor.elem_type)
    if not tensor.elem_type:
        kind = UNKNOWN
    if not tensor.HasField("shape"):
        return Value(value.name, kind, dtype, None)
    axes = (
        each.dim_value if each.dim_value > 0 else None if UNNAMED.fullmatch(each.dim_param) else str(each.dim_param)
        for each in tensor.shape.dim
    )
    return Value(value.name, kind, dtype, tuple(axes))


def _inner_dtype(value: OnnxValue, field: str | None) -> str:
    """Return the type of what a sequence or an optional value holds."""
    kind = value.type
    while field in ("sequence_type", "optional_type"):
        kind = getattr(kind, field).elem_type
        field = kind.WhichOneof("value")
    return _dtype(kind.tensor_type.elem_type)


def _dtype(number: int) -> str:
    from onnx import TensorProto, helper

    if not number:
        return UNKNOWN
    try:
        name = TensorProto.DataType.Name(number).lower()
        return name if name == "string" else str(helper.tensor_dtype_to_np_dtype(number).name)
    except (KeyError, ValueError, TypeError):  # a type that is newer than this onnx
        return f"type {number}"


def _inferred(model: OnnxModel, outputs: tuple[Value, ...]) -> tuple[Value, ...]:
    """Return the outputs, those that say nothing as onnx works them out from the operators; it knows no operators of other domains."""
    from onnx import shape_inference

    try:
        found = {each.name: _value(each) for each in shape_inference.infer_shapes(model, data_prop=True).graph.output}
    except Exception:  # noqa: BLE001 - of a graph that contradicts itself: then a runtime says so, in its own words
        return outputs
    return tuple(
        found[each.name] if each.name in found and (each.kind == UNKNOWN or each.shape is None) else each
        for each in outputs
    )
