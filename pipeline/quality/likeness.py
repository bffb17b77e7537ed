"""How like its model's the answers of a file are, without labels and in the terms of a task: the model's own answers are taken for labels.

Regression and reconstruction have no such number: pipeline/quality/signal.py says it in dB. A metric of the user's own needs labels.
"""

from collections.abc import Callable

import msgspec
import numpy as np

from pipeline.quality import heads, segmentation, sequences
from pipeline.quality.detection import mean_average_precision
from pipeline.quality.embedding import correct_keypoints, cosine_similarity
from pipeline.quality.kinds.detection import upright
from pipeline.quality.kinds.keypoints import sizes_of
from pipeline.quality.kinds.segmentation import MOST_CLASSES
from pipeline.quality.statistic import Array, Floats, Quotient, Statistic, mean, plain
from pipeline.quality.task import Outputs, Unfit, probabilities, scored_of
from pipeline.records import Alike, Task


def is_known(task: Task) -> bool:
    """Return whether its kind has such a number."""
    return task.kind in KINDS or task.kind == "detection"


def between(task: Task, outputs: Outputs, exact: Outputs, picture: tuple[int, int] | None = None) -> Alike | None:
    """Return it for the outputs of a file and of its model by their names, (rows, ...) alike. None: the kind has no such number, or the
    answers are not of that kind. `picture`: width and height of the model's input.
    """
    try:
        if task.kind == "detection":
            title, found = BOXES, _boxes(task, outputs, exact, picture)
        elif task.kind in KINDS:
            title, compare = KINDS[task.kind]
            answers, right = scored_of(task, outputs), scored_of(task, exact)
            found = compare(task, answers, right) if answers.shape == right.shape else None
        else:
            return None
    except Unfit:
        return None
    return None if found is None else Alike(title=title, value=plain(found), task=task.name)


def _classes(_: Task, answers: Array, exact: Array) -> Statistic | None:
    return None if answers.ndim != 2 or answers.shape[1] < 2 else mean(answers.argmax(1) == exact.argmax(1))


def _decisions(task: Task, answers: Array, exact: Array) -> Statistic | None:
    """The share of rows of which each decision is the same."""
    if answers.ndim == 2 and answers.shape[1] == 2 and task.kind == "binary":
        return _classes(task, answers, exact)
    chosen, right = (probabilities(each).reshape(len(each), -1) >= task.threshold for each in (answers, exact))
    return mean((chosen == right).all(1))


def _maps(task: Task, answers: Array, exact: Array) -> Statistic | None:
    """The axis of classes is the shorter one of the second and the last."""
    if answers.ndim == 3:
        if answers.dtype.kind != "f" and answers.size:
            low, high = min(int(exact.min()), int(answers.min())), max(int(exact.max()), int(answers.max()))
            return (
                segmentation.mean_iou(exact, answers, max(2, high + 1), None)
                if 0 <= low <= high < MOST_CLASSES
                else None
            )
        right, chosen = ((probabilities(each) >= task.threshold).astype(np.int64) for each in (exact, answers))
        return segmentation.mean_iou(right, chosen, 2, None)
    if answers.ndim != 4:
        return None
    axis = 3 if answers.shape[3] <= answers.shape[1] else 1
    if answers.shape[axis] == 1:
        return _maps(task, answers.squeeze(axis), exact.squeeze(axis))
    right, chosen = (np.stack([row.argmax(axis - 1) for row in each]) for each in (exact, answers))
    return segmentation.mean_iou(right, chosen, answers.shape[axis], None)


def _embeddings(_: Task, answers: Array, exact: Array) -> Statistic | None:
    return cosine_similarity(exact, answers)


def _symbols(task: Task, answers: Array, exact: Array) -> Statistic | None:
    if answers.ndim != 3 or not 0 <= task.blank < answers.shape[2]:
        return None
    truths, found = ([sequences.greedy_ctc(row, task.blank) for row in each] for each in (exact, answers))
    return sequences.error_rate(truths, found) if any(truths) else None


def _points(task: Task, answers: Array, exact: Array) -> Statistic | None:
    """A point has two values or three, of which x and y are the first: by the last axis, or where the values of a row divide by one of these."""
    size = answers[0].size if len(answers) else 0
    widths = [answers.shape[2]] if answers.ndim == 3 else [each for each in (2, 3) if size and size % each == 0]
    if len(widths) != 1 or widths[0] not in (2, 3) or size < 2 * widths[0]:
        return None
    points, found = (
        np.asarray(each, np.float64).reshape(len(each), -1, widths[0])[..., :2] for each in (exact, answers)
    )
    visible = np.ones(points.shape[:2], bool)
    return correct_keypoints(points, found, sizes_of(points, visible), visible, task.share)


def _boxes(task: Task, outputs: Outputs, exact: Outputs, picture: tuple[int, int] | None) -> Statistic | None:
    """F1 of the boxes that either is sure of: a box is found where it overlaps one of its class by half, each once."""
    if task.detector is None:
        return None
    detector = heads.with_outputs(task.detector, exact)
    detector = msgspec.structs.replace(detector, least_score=max(detector.least_score, task.threshold))
    found, right = (upright(heads.found(detector, each, detector.picture or picture)) for each in (outputs, exact))
    if len(found) != len(right):
        return None
    both = np.array(
        [len(mine.classes) + len(theirs.classes) for mine, theirs in zip(found, right, strict=True)], np.float64
    )
    detections = mean_average_precision(right, found)
    hits: Floats = np.bincount(detections.row[detections.hit[0]], minlength=len(right)).astype(np.float64)
    return Quotient(2 * hits, both) if both.any() else None


BOXES = "boxes as the model's (F1 at an IoU of 0.5)"
KINDS: dict[str, tuple[str, Callable[[Task, Array, Array], Statistic | None]]] = {
    "classification": ("same top class", _classes),
    "binary": ("same decision", _decisions),
    "multilabel": ("same decisions", _decisions),
    "segmentation": ("mean IoU with the model's maps", _maps),
    "keypoints": ("points as the model's", _points),
    "embedding": ("cosine similarity to the model's", _embeddings),
    "sequence": ("symbol error rate against the model's", _symbols),
}
"""Kind of a task -> what the number is, and how it is computed from one output; of detection it is `BOXES`."""
