"""Make one file in the child, look into it, and compare its answers with those of the model that it was made from."""

import os
import tempfile
from pathlib import Path

import numpy as np

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.convert import remarks
from pipeline.convert.request import Job, Request
from pipeline.convert.table import CONVERTERS, load_converter
from pipeline.errors import DataError, ModelError, StageError
from pipeline.frameworks import Array
from pipeline.records import Agreement, Artifact, Converted, Model
from pipeline.store import Store


def work(argument: Request, tell: Tell) -> Converted:
    _one_thread()
    tempfile.tempdir = argument.scratch
    store = Store(Path(argument.root), tmp=Path(argument.scratch))
    label = argument.name or f"{argument.variant} {argument.format}"
    tell(0, 0, label)
    made = argument.format in CONVERTERS
    if made:
        converter = load_converter(argument.format)
        artifact = store.put_bytes(converter.convert(_job(argument, store), tell), converter.FILE)
        largest_error = converter.LARGEST_ERROR
    else:
        artifact, largest_error = argument.model.artifact, None
    evaluation = argument.data.evaluation
    kind = frameworks.kind_of_file(store.path(artifact), artifact.format, label)
    if evaluation is None:
        return Converted(variant=argument.variant, format=argument.format, artifact=artifact, agreement=None, kind=kind)
    x = frameworks.read_rows(store.path(evaluation.x))
    labels = None if evaluation.y is None else frameworks.read_rows(store.path(evaluation.y))
    runner = _open(store.path(artifact), artifact.format, label, made=argument.format in CONVERTERS)
    frameworks.check_fits(x, runner.specs()[0], "data.evaluation", artifact.format, label)
    outputs = runner.answers(x, lambda done, of: tell(done, of, f"{label} answers the evaluation rows"))
    frameworks.check_finite(outputs, label)
    source = None if argument.model.outputs is None else frameworks.read_rows(store.path(argument.model.outputs))
    agreement = _agreement(outputs, source, labels, argument.model, label)
    if largest_error is not None and source is not None:
        path = store.path(argument.model.artifact)
        if frameworks.is_fake_quantized(path):  # the file computes in floating point what its source rounds
            source = frameworks.keras_answers(_job(argument, store).keras(), x, lambda done, of: tell(done, of, label))
            _same(_agreement(outputs, source, None, argument.model, label), _allowed(largest_error, source), label)
        else:
            _same(agreement, _allowed(largest_error, source), label)
    return Converted(
        variant=argument.variant,
        format=argument.format,
        artifact=artifact,
        agreement=agreement,
        outputs=store.put_parts(lambda: frameworks.array_parts(outputs), "npy"),
        notes=(
            *remarks.of_opset(
                store.path(argument.model.artifact), argument.model.artifact.format, store.path(artifact)
            ),
            *remarks.of_int8(store.path(artifact), runner, outputs, source),
        )
        if argument.format.endswith("int8")
        else (),
        kind=kind,
        other_outputs=_by_other_kernels(runner, x, store, lambda done, of: tell(done, of, f"{label} by other kernels")),
        source_outputs=argument.model.outputs if made else None,
    )


def _by_other_kernels(
    runner: frameworks.Tflite | frameworks.Onnx, x: Array, store: Store, count: frameworks.Count
) -> Artifact | None:
    """What the file answers in other kernels of this host: how far right answers can be apart. None where nothing is quantized."""
    other = runner.in_other_kernels()
    if other is None:
        return None
    outputs = other.answers(x, count)
    return store.put_parts(lambda: frameworks.array_parts(outputs), "npy")


def _open(path: Path, file_format: str, label: str, *, made: bool) -> frameworks.Tflite | frameworks.Onnx:
    try:
        return frameworks.open_file(path, file_format, label)
    except ModelError as error:
        if not made:
            raise
        raise StageError(  # damage or a second file cannot explain what was made a moment ago
            f"the converter made a file that cannot be opened: {error.message}",
            hint="Try another format, or another version of the converter; report it with the model's layers.",
        ) from error


def _one_thread() -> None:
    """Two conversions run in parallel: the variables are read when the frameworks are imported."""
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _job(argument: Request, store: Store) -> Job:
    calibration = argument.data.calibration
    return Job(
        source=store.path(argument.model.artifact),
        model=argument.model,
        calibration=None if calibration is None else frameworks.read_rows(store.path(calibration.x)),
        scratch=Path(argument.scratch),
        input_shape=_static_shape(argument),
        activations=argument.activations,
    )


def _static_shape(argument: Request) -> tuple[int, ...]:
    """Return the input's shape; an axis of unknown length takes the length that it has in the data."""
    spec = argument.model.input
    rows = argument.data.calibration or argument.data.evaluation
    shape: tuple[int | None, ...] = () if spec is None else spec.shape
    if rows is not None and None in shape:
        shape = rows.row_shape
    if None in shape:
        raise DataError(
            f"the model's input has shape {shape}: an axis has no fixed length, and there is no data to take it from",
            hint="Give data.calibration or data.evaluation: their rows fix the length for the board.",
        )
    return tuple(size for size in shape if size is not None)


def _agreement(
    outputs: Array, source: Array | None, labels: Array | None, model: Model, label: str
) -> Agreement | None:
    if source is None:
        return None
    if outputs.shape != source.shape:
        raise StageError(
            f"{label} answers {outputs.shape[1:]} for a row where {model.name} answers {source.shape[1:]}",
            hint="A baseline must answer the same question as the plan's model; a converted file that differs is a fault.",
        )
    error, spread = frameworks.error_of(outputs, source)
    return Agreement(
        rows=len(outputs),
        largest_error=float(np.abs(outputs - source).max()),
        error_rms=error,
        spread=spread,
        top1_agreement_ratio=float(np.mean(outputs.argmax(-1) == source.argmax(-1))) if model.classes else None,
        accuracy_ratio=frameworks.accuracy(outputs, labels) if model.classes else None,
        source_accuracy_ratio=model.accuracy_ratio,
    )


def _allowed(largest_error: float, source: Array) -> float:
    return largest_error * max(1.0, float(np.abs(source).max()))


def _same(agreement: Agreement | None, allowed: float, label: str) -> None:
    if agreement is not None and agreement.largest_error > allowed:
        raise StageError(
            f"{label} answers differently from its source: the largest difference is {agreement.largest_error:.3g}, "
            f"and rounding in floating point explains {allowed:.3g}",
            hint="The converter has changed the model. Try the other format, or another version of the converter.",
        )
