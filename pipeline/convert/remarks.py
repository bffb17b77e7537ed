"""What a user should know of an int8 file that works: weights that stayed as they were, answers that it cannot give."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline import frameworks, units
from pipeline.frameworks import Array, Runner, onnx_versions
from pipeline.frameworks.types import OnnxModel
from pipeline.safe_text import shortened

STAYED = 0.1  # of the weights' bytes: from here on a note says so
BEYOND = 0.02  # of the range, five of its 255 steps: a softmax ends at 0.996 in 8 bits, and nothing is lost by it


def of_int8(
    path: Path,
    runner: Runner,
    file_names: Sequence[str],
    names: Sequence[str],
    outputs: Sequence[Array],
    sources: Sequence[Array],
) -> tuple[str, ...]:
    """Sentences, to follow the name of the file. Outputs have the names `file_names` in the file, and `names` in the model."""
    proto = None if isinstance(runner, frameworks.Tflite) else frameworks.onnx_proto(path, "the int8 file")
    found = () if proto is None else _stayed(proto)  # the audit of TFLite has seen that no weight is in floating point
    for in_file, name, answers, source in zip(file_names, names, outputs, sources, strict=False):
        limits = _range_of_onnx(proto, in_file) if proto is not None else _range_of_tflite(runner, in_file)
        found += _clipped(limits, answers, source, name if len(names) > 1 else "")
    return found


def _range_of_tflite(runner: Runner, output: str) -> tuple[float, float] | None:
    assert isinstance(runner, frameworks.Tflite)  # see of_int8
    detail = runner.output_details()[output]
    return _range(*detail["quantization"], detail["dtype"])


def of_opset(source: Path, source_format: str, made: Path) -> tuple[str, ...]:
    """Return a sentence if the file is of a newer opset than the ONNX model that it was made from."""
    if source_format != "onnx":
        return ()
    before, after = (onnx_versions.opset_of(frameworks.onnx_proto(path, "the model")) for path in (source, made))
    if before >= after:
        return ()
    return (f"the model was raised from opset {before} to {after}, and gave the same answers for calibration rows",)


def _range(scale: float, zero: int, dtype: npt.DTypeLike) -> tuple[float, float] | None:
    if not scale or not np.issubdtype(dtype, np.integer):
        return None
    limits = np.iinfo(dtype)
    return (limits.min - int(zero)) * float(scale), (limits.max - int(zero)) * float(scale)


def _range_of_onnx(proto: OnnxModel, output: str) -> tuple[float, float] | None:
    """Return the range of the DequantizeLinear that gives this output."""
    from onnx import numpy_helper

    constants = {each.name: each for each in proto.graph.initializer}
    for node in proto.graph.node:
        if output in node.output and node.op_type == "DequantizeLinear" and set(node.input[1:3]) <= set(constants):
            scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input[1:3])
            return _range(scale.item(), zero.item(), zero.dtype) if scale.size == 1 else None
    return None


def _clipped(limits: tuple[float, float] | None, outputs: Array, source: Array, output: str = "") -> tuple[str, ...]:
    """`output`: its name, where there are several."""
    if limits is None or source.shape != outputs.shape:
        return ()
    low, high = limits
    room, beyond, ends = BEYOND * (high - low), 0, (np.inf, -np.inf)
    for part in frameworks.chunks(source):
        beyond += int(((part < low - room) | (part > high + room)).reshape(len(part), -1).any(axis=1).sum())
        ends = min(ends[0], part.min(initial=np.inf)), max(ends[1], part.max(initial=-np.inf))
    if not beyond:
        return ()
    where = f" of the output '{shortened(output, 100)}'" if output else ""
    return (
        (
            f"for {beyond:,} of {units.counted(len(source), 'evaluation row')} the answer{where} lies beyond the range that the "
            f"calibration rows showed, {low:.3g} to {high:.3g}, and is cut off there (they reach from {ends[0]:.3g} to "
            f"{ends[1]:.3g}): give calibration rows that reach as far"
        ),
    )


def _stayed(proto: OnnxModel) -> tuple[str, ...]:
    """Return the weights that the quantizer left in floating point, and the operators that read them."""
    from onnx import numpy_helper

    scales = {name for node in proto.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")
              for name in node.input[1:]}  # fmt: skip
    floats, whole, readers = 0, 0, set()
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name in scales:
            continue
        whole += values.nbytes
        if values.dtype.kind == "f" and values.size > 1:
            floats += values.nbytes
            readers |= {node.op_type for node in proto.graph.node if tensor.name in node.input}
    if floats <= STAYED * whole:
        return ()
    return (
        (
            f"{units.size(floats)} of its {units.size(whole)} of weights stayed in floating point, those of {', '.join(sorted(readers))}: "
            "ONNX Runtime's quantizer does not know them"
        ),
    )
