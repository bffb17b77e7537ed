"""Boxes of a COCO file: rows by their order, ids of any kind, and what is not of its form."""

import json

import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.load import coco
from tests.support import detector_models
from tests.support.detector_models import SIZE

LABELS = detector_models.drawn()[0]
SHARES = np.where(LABELS[..., 4:] < 0, -1, LABELS / [*SIZE, 1])


def read(path, rows=40, first=None):
    return coco.boxes_of(path, rows, "task.labels", first)


@pytest.fixture
def path(tmp_path):
    detector_models.coco(LABELS, tmp_path / "boxes.json")
    return tmp_path / "boxes.json"


def changed(path, **more):
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


def test_boxes_as_shares_in_the_order_of_the_rows(path):
    assert read(path) == pytest.approx(SHARES)
    assert read(path, first="listed") == pytest.approx(SHARES)
    assert read(path, first=1)[..., 4].max() == SHARES[..., 4].max() + 1


def test_ids_with_gaps_need_a_word(path):
    content = json.loads(path.read_text())
    for each in (*content["annotations"], *content["categories"]):
        name = "category_id" if "category_id" in each else "id"
        each[name] = 10 * each[name]
    changed(path, **content)
    with pytest.raises(
        DataError, match="run from 10 to 30, and are 3: nothing says which is the model's first class"
    ) as raised:
        read(path)
    assert 'first_class = "listed"' in raised.value.hint
    assert read(path, first="listed") == pytest.approx(SHARES)


def test_crowds_are_left_out_and_rounding_is_cut(path):
    content = json.loads(path.read_text())
    crowd = content["annotations"][0] | {"iscrowd": 1}
    edge = content["annotations"][0] | {"bbox": [-0.5, 10, 20, 30]}
    far = content["annotations"][0] | {"bbox": [-5, 10, 20, 30]}
    changed(path, annotations=[crowd, edge, far])
    found = read(path)
    assert found.shape == (40, 2, 5)
    assert found[0, :, :4] == pytest.approx(np.array([[0, 0.1, 0.0975, 0.3], [-0.025, 0.1, 0.1, 0.3]]))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"images": []}, "has 0 images, and data.evaluation 40 rows"),
        ({"images": [{"id": 1, "width": 9, "height": 9}] * 40}, "the same id to two images"),
        ({"images": [{"id": each, "width": 0, "height": 9} for each in range(40)]}, "without width or height"),
        ({"images": [{"id": each, "width": True, "height": 9} for each in range(40)]}, r"width, height of images.0. are not numbers"),
        ({"images": "x"}, 'no list of dicts "images"'),
        ({"categories": [{"id": "cat"}]}, '"id" of categories is not an integer'),
        ({"annotations": [{"image_id": 3, "category_id": 1}]}, "annotations.0. is of image 3, which is not there"),
        ({"annotations": [{"image_id": 7, "category_id": 9}]}, "is of category 9, which is not there"),
        ({"annotations": [{"image_id": 7, "category_id": 1}]}, '"bbox" of annotations.0. is not x, y, width and height'),
        ({"annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, float("inf")]}]}, "are not numbers"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_form_is_refused(path, more, words):
    changed(path, **more)
    with pytest.raises(DataError, match=words) as raised:
        read(path)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "holds a list, not a dict"),
        ("\udcff", "is not JSON"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path, text, words):
    (tmp_path / "x.json").write_text(text, errors="surrogateescape")
    with pytest.raises(DataError, match=words):
        read(tmp_path / "x.json")


def test_a_file_that_is_too_large(path, monkeypatch):
    monkeypatch.setattr(coco, "MOST_BYTES", 10)
    with pytest.raises(DataError, match="and 10 B are read"):
        read(path)
