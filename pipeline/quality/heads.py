"""The boxes that a detector has found, from its outputs by name, as the plan says that its head writes them."""

from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.quality import decoding
from pipeline.quality.decoding import SsdOutputs, Undecided
from pipeline.quality.detection import Boxes
from pipeline.quality.statistic import Array
from pipeline.quality.task import Outputs, Unfit, shown
from pipeline.records import Detector

HEADS = ("ssd", "yolo", "anchors", "boxes")
AT_ONCE = 8  # rows that are decoded together: the answers may be larger than memory
ANCHORS_OVERLAP = 0.3  # as MediaPipe has it


def found(detector: Detector, outputs: Outputs, picture: tuple[int, int] | None) -> list[Boxes]:
    """Return the boxes of each row as shares of the picture. Unfit where the outputs are not those of this head.

    `outputs`: (rows, ...) of each; `picture`: width and height in pixels, None: not known.
    """
    try:
        return {"ssd": _ssd, "yolo": _yolo, "anchors": _anchors, "boxes": _boxes}[detector.head](
            detector, outputs, picture
        )
    except Undecided as error:
        raise Unfit(
            str(error), f"Say in [task] what the head '{detector.head}' answers: docs/tasks.md, detection."
        ) from error


def classes_of(detector: Detector, outputs: Outputs) -> int | None:
    """Return how many classes the answers have; None: they do not say."""
    if detector.head == "yolo":
        return _yolo_classes(detector, _only(detector, outputs))
    if detector.head == "anchors":
        return int(outputs[anchor_outputs(detector, outputs)[1]].shape[-1])
    return None


def with_outputs(detector: Detector, outputs: Outputs) -> Detector:
    """Return it with its outputs by name, decided once over all rows: those of few rows may be all 0. Unfit as `found`."""
    from msgspec.structs import replace

    if detector.outputs or detector.head not in ("ssd", "anchors"):
        return detector
    if detector.head == "anchors":
        return replace(detector, outputs=dict(zip(("boxes", "scores"), anchor_outputs(detector, outputs), strict=True)))
    try:
        named = decoding.ssd_outputs(outputs)
    except Undecided as error:
        raise Unfit(str(error), NAME_THEM) from error
    return replace(detector, outputs=dict(zip(SSD_ROLES, named, strict=True)))


SSD_ROLES = ("boxes", "classes", "scores", "count")
NAME_THEM = 'Name them in [task]: outputs = { boxes = "...", classes = "...", scores = "...", count = "..." }.'


def _ssd(detector: Detector, outputs: Outputs, picture: tuple[int, int] | None) -> list[Boxes]:
    del picture
    roles = with_outputs(detector, outputs).outputs
    names = SsdOutputs(*(_role(roles, role, outputs) for role in SSD_ROLES))
    rows, slots = len(outputs[names.boxes]), outputs[names.boxes].size // max(1, 4 * len(outputs[names.boxes]))
    for role, name, size in zip(SSD_ROLES, names, (4 * slots, slots, slots, 1), strict=True):
        if outputs[name].size != rows * size:
            raise Unfit(
                f"the output '{name}' is {shown(outputs[name])}, and cannot be the {role} of {slots} slots", NAME_THEM
            )
    wide = {name: np.asarray(outputs[name], np.float64) for name in names}  # a board may answer truth values
    return decoding.ssd(wide, names, detector.least_score)


def _yolo(detector: Detector, outputs: Outputs, picture: tuple[int, int] | None) -> list[Boxes]:
    answers = _only(detector, outputs)
    classes = _yolo_classes(detector, answers)
    parts = [decoding.boxes_last(each, classes) for each in _parts(answers)]
    pixels = _pixels(detector.unit, any(map(decoding.are_pixels, parts)))
    return [
        boxes
        for each in parts
        for boxes in decoding.yolo(
            each,
            classes,
            _size(picture, pixels=pixels),
            pixels=pixels,
            logits=any(map(decoding.are_logits, parts)),
            least=detector.least_score,
            overlap=decoding.OVERLAP if detector.overlap is None else detector.overlap,
        )
    ]


def _yolo_classes(detector: Detector, answers: Array) -> int:
    """Return how many classes there are: by the plan, or by what it says of objectness and by the shorter axis."""
    classes = detector.classes
    if answers.ndim != 3:
        raise Unfit(f"the answers are {shown(answers)}, and not boxes of some values each", "Name another head.")
    if classes is None:
        classes = min(answers.shape[1:]) - 4 - int(bool(detector.objectness))
    elif detector.objectness is not None and 4 + classes + detector.objectness not in answers.shape[1:]:
        more = "1 of objectness and " if detector.objectness else ""
        raise Unfit(
            f"the answers are {shown(answers)}, and no axis has 4 of a box, {more}{classes} of its classes",
            "Correct [task] classes or objectness.",
        )
    if classes < 1:
        raise Unfit(
            f"the answers are {shown(answers)}, which leaves no class", "Say in [task] how many classes there are."
        )
    return classes


def _anchors(detector: Detector, outputs: Outputs, picture: tuple[int, int] | None) -> list[Boxes]:
    offsets, scores = (outputs[name] for name in anchor_outputs(detector, outputs))
    width, height = _size(picture, pixels=True)
    if width != height:
        raise Unfit(
            f"the picture has {width} x {height} pixels, and anchors are of a square one",
            'Take the head "boxes" and a postprocess.',
        )
    centres = decoding.anchors(width, detector.anchors)
    if offsets.ndim != 3 or scores.ndim != 3 or not len(centres) == offsets.shape[1] == scores.shape[1]:
        raise Unfit(
            f"the anchors of the plan are {len(centres)}, and the answers {shown(offsets)} and {shown(scores)}",
            "Give [task] anchors as [[stride, boxes of a cell], ...].",
        )
    overlap = ANCHORS_OVERLAP if detector.overlap is None else detector.overlap
    return [
        boxes
        for some, their in zip(_parts(offsets), _parts(scores), strict=True)
        for boxes in decoding.anchored(some, their, centres, width, least=detector.least_score, overlap=overlap)
    ]


def anchor_outputs(detector: Detector, outputs: Outputs) -> tuple[str, str]:
    """Return the names of the outputs of boxes and of scores: boxes have 4 values or more, and scores fewer, unless the plan says it."""
    roles = detector.outputs
    if not roles:
        wide = [name for name, each in outputs.items() if each.ndim == 3 and each.shape[2] >= 4]
        rest = [name for name in outputs if name not in wide]
        if len(wide) != 1 or len(rest) != 1:
            told = ", ".join(f"'{name}' {each.shape[1:]}" for name, each in outputs.items())
            raise Unfit(
                f"nothing tells which of the outputs {told} has the boxes, and which the scores",
                'Name them in [task]: outputs = { boxes = "...", scores = "..." }.',
            )
        roles = {"boxes": wide[0], "scores": rest[0]}
    return _role(roles, "boxes", outputs), _role(roles, "scores", outputs)


def _boxes(detector: Detector, outputs: Outputs, picture: tuple[int, int] | None) -> list[Boxes]:
    answers = _only(detector, outputs)
    if answers.ndim != 3 or answers.shape[2] != 6:
        raise Unfit(
            f"the answers are {shown(answers)}, and not boxes of x0, y0, x1, y1, score and class", "Name another head."
        )
    pixels = _pixels(detector.unit, any(map(decoding.are_pixels, _parts(answers))))
    size = _size(picture, pixels=pixels)
    return [
        boxes
        for each in _parts(answers)
        for boxes in decoding.suppressed_already(each, size, pixels=pixels, least=detector.least_score)
    ]


def _only(detector: Detector, outputs: Outputs) -> Array:
    if "boxes" in detector.outputs:
        return outputs[_role(detector.outputs, "boxes", outputs)]
    if len(outputs) != 1:
        raise Unfit(
            f"the head '{detector.head}' is one output, and there are {', '.join(outputs)}",
            'Name it in [task]: outputs = { boxes = "..." }.',
        )
    return next(iter(outputs.values()))


def _role(roles: Mapping[str, str], role: str, outputs: Outputs) -> str:
    name = roles.get(role)
    if name is None or name not in outputs:
        told = "is not named" if name is None else f"is '{name}', which is not there"
        raise Unfit(
            f"the output with the {role} {told}", f"The outputs are {', '.join(outputs)}: name it in [task] outputs."
        )
    return name


def _pixels(unit: str | None, seen: bool) -> bool:
    return seen if unit is None else unit == "pixels"


def _size(picture: tuple[int, int] | None, *, pixels: bool) -> tuple[int, int]:
    if picture is None and pixels:
        raise Unfit("nothing says how large the picture is", "Say it in [task]: picture = [width, height].")
    return picture or (1, 1)


def _parts(answers: Array) -> Iterator[Array]:
    for start in range(0, len(answers), AT_ONCE):
        yield np.asarray(answers[start : start + AT_ONCE])
