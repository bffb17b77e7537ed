"""Check the plan and the data against the model, in the child of a loader, and let the model answer the evaluation rows."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from pipeline import frameworks, units
from pipeline.child import Tell
from pipeline.errors import CannotRunError, DataError, ModelError, PlanError, StageError
from pipeline.frameworks import Array, Runner
from pipeline.load import detector_outputs, fit, guessed_task, label_notes, named_labels, raw_rows
from pipeline.load.plan_names import check_names
from pipeline.load.request import Request
from pipeline.quality import judge
from pipeline.records import Data, Loaded, Model, Rows, Task, TensorSpec
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean
from pipeline.store import Store

STREAM = "It keeps a state between calls: if each of these rows is a stream, (streams, steps, ...), add to [model]: sequences = true."


def of_file(argument: Request, tell: Tell, format_name: str) -> Loaded:
    """Return the record of a file that a runtime on this host opens as it is."""
    store = argument.store()
    runner = frameworks.open_file(store.path(argument.artifact), format_name, argument.name, argument.signature)
    record = Model(
        name=argument.name.rpartition(".")[0], artifact=argument.artifact, inputs=(), outputs=(), parameters=None
    )
    return add(record, runner, argument, store, tell)


def add(model: Model, runner: Runner, argument: Request, store: Store, tell: Tell) -> Loaded:
    """Return the record with its inputs and outputs, and with answers and accuracy if there are evaluation rows.

    ModelError if it answers nothing, PlanError or DataError if something of [model] or of the data does not fit the model.
    """
    if not runner.outputs:
        raise ModelError(
            f"{argument.name} has no output: there is nothing to compare, or to measure it by",
            hint="Export the function that gives the answers.",
        )
    check_names(argument, runner.inputs, runner.outputs)
    data, inputs = _fitted(argument, runner, store)
    runner.inputs = inputs
    state = tuple(argument.state.items())
    model = msgspec.structs.replace(
        model, inputs=inputs, outputs=runner.outputs, state=state, sequences=argument.sequences
    )
    data, guess = guessed_task.of_labels(data, runner.outputs, store)
    if data.tasks:
        data = msgspec.structs.replace(
            data, tasks=tuple(_placed(each, argument, runner.outputs) for each in data.tasks)
        )
        model = msgspec.structs.replace(model, scored=judge.scored(data.tasks))
    data = named_labels.fitted(data, runner.outputs, model.scored, store)
    for name in fit.SETS:
        rows = getattr(data, name)
        if rows is not None and rows.y is not None:
            if not data.tasks:
                model = msgspec.structs.replace(model, scored=_scored(model.outputs, name, argument.sequences))
            _check_labels(rows, f"data.{name}", model, store)
    check_baseline(argument, data.evaluation)
    loaded = Loaded(model=model, data=data, baseline=argument.baseline, notes=(*guess, *label_notes.of_sets(data)))
    folder = Path(argument.scratch) / "answers"
    if data.evaluation is None:
        zeros = frameworks.blank(inputs, argument.state)
        if zeros is not None:  # weights that are not numbers show in any answer
            with _cannot_run(argument):
                answers = runner.answers(zeros, folder, lambda _done, _of: None, state)
            _check_finite(answers, model, argument)
        return loaded
    feeds = frameworks.feeds_of(data.evaluation, inputs, store.path, sequences=model.sequences)
    with _cannot_run(argument):
        answers = runner.answers(
            feeds, folder, lambda done, of: tell(done, of, f"{model.name} answers the evaluation rows"), state
        )
    _check_finite(answers, model, argument)
    data = msgspec.structs.replace(
        data, tasks=tuple(_decided(each, answers, data, argument, model) for each in data.tasks)
    )
    answered = _answered(model, answers, data, argument)
    of_labels = (
        label_notes.of_boxes(data, argument.data.tasks, store),
        label_notes.of_classes(data, model.outputs, store),
    )
    notes = tuple(itertools.chain(loaded.notes, *of_labels))
    return msgspec.structs.replace(loaded, data=data, model=answered, notes=notes)


def _fitted(argument: Request, runner: Runner, store: Store) -> tuple[Data, tuple[TensorSpec, ...]]:
    """As `fit.fitted`. Rows that do not fit as rows, and would as sequences of a file that keeps a state, get that hint."""
    try:
        return fit.fitted(argument, runner.inputs, store, runner.real_dtype)
    except DataError as error:
        if argument.sequences or not runner.keeps_state or not fit.are_sequences(argument, runner.inputs):
            raise
        raise DataError(error.message, hint=f"{STREAM} {error.hint}") from error


@contextlib.contextmanager
def _cannot_run(argument: Request) -> Iterator[None]:
    """Name what the plan says of shapes, where a runtime cannot run the file on them."""
    try:
        yield
    except CannotRunError as error:
        if not argument.shape:
            raise
        told = ", ".join(f"'{shortened(name, 100)}' is {units.shape(shape)}" for name, shape in argument.shape.items())
        hint = f"By [model] shape, {told}: give lengths that the network can run."
        raise CannotRunError(error.message, hint=f"{hint} {error.hint}") from error


def _decided(task: Task, answers: Sequence[Array], data: Data, argument: Request, model: Model) -> Task:
    """Return the task with what only answers tell, where there are labels to judge it by."""
    if judge.labels_of(task, data.evaluation) is None:
        return task
    task = detector_outputs.by_operator(task, argument, model)
    return judge.decided(task, judge.by_name([task], answers), Path(argument.folder))


def _answered(model: Model, answers: Sequence[Array], data: Data, argument: Request) -> Model:
    rows, tasks = data.evaluation, data.tasks
    assert rows is not None  # see add
    store = argument.store()
    labels = None if rows.y is None else frameworks.read_rows(store.path(rows.y))
    scored = model.scored
    if labels is None and not tasks:
        scores = [place for place, each in enumerate(answers) if _are_classes(each, None, model, place)]
        scored = scores[0] if len(scores) == 1 else 0
    return msgspec.structs.replace(
        model,
        answers=frameworks.stored(answers, store),
        scored=scored,
        accuracy_ratio=frameworks.accuracy(answers[scored], labels),
        classes=judge.may_have_classes(tasks) and _are_classes(answers[scored], labels, model, scored),
        qualities=judge.qualities(tasks, judge.by_name(tasks, answers), rows, store, Path(argument.folder)),
    )


def _placed(task: Task, argument: Request, outputs: Sequence[TensorSpec]) -> Task:
    """Return the task with the names of the outputs, and with that of the one that labels are compared with."""
    task = msgspec.structs.replace(task, names=tuple(each.name for each in outputs))
    if not judge.takes_several(task):
        task = msgspec.structs.replace(task, output=_named(task.output, argument, outputs))
    for role, name in (task.detector.outputs if task.detector and not task.postprocess else {}).items():
        if name not in task.names:
            raise PlanError(
                f"task.outputs.{role}: {argument.name} has no output '{shortened(name, 100)}'",
                hint=f"{did_you_mean(name, task.names)}Its outputs are {', '.join(task.names)}.",
            )
    return task


def _named(name: str | None, argument: Request, outputs: Sequence[TensorSpec]) -> str:
    """Return which output the plan names in [task]; the only one, where it names none."""
    names = [each.name for each in outputs]
    if name in names:
        return name
    if name is None and len(names) == 1:
        return names[0]
    listed = ", ".join(shortened(each, 80) for each in names)
    if name is None:
        raise PlanError(
            f"{argument.name} has {len(names)} outputs, and [task] does not say which one labels are compared with",
            hint=f"Add to [task]: output = ..., one of {listed}; or a [[task]] for each of them (docs/tasks.md).",
        )
    raise PlanError(
        f"task.output: {argument.name} has no output '{shortened(name, 100)}'",
        hint=f"{did_you_mean(name, names)}Its outputs are {listed}.",
    )


def _are_classes(answers: Array, labels: Array | None, model: Model, place: int) -> bool:
    return frameworks.are_classes(answers, labels, quantized=not model.outputs[place].dtype.startswith("float"))


def _check_finite(answers: Sequence[Array], model: Model, argument: Request) -> None:
    if argument.nonfinite:
        return
    several = len(answers) > 1
    for spec, each in zip(model.outputs, answers, strict=True):
        try:
            frameworks.check_finite(each, model.name, spec.name if several else "")
        except StageError as error:
            raise StageError(
                error.message,
                hint=f"{error.hint} Where it means them, such as -infinity for what is masked: [data] nonfinite = true.",
            ) from error


def check_baseline(argument: Request, rows: Rows | None) -> None:
    """Raise DataError unless the evaluation rows can go into the plan's baseline, too: said now, not after minutes of compressing."""
    baseline = argument.baseline
    if baseline is None or not frameworks.available(frameworks.RUNTIME_EXTRA[baseline.format]):
        return
    runner = frameworks.open_file(
        argument.store().path(baseline), baseline.format, argument.baseline_name, argument.signature
    )
    if rows is None:
        return
    known = {each.name: each for each in runner.inputs}
    free = [each for each in runner.inputs if each.name not in argument.state]
    for column in rows.inputs:
        spec = free[0] if len(free) == len(rows.inputs) == 1 else known.get(column.name)
        if spec is None:
            raise DataError(
                f"the baseline {argument.baseline_name} has no input '{column.name}', which the plan's model has",
                hint=f"Its inputs are {', '.join(known)}: a baseline takes the same rows.",
            )
        raw_rows.check(
            column,
            spec,
            runner.real_dtype,
            "data.evaluation",
            f"the baseline {argument.baseline_name}",
            raw=argument.raw,
        )
        frameworks.check_column(
            column, spec, "data.evaluation", baseline.format, argument.baseline_name, steps=argument.sequences
        )


def _scored(outputs: Sequence[TensorSpec], name: str, sequences: bool) -> int:
    """Which output labels are compared with. DataError if none has classes, or several have."""
    if sequences:
        raise DataError(
            f"data.{name} has labels, and its rows are sequences, of which every step has an answer",
            hint="Labels are compared with one answer for each row; leave them out for sequences.",
        )
    places = [place for place, each in enumerate(outputs) if frameworks.classes_of(each) is not None]
    if len(outputs) > 1 and len(places) != 1:
        told = ", ".join(f"'{each.name}' {units.shape(each.shape)}" for each in outputs)
        which = "none of them has classes" if not places else f"{len(places)} of them may be scores of classes"
        raise DataError(
            f"data.{name} has labels, and the model has the outputs {told}: {which}",
            hint=f"Say in [task] what they are labels of: {_task_of(outputs, places)} (docs/tasks.md). Or leave y out.",
        )
    return places[0] if places else 0


def _task_of(outputs: Sequence[TensorSpec], places: Sequence[int]) -> str:
    """Return what may stand in [task], with the names of this model."""
    one = outputs[places[0] if places else 0]
    kind = '"classification"' if places else guessed_task.kinds_of(one)
    return f'kind = {kind}, output = "{shortened(one.name, 100)}"'


def _check_labels(rows: Rows, name: str, model: Model, store: Store) -> None:
    if rows.y is None:
        return
    output = model.outputs[model.scored]
    classes = frameworks.classes_of(output)
    if classes is None:
        raise DataError(
            f"{name} has labels, but the model's output '{output.name}' of shape {units.shape(frameworks.row_shape(output.shape))} has no classes "
            "to compare with",
            hint=f"Say what the model is for, in [task]: kind = {guessed_task.kinds_of(output)} (docs/tasks.md). Or leave y out.",
        )
    if rows.one_hot not in (None, classes):
        raise DataError(
            f"the labels of {name} are rows of {rows.one_hot} zeros and ones, but the model has {classes} classes",
            hint="Give each class of the model a place, in the order of its scores.",
        )
    labels = np.load(store.path(rows.y), mmap_mode="r", allow_pickle=False)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"the labels of {name} run from {low} to {high}, but the model has {classes} classes (0 to {classes - 1})",
            hint="Number the classes as in training, from 0.",
        )
