"""sensitivity: it finds the part that matters, says what each part bears, and changes nothing."""

import numpy as np
import pytest

from pipeline import compress, frameworks
from pipeline.compress.base import Dataset
from pipeline.errors import DataError, PlanError
from tests.pipeline.conftest import PLAN, through

pytestmark = pytest.mark.frameworks


def points(model, sets, **settings):
    applied = compress.apply(model, "sensitivity", training=Dataset(*sets.training), **settings)
    return {(one.part, one.change, one.amount): one for one in applied.changed.sensitivity}


def test_every_part_and_every_amount_is_measured(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    found = points(model, sets, rows=600, channels=[0.25, 0.5], weights=[0.5], bits=[8, 2])
    layers = {"stem", "depthwise", "pointwise", "hidden", "scores"}
    assert {part for part, change, _ in found if change == "quantize"} == layers
    assert {part for part, change, _ in found if change == "prune_channels"} == {"stem", "pointwise", "hidden"}
    assert len(found) == 3 * 2 + 5 * 3
    base = frameworks.accuracy(model.predict(sets.training[0], verbose=0), sets.training[1])
    for name in layers:
        assert found[name, "quantize", 8].accuracy_ratio == pytest.approx(base, abs=0.01)
        assert found[name, "quantize", 8].error < found[name, "quantize", 2].error
    for name in ("stem", "pointwise", "hidden"):
        assert found[name, "prune_channels", 0.25].error < found[name, "prune_channels", 0.5].error


def test_a_point_is_what_the_changed_model_answers(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    found = points(model, sets, rows=600, channels=[], weights=[0.5], bits=[])["hidden", "prune_weights", 0.5]
    kernel = model.get_layer("hidden").kernel
    values = np.asarray(kernel)
    limit = np.median(np.abs(values))
    before = model.predict(sets.training[0], verbose=0)
    kernel.assign(np.where(np.abs(values) <= limit, 0, values))
    after = model.predict(sets.training[0], verbose=0)
    assert found.accuracy_ratio == pytest.approx(np.mean(after.argmax(-1) == sets.training[1]))
    assert found.agreement_ratio == pytest.approx(np.mean(after.argmax(-1) == before.argmax(-1)))
    assert found.error == pytest.approx(np.sqrt(np.mean((after - before) ** 2)), rel=1e-3)


def test_a_part_that_does_nothing_can_go(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    outgoing = model.get_layer("scores").kernel
    outgoing.assign(np.where(np.arange(12)[:, None] < 6, np.asarray(outgoing), 0))
    hidden = model.get_layer("hidden").kernel
    hidden.assign(np.where(np.arange(12) < 6, np.asarray(hidden), np.asarray(hidden) * 1e-6))
    found = points(model, sets, channels=[0.5], weights=[], bits=[])
    assert found["hidden", "prune_channels", 0.5].error < 1e-6
    assert found["stem", "prune_channels", 0.5].error > 1e-3


def test_names_and_rows_are_needed(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    with pytest.raises(PlanError, match="no layer 'hiden'") as caught:
        points(model, sets, exclude=["hiden"])
    assert "'hidden'" in caught.value.hint
    with pytest.raises(DataError, match="needs rows"):
        compress.apply(model, "sensitivity", evaluation=Dataset(*sets.evaluation))


def test_in_a_plan_it_leaves_the_model_and_its_points_in_the_report(tiny):
    table = '[[compress]]\npass = "sensitivity"\nrows = 50\nchannels = [0.5]\nweights = []\nbits = []\n'
    text = PLAN[: PLAN.index("[[compress]]")] + table + '[convert]\nformats = ["tflite-fp32"]\n'
    whole = through(tiny, text)
    (report,) = whole.compressed.passes
    assert [one.part for one in report.sensitivity] == ["stem", "pointwise", "hidden"]
    assert report.accuracy_after_ratio == report.accuracy_before_ratio
