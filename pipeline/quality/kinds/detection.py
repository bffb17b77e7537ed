"""Boxes around objects, each of a class."""

import numpy as np

from pipeline.quality import heads
from pipeline.quality.decoding import UNITS_FROM
from pipeline.quality.detection import Boxes, Detections, at_half, mean_average_precision
from pipeline.quality.statistic import Array, Floats
from pipeline.quality.task import Metric, Outputs, Unfit, shown
from pipeline.records import Detector, Task

LABELS = (
    'Labels are boxes: a COCO file, [task] labels = "boxes.json"; or x, y, width, height and class of each box of a row, '
    "(rows, boxes, 5), filled up with -1."
)
METRICS = {
    "map": Metric("mAP@[.5:.95]", higher_is_better=True),
    "map50": Metric("mAP@.5", higher_is_better=True),
}
SETTINGS = frozenset(Detector.__struct_fields__) | {"labels", "threshold"}
OFF = 1e-3  # of the picture, that a labelled box may lie outside it: annotations are rounded
MOST_TURNED = 0.5  # of found boxes whose right side is left of their left one: more are read in a wrong order
READS_HIGH_BELOW = 400  # rows


def statistic(task: Task, outputs: Outputs, labels: Array, picture: tuple[int, int] | None) -> Detections:
    """Return what was found and what is labelled. Unfit where labels or outputs are not those of the task.

    `outputs`: (rows, ...) of each that the head needs; `picture`: width and height of the model's input, None: not known.
    """
    detector = task.detector
    assert detector is not None  # load/task.py
    picture = detector.picture or picture
    found = heads.found(detector, outputs, picture)
    truths = labelled(detector, labels, picture, heads.classes_of(detector, outputs))
    if len(found) != len(truths):
        raise Unfit(
            f"there are {len(found)} rows of answers and {len(truths)} of labels", "Give boxes, or none, for each row."
        )
    detections = mean_average_precision(truths, upright(found))
    return at_half(detections) if task.metric == "map50" else detections


def labelled(
    detector: Detector, labels: Array, picture: tuple[int, int] | None, classes: int | None = None
) -> list[Boxes]:
    """Return the labelled boxes of each row, as shares of the picture, with the classes of the model. `classes`: how many it has."""
    if labels.ndim != 3 or labels.shape[2] != 5 or labels.dtype.kind not in "fiu":
        raise Unfit(f"the labels are {shown(labels)}", LABELS)
    values = labels.astype(np.float64)
    if not np.isfinite(values).all():
        raise Unfit("some labels are NaN or infinite", LABELS)
    used = values[..., 4] >= 0
    numbers = values[..., 4] - detector.first_class
    most = np.inf if classes is None else classes - 1
    for row, box in np.argwhere(used & ((numbers != np.rint(numbers)) | (numbers < 0) | (numbers > most)))[:1]:
        last = "" if classes is None else f" to {detector.first_class + classes - 1}"
        raise Unfit(
            f"row {row} has a box of the class {values[row, box, 4]:g}, and classes are whole numbers from {detector.first_class}{last}",
            "Say in [task] which label the model's first class has: first_class = 0, or 1.",
        )
    corners = np.concatenate([values[..., :2], values[..., :2] + values[..., 2:4]], axis=2)
    corners /= _size(detector, values[used], picture)
    _check(
        used & (values[..., 2:4] <= 0).any(2),
        values,
        "has no area",
        "Width and height are above 0: x, y, width, height.",
    )
    outside = ((corners < -OFF) | (corners > 1 + OFF)).any(2)
    _check(
        used & outside,
        values,
        "lies outside the picture",
        "Give x and y of the upper left corner, width and height, in the picture that the model sees (resized, with its borders); "
        'and say [task] label_unit, "pixels" or "shares", where it is not clear.',
    )
    return [
        Boxes(of_row[own], of_class[own].astype(np.int64))
        for of_row, of_class, own in zip(corners, numbers, used, strict=True)
    ]


def in_pixels(detector: Detector, boxes: Floats) -> bool:
    """Return whether labelled boxes, (n, 5), are in pixels: the plan says it, or a number is larger than a share can be."""
    if detector.label_unit is not None:
        return detector.label_unit == "pixels"
    return bool(len(boxes) and boxes[:, :4].max() > UNITS_FROM)


def _size(detector: Detector, boxes: Floats, picture: tuple[int, int] | None) -> Floats:
    if not in_pixels(detector, boxes):
        return np.ones(4)
    if picture is None:
        raise Unfit(
            "the labels are in pixels, and nothing says how large the picture is",
            "Say it in [task]: picture = [width, height].",
        )
    return np.tile(np.array(picture, np.float64), 2)


def _check(wrong: Array, values: Floats, what: str, hint: str) -> None:
    for row, box in np.argwhere(wrong)[:1]:
        told = ", ".join(f"{each:g}" for each in values[row, box, :4])
        more = int(np.count_nonzero(wrong)) - 1
        others = f" (and {more:,} more)" if more else ""
        raise Unfit(f"the box {told} of row {row} {what}{others}", hint)


def upright(found: list[Boxes]) -> list[Boxes]:
    """Give boxes that are turned inside out no area, so that they match nothing."""
    boxes = np.concatenate([each.boxes for each in found]) if found else np.zeros((0, 4))
    turned = (boxes[:, 2:] < boxes[:, :2]).any(1)
    if len(boxes) and turned.mean() > MOST_TURNED:
        raise Unfit(
            f"{turned.sum():,} of the {len(boxes):,} boxes that the model found have their right side left of their left one, or the "
            "lower above the upper",
            "They are read in a wrong order: name another head, or give a postprocess that turns them.",
        )
    return [
        each._replace(
            boxes=np.concatenate([each.boxes[:, :2], np.maximum(each.boxes[:, 2:], each.boxes[:, :2])], axis=1)
        )
        for each in found
    ]
