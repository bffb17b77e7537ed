"""A regression, the whole way: its metric on the board, against the file in use, with a limit, in the report."""

import msgspec
import numpy as np
import pytest

from pipeline.records import RunRecord
from pipeline.store import Store
from tests.support.commands import edgepress
from tests.support.task_models import WEIGHTS, X, labels_of, write_model

pytestmark = pytest.mark.frameworks

PLAN = """[model]
path = "model.onnx"
[task]
kind = "regression"
metric = "rmse"
[data]
evaluation = "rows.npz"
[compare]
baseline = "released.onnx"
[measure]
launches = 1
timed_seconds = 0.01
meters = []
operators = false
[limits]
metric_drop = {limit}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The released file is exact, and the new one a little off."""
    folder = tmp_path_factory.mktemp("task")
    write_model(folder / "released.onnx")
    write_model(folder / "model.onnx", WEIGHTS * np.float32(1.1))
    np.savez(folder / "rows.npz", x=X, y=labels_of("regression"))
    return folder


def run(folder, limit):
    (folder / "edge.toml").write_text(PLAN.format(limit=limit))
    said = edgepress("run", folder / "edge.toml", "-q")
    return said, msgspec.json.decode(Store(folder / ".edgepress").latest_run(), type=RunRecord)


def rmse(factor):
    return float(np.sqrt(np.mean((X @ WEIGHTS * factor - labels_of("regression")) ** 2)))


def test_a_drop_is_judged_on_the_rows_that_the_board_answered(folder):
    said, record = run(folder, 0.005)
    assert said.returncode == 1, said.stderr
    (verdict,) = [each for each in record.compared.verdicts if each.metric == "metric_drop"]
    assert verdict.outcome == "REGRESSED"
    assert verdict.baseline == pytest.approx(rmse(1.0), rel=1e-5)
    assert verdict.candidate == pytest.approx(rmse(1.1), rel=1e-5)
    assert verdict.change == pytest.approx(rmse(1.1) - rmse(1.0), rel=1e-4)
    assert 0.005 < verdict.low < verdict.change < verdict.high
    assert "Quality: root mean square error (lower is better)" in said.stdout
    assert f"{rmse(1.1):.4g}" in said.stdout


def test_a_larger_limit_is_kept(folder):
    said, record = run(folder, 1.0)
    assert said.returncode == 0, said.stderr
    assert [each.outcome for each in record.compared.verdicts if each.metric == "metric_drop"] == ["PASS"]


def test_a_limit_needs_a_task(folder):
    text = PLAN.format(limit=0.1).replace('[task]\nkind = "regression"\nmetric = "rmse"\n', "")
    (folder / "bare.toml").write_text(text)
    said = edgepress("run", folder / "bare.toml")
    assert said.returncode == 2
    assert "limits.metric_drop needs a metric, and the plan names no task" in said.stderr


@pytest.mark.parametrize(("bound", "outcome"), [(0.1, "REGRESSED"), (2.0, "PASS")])
def test_a_metric_is_judged_without_a_baseline(folder, bound, outcome):
    text = PLAN.format(limit=1).replace("metric_drop = 1", f"metric_at_most = {bound}")
    (folder / "bound.toml").write_text(text.replace('[compare]\nbaseline = "released.onnx"\n', ""))
    said = edgepress("run", folder / "bound.toml", "-q")
    record = msgspec.json.decode(Store(folder / ".edgepress").latest_run(), type=RunRecord)
    assert said.returncode == {"PASS": 0, "REGRESSED": 1}[outcome], said.stderr
    (verdict,) = record.compared.verdicts
    assert (verdict.metric, verdict.outcome, verdict.limit) == ("metric_at_most", outcome, bound)
    assert verdict.low < verdict.change == verdict.candidate < verdict.high
    assert verdict.candidate == pytest.approx(rmse(1.1), rel=1e-5)
    assert f"at most {bound:g}" in said.stdout
    (level,) = record.compared.levels
    assert (level.value, level.low, level.high) == (verdict.candidate, verdict.low, verdict.high)
    assert f"{verdict.low:.4g} to {verdict.high:.4g}" in said.stdout
    assert "by basic bootstrap, 1,000 draws, seed 0" in " ".join(said.stdout.split())


def test_few_rows_do_not_decide(folder):
    text = PLAN.format(limit=1).replace("metric_drop = 1", f"metric_at_most = {rmse(1.1):.4f}")
    (folder / "close.toml").write_text(text)
    said = edgepress("run", folder / "close.toml", "-q")
    assert said.returncode == 3, said.stderr
    assert "INCONCLUSIVE  metric_at_most" in said.stdout


def test_a_bound_on_the_good_side_is_refused(folder):
    (folder / "side.toml").write_text(PLAN.format(limit=1).replace("metric_drop = 1", "metric_at_least = 0.9"))
    said = edgepress("run", folder / "side.toml")
    assert said.returncode == 2
    assert "limits.metric_at_least: of the root mean square error, lower is better" in said.stderr
    assert "Write metric_at_most." in said.stderr


def test_without_labels_files_are_compared_in_the_terms_of_the_task(folder):
    np.savez(folder / "bare.npz", x=X)
    text = PLAN.format(limit=1).split("[compare]")[0].replace("rows.npz", "bare.npz")
    text = text.replace('kind = "regression"\nmetric = "rmse"', 'kind = "embedding"')
    (folder / "alike.toml").write_text(text + '[convert]\nformats = ["onnx-fp32"]\n')
    said = edgepress("convert", folder / "alike.toml", "-q")
    assert said.returncode == 0, said.stderr
    assert "cosine similarity to the model's 1" in said.stdout
