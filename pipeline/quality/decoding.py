"""What detector heads answer -> boxes: SSD with its post-processing in the file, anchors, YOLO.

Boxes are x0, y0, x1, y1 as shares of the picture's width and height, 0 to 1, and may lie partly outside it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.quality.detection import Boxes, overlaps_of
from pipeline.quality.statistic import Array, Floats

LEAST_SCORE = 0.001
"""Of the boxes that are kept to be ranked: average precision needs those with low scores, too."""
OVERLAP = 0.45
MOST_BOXES = 300
MOST_CANDIDATES = 3000
"""Of the boxes of a row that are compared with each other, best first: where a broken file is sure of all, there are hundreds of thousands."""
UNITS_FROM = 2
"""Above it a coordinate is of pixels, and not a share of the picture."""
LARGEST_CLASS = 1e9


class Undecided(ValueError):
    """The outputs do not say what they are; the plan must."""


def suppressed(
    boxes: Floats, classes: Array, scores: Floats, overlap: float = OVERLAP, most: int = MOST_BOXES
) -> Boxes:
    """Keep the best box of those of a class that overlap more than `overlap`, greedily by falling score."""
    kept: list[int] = []
    left = np.ones(len(scores), bool)
    of_class = {one: np.flatnonzero(classes == one) for one in set(classes.tolist())}
    for best in np.argsort(-scores, kind="stable").tolist():
        if left[best] and len(kept) < most:
            kept.append(best)
            others = of_class[int(classes[best])]
            left[others[overlaps_of(boxes[best], boxes[others])[0] > overlap]] = False
    return Boxes(boxes[kept].reshape(-1, 4), classes[kept], scores[kept])


# --- SSD with TFLite_Detection_PostProcess in the file


class SsdOutputs(NamedTuple):
    """Names of the four outputs. Neither their order nor the numbers in their names are fixed: exporters differ."""

    boxes: str
    classes: str
    scores: str
    number: str  # how many boxes there are


def ssd_outputs(answers: Mapping[str, Array]) -> SsdOutputs:
    """Tell the outputs apart by their shapes, and classes from scores by their values over all rows: whole numbers are classes.

    `answers`: (rows, ...) of each. Undecided where they are not four such outputs, or all answers are 0.
    """
    shapes = {name: each.shape[1:] for name, each in answers.items()}
    boxes = [name for name, shape in shapes.items() if len(shape) >= 2 and shape[-1] == 4]
    count = [name for name, each in answers.items() if each.size == len(each)]
    rest = [name for name in answers if name not in (*boxes, *count)]
    if (len(boxes), len(count), len(rest)) != (1, 1, 2):
        raise Undecided(f"these are not the four outputs of an SSD: {shapes}")
    whole = [name for name in rest if (answers[name] == np.round(answers[name])).all()]
    if len(whole) != 1:
        raise Undecided(
            f"nothing in the answers tells which of '{rest[0]}' and '{rest[1]}' has classes and which scores"
        )
    scores = rest[1 - rest.index(whole[0])]
    return SsdOutputs(boxes[0], whole[0], scores, count[0])


def ssd(answers: Mapping[str, Array], outputs: SsdOutputs, least: float = LEAST_SCORE) -> list[Boxes]:
    """Return the boxes of each row. The file has y0, x0, y1, x1; slots after the count hold anything."""
    rows = len(answers[outputs.boxes])
    boxes = answers[outputs.boxes].reshape(rows, -1, 4)[..., [1, 0, 3, 2]].astype(np.float64)
    classes, scores = (answers[name].reshape(rows, -1) for name in (outputs.classes, outputs.scores))
    used = np.arange(scores.shape[1]) < np.round(answers[outputs.number].reshape(rows, 1))
    kept = used & (scores > least)
    return [
        Boxes(boxes[row][kept[row]], _whole(classes[row][kept[row]]), scores[row][kept[row]]) for row in range(rows)
    ]


def _whole(classes: Array) -> Array:
    """Return the numbers of classes as integers, also where a board answers some that no integer holds."""
    found: Array = np.clip(np.round(classes), -LARGEST_CLASS, LARGEST_CLASS).astype(np.int64)
    return found


# --- YOLO


def yolo(
    answers: Array,
    classes: int,
    size: tuple[int, int],
    *,
    pixels: bool | None = None,
    logits: bool | None = None,
    least: float = LEAST_SCORE,
    overlap: float = OVERLAP,
) -> list[Boxes]:
    """Return the boxes of (rows, n, 4 + classes), (rows, 4 + classes, n), or one more value for each box, which is its objectness; or of
    (rows, n, 6), which the graph has suppressed: x0, y0, x1, y1, score, class.

    `size`: width and height of the input in pixels. `pixels`: whether coordinates are pixels; None: where any is above 2. `logits`: whether
    scores are; None: where any is outside 0 to 1. Undecided where the shape is not one of these: the plan says how many classes there are,
    since one more class and an objectness look alike.
    """
    values = boxes_last(np.asarray(answers, np.float64), classes)
    width = values.shape[2]
    if pixels is None:
        pixels = are_pixels(values)
    scale = np.tile(np.array(size, np.float64), 2) if pixels else np.ones(4)
    if width == 6 and classes not in (1, 2):
        return [_ended(each, scale, least) for each in values]
    if logits is None:
        logits = are_logits(values)
    centre, half = values[..., :2], values[..., 2:4] / 2
    corners = np.concatenate([centre - half, centre + half], axis=-1) / scale
    scores = _sigmoid(values[..., 4:]) if logits else values[..., 4:]
    if width == classes + 5:
        scores = scores[..., 1:] * scores[..., :1]
    found = []
    for boxes, of_row in zip(corners, scores, strict=True):
        place, kind = _candidates(of_row, least)
        found.append(suppressed(boxes[place], kind, of_row[place, kind], overlap))
    return found


def suppressed_already(
    answers: Array, size: tuple[int, int], *, pixels: bool, least: float = LEAST_SCORE
) -> list[Boxes]:
    """Return the boxes of (rows, n, 6): x0, y0, x1, y1, score, class. Slots that are not used have a score of 0 or less."""
    scale = np.tile(np.array(size, np.float64), 2) if pixels else np.ones(4)
    return [_ended(each, scale, least) for each in np.asarray(answers, np.float64)]


def are_pixels(values: Array) -> bool:
    """Return whether the first four values of the boxes, (..., 4 or more), are pixels: shares of the picture are 2 at most."""
    return bool(values.size and np.abs(values[..., :4]).max() > UNITS_FROM)


def are_logits(values: Array) -> bool:
    """Return whether the values after the first four are logits."""
    scores = values[..., 4:]
    return bool(scores.size and (scores.min() < -1e-3 or scores.max() > 1 + 1e-3))


def _candidates(scores: Array, least: float) -> tuple[Array, Array]:
    """Return which boxes of which classes, of scores (n, classes), are looked at: those above `least`, and of them the best."""
    flat = scores.ravel()
    if np.count_nonzero(flat > least) <= MOST_CANDIDATES:
        chosen = np.flatnonzero(flat > least)
    else:
        chosen = np.sort(np.argpartition(-flat, MOST_CANDIDATES)[:MOST_CANDIDATES])
    return chosen // scores.shape[1], chosen % scores.shape[1]


def boxes_last(values: Array, classes: int) -> Array:
    """Return (rows, n, values of a box). Both layouts fit only where n is as small as the values of a box."""
    known = {4 + classes, 5 + classes} if classes in (1, 2) else {4 + classes, 5 + classes, 6}
    if values.ndim == 3:
        fits = [axis for axis in (2, 1) if values.shape[axis] in known and (axis == 2 or values.shape[axis] != 6)]
        if len(fits) == 2:
            fits = [2 if values.shape[1] >= values.shape[2] else 1]
        if fits:
            return values if fits[0] == 2 else values.transpose(0, 2, 1)
    raise Undecided(
        f"answers of shape {values.shape[1:]} for a row are not boxes of 4 + {classes} or 5 + {classes} values, nor of 6 that are suppressed"
    )


def _ended(row: Floats, scale: Floats, least: float) -> Boxes:
    kept = row[row[:, 4] > least]
    return Boxes(kept[:, :4] / scale, _whole(kept[:, 5]), kept[:, 4])


def _sigmoid(values: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-np.clip(values, -80, 80)))
    return found


# --- anchors: a box, and points, as offsets from fixed centres


def anchors(size: int, layers: Sequence[tuple[int, int]]) -> Floats:
    """Return the centres of all cells, (n, 2) as x, y: for each layer, (stride, boxes of a cell), row by row."""
    found = []
    for stride, boxes in layers:
        count = size // stride
        y, x = np.mgrid[:count, :count]
        found.append(np.repeat((np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / count, boxes, axis=0))
    return np.concatenate(found)


def anchored(
    offsets: Array, scores: Array, centres: Floats, size: int, *, least: float = LEAST_SCORE, overlap: float = 0.3
) -> list[Boxes]:
    """Return the boxes of offsets (rows, n, 4 or more) from `centres`, in pixels of a square input of this size: the centre of the box,
    its width and height. scores: (rows, n, classes), logits. Boxes that overlap are averaged by score (MediaPipe's weighted suppression).
    """
    offsets = np.asarray(offsets, np.float64)[..., :4] / size
    middle, half = offsets[..., :2] + centres, offsets[..., 2:] / 2
    boxes, likely = np.concatenate([middle - half, middle + half], axis=-1), _sigmoid(np.asarray(scores, np.float64))
    found = []
    for of_row, values in zip(boxes, likely, strict=True):
        place, kind = _candidates(values, least)
        found.append(_blended(of_row[place], kind, values[place, kind], overlap))
    return found


def _blended(boxes: Floats, classes: Array, scores: Floats, overlap: float) -> Boxes:
    left, mean = np.argsort(-scores, kind="stable"), []
    kept: list[int] = []
    while len(left) and len(kept) < MOST_BOXES:
        best = int(left[0])
        same = (overlaps_of(boxes[best], boxes[left])[0] > overlap) & (classes[left] == classes[best])
        same[0] = True
        kept.append(best)
        mean.append(np.average(boxes[left[same]], axis=0, weights=scores[left[same]]))
        left = left[~same]
    return Boxes(np.array(mean).reshape(-1, 4), classes[kept], scores[kept])
