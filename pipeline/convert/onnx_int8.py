"""Keras, SavedModel or .onnx -> .onnx with 8-bit weights and activations (QDQ), one scale for each output channel; activations as activations.py says."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipeline import child, frameworks
from pipeline.child import Tell
from pipeline.convert import onnx_fp32
from pipeline.convert.activations import SIGNED, UNSIGNED_7BIT
from pipeline.convert.calibration import inferences
from pipeline.convert.request import Job
from pipeline.errors import StageError
from pipeline.frameworks import Feed, onnx_versions
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.types import OnnxReader

FILE = "onnx"
SOURCES = ("keras", "onnx", "saved_model")
EXTRAS = ("onnx",)
REFERENCE = "onnx-fp32"
CALIBRATES = True
LARGEST_ERROR = None
CRASHED = child.CRASHED
LOWEST_OPSET = 13  # QuantizeLinear has an axis from here on: https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html


def convert(job: Job, tell: Tell) -> bytes:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    source, prepared, target = (job.scratch / name for name in ("fp32.onnx", "prepared.onnx", "int8.onnx"))
    source.write_bytes(_raised(onnx_fp32.convert(job, tell), job))
    try:
        _prepare(source, prepared)
        quantize_static(
            prepared, target, _reader(job, frameworks.Onnx(prepared, job.model.name), tell),
            quant_format=QuantFormat.QDQ, per_channel=True, weight_type=QuantType.QInt8,
            activation_type=QuantType.QInt8 if job.activations == SIGNED else QuantType.QUInt8,
            reduce_range=job.activations == UNSIGNED_7BIT, calibrate_method=CalibrationMethod.MinMax,
        )  # fmt: skip
    except Exception as error:
        raise StageError(
            f"ONNX Runtime cannot quantize {job.model.name}: {type(error).__name__}: {cause_of(error)}",
            hint="Use onnx-fp32, or tflite-int8 where the source is a Keras model.",
        ) from error
    data = _openable(target.read_bytes())
    audit(data, job.model.name)
    return data


def _raised(data: bytes, job: Job) -> bytes:
    """Return the model in an opset that knows one scale for each channel, which files of PyTorch's older exporter are below."""
    import onnx

    before = onnx.load_from_string(data)
    after = onnx_versions.raised(before, job.model.name, LOWEST_OPSET, "onnx-int8")
    if after is before:
        return data
    raised: bytes = after.SerializeToString()
    paths = job.scratch / "before.onnx", job.scratch / "raised.onnx"
    for path, content in zip(paths, (data, raised), strict=True):
        path.write_bytes(content)
    feeds = itertools.islice(_feeds(job, frameworks.Onnx(paths[0], job.model.name)), onnx_versions.SHOWN)
    onnx_versions.check_same(*paths, list(feeds), job.model.name)
    return raised


def _openable(data: bytes) -> bytes:
    """Return the file for every runtime that has its operators: without the operator sets that the preparation imports for nothing."""
    import onnx

    proto = onnx.load_from_string(data)
    onnx_versions.strip_unused_opsets(proto)
    onnx_versions.lower_ir(proto)
    openable: bytes = proto.SerializeToString()
    return openable


def _prepare(source: Path, prepared: Path) -> None:
    """Fold batch normalisation and fuse: without it the int8 file runs slower than fp32 (seen with TensorFlow 2.21, tf2onnx 1.17, ONNX Runtime 1.32)."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        quant_pre_process(source, prepared)
    except Exception:  # noqa: BLE001 - "Incomplete symbolic shape inference" on transformers
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
    _set_outputs_apart(prepared)


def _set_outputs_apart(path: Path) -> None:
    """Give an output that a Relu or Clip takes, too, a name of its own: else the quantizer cuts it off where the Relu does.

    It gives what only a Relu takes the range of the Relu's answer (ONNX Runtime 1.32, base_quantizer.py, adjust_tensor_ranges), and does
    not see that it is an output as well.
    """
    import onnx

    proto = onnx.load(path)
    outputs = {each.name for each in proto.graph.output}
    taken = {name for node in proto.graph.node for name in node.output}
    cut = {node.input[0] for node in proto.graph.node if node.op_type in ("Relu", "Clip")} & outputs
    for at, node in reversed(list(enumerate(proto.graph.node))):
        for name in cut & set(node.output):
            inner = f"{name}_inside"
            while inner in taken:
                inner += "_"
            for other in proto.graph.node:
                other.input[:] = [inner if each == name else each for each in other.input]
            node.output[:] = [inner if each == name else each for each in node.output]
            proto.graph.node.insert(at + 1, onnx.helper.make_node("Identity", [inner], [name], name=inner))
    if cut:
        onnx.save(proto, path)


def audit(data: bytes, name: str) -> None:
    """Raise StageError if nothing was quantized: the file would be a float file that is called int8."""
    import onnx

    if not any(node.op_type == "DequantizeLinear" for node in onnx.load_from_string(data).graph.node):
        raise StageError(
            f"ONNX Runtime found nothing to quantize in {name}",
            hint="It quantizes convolutions, matrix products and what lies between them; use onnx-fp32 for this model.",
        )


def _feeds(
    job: Job, file: frameworks.Onnx, count: Callable[[int, int], None] = lambda _done, _of: None
) -> Iterator[Feed]:
    """Yield every inference of the calibration, in the types of the file's inputs."""
    dtypes = {each.name: each.dtype for each in file.inputs}
    for feed in inferences(job, count):
        yield {name: np.asarray(feed[name], dtype) for name, dtype in dtypes.items()}


def _reader(job: Job, file: frameworks.Onnx, tell: Tell) -> OnnxReader:
    from onnxruntime.quantization import CalibrationDataReader

    feeds = _feeds(job, file, lambda done, of: tell(done, of, f"{job.model.name} to ONNX int8: calibrating"))

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Feed | None:
            return next(feeds, None)

    return Reader()
