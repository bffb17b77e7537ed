"""Pruning as a callback in a training of the user's own."""

import numpy as np
import pytest

from pipeline.compress.callbacks import PruneWeights
from pipeline.compress.sparsity.kernels import prunable_kernels
from pipeline.compress.sparsity.masks import Pattern, keeps_pattern
from pipeline.errors import PlanError, StageError
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.frameworks


def compiled(**options):
    import keras

    model = tiny_model()
    model.compile(keras.optimizers.Adam(5e-3, **options), "sparse_categorical_crossentropy", jit_compile=False)
    return model


def sparsities(model):
    return {kernel.layer: float(np.mean(np.asarray(kernel.variable) == 0)) for kernel in prunable_kernels(model)}


def recorder():
    """Records the sparsity of 'hidden' behind every step."""
    import keras

    class Recorder(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.found = []

        def on_train_batch_end(self, batch, logs=None):
            self.found.append(sparsities(self.model)["hidden"])

    return Recorder()


def test_masks_hold_in_every_step_and_nothing_is_left_behind(sets):
    import keras

    model, record = compiled(), recorder()
    model.get_layer("hidden").kernel.constraint = own = keras.constraints.MaxNorm(1.0)
    model.fit(*sets.training, epochs=2, batch_size=60, verbose=0, callbacks=[PruneWeights(0.75), record])
    assert set(record.found) == {0.75}
    assert model.get_layer("hidden").kernel.constraint is own
    assert np.linalg.norm(np.asarray(model.get_layer("hidden").kernel), axis=0).max() <= 1.0001
    model.fit(*sets.training, epochs=1, batch_size=60, verbose=0)
    assert sparsities(model)["hidden"] < 0.5  # a training without the callback is free again


def test_a_step_that_was_traced_before_is_pruned_too(sets):
    model = compiled()
    model.fit(*sets.training, epochs=1, batch_size=60, verbose=0)
    model.fit(*sets.training, epochs=1, batch_size=60, verbose=0, callbacks=[PruneWeights(0.5, scope="global")])
    kernels = [np.asarray(kernel.variable) for kernel in prunable_kernels(model)]
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
    assert zeros == round(0.5 * sum(kernel.size for kernel in kernels))


def test_sparsity_follows_its_schedule(sets):
    model, record = compiled(), recorder()
    schedule = {"initial_sparsity": 0.25, "begin_step": 4, "end_step": 12, "frequency": 4}
    model.fit(
        *sets.training, epochs=2, batch_size=60, verbose=0, callbacks=[PruneWeights(0.75, schedule=schedule), record]
    )
    # 20 steps; what is recorded behind step n is n + 1 steps in. Half way it is 0.75 - 0.5 / 8.
    expected = [0.0] * 3 + [0.25] * 4 + [0.6875] * 4 + [0.75] * 9
    assert record.found == pytest.approx(expected, abs=1e-3)


def test_several_steps_at_a_time_and_an_average_of_weights(sets):
    import keras

    model = tiny_model()
    optimizer = keras.optimizers.Adam(5e-3, use_ema=True)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False, steps_per_execution=5)
    model.fit(
        *sets.training, epochs=2, batch_size=60, verbose=0, callbacks=[PruneWeights(0.75, schedule={"frequency": 2})]
    )
    assert sparsities(model) == pytest.approx({"stem": 0.75, "pointwise": 0.75, "hidden": 0.75}, abs=0.01)


def test_a_pattern_little_by_little(sets):
    model = compiled()
    model.fit(*sets.training, epochs=2, batch_size=60, verbose=0, callbacks=[PruneWeights(pattern="2:4", schedule={})])
    for kernel in prunable_kernels(model):
        assert keeps_pattern(np.asarray(kernel.variable), Pattern(2, 4), kernel.inputs)
    assert sparsities(model)["hidden"] == 0.5


def test_rows_of_unknown_number_need_an_end_step(sets):
    x, y = sets.training

    def endless():
        while True:
            yield x[:60], y[:60]

    model = compiled()
    with pytest.raises(PlanError, match="the length of the training is not known"):
        model.fit(endless(), epochs=1, verbose=0, callbacks=[PruneWeights(0.5, schedule={})])
    model.fit(endless(), steps_per_epoch=10, verbose=0, callbacks=[PruneWeights(0.5, schedule={})])
    assert sparsities(model)["hidden"] == 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "one of sparsity, alpha and pattern must be given, not none"),
        ({"sparsity": 0.5, "alpha": 0.1}, "not sparsity and alpha"),
        ({"sparsity": 1.5}, "PruneWeights: Expected `float` < 1"),
        ({"sparsity": 0.5, "schedule": {"speed": 1}}, "unknown field `speed`"),
    ],
)
def test_wrong_arguments(given, message):
    with pytest.raises(PlanError, match=message):
        PruneWeights(**given)


def test_layers_that_are_not_there_and_a_model_with_nothing_to_prune(sets):
    with pytest.raises(PlanError, match="no layer 'hiden'") as caught:
        compiled().fit(*sets.training, verbose=0, callbacks=[PruneWeights(0.5, exclude=("hiden",))])
    assert "'hidden'" in caught.value.hint
    with pytest.raises(StageError, match="finds nothing to prune in tiny"):
        compiled().fit(
            *sets.training, verbose=0, callbacks=[PruneWeights(0.5, exclude=("stem", "pointwise", "hidden"))]
        )
