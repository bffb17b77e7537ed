"""What a model is for, where the plan does not say it and labels leave one answer."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from pipeline import frameworks
from pipeline.frameworks import Array
from pipeline.quality.table import KINDS
from pipeline.records import Data, Rows, Task, TensorSpec
from pipeline.store import Store

SETS = ("evaluation", "calibration", "training")
KIND, METRIC = "binary", "auroc"


def of_labels(data: Data, outputs: Sequence[TensorSpec], store: Store) -> tuple[Data, tuple[str, ...]]:
    """Return the data with its task, and a sentence that says so: one number for a row, and labels 0 and 1, are a binary classifier.

    As it is, where the plan names a task or anything else may be meant.
    """
    rows = data.evaluation
    if data.tasks or rows is None or rows.y is None or len(outputs) != 1 or not _is_one(outputs[0]):
        return data, ()
    labels = [_labels(each, store) for name in SETS if (each := getattr(data, name)) is not None]
    if not all(np.isin(each, (0, 1)).all() for each in labels) or len(np.unique(labels[0])) < 2:
        return data, ()
    metric = KINDS[KIND].METRICS[METRIC]
    task = Task(
        kind=KIND, metric=METRIC, title=metric.title, higher_is_better=metric.higher_is_better, ratio=metric.ratio
    )
    sets = {name: _as_targets(getattr(data, name)) for name in SETS}
    note = f'The labels are 0 and 1, and an answer is one number: judged as [task] kind = "{KIND}", by {metric.title}.'
    return msgspec.structs.replace(data, tasks=(task,), **sets), (note,)


def kinds_of(output: TensorSpec) -> str:
    """Return which kinds may be meant by labels of an output that has no classes."""
    if _is_one(output):
        return '"binary", or "regression"'
    shape = frameworks.row_shape(output.shape)
    return '"segmentation", or another' if shape is not None and len(shape) > 1 else '"regression", or another'


def _is_one(output: TensorSpec) -> bool:
    shape = frameworks.row_shape(output.shape)
    return shape is not None and None not in shape and math.prod(each or 0 for each in shape) == 1


def _labels(rows: Rows, store: Store) -> Array:
    if rows.y is None:
        return np.zeros(0, np.int64)
    found: Array = np.load(store.path(rows.y), allow_pickle=False)
    return found


def _as_targets(rows: Rows | None) -> Rows | None:
    return None if rows is None else msgspec.structs.replace(rows, y=None, targets=rows.y or rows.targets)
