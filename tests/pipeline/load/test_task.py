"""[task] of a plan: which metric it names, and labels of every form that reach it."""

import numpy as np
import pytest

from pipeline import load, plan
from pipeline.errors import DataError, PlanError
from pipeline.load import task
from pipeline.progress import Silent
from pipeline.store import Store
from tests.support.task_models import WEIGHTS, X, labels_of, write_model

pytestmark = pytest.mark.frameworks


def loaded(folder, table, *, more=False, weights=WEIGHTS, **rows):
    write_model(folder / "model.onnx", weights, more=more)
    np.savez(folder / "rows.npz", **rows)
    text = f'[model]\npath = "model.onnx"\n[data]\nevaluation = "rows.npz"\n[task]\n{table}\n'
    (folder / "edge.toml").write_text(text)
    return load.load(plan.read(folder / "edge.toml"), Store(folder / "state"), Silent())[0]


def read(folder, table):
    (folder / "edge.toml").write_text(f'[model]\npath = "m.onnx"\n[task]\n{table}\n')
    return task.of_plan(plan.read(folder / "edge.toml"))


def test_the_first_metric_is_the_kinds_own(tmp_path):
    (found,) = read(tmp_path, 'kind = "regression"')
    assert (found.metric, found.title, found.higher_is_better, found.ratio) == (
        "mae",
        "mean absolute error",
        False,
        False,
    )
    assert read(tmp_path, "") == ()


@pytest.mark.parametrize(
    ("table", "message", "hint"),
    [
        ('metric = "mae"', "task.metric: the plan does not say of which kind", "kind = ..., one of classification, binary"),
        ('kind = "regression"\nmetric = "rsme"', "regression has no metric 'rsme'", "Did you mean rmse?"),
        ('kind = "regression"\nmetric = "own:f"', "regression has no metric 'own:f'", 'kind = "custom"'),
        ('kind = "regression"\nthreshold = 0.5', "task.threshold: regression has no use for it", "Leave it out"),
        ('kind = "segmentation"\nblank = 1', "segmentation has no use for it", "Its settings are ignored, threshold"),
        ('kind = "detector"', "task.kind: ", "docs/plan.md"),
        ('kind = "detection"', "task.head: the plan does not say how", "one of ssd, yolo, anchors, boxes"),
        ('kind = "detection"\nhead = "ssd"\noutput = "y"', "task.output: a detector may have several", "outputs ="),
        ('kind = "detection"\nhead = "ssd"\nclasses = 3', "task.classes: the head 'ssd' has no use", "It is of yolo"),
        ('kind = "detection"\nhead = "anchors"', "task.anchors: the plan does not say where", "the stride of each layer"),
        ('kind = "detection"\nhead = "yolo"', "task.classes: one more class and an objectness", "objectness = true"),
        ('kind = "detection"\nhead = "ssd"\nlabels = "b"\nlabel_unit = "pixels"', "task.label_unit: boxes of a COCO", "Leave"),
        ('kind = "regression"\nhead = "ssd"', "task.head: regression has no use for it", "Leave it out"),
    ],
)  # fmt: skip
def test_what_no_task_has_is_refused(tmp_path, table, message, hint):
    with pytest.raises(PlanError, match=message) as raised:
        read(tmp_path, table)
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("kind", "metric", "least"),
    [("classification", "f1", 0.8), ("multilabel", "auroc", 0.9), ("regression", "r2", 0.9), ("embedding", "recall@1", 0.6)],
)  # fmt: skip
def test_labels_of_every_form_reach_their_metric(tmp_path, kind, metric, least):
    y = labels_of(kind)
    found = loaded(tmp_path, f'kind = "{kind}"\nmetric = "{metric}"', x=X, y=y)
    assert least < found.model.qualities[0].value < 1
    assert found.model.qualities[0].rows == 80
    assert found.model.classes == (kind == "classification")
    assert (found.model.accuracy_ratio is None) == (kind != "classification")
    if kind != "classification":
        rows = found.data.evaluation
        assert rows.y is None
        assert np.load(Store(tmp_path / "state").path(rows.targets)).dtype == y.dtype


def test_the_output_is_the_one_that_the_plan_names(tmp_path):
    y = labels_of("regression")
    told = 'kind = "regression"\nmetric = "rmse"\noutput = "{}"'
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one = loaded(tmp_path / "one", told.format("y"), more=True, x=X, y=y)
    other = loaded(tmp_path / "other", told.format("twice"), more=True, x=X, y=2 * y)
    assert other.model.qualities[0].value == pytest.approx(2 * one.model.qualities[0].value, rel=1e-5)
    with pytest.raises(PlanError, match=r"task\.output: model\.onnx has no output 'twyce'") as raised:
        loaded(tmp_path, told.format("twyce"), more=True, x=X, y=y)
    assert "Did you mean twice?" in raised.value.hint
    classes = loaded(
        tmp_path / "one", 'kind = "classification"\noutput = "twice"', more=True, x=X, y=np.eye(3)[y.argmax(1)]
    )
    assert classes.model.scored == 1
    assert classes.model.accuracy_ratio == classes.model.qualities[0].value > 0.8
    with pytest.raises(DataError, match="2 of them may be scores of classes") as asked:
        loaded(tmp_path / "one", "", more=True, x=X, y=y.argmax(1))
    assert 'kind = "classification", output = "y" (docs/tasks.md)' in asked.value.hint
    with pytest.raises(PlanError, match=r"has 2 outputs, and \[task\] does not say which"):
        loaded(tmp_path, 'kind = "regression"', more=True, x=X, y=y)


@pytest.mark.parametrize(
    ("kind", "y", "message", "hint"),
    [
        ("regression", np.zeros((80, 2)), "the labels are float64 of shape .2,. for a row, and the answers", "the right number"),
        ("regression", np.zeros((79, 3)), "has 80 rows but 79 labels", "one label for each row"),
        ("regression", np.full((80, 3), np.nan), "some labels are NaN or infinite", "Leave such rows out"),
        ("multilabel", np.full((80, 3), 2), "the labels are int64", "0 or 1 for each class"),
        ("segmentation", np.zeros((80, 3), int), "the labels are int64 of shape", "maps of class numbers"),
        ("binary", np.zeros(80, int), "the answers are float32 of shape .3,. for a row, not one score or two", "another"),
        ("classification", labels_of("regression"), "not one integer for each row", "class"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_told_what_is_wanted(tmp_path, kind, y, message, hint):
    with pytest.raises(DataError, match=message) as raised:
        loaded(tmp_path, f'kind = "{kind}"', x=X, y=y)
    assert raised.value.exit_code == 2
    assert hint in raised.value.hint


def test_a_reconstruction_is_judged_by_the_rows_themselves(tmp_path):
    """It answers the first three values twice: rows whose last three are others are anomalies."""
    weights = np.concatenate([np.eye(6, 3), np.zeros((6, 3))], axis=1).astype("float32")
    x = X.copy()
    x[:, 3:] = 0
    x[::4, 3:] = 2
    found = loaded(tmp_path, 'kind = "reconstruction"', weights=weights, x=x, y=(np.arange(80) % 4 == 0).astype(int))
    assert found.model.qualities[0].value == 1
    with pytest.raises(DataError, match=r"a row is \(6,\), and its answer \(3,\)"):
        loaded(tmp_path, 'kind = "reconstruction"', x=X, y=labels_of("embedding") % 2)


def test_fewer_rows_than_the_metric_needs(tmp_path):
    with pytest.raises(DataError, match="R2 needs 3 rows or more, and there are 2"):
        loaded(tmp_path, 'kind = "regression"\nmetric = "r2"', x=X[:2], y=labels_of("regression")[:2])


def test_a_metric_that_is_not_defined_is_refused(tmp_path):
    with pytest.raises(DataError, match="R2 is not defined on these rows and labels"):
        loaded(tmp_path, 'kind = "regression"\nmetric = "r2"', x=X, y=np.ones((80, 3)))


def test_a_task_without_labels_has_no_quality(tmp_path):
    found = loaded(tmp_path, 'kind = "regression"', x=X)
    assert found.model.qualities == ()
    assert found.data.tasks[0].metric == "mae"


def test_other_labels_of_the_same_rows_are_read_again(tmp_path):
    y = labels_of("regression")
    first = loaded(tmp_path, 'kind = "regression"', x=X, y=y)
    again = loaded(tmp_path, 'kind = "regression"', x=X, y=y + 1)
    assert again.model.qualities[0].value > first.model.qualities[0].value + 0.5
