"""The loss of distillation against values worked by hand, and what a teacher adds to a training."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.compress import training
from pipeline.compress.context import Context, Dataset
from pipeline.compress.rows import Batches
from pipeline.compress.settings import Distill, Recover
from pipeline.compress.training import distillation
from pipeline.errors import PlanError
from tests.support.tiny_model import rows, tiny_model

pytestmark = pytest.mark.frameworks

scores = st.lists(st.floats(-6, 6), min_size=12, max_size=12).map(lambda values: np.array(values).reshape(4, 3))
X, Y = rows(200, 1)


def tensor(values):
    import tensorflow as tf

    return tf.constant(np.asarray(values, np.float64))


# --- the loss


def cross_entropy(labels, scores):
    import tensorflow as tf

    return tf.reduce_mean(distillation.cross_entropy_of_rows(labels, scores))


def test_a_value_worked_by_hand():
    """T = 2: the teacher's (2, 0) become softmax(1, 0) = (0.731059, 0.268941), the student's (0, 0) become (1/2, 1/2).

    KL = 0.731059 ln(1.462117) + 0.268941 ln(0.537883) = 0.277719 - 0.166775 = 0.110944; times T^2: 0.443776.
    The cross entropy of label 0 is ln 2 = 0.693147; 0.9 * 0.443776 + 0.1 * 0.693147 = 0.468713.
    """
    teacher, student = tensor([[2, 0]]), tensor([[0, 0]])
    assert float(distillation.softened_divergence(teacher, student, 2.0)) == pytest.approx(0.443776, abs=2e-6)
    both = Distill(temperature=2.0, weight=0.9)
    assert float(distillation.distillation_loss(teacher, student, cross_entropy([0], student), both)) == pytest.approx(
        0.468713, abs=2e-6
    )
    soft = Distill(temperature=2.0, weight=1.0)
    assert float(distillation.distillation_loss(teacher, student, None, soft)) == pytest.approx(0.443776, abs=2e-6)
    assert float(cross_entropy([0, 1], tensor([[0, 0], [0, 0]]))) == pytest.approx(np.log(2))


@settings(max_examples=25, deadline=None)
@given(scores, scores, st.floats(0.5, 10), st.floats(0, 1))
def test_the_gradient_is_the_numerical_one(teacher, student, temperature, weight):
    import tensorflow as tf

    how, labels = Distill(temperature=temperature, weight=weight), [0, 1, 2, 0]
    variable = tensor(student)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        loss = distillation.distillation_loss(tensor(teacher), variable, cross_entropy(labels, variable), how)
    gradient = tape.gradient(loss, variable).numpy()
    step = 1e-5
    for at in np.ndindex(student.shape):
        moved = []
        for sign in (1, -1):
            other = student.copy()
            other[at] += sign * step
            of_labels = cross_entropy(labels, tensor(other))
            moved.append(float(distillation.distillation_loss(tensor(teacher), tensor(other), of_labels, how)))
        assert gradient[at] == pytest.approx((moved[0] - moved[1]) / (2 * step), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(scores, scores, st.floats(0.5, 10))
def test_the_divergence_is_zero_only_for_the_same_answers(teacher, student, temperature):
    apart = float(distillation.softened_divergence(tensor(teacher), tensor(student), temperature))
    assert apart >= -1e-9
    assert float(distillation.softened_divergence(tensor(teacher), tensor(teacher + 3), temperature)) == pytest.approx(
        0, abs=1e-9
    )


# --- teachers


def context(teacher, x=X, y=Y, **more):
    return Context(training=Dataset(x, y), original=lambda: teacher, **more)


def difference(one, other, x):
    return float(np.mean((one.predict(x, verbose=0) - other.predict(x, verbose=0)) ** 2))


def test_the_teacher_answers_once_and_a_resumed_training_does_not_ask_again(tmp_path, monkeypatch):
    how = Recover(epochs=2, batch_size=50, distill=True)
    first, second, third = tiny_model(1), tiny_model(1), tiny_model(1)
    training.recover(first, how, context(tiny_model(), resume=tmp_path))
    (tmp_path / next(tmp_path.glob("training-*")).name).unlink()
    answers_of = distillation.answers_of

    def only_the_student():
        left = [answers_of]

        def one(model):
            if not left:
                raise TypeError("the teacher was asked")
            return left.pop()(model)

        monkeypatch.setattr(distillation, "answers_of", one)

    only_the_student()
    training.recover(second, how, context(tiny_model(), resume=tmp_path))
    assert np.array_equal(first(X).numpy(), second(X).numpy())
    only_the_student()
    with pytest.raises(TypeError):  # another teacher has to be asked
        training.recover(third, how, context(tiny_model(5), resume=tmp_path))


def test_cached_answers_and_those_of_each_step_teach_the_same(monkeypatch):
    how = Recover(epochs=2, batch_size=50, distill=Distill(weight=1.0))
    cached, asked = tiny_model(1), tiny_model(1)
    training.recover(cached, how, context(tiny_model(), y=None))
    monkeypatch.setattr(distillation, "CACHE_BYTES", 0)
    training.recover(asked, how, context(tiny_model(), y=None))
    np.testing.assert_allclose(cached(X).numpy(), asked(X).numpy(), atol=1e-3)


def small(kind, width):
    """Models whose answers are no class scores."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(width)
    if kind == "generator":
        noise = keras.Input((5,))
        x = layers.Reshape((2, 2, width))(layers.Dense(4 * width, activation="relu")(noise))
        return keras.Model(noise, layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="tanh")(x))
    if kind == "autoencoder":
        numbers = keras.Input((5,))
        return keras.Model(numbers, layers.Dense(5)(layers.Dense(width, activation="relu")(numbers)))
    steps = keras.Input((6, 5))
    return keras.Model(steps, layers.Dense(3, activation="softmax")(layers.LSTM(width, return_sequences=True)(steps)))


@pytest.mark.parametrize("kind", ["generator", "autoencoder", "sequence"])
def test_what_is_no_classifier_learns_from_its_teacher_without_labels(kind):
    teacher, student = small(kind, 16), small(kind, 8)
    x = np.random.default_rng(0).normal(size=(256, *teacher.inputs[0].shape[1:])).astype(np.float32)
    before = difference(teacher, student, x)
    how = Recover(epochs=12, batch_size=32, learning_rate=1e-2, distill=True)
    training.recover(student, how, context(teacher, x, None))
    assert difference(teacher, student, x) < before / 2


def narrow(width):
    import keras

    keras.utils.set_random_seed(4)
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Dense(width, name="narrow")(keras.layers.Flatten()(image))
    return keras.Model(image, keras.layers.Dense(4)(x))


def seen(model, name):
    import keras

    return keras.Model(model.inputs, model.get_layer(name).output).predict(X, verbose=0)


def test_the_loss_of_features_is_that_of_the_projected_ones():
    teacher, student = tiny_model(), narrow(6)
    how = Distill(features=("hidden=narrow",), feature_weight=50.0)
    asked = distillation.forward_of(student, [X], distillation.student_layers(how), ["classes"])
    x = Batches(student, Dataset(X), "data.training")
    taught = distillation.teach(asked, how, context(teacher), x, np.arange(len(X)), (0,), 0)
    (projection,) = taught.variables
    assert tuple(projection.shape) == (6, 12)
    features, answers = asked([X], training=False)
    of_labels = {0: cross_entropy(Y, answers[0])}
    found = sum(float(each) for each in taught.losses([X], None, of_labels, features, answers))
    _, (before_softmax,) = distillation.forward_of(teacher, [X], (), ["classes"])([X], training=False)
    of_answers = float(distillation.distillation_loss(before_softmax, student(X), cross_entropy(Y, student(X)), how))
    apart = np.mean((seen(student, "narrow") @ projection.numpy() - seen(teacher, "hidden")) ** 2)
    assert found == pytest.approx(of_answers + 50 * apart, rel=1e-4)
    assert apart > 0.01


def test_features_bring_a_layer_nearer_to_the_teachers():
    teacher, apart = tiny_model(), []
    for features in ((), ("hidden=narrow",)):
        student = narrow(12)
        how = Distill(features=features, feature_weight=50.0)
        training.recover(student, Recover(epochs=8, batch_size=20, learning_rate=1e-2, distill=how), context(teacher))
        apart.append(np.mean((seen(student, "narrow") - seen(teacher, "hidden")) ** 2))
        assert len(student.weights) == 4
    assert apart[1] < apart[0] / 5


# --- what does not fit


def other_classes():
    import keras

    image = keras.Input((8, 8, 1))
    return keras.Model(image, keras.layers.Dense(7)(keras.layers.Flatten()(image)))


@pytest.mark.parametrize(
    ("distill", "teacher", "message", "hint"),
    [
        (Distill(teacher="gone.keras"), tiny_model, r"there is no file .*gone\.keras", "relative to the plan"),
        (Distill(), other_classes, r"teacher's output has shape \(7,\), and the student's \(4,\)", "name another"),
        (
            Distill(features=("hiden",)),
            tiny_model,
            "distill.features: the model has no layer 'hiden'",
            "Did you mean 'hidden'",
        ),
        (Distill(features=("hidden=stam",)), tiny_model, "no layer 'stam'", "Did you mean 'stem'"),
        (
            Distill(features=("stem=pointwise",)),
            tiny_model,
            r"'stem' of the teacher answers \(8, 8, 8\)",
            "same height",
        ),
    ],
)
def test_teachers_that_do_not_fit(distill, teacher, message, hint):
    with pytest.raises(PlanError, match=message) as caught:
        training.recover(tiny_model(), Recover(distill=distill), context(teacher()))
    assert hint in caught.value.hint


def test_there_is_no_teacher():
    with pytest.raises(PlanError, match="distill needs a teacher"):
        training.recover(tiny_model(), Recover(distill=True), Context(training=Dataset(X, Y)))


def test_a_teacher_of_its_own(tmp_path):
    teacher, student, other = tiny_model(3), tiny_model(1), tiny_model(1)
    teacher.save(tmp_path / "teacher.keras")
    training.recover(student, Recover(distill=Distill(teacher="teacher.keras")), context(tiny_model(), folder=tmp_path))
    training.recover(other, Recover(distill=True), context(teacher))
    assert np.array_equal(student(X).numpy(), other(X).numpy())
