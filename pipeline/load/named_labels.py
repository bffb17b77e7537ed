"""Labels that were given by the names of outputs: each must be of one, or of a task, and those of the scored output judge the model."""

from collections.abc import Sequence
from functools import partial

import msgspec
import numpy as np

from pipeline import frameworks
from pipeline.errors import DataError
from pipeline.load import data as reading
from pipeline.load import data_labels, fit
from pipeline.quality import judge
from pipeline.records import Artifact, Data, Rows, Task, TensorSpec
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean
from pipeline.store import Store


def fitted(data: Data, outputs: Sequence[TensorSpec], scored: int, store: Store) -> Data:
    """Return the data with the labels of the scored output as its evaluation labels; of several tasks, only those of a classifier.

    `scored`: of a task; without one, it is the only output with classes that has labels. DataError for a name that is neither an output's nor a
    task's, and for evaluation labels without a name where there are several tasks.
    """
    tasks = data.tasks
    for name in fit.SETS:
        rows = getattr(data, name)
        if rows is not None:
            _check_names(rows, outputs, tasks, f"data.{name}")
    evaluation = data.evaluation
    if evaluation is None:
        return data
    if len(tasks) > 1:
        _check_unnamed(evaluation, tasks)
        classifier = next((each for each in tasks if judge.is_classifier(each)), None)
        given = None if classifier is None else judge.labels_of(classifier, evaluation)
        return data if given is None else _with_classes(data, evaluation, given, store)
    if tasks:
        name = outputs[scored].name
    else:
        classes = [each.name for each in outputs if frameworks.classes_of(each) is not None]
        name = classes[0] if len(classes) == 1 else ""
    given = next((each.artifact for each in evaluation.named if each.name == name), None)
    if given is None:
        return data
    if not tasks or tasks[0].kind == "classification":
        return _with_classes(data, evaluation, given, store)
    return msgspec.structs.replace(data, evaluation=msgspec.structs.replace(evaluation, targets=given))


def _with_classes(data: Data, evaluation: Rows, given: Artifact, store: Store) -> Data:
    """Return the data with these labels, numbers of classes or one-hot rows, as those of its evaluation rows."""
    labels = np.load(store.path(given), mmap_mode="r", allow_pickle=False)
    one_hot = data_labels.are_one_hot(frameworks.chunks(labels))
    error = None if one_hot else reading.labels_error(labels, evaluation.rows, "data.evaluation")
    if error is not None:
        raise error
    numbers = labels.argmax(1) if one_hot else np.asarray(labels, np.int64).reshape(len(labels))
    y = store.put_parts(partial(frameworks.array_parts, numbers), "npy")
    of_hot = labels.shape[1] if one_hot else None
    return msgspec.structs.replace(data, evaluation=msgspec.structs.replace(evaluation, y=y, one_hot=of_hot))


def _check_unnamed(rows: Rows, tasks: Sequence[Task]) -> None:
    if rows.y is not None or rows.targets is not None:
        told = " and ".join(f"{data_labels.NAMED}{each.name}" for each in tasks)
        raise DataError(
            f"data.evaluation has labels that name no output, and the plan has {len(tasks)} tasks",
            hint=f"Give each its own, by its name: arrays {told} in a file, or (x, {{'NAME': labels}}) from a function.",
        )


def _check_names(rows: Rows, outputs: Sequence[TensorSpec], tasks: Sequence[Task], key: str) -> None:
    known = list(dict.fromkeys([*(each.name for each in outputs), *(each.name for each in tasks if each.name)]))
    for each in rows.named:
        if each.name not in known:
            listed = ", ".join(shortened(name, 80) for name in known)
            raise DataError(
                f"{key} has labels of '{shortened(each.name, 100)}', and the model has no output of that name",
                hint=f"{did_you_mean(each.name, known)}Its outputs are {listed}.",
            )
