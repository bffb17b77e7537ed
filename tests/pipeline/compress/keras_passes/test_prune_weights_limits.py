"""prune_weights: what it may not take, and what it may change beside the weights that it takes."""

import numpy as np
import pytest

from pipeline import compress, frameworks
from pipeline.compress.base import Changed
from pipeline.compress.callbacks import PruneWeights
from pipeline.compress.context import Context, Dataset
from pipeline.compress.keras_passes import prune_weights
from pipeline.errors import PromiseError, StageError
from tests.pipeline.compress.liars import keras_pass, lying
from tests.support.tiny_model import tiny_model

# --- what may not go


def with_a_weak_layer():
    """Of the smallest weights of all, so that a global threshold takes all of it."""
    model = tiny_model()
    pointwise = model.get_layer("pointwise")
    pointwise.kernel.assign(np.asarray(pointwise.kernel) * 1e-3)
    return model


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("settings", "layer"),
    [
        ({"sparsity": 0.999}, "stem"),
        ({"sparsity": 0.999, "method": "random"}, "stem"),
        ({"sparsity": 0.5, "scope": "global"}, "pointwise"),
        ({"alpha": 0.1, "scope": "global"}, "pointwise"),
        ({"sparsity": 0.999, "recover": {}, "schedule": {}}, "stem"),
        ({"sparsity": 0.5, "scope": "global", "recover": {}, "schedule": {}}, "pointwise"),
    ],
)
def test_no_layer_loses_all_its_weights(settings, layer, sets):
    said = []
    with pytest.raises(
        StageError, match=rf"prune_weights would set all [\d,]+ weights of a kernel of '{layer}'"
    ) as caught:
        compress.apply(
            with_a_weak_layer(), "prune_weights", training=Dataset(*sets.training), tell=lambda *each: said.append(each),
            **settings,
        )  # fmt: skip
    assert f"exclude = ['{layer}']" in caught.value.hint
    assert not said  # found before a training


@pytest.mark.frameworks
def test_a_layer_that_was_zero_before_may_stay_so():
    model = tiny_model()
    model.get_layer("pointwise").kernel.assign(np.zeros(model.get_layer("pointwise").kernel.shape))
    claims = compress.apply(model, "prune_weights", sparsity=0.5, scope="global").claims
    assert claims["most_sparsity_of_a_layer"] == 1


@pytest.mark.frameworks
def test_the_callback_does_not_take_all_of_a_layer_either(sets):
    x, y = sets.training
    model = with_a_weak_layer()
    before = model.get_weights()
    model.compile("sgd", "sparse_categorical_crossentropy")
    pruning = PruneWeights(0.5, scope="global", schedule={"begin_step": 1, "end_step": 2})
    with pytest.raises(StageError, match="weights of a kernel of 'pointwise'"):
        model.fit(x[:200], y[:200], verbose=0, callbacks=[pruning])
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


# --- batch normalisation


@pytest.mark.frameworks
def test_recalibration_sets_the_moving_statistics_and_nothing_else(tiny_folder, sets):
    import keras

    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    rows = Dataset(sets.calibration[0])
    plain, better = (
        compress.apply(model, "prune_weights", calibration=rows, sparsity=0.8, recalibrate=each).changed.model
        for each in (False, True)
    )
    changed = {
        old.path for old, new in zip(plain.weights, better.weights, strict=True) if not np.array_equal(old.numpy(), new.numpy())
    }  # fmt: skip
    assert changed == {"norm/moving_mean", "norm/moving_variance"}
    seen = keras.Model(better.input, better.get_layer("stem").output).predict(rows.x, verbose=0)
    assert np.allclose(better.get_layer("norm").moving_mean, seen.mean((0, 1, 2)), atol=1e-4)


@pytest.mark.frameworks
def test_without_rows_it_says_that_the_statistics_stay():
    without = compress.apply(tiny_model(), "prune_weights", sparsity=0.5).changed.notes
    asked = compress.apply(tiny_model(), "prune_weights", sparsity=0.5, recalibrate=True).changed.notes
    assert len(without) == 1
    assert asked[0].startswith(
        "Batch normalisation keeps the statistics of the model as it was, because there are no rows"
    )


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("weight", "recalibrate"), [("moving_mean", False), ("gamma", True), ("beta", True)]
)  # only what was asked for, and only the statistics
def test_a_normalisation_that_changed_otherwise_is_a_broken_promise(weight, recalibrate):
    settings = prune_weights.Settings(sparsity=0.5, recalibrate=recalibrate)

    def also_the_norm(model, *_):
        prune_weights.apply(model, settings, Context())
        variable = getattr(model.get_layer("norm"), weight)
        variable.assign(np.asarray(variable) + 1)
        return Changed(model)

    with pytest.raises(PromiseError, match=f"'norm/{weight}' that were to be kept have changed"):
        keras_pass(lying(apply=also_the_norm, ensures=prune_weights.ensures), tiny_model(), settings)
