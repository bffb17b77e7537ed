"""How labels were taken, where the plan does not say it: sentences for `edgepress load` and the report."""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline import units
from pipeline.quality import judge
from pipeline.quality.kinds import detection
from pipeline.records import Data, Rows, Task
from pipeline.store import Store

MOST_LISTED = 10


def of_sets(data: Data) -> tuple[str, ...]:
    """Return what was made of the labels of each set."""
    sets = {"evaluation": data.evaluation, "calibration": data.calibration, "training": data.training}
    found = [name for name, rows in sets.items() if rows is not None and rows.one_hot is not None]
    told = " and ".join(f"data.{name}" for name in found)
    return (f"The labels of {told} are one-hot: the place of the 1 is taken as the class.",) if found else ()


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
        count = f"{units.count(len(missing))} class{'es' if len(missing) > 1 else ''}"
        listed = ", ".join(map(str, missing[:MOST_LISTED])) + (", ..." if len(missing) > MOST_LISTED else "")
        yield f"No row has a box of {count} ({listed}, from 0): left out of the mean."
    if rows.rows < detection.READS_HIGH_BELOW:
        yield f"mAP of {units.counted(rows.rows, 'row')} reads high: compare it only with mAP of the same rows."
