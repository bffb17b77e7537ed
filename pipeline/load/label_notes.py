"""How labels were taken, where the plan does not say it: sentences for `edgepress load` and the report."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline import frameworks, units
from pipeline.quality import judge
from pipeline.quality.kinds import detection
from pipeline.quality.table import KINDS
from pipeline.records import Data, Rows, Task, TensorSpec
from pipeline.safe_text import shortened
from pipeline.store import Store

MOST_LISTED = 10
OVER_CLASSES = {
    "classification": ("balanced_accuracy", "f1"),
    "multilabel": tuple(KINDS["multilabel"].METRICS),
    "segmentation": ("mean_iou",),
}
"""Metrics that are means over classes."""


def of_sets(data: Data) -> tuple[str, ...]:
    """Return what was made of the labels of each set."""
    sets = {"evaluation": data.evaluation, "calibration": data.calibration, "training": data.training}
    found = [name for name, rows in sets.items() if rows is not None and rows.one_hot is not None]
    told = " and ".join(f"data.{name}" for name in found)
    return (f"The labels of {told} are one-hot: the place of the 1 is taken as the class.",) if found else ()


def of_classes(data: Data, outputs: Sequence[TensorSpec], store: Store) -> tuple[str, ...]:
    """Return which classes a mean over classes does not judge, because no row has them: a sentence for each such task."""
    found = (_of_classes(task, data.evaluation, outputs, store) for task in data.tasks)
    return tuple(filter(None, found))


def _of_classes(task: Task, rows: Rows | None, outputs: Sequence[TensorSpec], store: Store) -> str:
    artifact = judge.labels_of(task, rows)
    if artifact is None or task.postprocess is not None or task.metric not in OVER_CLASSES.get(task.kind, ()):
        return ""
    labels = np.load(store.path(artifact), mmap_mode="r", allow_pickle=False)
    shape = frameworks.row_shape(outputs[task.scored].shape)
    if shape is None or None in shape:
        return ""
    classes = math.prod(size or 0 for size in shape)
    if task.kind == "segmentation":
        classes = max(2, classes // math.prod(labels.shape[1:]))
    seen: set[int] = set()
    for part in frameworks.chunks(labels):
        one_hot = part.ndim == 2 and part.shape[1] == classes > 1
        seen |= set((np.flatnonzero((part > 0).any(0)) if one_hot else np.unique(part)).astype(int).tolist())
    missing = sorted(set(range(classes)) - seen)
    which = f" of the task '{shortened(task.name, 100)}'" if task.name else ""
    return (
        f"No row has the label of {_listed(missing)}{which}: what the model makes of them is not judged."
        if missing
        else ""
    )


def _listed(classes: Sequence[int]) -> str:
    count = f"{units.count(len(classes))} class{'es' if len(classes) > 1 else ''}"
    more = ", ..." if len(classes) > MOST_LISTED else ""
    return f"{count} ({', '.join(map(str, classes[:MOST_LISTED]))}{more}, from 0)"


def of_boxes(data: Data, given: Sequence[Task], store: Store) -> tuple[str, ...]:
    """Return what was decided of each detector: which output has what, the unit of labels, and what the mean leaves out. `given`: the tasks
    before their outputs were decided.
    """
    before = {each.name: each for each in given}
    return tuple(note for each in data.tasks for note in _of_boxes(each, before.get(each.name), data.evaluation, store))


def _of_boxes(task: Task, given: Task | None, rows: Rows | None, store: Store) -> Iterator[str]:
    found = judge.labels_of(task, rows)
    if task.detector is None or given is None or given.detector is None or rows is None or found is None:
        return
    detector = task.detector
    if detector.outputs != given.detector.outputs:
        yield f"Outputs are taken as {', '.join(f'{role}: {name}' for role, name in detector.outputs.items())}."
    labels = np.load(store.path(found), mmap_mode="r", allow_pickle=False)
    values = np.asarray(labels, np.float64)
    used = values[values[..., 4] >= 0]
    if detector.label_unit is None:
        size = detector.picture or judge.picture_of(rows)
        unit = (
            f"pixels of a picture of {size[0]} x {size[1]}"
            if detection.in_pixels(detector, used) and size
            else "shares of the picture"
        )
        yield f"Labelled boxes are taken as {unit}, by their values."
    numbers = set((used[:, 4] - detector.first_class).astype(int).tolist())
    missing = sorted(set(range(detector.classes or max(numbers, default=-1) + 1)) - numbers)
    if missing:
        yield f"No row has a box of {_listed(missing)}: left out of the mean."
    if rows.rows < detection.READS_HIGH_BELOW:
        yield f"mAP of {units.counted(rows.rows, 'row')} reads high: compare it only with mAP of the same rows."
