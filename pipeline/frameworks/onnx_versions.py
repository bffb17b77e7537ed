"""Operator sets and IR versions of ONNX models: which a model has, which a runtime opens, and how they are changed safely."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import StageError
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.rows import Array
from pipeline.frameworks.types import OnnxFunction, OnnxGraph, OnnxModel

OPSET, IR = 17, 8  # what ONNX Runtime 1.12 and later open, so also the last one for Python 3.8
DEFAULT_DOMAINS = ("", "ai.onnx")
OPENS = (
    ((1, 12), 17, 8),
    ((1, 16), 19, 9),
    ((1, 19), 21, 10),
    ((1, 23), 23, 11),
    ((1, 32), 28, 14),
)
"""Release of ONNX Runtime, the highest opset and the highest IR version that it opens; measured with 1.12.1, 1.16.3, 1.19.2, 1.23.2, 1.32.0."""
IR_OF_TYPES = {**dict.fromkeys(range(17, 21), 9), 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13, 27: 14, 28: 14}
"""TensorProto.DataType -> the IR version that brought it: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto"""
LARGEST_ERROR = 1e-3  # times the largest answer: what the rounding of floating point in another order may change
SHOWN = 4  # rows that a raised model answers to be compared


def opset_of(model: OnnxModel) -> int:
    """Return the version of ONNX's own operators; 0 where the model imports none."""
    return max((each.version for each in model.opset_import if each.domain in DEFAULT_DOMAINS), default=0)


def opens(release: Sequence[int], opset: int, ir: int) -> bool | None:
    """Return whether a release of ONNX Runtime opens such a model; None where no measured release tells."""
    release = tuple(release[:2])
    for known, highest_opset, highest_ir in OPENS:
        fits = opset <= highest_opset and ir <= highest_ir
        if fits and release >= known:
            return True
        if not fits and release <= known:
            return False
    return None


def refusal(model: OnnxModel, version: str) -> str | None:
    """Return a sentence if this version of ONNX Runtime certainly refuses the model, and what to do; None if it does not."""
    numbers = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    opset, ir = opset_of(model), model.ir_version
    if len(numbers) < 2 or opens(numbers, opset, ir) is not False:
        return None
    if opens(numbers, opset, IR) is not False and lowest_ir(model) <= IR:
        return f"ONNX Runtime {version} does not open IR version {ir}; onnx-fp32 writes the same model with IR version {IR}"
    return (
        f"ONNX Runtime {version} does not open opset {opset} with IR version {ir}: export it with opset_version={OPSET}"
    )


def lowest_ir(model: OnnxModel) -> int:
    """Return the lowest IR version, from IR on, that has everything that the model uses."""
    lowest = IR
    for part in parts(model):
        for node in part.node:
            lowest = max(lowest, 10 if node.overload else 0, 11 if node.device_configurations else 0)
        for dtype in _types(part):
            lowest = max(lowest, IR_OF_TYPES.get(dtype, 0))
    if any(function.attribute_proto for function in model.functions):
        lowest = max(lowest, 9)
    return max(lowest, 11 if model.configuration else 0)


def lower_ir(model: OnnxModel, highest: int = IR) -> bool:
    """Lower the model's IR version to `highest`, where nothing in it is newer; return whether it is at most that afterwards."""
    if model.ir_version > highest and lowest_ir(model) <= highest:
        model.ir_version = highest
    return bool(model.ir_version <= highest)


def strip_unused_opsets(model: OnnxModel) -> None:
    """Remove imports of operator sets that no node uses: the quantizer's preparation adds eight, and a reader would believe them."""
    used = {node.domain for part in parts(model) for node in part.node} | {each.domain for each in model.functions}
    kept = [each for each in model.opset_import if each.domain in DEFAULT_DOMAINS or each.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def raised(model: OnnxModel, name: str, lowest: int, purpose: str) -> OnnxModel:
    """Return the model in OPSET if its opset is below `lowest`, which `purpose` needs; else the model itself. StageError if that fails.

    Operators of other domains stay as they are. The answers may differ (onnx 1.23: Hardmax), so `check_same` must follow.
    """
    opset = opset_of(model)
    if not 0 < opset < lowest:
        return model
    from onnx import inliner, version_converter

    try:
        if model.functions:  # the version converter loses them, and leaves the nodes that call them
            model = inliner.inline_local_functions(model)
        new: OnnxModel = version_converter.convert_version(_without_constant_inputs(model), OPSET)
    except Exception as error:
        raise StageError(
            f"{name} is of opset {opset}, {purpose} needs {lowest} or later, and it cannot be raised: {cause_of(error)}",
            hint=f"Export it again with opset_version={OPSET}.",
        ) from error
    if opset < 11:
        _resize_as_before(new)
    strip_unused_opsets(new)
    return new


def check_same(before: Path, after: Path, feeds: Sequence[Mapping[str, Array]], name: str) -> float:
    """Return the largest difference between the answers of two forms of a model. StageError if it is not one of rounding.

    `feeds`: inputs by name, a few rows.
    """
    largest = 0.0
    try:
        ask, ask_again = _session(before), _session(after)
        pairs = [pair for feed in feeds for pair in zip(ask(feed), ask_again(feed), strict=True)]
        for old, new in pairs:
            difference = _difference(old, new)
            if difference > LARGEST_ERROR * max(1.0, float(np.max(np.abs(old), initial=0))):
                raise StageError(
                    f"in a newer opset {name} answers otherwise: the largest difference is {difference:.3g}",
                    hint=f"onnx's version converter has changed the model: export it again with opset_version={OPSET}.",
                )
            largest = max(largest, difference)
    except StageError:
        raise
    except Exception as error:
        raise StageError(
            f"{name} cannot be run in a newer opset: {cause_of(error)}",
            hint=f"Export it again with opset_version={OPSET}.",
        ) from error
    return largest


def _difference(old: Array, new: Array) -> float:
    if old.shape != new.shape:
        return float("inf")
    other = ~((old == new) | ((old != old) & (new != new)))  # noqa: PLR0124 - what is not a number stays so
    return float(
        np.nan_to_num(np.abs(np.subtract(old[other], new[other], dtype=np.float64)), nan=np.inf).max(initial=0)
    )


def _session(path: Path) -> Callable[[Mapping[str, Array]], list[Array]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda feed: [np.asarray(each) for each in session.run(None, dict(feed))]


def _without_constant_inputs(model: OnnxModel) -> OnnxModel:
    """Return a copy whose initializers are not listed as inputs, as IR version 3 asks for: from 4 on they would be defaults of inputs."""
    names = {each.name for each in model.graph.initializer}
    kept = [each for each in model.graph.input if each.name not in names]
    new: OnnxModel = type(model)()
    new.CopyFrom(model)
    del new.graph.input[:]
    new.graph.input.extend(kept)
    new.ir_version = max(model.ir_version, 4)
    return new


def _resize_as_before(model: OnnxModel) -> None:
    """Before opset 11 Upsample and Resize were asymmetric and took the pixel below; the version converter leaves that to the new default."""
    from onnx import helper

    for part in parts(model):
        for node in part.node:
            if node.op_type == "Resize" and node.domain in DEFAULT_DOMAINS:
                known = {each.name for each in node.attribute}
                for key, value in (("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")):
                    if key not in known:
                        node.attribute.append(helper.make_attribute(key, value))


def parts(model: OnnxModel) -> Iterator[OnnxGraph | OnnxFunction]:
    """Yield the graph, the functions, and the bodies of loops and branches in them."""
    waiting: list[OnnxGraph | OnnxFunction] = [model.graph, *model.functions]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += [
            body for node in part.node for each in node.attribute for body in (each.g, *each.graphs) if body.node
        ]


def _types(part: OnnxGraph | OnnxFunction) -> Iterator[int]:
    """Yield the numbers of the types of constants and values, and of those that nodes name (Cast's `to` and the like)."""
    for node in part.node:
        for each in node.attribute:
            yield each.t.data_type
            yield from (tensor.data_type for tensor in each.tensors)
            if each.name in ("to", "dtype", "output_dtype"):
                yield each.i
    yield from (tensor.data_type for tensor in getattr(part, "initializer", ()))
    for field in ("input", "output", "value_info"):
        for value in getattr(part, field, ()):
            if not isinstance(value, str):  # of a function, only names
                yield value.type.tensor_type.elem_type
