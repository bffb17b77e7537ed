"""Keras or SavedModel -> .tflite with 8-bit integers throughout, inputs and outputs too."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.convert import advice, keras_source, saved_model_source, tflite_fp32
from pipeline.convert.calibration import inferences
from pipeline.convert.keras_source import Source
from pipeline.convert.request import Job
from pipeline.errors import StageError
from pipeline.frameworks import Array
from pipeline.frameworks.keras_signature import keras_signature
from pipeline.frameworks.types import KerasModel, TfliteConverter
from pipeline.records import TensorSpec
from pipeline.safe_text import shortened

FILE = "tflite"
SOURCES = ("keras", "saved_model")
EXTRAS = ("tensorflow",)
REFERENCE = "tflite-fp32"
CALIBRATES = True
LARGEST_ERROR = None
CRASHED = (  # seen with TensorFlow 2.21
    "TensorFlow crashes when it calibrates a recurrent layer that runs as a loop. Where one is named above, build a GRU or SimpleRNN "
    "with unroll=True, or take onnx-int8; else try another format."
)
BORDER = ("CAST", "READ_VARIABLE", "ASSIGN_VARIABLE")
"""Operators between integers that stand for nothing else, or a variable, and what computes."""


def convert(job: Job, tell: Tell) -> bytes:
    data = tflite_fp32.run(*_opened(job, tell), "tflite-int8")
    path = job.scratch / "int8.tflite"
    path.write_bytes(data)
    audit(path)
    return data


def _opened(job: Job, tell: Tell) -> tuple[TfliteConverter, KerasModel | None]:
    if saved_model_source.is_source(job):
        return _of_saved_model(job, tell), None
    fake_quantized = frameworks.is_fake_quantized(job.source)
    source = keras_source.opened(job, plain=False, channels_last=not fake_quantized)
    return _of_ranges(job, source, tell) if fake_quantized else _of_rows(job, source, tell), source.model


def _of_saved_model(job: Job, tell: Tell) -> TfliteConverter:
    """Return a converter that looks for the ranges of the activations with the calibration rows."""
    note = f"{job.model.name} to TFLite int8: calibrating"
    dtypes = {each.name: each.dtype for each in job.model.inputs}

    def calibration() -> Iterator[dict[str, Array]]:
        for feed in inferences(job, lambda done, of: tell(done, of, note)):
            yield {name: np.asarray(x, dtypes[name]) for name, x in feed.items()}

    converter = saved_model_source.converter_of(job)
    _calibrated(converter, calibration)
    _border(converter, job.model.inputs, job.model.outputs)
    return converter


def _of_rows(job: Job, source: Source, tell: Tell) -> TfliteConverter:
    """Return a converter that looks for the ranges of the activations with the calibration rows."""
    loops = advice.loops(source.model)
    names, dtypes = keras_source.safe(source.inputs), [each.dtype for each in source.specs(job.shapes)]
    note = f"{job.model.name} to TFLite int8: calibrating{f', with a loop: {loops}' if loops else ''}"

    def calibration() -> Iterator[dict[str, Array]]:
        for feed in inferences(job, lambda done, of: tell(done, of, note)):
            yield {
                names[name]: np.asarray(feed[name], dtype.as_numpy_dtype)
                for name, dtype in zip(source.inputs, dtypes, strict=True)
            }

    converter = tflite_fp32.converter_of(job, source)
    _calibrated(converter, calibration)
    _border(converter, *_ends(job, source))
    return converter


def _calibrated(converter: TfliteConverter, calibration: Callable[[], Iterator[dict[str, Array]]]) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration  # by name: TFLite has an order of its own
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


def _ends(job: Job, source: Source) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return inputs and outputs as the model has them that is converted, which may be another one than in the file."""
    inner = keras_signature(source.model, job.model.name)
    return inner.inputs, inner.outputs


def _border(converter: TfliteConverter, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Let inputs and outputs in floating point be int8: the converter has one type for all. Tokens stay the integers that they are."""
    import tensorflow as tf

    taken, given = ({each.dtype for each in ends if "float" in each.dtype} for ends in (inputs, outputs))
    if taken == {"float32"}:
        converter.inference_input_type = tf.int8
    if given == {"float32"}:
        converter.inference_output_type = tf.int8


def _of_ranges(job: Job, source: Source, tell: Tell) -> TfliteConverter:
    """A converter that takes the ranges with which the model was trained.

    TFLITE_BUILTINS_INT8 would ask for calibration rows nevertheless (TensorFlow 2.21): that all is of integers is left to the audit.
    """
    import tensorflow as tf

    from pipeline.frameworks import fake_quantization

    tell(0, 0, f"{job.model.name} to TFLite int8, with the ranges of its training")
    for layer in fake_quantization.rounded_of(source.model):
        layer.stored_bits = 8  # the runtimes' kernels take no smaller numbers
    converter = tflite_fp32.converter_of(job, source)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    _border(converter, *_ends(job, source))
    return converter


def audit(path: Path) -> None:
    """Raise StageError if any operator, or an input or output, is still in floating point.

    A file may cast the integers that it is given, or gives, and keep variables in floating point: there is no other way to quantize them.
    """
    runner = frameworks.Tflite(path, "the int8 file", plain=True)
    floats: list[str] = []
    for what, ends in (("input", runner.inputs), ("output", runner.outputs)):
        names = [each.name for each in ends if "float" in each.dtype]
        floats += [f"the {what}" if len(ends) == 1 else f"the {what} '{shortened(name, 100)}'" for name in names]
    inside = Counter(runner.float_operators()) - _at_border(runner)
    floats += [name if count == 1 else f"{count} {name}" for name, count in inside.items()]
    if floats:
        raise StageError(
            f"the int8 file still computes in floating point: {', '.join(floats)}",
            hint="These operators have no 8-bit form; such a file is slow or does not load on integer hardware. Use onnx-int8 or tflite-fp32.",
        )


def _at_border(runner: frameworks.Tflite) -> Counter[str]:
    """Count operators that bring numbers into floating point for a QUANTIZE alone, or take what a DEQUANTIZE gives, and these two."""
    dtypes = {each["index"]: np.dtype(each["dtype"]) for each in runner.interpreter.get_tensor_details()}
    operators = runner.interpreter._get_ops_details()  # noqa: SLF001 - the only way that LiteRT 2.3 offers
    found: Counter[str] = Counter()
    for each in (each for each in operators if each["op_name"] in BORDER):
        taken, given = ([index for index in each[end] if dtypes[index].kind == "f"] for end in ("inputs", "outputs"))
        others = []
        if given and not taken:
            others = [other for other in operators if set(given) & set(other["inputs"])]
        elif taken and not given:
            others = [other for other in operators if set(taken) & set(other["outputs"])]
        if others and all(other["op_name"] == ("QUANTIZE" if given else "DEQUANTIZE") for other in others):
            found.update([each["op_name"], *(other["op_name"] for other in others)])
    return found
