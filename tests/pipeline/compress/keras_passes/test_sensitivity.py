"""sensitivity: it finds the part that matters, says what each part bears, and changes nothing."""

import json

import numpy as np
import pytest

from pipeline import compress, frameworks, units
from pipeline.compress.context import Dataset
from pipeline.errors import DataError, PlanError
from pipeline.store import sealed, unsealed
from tests.support.tiny_model import PLAN, through

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


def test_each_output_channel_is_rounded_by_its_own_range():
    """Also where the outputs are not on the last axis: a channel that is 1,000 times smaller keeps its shape."""
    import keras
    from keras import layers

    from pipeline.compress.keras_passes import sensitivity
    from pipeline.compress.sparsity.kernels import kernels_of

    image = keras.Input((4, 4, 3))
    made = {
        "depthwise": (layers.DepthwiseConv2D(3, name="depthwise"), (slice(None), slice(None), 1, slice(None))),
        "transposed": (layers.Conv2DTranspose(2, 3, name="transposed"), (slice(None), slice(None), 1, slice(None))),
    }
    for name, (layer, small) in made.items():
        model = keras.Model(image, layer(image))
        values = np.asarray(layer.kernel).copy()
        values[small] *= 1e-3
        layer.kernel.assign(values)
        (kernel,) = (one for one in kernels_of(model) if one.layer == name)
        rounded = sensitivity._rounded(kernel, 4)
        assert np.abs(rounded - values)[small].max() <= np.abs(values[small]).max() / 14 * 1.001
        assert len(np.unique(rounded[small])) > 5


def test_a_part_that_does_nothing_can_go(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    outgoing = model.get_layer("scores").kernel
    outgoing.assign(np.where(np.arange(12)[:, None] < 6, np.asarray(outgoing), 0))
    hidden = model.get_layer("hidden").kernel
    hidden.assign(np.where(np.arange(12) < 6, np.asarray(hidden), np.asarray(hidden) * 1e-6))
    found = points(model, sets, channels=[0.5], weights=[], bits=[])
    assert found["hidden", "prune_channels", 0.5].error < 1e-6
    assert found["stem", "prune_channels", 0.5].error > 1e-3


class Stopped(Exception):
    pass


def test_a_stopped_call_goes_on_behind_the_last_point_and_tells_the_accuracy(tiny_folder, sets, tmp_path):
    how = {"rows": 100, "channels": [0.5], "weights": [0.5], "bits": [4], "resume": tmp_path}
    told: list[tuple[int, str]] = []

    def stop(done, of, note):
        told.append((done, note))
        if done == 5:
            raise Stopped

    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    with pytest.raises(Stopped):
        points(model, sets, tell=stop, **how)
    (file,) = tmp_path.iterdir()
    kept = json.loads(unsealed(file.read_bytes()))
    assert len(kept) == 5
    assert told[-1][1].endswith(f"accuracy {units.percent(kept[-1]['accuracy_ratio'])}")
    kept[0]["error"] = 123.0  # to tell what was read from what is measured again
    file.write_bytes(sealed(json.dumps(kept).encode()))
    found = points(model, sets, **how)
    whole = points(model, sets, **how | {"resume": None})
    differing = [key for key in whole if found[key] != whole[key]]
    assert list(found) == list(whole)
    assert [found[key].error for key in differing] == [123.0]
    other = points(model, sets, **how | {"rows": 90})
    assert all(one.error != 123.0 for one in other.values())
    hidden = model.get_layer("hidden").kernel
    hidden.assign(np.asarray(hidden) * 0.9)
    assert all(one.error != 123.0 for one in points(model, sets, **how).values())


def test_a_damaged_file_of_points_is_not_used(tiny_folder, sets, tmp_path):
    how = {"rows": 50, "channels": [], "weights": [0.5], "bits": [], "resume": tmp_path}
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    first = points(model, sets, **how)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:20])
    assert points(model, sets, **how) == first


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
    assert whole.compressed.model == whole.loaded.model
