"""A regression, the whole way: its metric on the board, against the file in use, with a limit, in the report."""

import numpy as np
import pytest

from tests.support.commands import edgepress
from tests.support.task_models import WEIGHTS, X, labels_of, write_model
from tests.support.task_plans import page_of, run, task_plan, verdict_of

pytestmark = pytest.mark.frameworks

TASK = 'kind = "regression"\nmetric = "rmse"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The released file is exact, and the new one a little off."""
    folder = tmp_path_factory.mktemp("task")
    write_model(folder / "released.onnx")
    write_model(folder / "model.onnx", WEIGHTS * np.float32(1.1))
    np.savez(folder / "rows.npz", x=X, y=labels_of("regression"))
    return folder


def refused(folder, text):
    (folder / "refused.toml").write_text(text)
    said = edgepress("run", folder / "refused.toml")
    assert said.returncode == 2
    return said.stderr


def rmse(factor):
    return float(np.sqrt(np.mean((X @ WEIGHTS * factor - labels_of("regression")) ** 2)))


def test_a_drop_is_judged_on_the_rows_that_the_board_answered(folder):
    said, record = run(folder, task_plan(TASK, "metric_drop = 0.005"))
    assert said.returncode == 1, said.stderr
    verdict = verdict_of(record)
    assert verdict.outcome == "REGRESSED"
    assert verdict.baseline == pytest.approx(rmse(1.0), rel=1e-5)
    assert verdict.candidate == pytest.approx(rmse(1.1), rel=1e-5)
    assert verdict.change == pytest.approx(rmse(1.1) - rmse(1.0), rel=1e-4)
    assert 0.005 < verdict.low < verdict.change < verdict.high
    assert "Quality: root mean square error (lower is better)" in said.stdout
    assert f"{rmse(1.1):.4g}" in said.stdout


def test_a_larger_limit_is_kept(folder):
    said, record = run(folder, task_plan(TASK, "metric_drop = 1.0"))
    assert said.returncode == 0, said.stderr
    assert verdict_of(record).outcome == "PASS"


def test_a_limit_needs_a_task(folder):
    said = refused(folder, task_plan("", "metric_drop = 0.1"))
    assert "limits.metric_drop needs a metric, and the plan names no task" in said


@pytest.mark.parametrize(("bound", "outcome"), [(0.1, "REGRESSED"), (2.0, "PASS")])
def test_a_metric_is_judged_without_a_baseline(folder, bound, outcome):
    said, record = run(folder, task_plan(TASK, f"metric_at_most = {bound}", baseline=None))
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
    said, _ = run(folder, task_plan(TASK, f"metric_at_most = {rmse(1.1):.4f}"))
    assert said.returncode == 3, said.stderr
    assert "INCONCLUSIVE  metric_at_most" in said.stdout


def test_a_bound_on_the_good_side_is_refused(folder):
    said = refused(folder, task_plan(TASK, "metric_at_least = 0.9"))
    assert "limits.metric_at_least: of the root mean square error, lower is better" in said
    assert "Write metric_at_most." in said


def test_without_labels_files_are_compared_in_the_terms_of_the_task(folder):
    """On the host, and as the board answered."""
    np.savez(folder / "bare.npz", x=X)
    more = '[convert]\nformats = ["onnx-fp32"]'
    said, record = run(folder, task_plan('kind = "embedding"', evaluation="bare.npz", more=more))
    assert said.returncode == 0, said.stderr
    (measured,) = [each for each in record.measured.measurements if each.format == "onnx-fp32"]
    (here,) = [each.agreement.alike for each in record.converted if each.format == "onnx-fp32"]
    for alike in (here, measured.accuracy.alike):
        assert [each.title for each in alike] == ["cosine similarity to the model's"]
        assert alike[0].value == pytest.approx(1)
    assert "cosine similarity to the model's 1" in edgepress("convert", folder / "edge.toml", "-q").stdout
    assert "Like its model" in page_of(folder, record)
