"""Training from labels of any task: which loss is taken for which output, and which labels do not fit it."""

import numpy as np
import pytest

from pipeline import compress
from pipeline.compress import training
from pipeline.compress.context import Dataset
from pipeline.compress.settings import Recover
from pipeline.compress.training import objective
from pipeline.errors import DataError, PlanError, StageError
from pipeline.plan_tables import TrainingTable
from tests.support.trained_models import (
    context_of,
    maps,
    numbers,
    regression,
    segmentation,
    sizes,
    task,
    two_heads,
    two_labels,
)

pytestmark = pytest.mark.frameworks
HOW = Recover(epochs=4, batch_size=25, learning_rate=3e-3)


def losses_of(model, data, how=HOW, **more):
    found = objective.prepare(model, how, context_of(model, data, **more))
    return {each.name: (each.loss.name, each.weight) for each in found.labels}


# --- it works


def test_a_regression_recovers_from_its_labels():
    model, (x, _, size) = regression(), numbers(400, 3)

    def error(each):
        return float(np.abs(each.predict(x, verbose=0) - size).mean())

    pruned = compress.apply(model, "prune_channels", ratio=0.6, round_to=1).changed.model
    pruned.compile("sgd", loss="mse")
    found = compress.apply(pruned, "recover", training=sizes(600), epochs=10, batch_size=25, learning_rate=5e-3)
    assert error(found.changed.model) < 0.6 * error(pruned)
    assert found.changed.notes[0] == "it learns from labels by mean_squared_error"
    assert "the mean_squared_error was" in found.changed.notes[1]


def test_a_segmentation_recovers_from_its_maps():
    model, (x, y) = segmentation(), maps(100, 3)

    def right(each):
        return float((each.predict(x, verbose=0).argmax(-1) == y)[y != 255].mean())

    pruned = compress.apply(model, "prune_channels", ratio=0.7, round_to=1).changed.model
    context = context_of(model, Dataset(*maps(200)[:1], targets={"": maps(200)[1]}), tasks=(task("segmentation"),))
    before = right(pruned)
    training.recover(pruned, Recover(epochs=8, batch_size=20, learning_rate=1e-2), context)
    assert right(pruned) > before + 0.01


def test_two_heads_are_trained_for_8_bits_by_their_two_losses():
    model, (x, kind, size) = two_heads(weights={"kind": 1.0, "size": 0.5}), numbers(400, 3)
    found = compress.apply(
        model, "quantize_aware", training=two_labels(600), recover={"epochs": 3, "batch_size": 30}
    ).changed
    assert "'size' learns from labels by mean_squared_error, with the weight 0.5" in found.notes[0]
    assert "'kind' learns from labels by sparse_categorical_crossentropy" in found.notes[0]
    assert "the mean_squared_error of 'size' was" in found.notes[1]
    answers = found.model.predict(x, verbose=0)
    assert (answers["kind"].argmax(-1) == kind).mean() > 0.75
    assert np.abs(answers["size"] - size).mean() < 0.3


def test_the_loss_is_the_one_that_keras_computes():
    model, data = two_heads(weights={"kind": 2.0, "size": 0.5}), two_labels(60)
    prepared = objective.prepare(model, HOW, context_of(model, data))
    batch = {
        "x": [data.x],
        "y": [each.take(np.arange(60)) for each in prepared.labels],
    }
    wanted = model.evaluate(data.x, dict(data.targets), batch_size=60, verbose=0, return_dict=True)["loss"]
    assert float(prepared.loss(batch)[0]) == pytest.approx(wanted, rel=1e-5)


def test_labels_go_to_their_outputs_by_name_alone():
    """Keras matches a list to the sorted keys: a and z have one shape, and would be swapped without a word."""
    import keras

    x = keras.Input((8,), name="x")
    model = keras.Model(x, {"z": keras.layers.Dense(1, name="one")(x), "a": keras.layers.Dense(1, name="two")(x)})
    rows, _, size = numbers(300)
    learn = TrainingTable(loss={"a": "mse", "z": "mse"})
    data = Dataset(rows, targets={"z": 5 + 0 * size, "a": -5 + 0 * size})
    training.recover(model, Recover(epochs=30, batch_size=20, learning_rate=0.1), context_of(model, data, learn=learn))
    answers = model.predict(rows, verbose=0)
    assert np.abs(answers["z"] - 5).mean() < 1
    assert np.abs(answers["a"] + 5).mean() < 1


# --- which loss


def test_the_plan_comes_before_the_file_and_the_file_before_the_task():
    model = regression("mae", fitted=False)
    assert losses_of(model, sizes()) == {"size": ("mean_absolute_error", 1.0)}
    assert losses_of(model, sizes(), tasks=(task("regression"),)) == {"size": ("mean_absolute_error", 1.0)}
    learn = TrainingTable(loss="huber", loss_weights={"size": 3.0})
    assert losses_of(model, sizes(), learn=learn) == {"size": ("huber", 3.0)}
    weighed = TrainingTable(loss_weights={"size": 0.5})
    assert losses_of(model, sizes(), learn=weighed) == {"size": ("mean_absolute_error", 0.5)}
    model.compiled = False
    assert losses_of(model, sizes(), tasks=(task("regression"),)) == {"size": ("mean_squared_error", 1.0)}


def test_each_of_several_outputs_learns_by_the_kind_of_its_own_task():
    model = two_heads(fitted=False)
    model.compiled = False
    tasks = (task("regression", output="size", name="size"), task("classification", output="kind", name="kind"))
    assert losses_of(model, two_labels(60), tasks=tasks) == {
        "size": ("mean_squared_error", 1.0),
        "kind": ("sparse_categorical_crossentropy", 1.0),
    }


@pytest.mark.parametrize(
    ("activation", "kind", "units", "labels", "name", "from_logits"),
    [
        ("sigmoid", "binary", 1, lambda kind: kind[:, None] > 0, "binary_crossentropy", False),
        (None, "binary", 1, lambda kind: (kind > 0).astype("i4"), "binary_crossentropy", True),
        ("sigmoid", "multilabel", 3, lambda kind: np.eye(3, dtype="i8")[kind], "binary_crossentropy", False),
        (None, "multilabel", 3, lambda kind: np.eye(3, dtype="f4")[kind], "binary_crossentropy", True),
        (None, "binary", 2, lambda kind: (kind > 0).astype("u1"), "sparse_categorical_crossentropy", None),
    ],
)
def test_a_task_has_its_loss_and_whether_the_answers_are_logits_is_seen(
    activation, kind, units, labels, name, from_logits
):
    import keras

    x = keras.Input((8,), name="x")
    model = keras.Model(x, keras.layers.Dense(units, activation=activation, name="out")(x))
    rows, classes, _ = numbers(100)
    data = Dataset(rows, targets={"": labels(classes)})
    found = objective.prepare(model, HOW, context_of(model, data, tasks=(task(kind),))).labels
    assert [each.loss.name for each in found] == [name]
    if from_logits is None:
        assert found[0].loss.of is None
    else:
        wanted = keras.losses.BinaryCrossentropy(from_logits=from_logits)(
            labels(classes).reshape(100, units).astype("f4"), model(rows)
        )
        mine = found[0].loss.mean(found[0].take(np.arange(100)), model(rows), None)
        assert float(mine) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("loss", ["mse", "categorical_crossentropy"])
def test_a_model_that_was_trained_with_one_hot_rows_learns_the_numbers_of_classes(loss):
    """Rows of [data] have numbers; the loss of the file is computed on the rows that the model was trained with."""
    from tests.support.tiny_model import rows, tiny_model

    (x, y), model = rows(60, 1), tiny_model()
    model.compile("adam", loss)
    (found,) = objective.prepare(model, HOW, context_of(model, Dataset(x, y))).labels
    assert (found.loss.of is None) == (loss == "categorical_crossentropy")
    wanted = model.evaluate(x, np.eye(4)[y], batch_size=60, verbose=0)
    answers = model.predict(x, verbose=0)
    answers = np.log(answers) if found.loss.of is None else answers  # cross entropy of classes is computed on logits
    assert float(found.loss.mean(found.take(np.arange(60)), answers, None)) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("ends_in_softmax", [True, False])
def test_each_place_of_a_map_is_learned_as_classes_are(ends_in_softmax):
    """From a teacher by the divergence of the classes at each place; by the labels with the loss that the answers suit."""
    import keras

    x, y = maps(40)
    given = keras.Input(x.shape[1:])
    scores = keras.layers.Conv2D(3, 3, padding="same")(given)
    model = keras.Model(given, keras.layers.Softmax()(scores) if ends_in_softmax else scores)
    context = context_of(model, Dataset(x, targets={"": y}), tasks=(task("segmentation"),))
    found = objective.prepare(model, HOW, context)
    (learned,) = found.labels
    assert found.student.kinds == ("classes",)
    assert learned.loss.softmax == ends_in_softmax
    _, (logits,) = found.student([x[:40]], training=False)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=not ends_in_softmax, ignore_class=255))
    wanted = model.evaluate(x[:40], y[:40], batch_size=40, verbose=0)
    assert float(learned.loss.mean(y[:40], logits, None)) == pytest.approx(wanted, rel=1e-4)


def test_a_segmentation_has_a_loss_without_compiling():
    model, (x, y) = segmentation(fitted=False), maps(40)
    model.compiled = False
    context = context_of(model, Dataset(x, targets={"": y}), tasks=(task("segmentation"),))
    (found,) = objective.prepare(model, HOW, context).labels
    assert (found.loss.name, found.loss.ignored) == ("sparse_categorical_crossentropy", 255)
    wanted = segmentation(fitted=False).evaluate(x, y, batch_size=40, verbose=0)
    assert float(found.loss.mean(found.take(np.arange(40)), model(x), None)) == pytest.approx(wanted, rel=1e-5)
    first = np.moveaxis(np.stack([y == 0, y == 1]), 0, -1)  # no map, and no mask: nothing is certain
    with pytest.raises(StageError, match="no loss is known"):
        training.check(model, HOW, context._replace(training=Dataset(x, targets={"": first[..., :1, :]})))


def test_an_output_without_labels_is_named():
    model = two_heads({"kind": "sparse_categorical_crossentropy", "size": "mse"}, fitted=False)
    rows, _, size = numbers(100)
    data = Dataset(rows, targets={"size": size})
    found = objective.prepare(model, HOW, context_of(model, data))
    assert found.notes == (
        "'size' learns from labels by mean_squared_error; 'kind' learns from no labels, and keeps to the answers of the model as it was",
    )
    assert found.judged == [0]  # kind: the outputs of a dict are sorted


# --- what does not fit

ROWS, KIND, SIZE = numbers(60)


@pytest.mark.parametrize(
    ("model", "targets", "learn", "error", "message", "hint"),
    [
        (two_heads, {"kind": KIND}, {"loss": {"sizes": "mse"}}, PlanError, "training.loss: .* no output 'sizes'", "Did you mean size"),
        (two_heads, {"size": SIZE}, {"loss": {"size": "mean_square_error"}}, PlanError, "no loss 'mean_square_error'", "Did you mean mean_squared_error"),
        (two_heads, {"size": SIZE}, {"loss_weights": {"a": 1.0}}, PlanError, "training.loss_weights: .* no output 'a'", "Its outputs are"),
        (two_heads, {"size": SIZE}, {"loss_weights": {"kind": 2.0}}, PlanError, "training.loss_weights: 'kind' learns from no labels", "take it out"),
        (two_heads, {"kinds": KIND}, {}, DataError, "labels of 'kinds', and the model has no output", "Did you mean kind"),
        (two_heads, {"kind": KIND}, {"loss": {"kind": "mse", "size": "mse"}}, DataError, "training.loss names 'size'", "labels.NAME"),
        (two_heads, {"": KIND}, {"loss": {"kind": "mse", "size": "mse"}}, DataError, "training.loss names 'size'", "by the names"),
        (regression, {"": SIZE[:50]}, {}, DataError, "60 rows and 50 labels of 'size'", "one label"),
        (regression, {"": np.hstack([SIZE, SIZE])}, {}, DataError, r"float32 of shape \(2,\) for a row, and mean_squared_error of answers of shape \(1,\)", "a number for each"),
        (regression, {"": SIZE * np.float32("nan")}, {}, DataError, "hold NaN", "Leave such rows out"),
        (two_heads, {"kind": np.eye(3)[KIND]}, {}, DataError, "sparse_categorical_crossentropy of answers .* needs integers", "argmax"),
        (two_heads, {"kind": KIND + 1}, {}, DataError, "go from 1 to 3, and 0 to 2 is expected", "Number the classes"),
        (two_heads, {"kind": KIND}, {"loss": "categorical_crossentropy"}, DataError, "needs", "learned by sparse_categorical_crossentropy"),
        (regression, {}, {"loss": "mse"}, DataError, "training.loss says what labels are learned by, and data.training has none", "Give"),
        (regression, {"": SIZE}, {"loss": "binary_crossentropy"}, DataError, "and 0 to 1 is expected", ""),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit(model, targets, learn, error, message, hint):
    made = model(fitted=False)
    context = context_of(made, Dataset(ROWS, targets=targets), learn=TrainingTable(**learn))
    with pytest.raises(error, match=message) as caught:
        training.check(made, HOW, context)
    assert hint in caught.value.hint


def test_labels_without_any_loss_need_one():
    made = regression(fitted=False)
    made.compiled = False
    with pytest.raises(StageError, match="for others no loss is known") as caught:
        training.check(made, HOW, context_of(made, sizes()))
    assert "[training] loss" in caught.value.hint
    training.check(made, Recover(distill=True), context_of(made, sizes()))
