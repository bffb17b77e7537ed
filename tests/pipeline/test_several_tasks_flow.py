"""Two outputs of one model, each with a task, labels, metric and limit of its own, the whole way."""

import json

import numpy as np
import pytest

from tests.support.commands import edgepress
from tests.support.task_models import WEIGHTS, X, labels_of, write_model
from tests.support.task_plans import page_of, run, task_plan

pytestmark = pytest.mark.frameworks

TASKS = """[[task]]
kind = "regression"
metric = "rmse"
output = "y"
[[task]]
kind = "classification"
output = "twice"
"""
LIMITS = "metric_drop = { y = 0.005, twice = 0.2 }\nmetric_at_least = { twice = 0.5 }\nmetric_at_most = { y = 2.0 }"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The new file answers a tenth more, which is another number and the same class."""
    folder = tmp_path_factory.mktemp("several")
    write_model(folder / "released.onnx", more=True)
    write_model(folder / "model.onnx", WEIGHTS * np.float32(1.1), more=True)
    y = labels_of("regression")
    np.savez(folder / "rows.npz", x=X, **{"labels.y": y, "labels.twice": labels_of("classification")})
    (folder / "rows.py").write_text(
        "import numpy as np\nfrom pathlib import Path\n\n\ndef named():\n"
        '    rows = np.load(Path(__file__).with_name("rows.npz"))\n'
        '    return rows["x"], {name: rows[f"labels.{name}"] for name in ("y", "twice")}\n'
    )
    return folder


@pytest.fixture(scope="module")
def judged(folder):
    return run(folder, task_plan(TASKS, LIMITS))


def rmse(factor):
    return float(np.sqrt(np.mean((X @ WEIGHTS * factor - labels_of("regression")) ** 2)))


def test_each_output_has_its_verdict(judged):
    said, record = judged
    assert said.returncode == 1, said.stderr
    found = {(each.metric, each.task): each for each in record.compared.verdicts}
    assert {key: each.outcome for key, each in found.items()} == {
        ("metric_drop", "y"): "REGRESSED",
        ("metric_drop", "twice"): "PASS",
        ("metric_at_least", "twice"): "PASS",
        ("metric_at_most", "y"): "PASS",
    }
    assert found["metric_drop", "y"].candidate == pytest.approx(rmse(1.1), rel=1e-5)
    assert found["metric_drop", "y"].change == pytest.approx(rmse(1.1) - rmse(1.0), rel=1e-4)
    right = np.mean((X @ WEIGHTS).argmax(1) == labels_of("classification"))
    assert found["metric_drop", "twice"].candidate == pytest.approx(right)
    assert found["metric_drop", "twice"].limit == 0.2


def test_each_output_has_its_metric_on_the_host_on_the_board_and_in_the_report(judged, folder):
    said, record = judged
    told = {each.task: each.value for each in record.loaded.model.qualities}
    assert set(told) == {"y", "twice"}
    one = next(each for each in record.measured.measurements if each.file == "model.onnx (candidate)")
    assert {each.task: each.value for each in one.accuracy.qualities} == pytest.approx(told)
    assert {(each.task, each.subject.name) for each in record.compared.levels} == {
        (task, name) for task in told for name in ("model.onnx", "released.onnx")
    }
    assert record.loaded.model.scored == 1
    assert record.loaded.model.accuracy_ratio == told["twice"]
    words = " ".join(said.stdout.split())
    for each in (
        "y: root mean square error (lower is better)",
        "twice: accuracy (higher is better)",
        "metric_drop (y)",
    ):
        assert each in words
    page = page_of(folder, record)
    assert "By y: root mean square error, " in page
    assert "twice: accuracy" in page
    loaded = edgepress("load", folder / "edge.toml").stdout
    assert f"y, regression: root mean square error {told['y']:.4g}" in loaded
    assert f"twice, classification: accuracy {told['twice']:.4g}" in loaded


def test_one_limit_is_of_all_that_have_labels(folder):
    """Labels from a function, in a dict by the names of the outputs."""
    said, record = run(folder, task_plan(TASKS, "metric_drop = 0.2").replace("rows.npz", "rows:named"))
    assert said.returncode == 0, said.stderr
    assert [(each.task, each.outcome) for each in record.compared.verdicts] == [("y", "PASS"), ("twice", "PASS")]


def test_an_output_without_labels_is_like_its_models_and_not_judged(folder):
    np.savez(folder / "some.npz", x=X, **{"labels.y": labels_of("regression")})
    more = '[convert]\nformats = ["onnx-fp32"]'
    said, record = run(folder, task_plan(TASKS, "metric_drop = 0.3", evaluation="some.npz", more=more))
    assert said.returncode == 0, said.stderr
    assert [(each.task, each.outcome) for each in record.compared.verdicts] == [("y", "PASS")]
    one = next(each for each in record.measured.measurements if each.format == "onnx-fp32")
    assert [each.task for each in one.accuracy.qualities] == ["y"]
    assert [(each.task, each.title, each.value) for each in one.accuracy.alike] == [("twice", "same top class", 1.0)]


def test_the_record_says_which_task_each_number_is_of(judged):
    _, record = judged
    (comparison,) = record.compared.comparisons
    assert [each.task for each in comparison.metric_drops] == ["y", "twice"]
    assert json.loads(json.dumps([each.drop for each in comparison.metric_drops]))[1][0] == 0
