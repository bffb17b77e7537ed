"""Make one file in the child, look into it, and compare its answers with those of the model that it was made from."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.convert import agreement, keras_source, remarks
from pipeline.convert.matching import Matched, as_they_are, matched
from pipeline.convert.request import Job, Request, shapes_of
from pipeline.convert.table import CONVERTERS, load_converter
from pipeline.errors import ModelError, StageError
from pipeline.frameworks import Array, Feeds, Runner, custom_objects, tflite_names, tflite_schema
from pipeline.quality import judge, signal
from pipeline.records import Converted, Model, Rows, TensorSpec
from pipeline.store import Store

HALF_ERROR = 3e-2
"""Of the largest answer: what a model that computes in 16 bits may be away from itself in 32. Each step rounds by up to 2^-11 (float16) or
2^-8 (bfloat16); see tflite_fp16.
"""


class Ends(NamedTuple):
    """Inputs and outputs of what answers, a file or the source, paired with those of the model."""

    inputs: Matched
    outputs: Matched

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(each.note for each in self if each.note)


def work(argument: Request, tell: Tell) -> Converted:
    _one_thread()
    tempfile.tempdir = argument.scratch
    store = Store(Path(argument.root), tmp=Path(argument.scratch))
    label = argument.name or f"{argument.variant} {argument.format}"
    tell(0, 0, label)
    custom_objects.register(argument.custom_objects, Path(argument.folder))
    model, made = argument.model, argument.format in CONVERTERS
    if made:
        converter = load_converter(argument.format)
        artifact = store.put_bytes(converter.convert(_job(argument, store), tell), converter.FILE)
    else:
        artifact = model.artifact
    about = Converted(
        variant=argument.variant, format=argument.format, artifact=artifact, agreement=None, state=model.state,
        sequences=model.sequences, scored=model.scored,
    )  # fmt: skip
    if not made and not frameworks.available(frameworks.RUNTIME_EXTRA[artifact.format]):
        return _unopened(about, argument, store.path(artifact), label)
    runner = _open(None if made else argument.signature, store.path(artifact), artifact.format, label, made=made)
    ends = _paired(model, runner.inputs, runner.outputs, label, made=made)
    kind = frameworks.kind_of_file(store.path(artifact), artifact.format, label)
    about = msgspec.structs.replace(about, inputs=ends.inputs.specs, outputs=ends.outputs.specs, kind=kind)
    if argument.data.evaluation is None:
        return msgspec.structs.replace(about, notes=ends.notes)
    return _judged(about, argument, store, runner, ends, label, tell)


def _judged(
    about: Converted, argument: Request, store: Store, runner: Runner, ends: Ends, label: str, tell: Tell
) -> Converted:
    """Compare what the file answers for the evaluation rows, and keep it."""
    evaluation, model = argument.data.evaluation, argument.model
    assert evaluation is not None  # see work
    labels = None if evaluation.y is None else frameworks.read_rows(store.path(evaluation.y))
    names = [each.name for each in ends.outputs.specs]
    _check_fits(evaluation, ends, model, about.artifact.format, label)
    outputs = _answers(runner, evaluation, ends, model, store, f"{label} answers the evaluation rows", tell)
    sources = frameworks.arrays_of(model.answers, store.path)
    for output, name, source in zip(outputs, names, sources or [None] * len(names), strict=True):
        frameworks.check_finite(output, label, name if len(names) > 1 else "", source)
    notes = ends.notes
    if sources:
        tasks, folder = argument.data.tasks, Path(argument.folder)
        found = agreement.differences(outputs, sources, names, model.name, label)
        named, exact = (judge.by_name(tasks, each) for each in (outputs, sources))
        qualities = judge.qualities(tasks, named, evaluation, store, folder, whose=label)
        alike = judge.alike(tasks, named, exact, evaluation, folder, whose=label)
        kept = agreement.agreement(found, outputs, sources, labels, model, tasks, qualities, alike)
        about = msgspec.structs.replace(about, agreement=kept)
        if argument.format in CONVERTERS:
            notes += _check_same(found, outputs, argument, store, label, tell)
            notes += tuple(filter(None, map(signal.sentence, kept.signals)))
    if argument.format.endswith("int8"):
        path = store.path(about.artifact)
        notes += remarks.of_opset(store.path(model.artifact), model.artifact.format, path)
        notes += remarks.of_int8(path, runner, [each.name for each in ends.outputs.file], names, outputs, sources)
    other = runner.in_other_kernels()  # how far right answers can be apart
    others: tuple[Array, ...] = ()
    if other is not None:
        others = _answers(other, evaluation, ends, model, store, f"{label} by other kernels", tell)
    return msgspec.structs.replace(
        about,
        answers=frameworks.stored(outputs, store),
        other_answers=frameworks.stored(others, store),
        source_answers=model.answers if argument.format in CONVERTERS else (),
        notes=notes,
    )


def _check_same(
    found: Sequence[agreement.Difference],
    outputs: Sequence[Array],
    argument: Request,
    store: Store,
    label: str,
    tell: Tell,
) -> tuple[str, ...]:
    """Raise StageError if a conversion has changed more than rounding explains. Return notes on what was compared instead of the source."""
    largest_error = load_converter(argument.format).LARGEST_ERROR
    model = argument.model
    if largest_error is None:
        return ()
    path = store.path(model.artifact)
    fake_quantized = model.artifact.format == "keras" and frameworks.is_fake_quantized(path)
    if model.artifact.format != "keras" or not (fake_quantized or _is_half(argument, path)):
        agreement.check_same(found, largest_error, label)
        return ()
    # the file computes in floating point what its source rounds, or in 32 bits what that computes in 16
    source = keras_source.opened(_job(argument, store))
    runner = frameworks.KerasRunner(source.model, model.name)
    ends = Ends(*(_in_order(*pair) for pair in ((model.inputs, runner.inputs), (model.outputs, runner.outputs))))
    evaluation = argument.data.evaluation
    assert evaluation is not None  # see work
    sources = _answers(runner, evaluation, ends, model, store, label, tell)
    names = [each.name for each in model.outputs]
    exact = agreement.differences(outputs, sources, names, model.name, label)
    agreement.check_same(exact, largest_error, label)
    if fake_quantized:
        return ()
    agreement.check_same(found, HALF_ERROR, label)
    return ("the model computes in 16 bits (mixed precision), and this file in 32, with the same weights",)


def _is_half(argument: Request, path: Path) -> bool:
    if not keras_source.mentions_half(path):
        return False
    return keras_source.is_half(frameworks.open_keras(path, argument.model.name))


def _answers(
    runner: Runner, rows: Rows, ends: Ends, model: Model, store: Store, note: str, tell: Tell
) -> tuple[Array, ...]:
    """What it answers for the rows, in the order of the model's outputs."""
    fixed = {each.name: each.fixed for each in ends.inputs.file}
    runner.inputs = tuple(msgspec.structs.replace(each, fixed=fixed[each.name]) for each in runner.inputs)
    feeds = _feeds(rows, ends, model, store)
    inputs, outputs = (
        dict(zip([each.name for each in side.specs], [each.name for each in side.file], strict=True)) for side in ends
    )
    state = [(inputs[before], outputs[after]) for before, after in model.state]
    folder = Path(tempfile.mkdtemp(prefix="answers-"))
    found = runner.answers(feeds, folder, lambda done, of: tell(done, of, note), state)
    return tuple(found[place] for place in ends.outputs.places)


def _feeds(rows: Rows, ends: Ends, model: Model, store: Store) -> Feeds:
    """The rows under the names that the file has for its inputs."""
    return frameworks.feeds_of(_renamed(rows, ends), ends.inputs.file, store.path, sequences=model.sequences)


def _renamed(rows: Rows, ends: Ends) -> Rows:
    names = dict(zip([each.name for each in ends.inputs.specs], [each.name for each in ends.inputs.file], strict=True))
    columns = [msgspec.structs.replace(each, name=names.get(each.name, each.name)) for each in rows.inputs]
    return msgspec.structs.replace(rows, inputs=tuple(columns))


def _check_fits(rows: Rows, ends: Ends, model: Model, file_format: str, label: str) -> None:
    specs = {each.name: each for each in ends.inputs.specs}
    for column in rows.inputs:
        frameworks.check_column(
            column, specs[column.name], "data.evaluation", file_format, label, steps=model.sequences
        )


def _paired(
    model: Model, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], label: str, *, made: bool
) -> Ends:
    if not model.inputs:
        return Ends(as_they_are(inputs), as_they_are(outputs))
    return Ends(
        matched(model.inputs, inputs, "input", label, made=made),
        matched(model.outputs, outputs, "output", label, made=made, inputs=model.inputs),
    )


def _in_order(model: Sequence[TensorSpec], source: Sequence[TensorSpec]) -> Matched:
    """Those of a model that was made again of its layers: they have kept their order."""
    file = [
        msgspec.structs.replace(theirs, fixed=ours.fixed, shape=ours.shape)
        for ours, theirs in zip(model, source, strict=True)
    ]
    return Matched(tuple(file), tuple(model), tuple(range(len(file))), "")


def _unopened(about: Converted, argument: Request, path: Path, label: str) -> Converted:
    """Return what a file says of itself where this host has no runtime for it."""
    if about.artifact.format != "tflite":
        return about
    try:
        file = tflite_schema.read(path.read_bytes(), label)
    except ModelError:  # the board's runtime may open it, and says so if not
        return about
    found = tflite_names.run_by_boards(file, label, argument.signature)
    ends = _paired(argument.model, _specs(found.inputs), _specs(found.outputs), label, made=False)
    return msgspec.structs.replace(about, inputs=ends.inputs.specs, outputs=ends.outputs.specs, notes=ends.notes)


def _specs(ports: Sequence[tflite_names.Port]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name=each.name,
            shape=each.tensor.open_shape,
            dtype=each.tensor.dtype,
            tensor=str(each.tensor.tensor_index),
        )
        for each in ports
    )


def _open(signature: str | None, path: Path, file_format: str, label: str, *, made: bool) -> Runner:
    try:
        return frameworks.open_file(path, file_format, label, signature)
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
    calibration, model = argument.data.calibration, argument.model
    feeds = None
    if calibration is not None:
        feeds = frameworks.feeds_of(calibration, model.inputs, store.path, sequences=model.sequences)
    return Job(
        source=store.path(model.artifact),
        model=model,
        calibration=feeds,
        scratch=Path(argument.scratch),
        shapes=shapes_of(model),
        activations=argument.activations,
        signature=argument.signature,
    )
