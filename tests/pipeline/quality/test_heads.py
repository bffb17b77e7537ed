"""Each head gives the same boxes, and labels that do not fit them are refused with their row."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline.quality import decoding, judge
from pipeline.quality.kinds import detection
from pipeline.quality.statistic import plain
from pipeline.quality.task import Unfit
from pipeline.records import Detector, Task
from tests.support.detector_models import PICTURE, SIZE, drawn

LABELS, BOXES, KINDS, SCORES = drawn()
SCALED = BOXES * SIZE
CENTRES = np.concatenate([(BOXES[..., :2] + BOXES[..., 2:]) / 2, BOXES[..., 2:] - BOXES[..., :2]], axis=2)
OF_CLASSES = np.eye(3)[KINDS.astype(int)] * SCORES[..., None]
ALL = np.concatenate([BOXES, SCORES[..., None], KINDS[..., None]], axis=2)
SSD = {"a": KINDS, "b": np.full(40, 4.0), "c": BOXES[..., [1, 0, 3, 2]], "d": SCORES}


def value(found, labels=LABELS, metric="map", picture=PICTURE, **settings):
    detector = Detector(**{"head": "boxes"} | settings)
    task = Task(kind="detection", metric=metric, title="", higher_is_better=True, ratio=True, detector=detector)
    named = found if isinstance(found, dict) else {"y": found}
    return plain(detection.statistic(task, named, labels, picture))


EXPECTED = value(ALL)
HEADS = {
    "shares": (ALL, {}),
    "pixels": (np.concatenate([SCALED, ALL[..., 4:]], axis=2), {"unit": "pixels"}),
    "pixels, by their values": (np.concatenate([SCALED, ALL[..., 4:]], axis=2), {}),
    "yolo": (np.concatenate([CENTRES, OF_CLASSES], axis=2), {"head": "yolo", "classes": 3, "overlap": 1.0}),
    "yolo, boxes last": (
        np.concatenate([np.concatenate([CENTRES, OF_CLASSES], axis=2), np.zeros((40, 9, 7))], axis=1).transpose(0, 2, 1),
        {"head": "yolo", "classes": 3, "overlap": 1.0},
    ),
    "yolo with objectness": (
        np.concatenate([CENTRES, SCORES[..., None], np.eye(3)[KINDS.astype(int)], np.zeros((40, 4, 0))], axis=2).repeat(3, axis=1),
        {"head": "yolo", "objectness": True, "overlap": 0.999},
    ),
    "ssd": (SSD, {"head": "ssd"}),
    "ssd by names": (SSD, {"head": "ssd", "outputs": {"boxes": "c", "classes": "a", "scores": "d", "count": "b"}}),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_every_head_gives_the_same_boxes(name):
    outputs, settings = HEADS[name]
    assert 0.4 < EXPECTED < 0.9
    assert value(outputs, **settings) == pytest.approx(EXPECTED, abs=1e-6)
    assert value(outputs, metric="map50", **settings) > EXPECTED + 0.1


def test_anchors():
    """A square picture of 32 pixels: 4 x 4 cells of one box, all found exactly."""
    scores = np.full((2, 16, 1), -9.0)
    scores[:, [0, 5]] = 9
    offsets = np.concatenate([np.zeros((2, 16, 2)), np.full((2, 16, 2), 8.0), np.zeros((2, 16, 3))], axis=2)
    labels = np.tile(np.array([[0, 0, 8, 8, 0], [8, 8, 8, 8, 0]], float), (2, 1, 1))
    settings = {"head": "anchors", "anchors": ((8, 1),), "picture": (32, 32)}
    assert value({"p": scores, "q": offsets}, labels, **settings) == pytest.approx(1)
    with pytest.raises(Unfit, match="the anchors of the plan are 4, and the answers"):
        value({"p": scores, "q": offsets}, labels, **settings | {"anchors": ((16, 1),)})
    with pytest.raises(Unfit, match="has 32 x 16 pixels, and anchors are of a square one"):
        value({"p": scores, "q": offsets}, labels, **settings | {"picture": (32, 16)})
    with pytest.raises(
        Unfit, match=r"nothing tells which of the outputs 'p' .16, 4., 'q' .16, 7. has the boxes"
    ) as raised:
        value({"p": scores.repeat(4, axis=2), "q": offsets}, labels, **settings)
    assert "outputs = { boxes" in raised.value.hint
    named = {"outputs": {"boxes": "q", "scores": "p"}}
    with pytest.raises(Unfit, match="row 0 has a box of the class 4, and classes are whole numbers from 0 to 3"):
        value({"p": scores.repeat(4, axis=2), "q": offsets}, labels + np.eye(5)[4] * 4, **settings | named)


def test_labels_as_shares_and_from_one():
    shares = np.where(LABELS[..., 4:] < 0, -1, LABELS / [*SIZE, 1])
    assert value(ALL, shares, picture=None) == pytest.approx(EXPECTED)
    more = np.where(LABELS[..., 4:] < 0, -1, LABELS + np.eye(5)[4])
    assert value(ALL, more, first_class=1) == pytest.approx(EXPECTED)


def test_a_class_without_boxes_is_left_out():
    assert value(ALL, np.where((LABELS[..., 4:] == 2), -1, LABELS)) > 0.3


def changed(row, box, values):
    found = LABELS.copy()
    found[row, box] = values
    return found


WRONG = {
    "turned": (ALL, changed(3, 0, [50, 50, -10, 10, 0]), {}, r"the box 50, 50, -10, 10 of row 3 has no area"),
    "outside": (ALL, changed(5, 0, [190, 50, 20, 10, 0]), {}, r"the box 190, 50, 20, 10 of row 5 lies outside the picture"),
    "corners": (ALL, changed(2, 0, [150, 50, 180, 80, 0]), {}, "row 2 lies outside the picture"),
    "no number": (ALL, changed(5, 0, [np.nan] * 5), {}, "NaN"),
    "half a class": (ALL, changed(5, 0, [1, 1, 9, 9, 0.5]), {}, "row 5 has a box of the class 0.5"),
    "below": (ALL, LABELS, {"first_class": 1}, "of the class 0, and classes are whole numbers from 1"),
    "other labels": (ALL, LABELS[..., :4], {}, "the labels are float64"),
    "fewer": (ALL, LABELS[:7], {}, "40 rows of answers and 7 of labels"),
    "no picture": (ALL, LABELS, {"picture": None}, "nothing says how large the picture is"),
    "no boxes": (ALL[..., :5], LABELS, {}, "not boxes of x0, y0, x1, y1, score and class"),
    "wrong order": (ALL[..., [2, 3, 0, 1, 4, 5]], LABELS, {}, "have their right side left of their left one"),
    "yolo": (ALL[..., :5], LABELS, {"head": "yolo", "classes": 5}, "are not boxes of 4 . 5 or 5 . 5 values"),
    "yolo's objectness": (ALL, LABELS, {"head": "yolo", "classes": 2, "objectness": True}, "4 of a box, 1 of objectness and 2"),
    "zeros": ({name: each * 0 for name, each in SSD.items()}, LABELS, {"head": "ssd"}, "nothing in the answers tells"),
    "three": ({name: SSD[name] for name in "abc"}, LABELS, {"head": "ssd"}, "not the four outputs of an SSD"),
    "other sizes": (SSD | {"d": SCORES[:, :2]}, LABELS, {"head": "ssd", "outputs": HEADS["ssd by names"][1]["outputs"]}, "'d' is float32 .*cannot be the scores of 4 slots"),
    "two": ({"y": ALL, "z": ALL}, LABELS, {}, "the head 'boxes' is one output, and there are y, z"),
    "gone": (ALL, LABELS, {"outputs": {"boxes": "z"}}, "the output with the boxes is 'z', which is not there"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_said(name):
    outputs, labels, settings, words = WRONG[name]
    with pytest.raises(Unfit, match=words) as raised:
        value(outputs, labels, **settings)
    assert raised.value.hint.endswith((".", "}."))


def test_slots_that_a_board_fills_with_anything():
    """The count is not trusted, nor is a class that no integer holds."""
    odd = {name: each.copy() for name, each in SSD.items()}
    odd["b"][:] = 1e30
    odd["a"][:, -1] = 1e30
    assert value(odd, head="ssd") == pytest.approx(EXPECTED)
    odd["d"][:, -1] = 0.5
    assert value(odd, head="ssd") == pytest.approx(EXPECTED, abs=1e-6)


def test_outputs_are_decided_once_over_all_rows():
    task = Task(
        kind="detection", metric="map", title="", higher_is_better=True, ratio=True, detector=Detector(head="ssd")
    )
    told = judge.decided(task, SSD, Path())
    assert told.detector.outputs == {"boxes": "c", "classes": "a", "scores": "d", "count": "b"}
    none = {name: np.zeros_like(each[:1]) for name, each in SSD.items()}
    assert np.isnan(plain(detection.statistic(told, none, np.full((1, 1, 5), -1.0), PICTURE)))
    assert msgspec.structs.replace(told, detector=None) == judge.decided(
        msgspec.structs.replace(told, detector=None), SSD, Path()
    )


def test_a_file_that_is_sure_of_everything_is_judged_in_time(monkeypatch):
    """Of the boxes of a row only the best are compared with each other."""
    sure = np.concatenate([np.random.default_rng(0).random((1, 5000, 4)), np.full((1, 5000, 3), 0.5)], axis=2)
    monkeypatch.setattr(decoding, "MOST_CANDIDATES", 20)
    (found,) = decoding.yolo(sure, 3, PICTURE)
    assert 0 < len(found.scores) <= 20
