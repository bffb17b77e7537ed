"""A detector's labels, from a COCO file or an array, on their way to its metric."""

import contextlib
import io
import json

import msgspec
import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from pipeline import load, plan
from pipeline.errors import DataError, PlanError
from pipeline.progress import Silent
from pipeline.store import Store
from tests.support import detector_models
from tests.support.detector_models import PICTURE, SIZE

pytestmark = pytest.mark.frameworks
LABELS, BOXES, KINDS, SCORES = detector_models.drawn()
ALL = np.concatenate([BOXES, SCORES[..., None], KINDS[..., None]], axis=2)


def loaded(folder, task, **rows):
    detector_models.write_copies(folder / "model.onnx", {"boxes": (4, 6)})
    np.savez(folder / "rows.npz", **{"boxes": ALL} | rows)
    text = f'[model]\npath = "model.onnx"\n[data]\nevaluation = "rows.npz"\n[task]\nkind = "detection"\n{task}\n'
    (folder / "edge.toml").write_text(text)
    return load.load(plan.read(folder / "edge.toml"), Store(folder / "state"), Silent())[0]


def test_a_file_and_an_array_give_the_same(tmp_path):
    detector_models.coco(LABELS, tmp_path / "boxes.json")
    file = loaded(tmp_path, 'head = "boxes"\nlabels = "boxes.json"')
    array = loaded(tmp_path, f'head = "boxes"\npicture = {list(PICTURE)}', y=LABELS)
    assert 0.4 < file.model.qualities[0].value < 0.9
    assert array.model.qualities[0].value == pytest.approx(file.model.qualities[0].value)
    assert file.model.qualities[0].rows == 40
    assert msgspec.json.decode(msgspec.json.encode(file), type=type(file)) == file
    detector_models.coco(LABELS, tmp_path / "boxes.json", annotations=[])
    with pytest.raises(DataError, match=r"mAP@\[.5:.95\] is not defined on these rows and labels"):
        loaded(tmp_path, 'head = "boxes"\nlabels = "boxes.json"')


def test_labels_that_are_there_twice_or_not_at_all(tmp_path):
    detector_models.coco(LABELS, tmp_path / "boxes.json")
    with pytest.raises(
        DataError, match=r"task\.labels names boxes\.json, and the rows of data\.evaluation have labels"
    ):
        loaded(tmp_path, 'head = "boxes"\nlabels = "boxes.json"', y=LABELS)
    with pytest.raises(PlanError, match=r"task\.labels: .*other\.json"):
        loaded(tmp_path, 'head = "boxes"\nlabels = "other.json"')
    with pytest.raises(PlanError, match=r"task\.outputs\.boxes: model\.onnx has no output 'out_boxen'") as raised:
        loaded(tmp_path, 'head = "boxes"\noutputs = { boxes = "out_boxen" }', y=LABELS)
    assert "Did you mean out_boxes?" in raised.value.hint
    assert loaded(tmp_path, 'head = "boxes"').model.qualities == ()


def test_the_whole_way_gives_what_cocos_own_evaluator_says(tmp_path):
    """Of the same file. Its evaluator takes an annotation of the id 0 for none."""
    detector_models.coco(LABELS, tmp_path / "boxes.json")
    found = loaded(tmp_path, 'head = "boxes"\nlabels = "boxes.json"')
    data = json.loads((tmp_path / "boxes.json").read_text())
    for number, each in enumerate(data["annotations"], 1):
        each |= {"id": number, "iscrowd": 0, "area": each["bbox"][2] * each["bbox"][3]}
    answers = [
        {"image_id": image["id"], "category_id": int(kind) + 1, "score": float(score), "bbox": [*box[:2], *(box[2:] - box[:2])]}
        for image, boxes, scores, kinds in zip(data["images"], BOXES.astype(float) * SIZE, SCORES, KINDS, strict=True)
        for box, score, kind in zip(boxes, scores, kinds, strict=True)
        if score > 0
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        whole = COCO(data)
        evaluated = COCOeval_faster(whole, whole.loadRes(answers), "bbox")
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    assert found.model.qualities[0].value == pytest.approx(evaluated.stats[0], abs=1e-6)
