"""Several [[task]] of a plan: what they are called, whose labels are whose, and what is refused."""

import numpy as np
import pytest

from pipeline import compare, load, plan
from pipeline.errors import DataError, EdgepressError, PlanError
from pipeline.progress import Silent
from pipeline.store import Store
from tests.support import detector_models
from tests.support.task_models import X, labels_of, write_model

pytestmark = pytest.mark.frameworks

Y, TWICE = '[[task]]\nkind = "regression"\noutput = "y"\n', '[[task]]\nkind = "classification"\noutput = "twice"\n'
ROWS = {"x": X, "labels.y": labels_of("regression"), "labels.twice": labels_of("classification")}


def read(folder, tables):
    path = folder / "edge.toml"
    path.write_text(f'[model]\npath = "model.onnx"\n[data]\nevaluation = "rows.npz"\n{tables}\n')
    return plan.read(path)


def loaded(folder, tables, rows=ROWS):
    if not (folder / "model.onnx").exists():
        write_model(folder / "model.onnx", more=True)
    np.savez(folder / "rows.npz", **rows)
    return load.load(read(folder, tables), Store(folder / "state"), Silent())[0]


def test_labels_reach_the_task_of_their_output(tmp_path):
    found = loaded(tmp_path, Y + TWICE)
    assert [each.task for each in found.model.qualities] == ["y", "twice"]
    wrong = loaded(tmp_path, Y + TWICE, ROWS | {"labels.y": ROWS["labels.y"] + 1})
    assert wrong.model.qualities[0].value > found.model.qualities[0].value + 0.5
    assert wrong.model.qualities[1].value == found.model.qualities[1].value


def test_one_hot_labels_of_one_of_several_outputs(tmp_path):
    hot = loaded(tmp_path, Y + TWICE, ROWS | {"labels.twice": np.eye(3)[ROWS["labels.twice"]]})
    assert hot.model.accuracy_ratio == hot.model.qualities[1].value == loaded(tmp_path, Y + TWICE).model.accuracy_ratio
    assert any("one-hot" in note for note in hot.notes)


def test_one_output_may_have_two_tasks_of_other_names(tmp_path):
    other = '[[task]]\nkind = "regression"\nmetric = "r2"\noutput = "y"\nname = "fit"\n'
    found = loaded(tmp_path, Y + other)
    assert [each.task for each in found.model.qualities] == ["y", "fit"]
    assert found.model.qualities[0].value < 0.5 < found.model.qualities[1].value < 1


@pytest.mark.parametrize("coco", [True, False])
def test_boxes_and_a_class_of_one_model(tmp_path, coco):
    labels, boxes, kinds, scores = detector_models.drawn()
    scene = np.eye(3, dtype="float32")[np.arange(40) % 3]
    answers = np.concatenate([boxes, scores[..., None], kinds[..., None]], axis=2)
    detector_models.write_copies(tmp_path / "model.onnx", {"found": (4, 6), "scene": (3,)})
    table = '[[task]]\nkind = "detection"\nname = "boxes"\nhead = "boxes"\nunit = "shares"\npicture = [200, 100]\n'
    table += 'outputs = { boxes = "out_found" }\n'
    rows = {"found": answers, "scene": scene, "labels.out_scene": np.arange(40) % 3}
    if coco:
        detector_models.coco(labels, tmp_path / "boxes.json")
        table += 'labels = "boxes.json"\n'
    else:
        rows["labels.boxes"] = labels
    found = loaded(tmp_path, table + '[[task]]\nkind = "classification"\noutput = "out_scene"\n', rows)
    told = {each.task: each.value for each in found.model.qualities}
    assert 0.4 < told["boxes"] < 1
    assert told["out_scene"] == 1


@pytest.mark.parametrize(
    ("tables", "message", "hint"),
    [
        (Y + '[[task]]\nkind = "binary"\n', r"task\[1\]: nothing says which of the outputs", 'output = "..."'),
        (Y + Y, r"task\[1\]: another task is called 'y', too", 'name = "..."'),
        (Y + '[[task]]\noutput = "twice"\n', r"task\[1\]: the plan does not say of which kind", "one of classification"),
        (Y + TWICE + 'metric = "mae"\n', r"task\[1\]\.metric: classification has no metric 'mae'", "It has: accuracy"),
        (Y + TWICE + "blank = 2\n", r"task\[1\]\.blank: classification has no use for it", "Leave it out"),
        (Y + TWICE + "treshold = 2\n", r"task\[1\]: unknown key `treshold`", "Did you mean threshold?"),
        (Y + TWICE.replace("classif", "clasif"), r"task\[1\]\.kind: Invalid enum value", "Did you mean classification?"),
        ('[task]\nkind = "regression"\nname = "y"\n', "task.name: there is one task, which needs no name", "Leave it out"),
        (Y + TWICE + "[limits]\nmetric_drop = { twyce = 0.1 }\n", "limits.metric_drop: no task is called 'twyce'", "Did you mean twice?"),
        (Y + "[limits]\nmetric_drop = { y = 0.1 }\n", "limits.metric_drop: there is one task, and its limit is a number", "metric_drop = 0.01"),
        (Y + TWICE + "[limits]\nmetric_at_least = 0.5\n", "limits.metric_at_least: of the mean absolute error, lower is better", "metric_at_least = { NAME = ... }"),
        (Y + TWICE + "[limits]\nmetric_drop = { y = -0.1 }\n", "limits.metric_drop.y", "docs/plan.md"),
    ],
)  # fmt: skip
def test_what_several_tasks_cannot_be(tmp_path, tables, message, hint):
    write_model(tmp_path / "model.onnx", more=True)
    np.savez(tmp_path / "rows.npz", **ROWS)
    with pytest.raises(PlanError, match=message) as raised:
        found = read(tmp_path, tables + '[compare]\nbaseline = "model.onnx"\n')
        load.check(found)
        compare.check(found, ("onnx",), ("onnxruntime",))
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("tables", "rows", "message", "hint"),
    [
        (Y + TWICE, {"x": X, "y": ROWS["labels.twice"]}, "has labels that name no output, and the plan has 2 tasks", "labels.y and labels.twice"),
        (Y + TWICE, {"x": X, "twice": ROWS["labels.twice"]}, "have 'twice', which is an output of model.onnx", "write labels.twice"),
        (Y + TWICE, ROWS | {"labels.y": ROWS["labels.y"][:79]}, "80 rows but 79 labels in 'labels.y'", "one label for each row"),
        (Y + TWICE, ROWS | {"labels.y": ROWS["labels.y"] * np.nan}, "some labels are NaN or infinite .of the task 'y'", "Leave such rows out"),
        (Y + TWICE, ROWS | {"labels.why": X}, "has labels of 'why', and the model has no output of that name", "Its outputs are y, twice"),
        (Y + TWICE.replace("twice", "twyce"), ROWS, "no output 'twyce'", "Did you mean twice?"),
        (Y + TWICE, ROWS | {"labels.y": X}, r"the labels are float32 of shape \(6,\).*\(of the task 'y'\)", "the right number"),
        (Y + TWICE, ROWS | {"labels.twice": ROWS["labels.y"]}, "not one integer for each row", "regression"),
        (Y + TWICE, ROWS | {"labels.twice": ROWS["labels.twice"] + 1}, "run from 1 to 3, but the model has 3 classes", "from 0"),
    ],
)  # fmt: skip
def test_labels_of_several_tasks_that_do_not_fit(tmp_path, tables, rows, message, hint):
    with pytest.raises(EdgepressError, match=message) as raised:
        loaded(tmp_path, tables, rows)
    assert isinstance(raised.value, DataError | PlanError)
    assert hint in raised.value.hint


def test_all_rows_go_through_one_preprocess(tmp_path):
    (tmp_path / "own.py").write_text("def one(rows):\n    return rows\n\n\ndef other(rows):\n    return rows\n")
    with pytest.raises(PlanError, match=r"task\.preprocess: one task says own:one, and another own:other"):
        loaded(tmp_path, f'{Y}preprocess = "own:one"\n{TWICE}preprocess = "own:other"\n')
    found = loaded(tmp_path, f'{Y}preprocess = "own:one"\n{TWICE}')
    assert len(found.model.qualities) == 2
