"""What detectors answer, in every layout that is known, becomes the same boxes."""

import numpy as np
import pytest

from pipeline.quality import decoding
from pipeline.quality.decoding import SsdOutputs, Undecided

WIDTH, HEIGHT, COUNT = 640, 480, 2100
WANTED = [[80 / WIDTH, 170 / HEIGHT, 120 / WIDTH, 230 / HEIGHT]]


def heads(classes=3, count=COUNT):
    """A box of class 1 (score .9), one of the same class that overlaps (.8), and one of another class there (.7); centres, in pixels."""
    values = np.zeros((1, 4 + classes, count))
    values[0, :4] = np.random.default_rng(0).uniform(0, WIDTH, (4, count))
    for place, (x, kind, score) in enumerate([(100, 1, 0.9), (102, 1, 0.8), (102, classes - 1, 0.7)]):
        values[0, :4, place] = [x, 200, 40, 60]
        values[0, 4 + kind, place] = score
    return values


def with_objectness(values):
    sure = np.where(values[:, 4:].max(1, keepdims=True) > 0.5, 1.0, 0.0)
    return np.concatenate([values[:, :4], sure, values[:, 4:]], axis=1)


def in_shares(values):
    return np.concatenate([values[:, :4] / np.array([WIDTH, HEIGHT] * 2)[:, None], values[:, 4:]], axis=1)


LAYOUTS = {
    "boxes last": lambda: heads().transpose(0, 2, 1),
    "boxes first": heads,
    "objectness": lambda: with_objectness(heads()).transpose(0, 2, 1),
    "objectness, boxes first": lambda: with_objectness(heads()),
    "shares of the picture": lambda: in_shares(heads()),
    "logits": lambda: np.concatenate([heads()[:, :4], _logits(heads()[:, 4:])], axis=1),
    "80 classes": lambda: heads(80),
    "one class": lambda: heads(2)[:, [0, 1, 2, 3, 5]],
}


def _logits(scores):
    scores = np.clip(scores, 1e-4, 1 - 1e-4)
    return np.log(scores / (1 - scores))


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_of_yolo(name):
    values = LAYOUTS[name]()
    classes = {"80 classes": 80, "one class": 1}.get(name, 3)
    (found,) = decoding.yolo(values, classes, (WIDTH, HEIGHT), least=0.25)
    np.testing.assert_allclose(found.boxes[0], WANTED[0], atol=1e-12)
    assert found.scores[0] == pytest.approx(0.9)
    others = {"one class": []}.get(name, [classes - 1])
    assert found.classes.tolist() == [0 if name == "one class" else 1, *others]


def test_what_the_graph_has_suppressed():
    values = np.zeros((2, 300, 6))
    values[1, 0] = [80, 170, 120, 230, 0.9, 1]
    none, one = decoding.yolo(values, 80, (WIDTH, HEIGHT))
    assert len(none.boxes) == 0
    np.testing.assert_allclose(one.boxes, WANTED)
    assert (one.classes.tolist(), one.scores.tolist()) == ([1], [0.9])


def test_classes_that_do_not_fit_the_shape_are_not_guessed():
    with pytest.raises(
        Undecided, match=r"answers of shape \(7, 2100\) for a row are not boxes of 4 \+ 5 or 5 \+ 5 values"
    ):
        decoding.yolo(heads(), 5, (WIDTH, HEIGHT))
    with pytest.raises(Undecided):
        decoding.yolo(np.zeros((3, 10)), 5, (WIDTH, HEIGHT))


def ssd_answers(rows=2, slots=10):
    found = {
        "d": np.zeros((rows, slots, 4)), "a": np.zeros((rows, slots)), "c": np.zeros((rows, slots)), "b": np.full((rows, 1), 2.0),
    }  # fmt: skip
    found["d"][1, :3] = [[0.1, 0.2, 0.5, 0.4], [0.5, 0.5, 0.9, 0.8], [9, 9, 9, 9]]
    found["a"][1, :3] = [3, 1, 7]
    found["c"][1, :3] = [0.9, 0.6, 0.5]
    return found


def test_the_outputs_of_an_ssd_are_told_by_what_they_hold():
    answers = ssd_answers()
    outputs = decoding.ssd_outputs(answers)
    assert outputs == SsdOutputs(boxes="d", classes="a", scores="c", number="b")
    nothing, found = decoding.ssd(answers, outputs)
    assert len(nothing.boxes) == 0
    assert found.boxes.tolist() == [[0.2, 0.1, 0.4, 0.5], [0.5, 0.5, 0.8, 0.9]]  # the third slot is after the count
    assert (found.classes.tolist(), found.scores.tolist()) == ([3, 1], [0.9, 0.6])
    (flat,) = decoding.ssd({name: each[1:, ...].squeeze(0)[None] for name, each in answers.items()}, outputs)
    assert flat.boxes.tolist() == found.boxes.tolist()


def test_an_ssd_that_sees_nothing_is_not_guessed():
    with pytest.raises(Undecided, match="which of 'a' and 'c' has classes and which scores"):
        decoding.ssd_outputs({name: each * 0 for name, each in ssd_answers().items()})
    with pytest.raises(Undecided, match="not the four outputs"):
        decoding.ssd_outputs({"boxes": np.zeros((1, 10, 4)), "scores": np.zeros((1, 10))})


def test_anchors_of_mediapipe():
    for size, layers, count in ((128, ((8, 2), (16, 6)), 896), (256, ((16, 2), (32, 6)), 896), (192, ((4, 1),), 2304)):
        centres = decoding.anchors(size, layers)
        assert centres.shape == (count, 2)
        assert centres.min() > 0
        assert centres.max() < 1
    np.testing.assert_allclose(centres[:2], [[0.5 / 48, 0.5 / 48], [1.5 / 48, 0.5 / 48]])


def test_boxes_from_anchors_are_blended_by_score():
    centres = decoding.anchors(128, ((8, 2), (16, 6)))
    offsets, scores = np.zeros((1, 896, 16)), np.full((1, 896, 1), -90.0)
    for place, (shift, score) in {100: (0, 3.0), 101: (2, 1.0)}.items():  # both of one cell
        offsets[0, place, :4], scores[0, place] = [shift, 0, 32, 64], score
    (found,) = decoding.anchored(offsets, scores, centres, 128)
    likely = 1 / (1 + np.exp(-np.array([3.0, 1.0])))
    x, y = centres[100] + [2 / 128 * likely[1] / likely.sum(), 0]
    np.testing.assert_allclose(found.boxes, [[x - 1 / 8, y - 1 / 4, x + 1 / 8, y + 1 / 4]])
    assert found.scores.tolist() == [likely[0]]


def test_no_more_boxes_than_asked_for():
    boxes = np.stack([np.arange(9.0), np.zeros(9), np.arange(9.0) + 0.5, np.ones(9)], axis=1)
    found = decoding.suppressed(boxes, np.zeros(9, int), np.linspace(0.1, 0.9, 9), most=4)
    assert found.scores.tolist() == sorted(found.scores, reverse=True)
    assert len(found.boxes) == 4
