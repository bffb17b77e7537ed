"""A metric and a postprocess of the user's own, the whole way: they judge what the board answered, in pairs."""

import numpy as np
import pytest

from tests.support import task_plans
from tests.support.commands import edgepress
from tests.support.task_models import WEIGHTS, X, labels_of, write_model
from tests.support.task_plans import task_plan, verdict_of

pytestmark = pytest.mark.frameworks

TASK = """kind = "custom"
metric = "judging:near"
higher_is_better = false
postprocess = "judging:halved"
"""
PLAN = task_plan(TASK, "metric_drop = 0.001")
JUDGING = """import numpy as np

def halved(outputs):
    return {"half": outputs["twice"] / 2}

def near(outputs, labels):
    assert set(outputs) == {"half"}
    apart = np.abs(outputs["half"] - labels)
    return {"mean": apart.mean(), "largest": apart.max()}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    write_model(folder / "released.onnx", more=True)
    write_model(folder / "model.onnx", WEIGHTS * np.float32(1.1), more=True)
    np.savez(folder / "rows.npz", x=X, y=labels_of("regression"))
    return folder


def run(folder, judging):
    (folder / "judging.py").write_text(judging)
    said, record = task_plans.run(folder, PLAN)
    return said, record, verdict_of(record)


def test_the_difference_is_judged_in_pairs_of_draws(folder):
    said, record, verdict = run(folder, JUDGING)
    assert said.returncode == 1, said.stderr
    assert verdict.outcome == "REGRESSED"
    apart = [np.abs(X @ WEIGHTS * np.float32(factor) - labels_of("regression")) for factor in (1.0, 1.1)]
    assert [verdict.baseline, verdict.candidate] == pytest.approx([each.mean() for each in apart], rel=1e-4)
    assert 0.001 < verdict.low < verdict.change < verdict.high
    assert record.loaded.model.qualities[0].others == pytest.approx({"largest": apart[1].max()}, rel=1e-4)
    board = next(each for each in record.measured.measurements if each.file == "model.onnx (candidate)")
    assert board.accuracy.qualities[0].others == pytest.approx({"largest": apart[1].max()}, rel=1e-4)
    assert "Quality: near (lower is better)" in said.stdout
    assert (
        f"custom: near {apart[1].mean():.4g} (largest {apart[1].max():.4g})"
        in edgepress("load", folder / "edge.toml").stdout
    )
    page = next((folder / ".edgepress").rglob("*.html")).read_text()
    assert "Other numbers of the metric" in page
    assert "largest" in page


def test_a_metric_that_is_too_slow_for_draws_decides_nothing(folder):
    said, _, verdict = run(
        folder, "import time\n" + JUDGING.replace("    assert set", "    time.sleep(0.4)\n    assert set")
    )
    assert said.returncode == 3, said.stderr
    assert (verdict.outcome, verdict.low, verdict.high) == ("INCONCLUSIVE", None, None)
    assert verdict.why == "there is no interval: the metric takes too long to be computed on 200 draws of the rows"


def test_a_metric_that_fails_for_one_file_names_it(folder):
    """It answers for the plan's model, and not for the baseline, whose answers are smaller."""
    largest = 1.05 * np.abs(X @ WEIGHTS).max()
    (folder / "judging.py").write_text(
        JUDGING.replace("    apart =", f"    assert np.abs(outputs['half']).max() > {largest}, 'small'\n    apart =")
    )
    (folder / "edge.toml").write_text(PLAN)
    said = edgepress("convert", folder / "edge.toml", "-q")
    assert said.returncode == 2
    assert (
        "task.metric: judging:near raised AssertionError: small (judging.py, line 8) (of what released.onnx answers)"
        in said.stderr
    )
