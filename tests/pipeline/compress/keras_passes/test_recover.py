"""The passes recover and distill."""

import numpy as np
import pytest

from pipeline import compress, frameworks
from pipeline.compress.context import Context, Dataset
from pipeline.compress.keras_passes import distill, recover
from pipeline.errors import DataError, PlanError, PromiseError, StageError
from tests.pipeline.compress.liars import lying_with
from tests.support.tiny_model import rows, tiny_model

pytestmark = pytest.mark.frameworks

TRAINING = Dataset(*rows(600, 1))
SHORT = {"epochs": 1, "batch_size": 50}


def accuracy(model, data):
    return frameworks.accuracy(model.predict(data[0], verbose=0), data[1])


def apply(model, name, **given):
    return compress.apply(model, name, **{"training": TRAINING} | given)


# --- recover


def test_recovering_after_pruning_wins_accuracy_back_and_keeps_the_zeros(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    pruned = apply(model, "prune_weights", sparsity=0.9).changed.model
    after = apply(pruned, "recover", epochs=3, batch_size=50, learning_rate=5e-3, distill=True, teacher=model)
    again = after.changed.model
    zeros = [int(np.count_nonzero(each.get_layer("hidden").kernel.numpy() == 0)) for each in (pruned, again)]
    assert zeros[0] == zeros[1] == round(0.9 * 256 * 12)
    assert after.claims["changed_weights"] > 100
    assert after.claims["zero_weights"] >= zeros[0]
    assert accuracy(again, sets.evaluation) > accuracy(pruned, sets.evaluation)
    assert accuracy(again, sets.evaluation) > 0.9


def test_rows_are_asked_for_before_anything_is_done():
    with pytest.raises(DataError, match=r"needs data\.training"):
        apply(tiny_model(), "recover", training=None)
    with pytest.raises(DataError, match=r"^rows is 700"):
        apply(tiny_model(), "recover", rows=700)


def test_a_zero_that_did_not_stay_breaks_the_promise():
    model = tiny_model()
    kernel = model.get_layer("hidden").kernel
    kernel.assign(np.where(np.arange(12) < 3, 0, kernel.numpy()))

    def fill(model):
        model.get_layer("hidden").kernel.assign(np.ones((256, 12)))

    with pytest.raises(PromiseError, match="768 weights of 'hidden/kernel' that were zero are no longer zero"):
        lying_with(recover, fill)(model, recover.Settings())


# --- distill


@pytest.mark.parametrize("given", [{"ratio": 0.5}, {"width": 0.5}])
def test_a_student_made_of_the_model(tiny_folder, sets, given):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    how = {"epochs": 6, "batch_size": 50, "learning_rate": 1e-2}
    applied = apply(model, "distill", **given, **how, distill={"temperature": 2})
    student = applied.changed.model
    assert student.get_layer("pointwise").filters == 8
    assert applied.claims["parameters_ratio"] == pytest.approx(student.count_params() / model.count_params())
    assert applied.claims["parameters_ratio"] < 0.6
    assert accuracy(student, sets.evaluation) > 0.9
    assert any("'stem'" in note for note in applied.changed.notes)  # 8 channels, and rounded to 8


def test_a_student_of_a_width_begins_anew_but_knows_the_scale_of_its_input():
    import keras

    numbers = keras.Input((5,))
    scale = keras.layers.Normalization()
    scale.adapt(np.random.default_rng(0).normal(7, 3, (50, 5)))
    hidden = keras.layers.Dense(32, name="hidden", kernel_initializer="ones")(scale(numbers))
    model = keras.Model(numbers, keras.layers.Dense(2)(hidden))
    model.get_layer("hidden").kernel.assign(np.full((5, 32), 3.0))
    student, _ = distill._student(model, distill.Settings(width=0.5), Context())
    assert np.array_equal(student.get_layer("hidden").kernel.numpy(), np.ones((5, 16)))
    for old, new in zip(scale.get_weights(), student.layers[1].get_weights(), strict=True):
        assert np.array_equal(old, new)


def test_a_student_that_is_given_learns_from_the_teacher(tiny_folder, sets, tmp_path):
    import keras

    keras.utils.set_random_seed(5)
    image = keras.Input((8, 8, 1))
    keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(image))).save(tmp_path / "student.keras")
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    applied = apply(
        model, "distill", folder=tmp_path, student="student.keras", training=Dataset(TRAINING.x),
        distill={"weight": 1.0}, epochs=10, batch_size=50, learning_rate=1e-2,
    )  # fmt: skip
    assert applied.changed.model.count_params() == 260
    assert accuracy(applied.changed.model, sets.evaluation) > 0.9  # without a single label


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "exactly one of `student`, `ratio` and `width`"),
        ({"ratio": 0.5, "width": 0.5}, "exactly one of `student`, `ratio` and `width`"),
        ({"ratio": 1.0}, "ratio"),
        ({"ratio": 0.5, "distill": False}, "`distill` cannot be false here"),
        ({"student": "gone.keras"}, r"distill\.student: there is no file"),
    ],
)
def test_settings_that_can_not_be(given, message):
    with pytest.raises(PlanError, match=message):
        apply(tiny_model(), "distill", **given)


def test_students_that_do_not_fit(tmp_path):
    import keras

    numbers = keras.Input((8,))
    keras.Model(numbers, keras.layers.Dense(4)(numbers)).save(tmp_path / "student.keras")
    with pytest.raises(PlanError, match=r"the input of student\.keras is float32 \(8,\), and the model's is"):
        apply(tiny_model(), "distill", folder=tmp_path, student="student.keras")
    flat = keras.Model(numbers, keras.layers.Dense(4)(numbers))
    with pytest.raises(StageError, match="no layer of it can lose channels"):
        apply(flat, "distill", ratio=0.5, training=Dataset(TRAINING.x[:, 0, :, 0], TRAINING.y))
    hidden = keras.layers.Dense(8)(numbers)
    narrow = keras.Model(numbers, keras.layers.Dense(4)(hidden))
    with pytest.raises(
        StageError, match=r"removed in multiples of 8, and with width = 0\.5 every layer keeps all of its own"
    ):
        apply(narrow, "distill", width=0.5, training=Dataset(TRAINING.x[:, 0, :, 0], TRAINING.y))


def test_a_student_that_is_not_smaller_breaks_the_promise():
    with pytest.raises(PromiseError, match="the student has"):
        lying_with(distill, lambda model: None)(tiny_model(), distill.Settings(ratio=0.5))


def test_another_student_in_the_same_file_is_another_answer(tmp_path):
    def key():
        step = compress.Step(name="distill", settings=distill.Settings(student="s.keras").as_dict())
        return compress.teachers((step,), tmp_path)

    (tmp_path / "s.keras").write_bytes(b"one")
    first = key()
    (tmp_path / "s.keras").write_bytes(b"two")
    assert key() != first


@pytest.mark.frameworks
def test_a_frozen_model_recovers(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    model.trainable = False
    applied = compress.apply(model, "recover", training=Dataset(*sets.training), batch_size=50)
    assert applied.claims["changed_weights"] > 100
    assert not applied.changed.model.trainable_weights
