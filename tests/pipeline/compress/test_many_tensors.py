"""Models with several inputs and outputs through every pass: from Python, and in a plan's chain."""

import numpy as np
import pytest

from pipeline import compress, frameworks
from pipeline.compress.context import Context, Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.rows import Batches
from pipeline.compress.settings import Recover
from pipeline.compress.training import logits, objective
from pipeline.errors import DataError, PlanError, StageError
from pipeline.progress import Silent
from tests.pipeline.compress.answering import all_answers

pytestmark = pytest.mark.frameworks
SHORT = {"epochs": 2, "batch_size": 50, "learning_rate": 3e-3}
PASSES = {
    "prune_channels": {"ratio": 0.25, "round_to": 1, "recover": SHORT},
    "prune_weights": {"sparsity": 0.5, "recover": SHORT},
    "codebook": {"bits": 4, "recover": SHORT},
    "quantize_aware": {"recover": SHORT},
    "distill": {"ratio": 0.25, **SHORT},
    "recover": SHORT,
    "half_precision": {},
    "sensitivity": {"rows": 100, "channels": [0.5], "weights": [0.5], "bits": [4]},
}


def rows(count, seed):
    """Images of four classes (a bright quadrant), three numbers, and labels."""
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 4, count)
    image = draw.normal(0.3, 0.3, (count, 8, 8, 1)).astype(np.float32)
    for row, label in zip(image, y, strict=True):
        row[4 * (label // 2) :][:4, 4 * (label % 2) :][:, :4] += 0.5
    numbers = draw.normal(0, 1, (count, 3)).astype(np.float32)
    return {"image": image, "numbers": numbers}, y, (20 * numbers[:, :1] + 10 * image.mean((1, 2))).astype(np.float32)


def two_by_two(structure="list"):
    """Image and numbers -> scores of classes, and a regression in another unit."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    image, numbers = keras.Input((8, 8, 1), name="image"), keras.Input((3,), name="numbers")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.Conv2D(12, 3, strides=2, activation="relu", name="second")(x)
    x = layers.Concatenate(name="both")([layers.Flatten()(x), layers.Dense(8, activation="relu", name="side")(numbers)])
    x = layers.Dense(16, activation="relu", name="hidden")(x)
    outputs = layers.Dense(4, activation="softmax", name="scores")(x), layers.Dense(1, name="metres")(x)
    if structure == "dict":
        return keras.Model(
            {"numbers": numbers, "image": image}, {"size": outputs[1], "kind": outputs[0]}, name="two_by_two"
        )
    return keras.Model([image, numbers], list(outputs), name="two_by_two")


@pytest.fixture(scope="module")
def trained():
    import keras

    model = two_by_two()
    x, y, size = rows(600, 1)
    adam = keras.optimizers.Adam(5e-3)
    model.compile(adam, ["sparse_categorical_crossentropy", "mse"], loss_weights=[1, 0.02], jit_compile=False)
    model.fit(x, [y, size], epochs=15, batch_size=50, verbose=0)
    return FORMATS["keras"].reopened(model)[1]


@pytest.fixture(scope="module")
def training():
    x, y, _ = rows(600, 1)
    return Dataset(x, y)


def right(model, output=0):
    x, y, _ = rows(300, 3)
    return frameworks.accuracy(all_answers(model, x)[output], y)


def names(model):
    return [[each.name for each in side] for side in FORMATS["keras"].interface(model)]


# --- from Python


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_takes_them(name, trained, training):
    applied = compress.apply(trained, name, training=training, teacher=trained, **PASSES[name])
    after = FORMATS["keras"].read_back(applied.file)
    assert right(after) > right(trained) - 0.1
    x, _, _ = rows(300, 3)
    (_, was), (_, now) = all_answers(trained, x), all_answers(after, x)
    error, spread = frameworks.error_of(now, was)
    assert error < 0.4 * spread  # the output without labels has not drifted
    if name == "quantize_aware":  # which ends in a rounding
        assert names(after)[0] == names(trained)[0]
    else:
        assert names(after) == names(trained)
    if name == "sensitivity":
        assert {point.part for point in applied.changed.sensitivity} >= {"side", "metres", "scores"}
        assert all(point.accuracy_ratio is not None and point.error >= 0 for point in applied.changed.sensitivity)


@pytest.mark.parametrize("name", ["prune_channels", "prune_weights", "codebook", "quantize_aware", "distill"])
def test_dicts_stay_dicts_with_their_keys(name, training):
    model = two_by_two("dict")
    before = names(model)
    assert before == [["image", "numbers"], ["kind", "size"]]
    after = compress.apply(model, name, training=training, **PASSES[name]).changed.model
    assert names(after) == before
    assert set(after(rows(4, 5)[0])) == {"kind", "size"}


def test_a_training_that_ruins_one_of_the_outputs_is_taken_back(trained, training):
    found = compress.apply(trained, "recover", training=training, learning_rate=1.0, batch_size=50)
    (note,) = [each for each in found.changed.notes if "before the training" in each]
    assert "were right before the training" in note
    assert (
        "the mean squared difference of 'metres' from the teacher's answers, as a share of their variance, was 0"
        in note
    )
    assert "are kept" in note
    assert right(found.changed.model) >= right(trained) - 0.01


def test_without_labels_all_outputs_are_learned_from_the_teacher(trained, training):
    worse = compress.apply(trained, "prune_weights", sparsity=0.8, training=training, recalibrate=False).changed.model
    given = {"training": Dataset(training.x), "teacher": trained, "distill": {"weight": 1.0}}
    found = compress.apply(worse, "recover", **{**SHORT, "epochs": 6}, **given)
    (note,) = found.changed.notes
    assert "the divergence of 'scores'" in note
    assert "the mean squared difference of 'metres'" in note
    assert right(found.changed.model) > right(worse)
    with pytest.raises(DataError, match="recover needs labels") as caught:
        compress.apply(worse, "recover", training=Dataset(training.x), teacher=trained)
    assert "or write distill = { weight = 1 }, to learn" in caught.value.hint


def test_labels_may_be_of_another_output(trained, training):
    import keras

    turned = keras.Model(trained.inputs, trained.outputs[::-1])
    found = compress.apply(turned, "recover", training=training, scored="scores", **SHORT)
    assert right(found.changed.model, 1) > 0.8
    with pytest.raises(PlanError, match="scored: the model has no output 'score'") as caught:
        compress.apply(turned, "recover", training=training, scored="score", **SHORT)
    assert caught.value.hint == "Its outputs are metres, scores."


def test_integer_outputs_are_not_learned_and_a_softmax_that_another_output_reads_stays(trained, training):
    import keras

    scores, metres = trained.outputs
    best = keras.ops.argmax(scores, axis=-1)
    model = keras.Model(trained.inputs, [scores, metres, best], name="three")
    assert logits.final_softmax(model, 0) is None
    assert logits.final_softmax(trained, 0) is not None
    goal = objective.prepare(model, Recover(**SHORT), Context(training=training, original=lambda: model))
    assert goal.student.kinds == ("classes", "numbers", "")
    assert goal.student.probabilities == (True, False, False)
    assert goal.teacher.learned == (1,)
    only = keras.Model(trained.inputs, [best], name="only")
    with pytest.raises(StageError, match="no output is a floating point number"):
        compress.apply(only, "recover", training=training, distill=True)


def test_a_teacher_may_have_them_in_another_order(trained, training, tmp_path):
    import keras

    keras.Model(trained.inputs[::-1], trained.outputs[::-1]).save(tmp_path / "teacher.keras")
    how = {**SHORT, "distill": {"teacher": "teacher.keras"}}
    found = compress.apply(trained, "recover", training=training, folder=tmp_path, **how)
    assert "'metres' from the teacher's answers, as a share of their variance, was 0 before" in found.changed.notes[0]


def test_integer_inputs_go_through_what_does_not_round(training):
    import keras
    from keras import layers

    word, numbers = keras.Input((), dtype="int32", name="word"), keras.Input((3,), name="numbers")
    x = layers.Concatenate()([layers.Embedding(10, 8, name="table")(word), numbers])
    x = layers.Dense(16, activation="relu", name="hidden")(x)
    model = keras.Model([word, numbers], layers.Dense(4, activation="softmax", name="scores")(x))
    words = Dataset({"word": (training.y % 10).astype(np.int32), "numbers": training.x["numbers"]}, training.y)
    for name in ("prune_channels", "prune_weights", "codebook", "quantize_aware"):
        assert (
            compress.apply(model, name, training=words, **PASSES.get(name, {})).changed.model.inputs[0].dtype == "int32"
        )


def test_constants_and_maps_are_rows_like_others(trained, training, tmp_path):
    np.save(tmp_path / "image.npy", training.x["image"])
    mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
    constant = np.broadcast_to(training.x["numbers"][0], (600, 3))
    batches = Batches(trained, Dataset({"numbers": constant, "image": mapped}), "data.training")
    image, numbers = batches.take(np.array([5, 7]))
    assert np.array_equal(image, training.x["image"][[5, 7]])
    assert np.array_equal(numbers, training.x["numbers"][[0, 0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x["image"], "are one array, and the model has the inputs image, numbers"),
        (lambda x: {"image": x["image"]}, "lack the input 'numbers'"),
        (lambda x: {**x, "extra": x["image"]}, "have one too many, of 'extra'"),
        (lambda x: {**x, "numbers": x["numbers"][:7]}, r"different numbers of rows \(image: 600, numbers: 7\)"),
        (lambda x: {**x, "numbers": x["numbers"][:, :2]}, r"a row of data\.training has shape \(2,\)"),
        (lambda x: {**x, "numbers": x["numbers"].astype(np.float64)}, r"float64, but the model's input 'numbers'"),
    ],
)
def test_rows_that_do_not_fit_are_named(trained, training, change, message):
    for name in ("recover", "quantize_aware", "sensitivity", "prune_channels"):
        settings = {key: value for key, value in PASSES[name].items() if key != "recover"}
        with pytest.raises(DataError, match=message) as caught:
            compress.apply(trained, name, training=Dataset(change(training.x), training.y), **settings)
        assert caught.value.hint


# --- what is kept from step to step


def test_what_keeps_a_state_is_pruned_and_not_trained(training):
    import keras
    from keras import layers

    steps = keras.Input(batch_shape=(1, 5, 3), name="steps")
    x = layers.LSTM(16, stateful=True, name="memory")(steps)
    model = keras.Model(steps, layers.Dense(4, name="scores")(layers.Dense(8, name="hidden")(x)))
    data = Dataset(np.zeros((20, 5, 3), np.float32), np.zeros(20, int))
    assert compress.apply(model, "prune_channels", ratio=0.5, round_to=1).claims["pruned_layers"] >= 1
    assert compress.apply(model, "prune_weights", sparsity=0.5, training=data).claims
    for name, said in (("recover", "recover cannot train"), ("sensitivity", "sensitivity cannot look at")):
        with pytest.raises(StageError, match=f"{said} .*: it keeps a state from step to step") as caught:
            compress.apply(model, name, training=data)
        assert "prune_channels" in caught.value.hint


# --- in a plan


PLAN = """
seed = 3
[model]
path = "two.keras"
[data]
training = "training.npz"
calibration = "calibration.npz"
evaluation = "evaluation.npz"
[[compress]]
pass = "prune_channels"
ratio = 0.25
round_to = 1
recover = { epochs = 1, batch_size = 50 }
[[compress]]
pass = "prune_weights"
sparsity = 0.3
recover = { epochs = 1, batch_size = 50, distill = true }
[[compress]]
pass = "codebook"
bits = 6
recover = { epochs = 1, batch_size = 50 }
[[compress]]
pass = "quantize_aware"
recover = { epochs = 1, batch_size = 50 }
"""


@pytest.mark.parametrize("structure", ["list", "dict"])
def test_a_whole_chain(structure, empty, trained):
    import keras

    model, (scores, metres) = trained, trained.outputs
    if structure == "dict":
        model = keras.Model(dict(zip(["image", "numbers"], trained.inputs, strict=True)), {"a": metres, "b": scores})
    model.save(empty.folder / "two.keras")
    for name, count, seed in (("training", 600, 1), ("calibration", 100, 2), ("evaluation", 300, 3)):
        x, y, _ = rows(count, seed)
        np.savez(empty.folder / f"{name}.npz", **x, y=y)
    the_plan = empty.plan(PLAN)
    loaded, _ = empty.load(PLAN)
    found, _ = compress.compress(loaded, compress.settings_of(the_plan), the_plan, empty.store, Silent())
    assert [each.name for each in found.passes] == ["prune_channels", "prune_weights", "codebook", "quantize_aware"]
    assert len(found.model.answers) == len(found.model.outputs) == 2
    assert found.model.scored == (0 if structure == "list" else 1)
    assert all(each.accuracy_after_ratio > each.accuracy_before_ratio - 0.1 for each in found.passes)
    kept = frameworks.open_keras(empty.store.path(found.model.artifact))
    x, y, _ = rows(300, 3)
    answers = all_answers(kept, x)
    for mine, theirs in zip(answers, frameworks.arrays_of(found.model.answers, empty.store.path), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4 * np.abs(theirs).max())
    assert found.model.accuracy_ratio == frameworks.accuracy(answers[found.model.scored], y)
    assert [each.name for each in found.model.outputs] == names(kept)[1]
    if structure == "dict":
        assert names(kept)[1] == ["a", "b"]
