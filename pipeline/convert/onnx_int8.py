"""Keras or .onnx -> .onnx with 8-bit weights and activations (QDQ), one scale for each output channel; activations as activations.py says."""

from collections.abc import Iterator
from pathlib import Path

from pipeline import child, frameworks
from pipeline.child import Tell
from pipeline.convert import onnx_fp32
from pipeline.convert.activations import SIGNED, UNSIGNED_7BIT
from pipeline.convert.request import Job
from pipeline.errors import StageError
from pipeline.frameworks import onnx_versions
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.rows import Array
from pipeline.frameworks.types import OnnxReader

FILE = "onnx"
SOURCES = ("keras", "onnx")
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
            prepared, target, _reader(job, frameworks.Onnx(prepared, job.model.name).input.name, tell),
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
    assert job.calibration is not None  # pipeline.convert.check
    name, shown = frameworks.Onnx(paths[0], job.model.name).input.name, job.calibration[: onnx_versions.SHOWN]
    feeds = [{name: shown[row : row + 1]} for row in range(len(shown))]
    onnx_versions.check_same(*paths, feeds, job.model.name)
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


def audit(data: bytes, name: str) -> None:
    """Raise StageError if nothing was quantized: the file would be a float file that is called int8."""
    import onnx

    if not any(node.op_type == "DequantizeLinear" for node in onnx.load_from_string(data).graph.node):
        raise StageError(
            f"ONNX Runtime found nothing to quantize in {name}",
            hint="It quantizes convolutions, matrix products and what lies between them; use onnx-fp32 for this model.",
        )


def _reader(job: Job, name: str, tell: Tell) -> OnnxReader:
    from onnxruntime.quantization import CalibrationDataReader

    rows = job.calibration
    assert rows is not None  # pipeline.convert.check

    def feeds() -> Iterator[dict[str, Array]]:
        for i in range(len(rows)):
            tell(i, len(rows), f"{job.model.name} to ONNX int8: calibrating")
            yield {name: rows[i : i + 1]}

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = feeds()

        def get_next(self) -> dict[str, Array] | None:
            return next(self.feeds, None)

    return Reader()
