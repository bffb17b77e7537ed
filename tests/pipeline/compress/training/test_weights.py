"""Weights of rows and of classes: they are in the loss as Keras has them, and in what decides whether the training helped."""

import numpy as np
import pytest

from pipeline.compress import training
from pipeline.compress.context import Context, Dataset
from pipeline.compress.settings import Recover
from pipeline.compress.training import compiled, objective
from pipeline.errors import DataError, PlanError
from pipeline.plan_tables import TrainingTable
from tests.support.tiny_model import rows, tiny_model
from tests.support.trained_models import maps, regression, segmentation, sizes, two_heads, two_labels

pytestmark = pytest.mark.frameworks
HOW = Recover(epochs=1, batch_size=25)
WEIGHTS = np.random.default_rng(0).uniform(0, 3, 60).astype(np.float32)


def context_of(model, data, **learn):
    table = TrainingTable(**learn)
    return Context(training=data, compiled=compiled.of_model(model), original=lambda: model, learn=table)


def loss_of(model, context, data):
    prepared = objective.prepare(model, HOW, context)
    every = np.arange(data.rows)
    batch = {"x": prepared.x.take(every), "y": [each.take(every) for each in prepared.labels]}
    if prepared.weights is not None:
        batch["weights"] = [prepared.weights.take(every)]
    return float(prepared.loss(batch)[0])


def test_the_weighted_loss_is_the_one_that_keras_computes():
    model, data = two_heads(fitted=False), two_labels(60, weights=WEIGHTS)
    wanted = model.evaluate(
        data.x, dict(data.targets), sample_weight=WEIGHTS, batch_size=60, verbose=0, return_dict=True
    )
    assert loss_of(model, context_of(model, data), data) == pytest.approx(wanted["loss"], rel=1e-5)


def test_maps_are_weighted_by_their_rows():
    x, y = maps(60)
    model, data = segmentation(fitted=False), Dataset(x, targets={"": y}, weights=WEIGHTS[:, None])
    wanted = model.evaluate(
        x, y, sample_weight=np.broadcast_to(WEIGHTS[:, None, None], y.shape), batch_size=60, verbose=0
    )
    assert loss_of(model, context_of(model, data), data) == pytest.approx(wanted, rel=1e-5)


def test_classes_have_weights_of_their_own():
    (x, y), model = rows(60, 1), tiny_model()
    model.compile("adam", "sparse_categorical_crossentropy")
    weights = np.array([1.0, 0.0, 1.0, 5.0])[y] * WEIGHTS
    data = Dataset(x, y, weights=WEIGHTS)
    mine = loss_of(model, context_of(model, data, class_weight={"1": 0.0, "3": 5.0}), data)
    share = np.asarray(model(x, training=True))[np.arange(60), y]
    assert mine == pytest.approx(float(np.mean(-weights * np.log(share))), rel=1e-4)


def test_a_row_without_weight_teaches_nothing():
    model = regression(fitted=False)
    lies = sizes(400)
    wrong = np.arange(400) % 2 == 1
    data = Dataset(lies.x, targets={"": np.where(wrong[:, None], 9, lies.targets[""])}, weights=1.0 * ~wrong)
    notes = training.recover(model, Recover(epochs=15, batch_size=20, learning_rate=5e-3), context_of(model, data))
    assert np.abs(model.predict(lies.x, verbose=0) - lies.targets[""]).mean() < 0.4
    assert "the weighted mean_squared_error was" in notes[1]


@pytest.mark.parametrize(
    ("weights", "classes", "error", "message"),
    [
        (WEIGHTS - 1, {}, DataError, "negative numbers"),
        (WEIGHTS * 0, {}, DataError, "are all 0"),
        (WEIGHTS[:50], {}, DataError, r"have the shape \(50,\), and there are 60 rows"),
        (None, {"7": 2.0}, PlanError, "training.class_weight: no label is 7; they go up to 3"),
    ],
)
def test_weights_that_cannot_be(weights, classes, error, message):
    x, y = rows(60, 1)
    model = tiny_model()
    with pytest.raises(error, match=message) as caught:
        training.check(model, HOW, context_of(model, Dataset(x, y, weights=weights), class_weight=classes))
    assert caught.value.hint


def test_class_weights_need_one_class_for_each_row():
    for model, data in ((two_heads(fitted=False), two_labels(60)), (regression(fitted=False), sizes(60))):
        with pytest.raises(PlanError, match=r"training.class_weight: (several outputs|the labels of 'size')"):
            training.check(model, HOW, context_of(model, data, class_weight={"1": 2.0}))
