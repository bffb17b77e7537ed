"""Check the data against the model, in the child of a loader, and let the model answer the evaluation rows."""

from collections.abc import Callable

import msgspec
import numpy as np

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.errors import DataError
from pipeline.frameworks import Array, Count
from pipeline.load.request import Request
from pipeline.records import Data, Model, Rows, TensorSpec
from pipeline.store import Store


def of_file(argument: Request, tell: Tell, format_name: str) -> Model:
    """Return the record of a file that a runtime on this host opens as it is."""
    store = argument.store()
    runner = frameworks.open_file(store.path(argument.artifact), format_name, argument.name)
    check_baseline(argument)
    record = Model(
        name=argument.name.rpartition(".")[0], artifact=argument.artifact, input=None, output=None, parameters=None
    )
    return add(record, runner.specs(), argument.data, store, tell, runner.answers, argument.name)


def add(
    model: Model,
    specs: tuple[TensorSpec, TensorSpec],
    data: Data,
    store: Store,
    tell: Tell,
    answer: Callable[[Array, Count], Array],
    file: str = "the model",
) -> Model:
    """Return the record with specs, and with outputs and accuracy if there are evaluation rows.

    DataError if some of the data does not fit the model, whose file is called `file`.
    """
    model = msgspec.structs.replace(model, input=specs[0], output=specs[1])
    for name in ("training", "calibration", "evaluation"):
        rows = getattr(data, name)
        if rows is not None:
            _check(rows, f"data.{name}", model, specs, store, file)
    if data.evaluation is None:
        if all(specs[0].shape):  # weights that are not numbers show in any answer
            blank = np.zeros((1, *map(int, filter(None, specs[0].shape))), specs[0].dtype)
            frameworks.check_finite(answer(blank, lambda _done, _of: None), model.name)
        return model
    outputs = answer(
        frameworks.read_rows(store.path(data.evaluation.x)),
        lambda done, of: tell(done, of, f"{model.name} answers the evaluation rows"),
    )
    frameworks.check_finite(outputs, model.name)
    labels = None if data.evaluation.y is None else frameworks.read_rows(store.path(data.evaluation.y))
    return msgspec.structs.replace(
        model,
        outputs=store.put_parts(lambda: frameworks.array_parts(outputs), "npy"),
        accuracy_ratio=frameworks.accuracy(outputs, labels),
        classes=frameworks.are_classes(outputs, labels, quantized=not specs[1].dtype.startswith("float")),
    )


def check_baseline(argument: Request) -> None:
    """Raise DataError unless the evaluation rows can go into the plan's baseline, too: said now, not after minutes of compressing."""
    baseline, rows = argument.baseline, argument.data.evaluation
    if baseline is None or not frameworks.available(frameworks.RUNTIME_EXTRA[baseline.format]):
        return
    store = argument.store()
    runner = frameworks.open_file(store.path(baseline), baseline.format, argument.baseline_name)
    if rows is not None:
        x = np.load(store.path(rows.x), mmap_mode="r", allow_pickle=False)
        frameworks.check_fits(x, runner.specs()[0], "data.evaluation", baseline.format, argument.baseline_name)


def _check(rows: Rows, name: str, model: Model, specs: tuple[TensorSpec, TensorSpec], store: Store, file: str) -> None:
    x = np.load(store.path(rows.x), mmap_mode="r", allow_pickle=False)  # mapped: only its header is read here
    frameworks.check_fits(x, specs[0], name, model.artifact.format, file)
    if rows.y is None:
        return
    classes = frameworks.classes_of(specs[1])
    if classes is None:
        raise DataError(
            f"{name} has labels, but the model's output '{specs[1].name}' of shape {specs[1].shape} has no classes to compare with",
            hint="Labels are compared with the largest of at least two outputs; leave y out for other models.",
        )
    labels = frameworks.read_rows(store.path(rows.y))
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"the labels of {name} run from {low} to {high}, but the model has {classes} classes (0 to {classes - 1})",
            hint="Number the classes as in training, from 0.",
        )
