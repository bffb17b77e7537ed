"""Mean average precision against a value worked out by hand, and against COCO's evaluator."""

import contextlib
import io

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from pipeline.quality.detection import Boxes, at_half, mean_average_precision, overlaps_of
from pipeline.quality.statistic import plain
from tests.support.detections import drawn


def by_coco(truths, found):
    def written(each):
        left, top, right, bottom = map(float, each)
        return [left, top, right - left, bottom - top]

    classes = sorted({int(kind) for each in truths for kind in each.classes})
    labelled = [
        {"image_id": row, "category_id": int(kind), "bbox": written(box), "area": written(box)[2] * written(box)[3], "iscrowd": 0}
        for row, each in enumerate(truths) for box, kind in zip(each.boxes, each.classes, strict=True)
    ]  # fmt: skip
    answers = [
        {"image_id": row, "category_id": int(kind), "bbox": written(box), "score": float(score)}
        for row, each in enumerate(found)
        for box, kind, score in zip(each.boxes, each.classes, each.scores, strict=True)
        if int(kind) in classes
    ]
    data = {
        "images": [{"id": row, "width": 200, "height": 200} for row in range(len(truths))],
        "categories": [{"id": kind, "name": str(kind)} for kind in classes],
        "annotations": [{"id": number, **each} for number, each in enumerate(labelled, 1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        whole = COCO(data)
        evaluated = COCOeval_faster(whole, whole.loadRes(answers), "bbox")
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    return evaluated.stats[0], evaluated.stats[1]


def test_by_hand():
    """Two labelled boxes; a hit (0.9), a miss (0.8), a hit (0.7): precision 1 up to a recall of a half, then 2/3."""
    truths = [Boxes(np.array([[0, 0, 10, 10], [20, 20, 30, 30]]), np.zeros(2))]
    answers = [
        Boxes(np.array([[0, 0, 10, 10], [50, 50, 60, 60], [20, 20, 30, 30]]), np.zeros(3), np.array([0.9, 0.8, 0.7]))
    ]
    wanted = (51 + 50 * 2 / 3) / 101
    detections = mean_average_precision(truths, answers)
    assert plain(detections) == pytest.approx(wanted, abs=1e-15)
    assert plain(at_half(detections)) == pytest.approx(wanted, abs=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_as_coco_has_it(seed):
    truths, found = drawn(seed)
    detections = mean_average_precision(truths, found)
    assert [plain(detections), plain(at_half(detections))] == pytest.approx(by_coco(truths, found), abs=1e-12)


def test_rows_that_count_twice_are_rows_that_come_twice():
    truths, found = drawn(7, rows=20)
    weights = np.random.default_rng(0).integers(0, 3, 20)
    repeated = np.repeat(np.arange(20), weights)
    twice = mean_average_precision([truths[row] for row in repeated], [found[row] for row in repeated])
    once = mean_average_precision(truths, found)
    assert once.value(weights[None].astype(float))[0] == pytest.approx(
        plain(twice), abs=0.02
    )  # ties are in another order


def test_a_class_without_labels_is_left_out():
    truths, found = drawn(8)
    more = [each._replace(classes=np.append(each.classes, 9), boxes=np.concatenate([each.boxes, [[0, 0, 5, 5]]]),
                          scores=np.append(each.scores, 0.99)) for each in found]  # fmt: skip
    assert plain(mean_average_precision(truths, more)) == plain(mean_average_precision(truths, found))
    assert np.isnan(plain(mean_average_precision([Boxes(np.zeros((0, 4)), np.zeros(0))], more[:1])))


def test_a_box_inside_out_is_refused():
    truths, found = drawn(9, rows=3)
    found[2].boxes[0] = [9, 9, 3, 12]
    with pytest.raises(ValueError, match="row 2 has a box whose right or lower side"):
        mean_average_precision(truths, found)


def test_overlaps():
    assert overlaps_of([[0, 0, 2, 2]], [[1, 0, 3, 2], [5, 5, 6, 6], [0, 0, 0, 0]]).tolist() == [[1 / 3, 0, 0]]
