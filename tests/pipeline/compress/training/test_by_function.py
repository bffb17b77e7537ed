"""A training that a function of the user's does: what it gets, and what is refused, whatever it did."""

import itertools

import numpy as np
import pytest

from pipeline.compress import training
from pipeline.compress.base import apply_pass
from pipeline.compress.context import Context, Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.keras_passes import prune_weights, quantize_aware, recover
from pipeline.compress.settings import Distill, Recover
from pipeline.compress.sparsity.kernels import pruned_kernels
from pipeline.compress.sparsity.schedules import Schedule
from pipeline.compress.training import by_function, compiled, objective
from pipeline.errors import EdgepressError, PlanError, PromiseError, StageError
from pipeline.plan_tables import TrainingTable
from tests.support.tiny_model import rows, tiny_model
from tests.support.trained_models import numbers, regression, sizes, two_heads, two_labels

pytestmark = pytest.mark.frameworks
HOW = Recover(epochs=2, batch_size=30, recalibrate=False)
NAMES = itertools.count()
FIT = """
import numpy as np

def fit(model, rows, epochs, callbacks, batch_size, learning_rate):
    import keras
    model.compile(keras.optimizers.Adam(learning_rate), loss={loss})
    model.fit(rows.dataset(batch_size), epochs=epochs, callbacks=callbacks, verbose=0)
"""
BOTH = '{"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"}'


def context_of(folder, model, data, code, name="fit", **more):
    """The module has another name each time: Python imports a name once."""
    module = f"mine{next(NAMES)}"
    (folder / f"{module}.py").write_text(code)
    learn = TrainingTable(function=f"{module}:{name}", **more.pop("learn", {}))
    return Context(
        training=data, compiled=compiled.of_model(model), original=lambda: model, learn=learn, folder=folder, **more
    )


def pruned(sparsity=0.6):
    """A regression, pruned without training, and its error on other rows."""
    model = regression()
    settings = prune_weights.Settings(sparsity=sparsity)
    applied = apply_pass("prune_weights", prune_weights, model, settings, Context(), FORMATS["keras"])
    return applied.changed.model


def error(model):
    x, _, size = numbers(300, 4)
    return float(np.abs(model.predict(x, verbose=0) - size).mean())


# --- it trains, and everything around it works


def test_a_function_trains_and_what_is_pruned_stays_pruned(tmp_path):
    model = pruned()
    before, zeros = error(model), [np.asarray(each) == 0 for each in pruned_kernels(model)]
    context = context_of(tmp_path, model, sizes(600), FIT.format(loss="'mse'"), learn={"loss": "mse"})
    settings = recover.Settings(epochs=8, batch_size=20, learning_rate=5e-3)
    applied = apply_pass("recover", recover, model, settings, context, FORMATS["keras"])
    after = applied.changed.model
    assert error(after) < 0.7 * before
    assert len(zeros) == 2
    for was, kernel in zip(zeros, pruned_kernels(after), strict=True):
        assert not np.asarray(kernel)[was].any()
    assert applied.changed.notes[0].startswith("trained by mine")
    assert "the mean_squared_error was" in applied.changed.notes[1]


def test_a_schedule_and_fake_quantization_come_as_callbacks(tmp_path):
    model, x = two_heads(), numbers(50, 9)[0]
    context = context_of(tmp_path, model, two_labels(300), FIT.format(loss=BOTH))
    settings = prune_weights.Settings(sparsity=0.5, schedule=Schedule(kind="polynomial"), recover=HOW)
    found = apply_pass("prune_weights", prune_weights, model, settings, context, FORMATS["keras"])
    assert found.claims["sparsity"] == pytest.approx(0.5, abs=0.01)
    settings = quantize_aware.Settings(recover=HOW)
    found = apply_pass("quantize_aware", quantize_aware, model, settings, context, FORMATS["keras"])
    assert found.claims["quantized_layers"] == 3
    wanted, answers = model.predict(x, verbose=0), found.changed.model.predict(x, verbose=0)
    assert np.abs(wanted["size"] - answers["size"]).mean() < 0.2


SEES = """
import numpy as np
saw = {}

def fit(model, rows, epochs, callbacks, teacher, seed, resume, **more):
    saw.update(rows=rows, teacher=teacher, seed=seed, resume=resume, epochs=epochs, more=sorted(more))
    x, y, weights = rows[:5]
    saw.update(x=x, y=y, weights=weights)
    saw["first"] = [x[:, 0] for x, _, _ in rows.batches(50, epoch=0)]
    saw["second"] = [x[:, 0] for x, _, _ in rows.batches(50, epoch=1)]
    data = rows.dataset(64)
    saw["length"] = int(data.cardinality())
    saw["orders"] = [np.concatenate([x[:, 0] for x, _, _ in data.as_numpy_iterator()]) for _ in range(2)]
"""


def test_a_factor_that_ends_up_in_its_kernel_is_no_change_of_the_model(tmp_path):
    """As a normalisation that was folded into a convolution has one: the callback of fake quantization puts it in at the end."""
    import keras

    model, (x, y) = tiny_model(), rows(300, 1)
    model.get_layer("norm").moving_variance.assign(np.full(8, 60.0**2, np.float32))
    data = Dataset(x, y)
    context = context_of(tmp_path, model, data, FIT.format(loss='"sparse_categorical_crossentropy"'), calibration=data)
    settings = quantize_aware.Settings(recover=HOW)
    found = apply_pass("quantize_aware", quantize_aware, model, settings, context, FORMATS["keras"]).changed
    assert isinstance(found.model, keras.Model)
    assert "factor" not in found.model.get_layer("stem").get_config()


def test_what_the_function_gets(tmp_path):
    import sys

    model, weights = two_heads(fitted=False), np.arange(200, dtype=np.float32)
    context = context_of(tmp_path, model, two_labels(200, weights=weights), SEES, seed=3, resume=tmp_path / "kept")
    training.recover(model, Recover(epochs=7, distill=True, recalibrate=False), context)
    saw = sys.modules[context.learn.function.partition(":")[0]].saw
    rows = saw["rows"]
    assert (len(rows), rows.inputs, rows.outputs) == (180, ("x",), ("kind", "size"))  # 20 rows compare
    assert (saw["epochs"], saw["seed"], saw["more"]) == (7, 3, ["batch_size", "learning_rate"])
    assert saw["teacher"].inputs
    assert saw["resume"].is_dir()
    assert saw["x"].shape == (5, 8)
    assert {name: y.shape for name, y in saw["y"].items()} == {"kind": (5,), "size": (5, 1)}
    given = {float(row[0]): weight for row, weight in zip(context.training.x, weights, strict=True)}
    assert [given[float(row[0])] for row in saw["x"]] == list(saw["weights"])
    first, second = np.concatenate(saw["first"]), np.concatenate(saw["second"])
    assert not np.array_equal(first, second)
    assert np.array_equal(np.sort(first), np.sort(second))
    assert saw["length"] == 3
    assert not np.array_equal(*saw["orders"])
    assert np.array_equal(np.sort(saw["orders"][1]), np.sort(first))


def test_rows_are_taken_in_parts(tmp_path):
    class Mapped(np.ndarray):
        largest = 0

        def __getitem__(self, index):
            found = super().__getitem__(index)
            if isinstance(found, np.ndarray) and found.ndim == 2:
                Mapped.largest = max(Mapped.largest, len(found))
            return found

    x, _, size = numbers(900)
    model, data = regression(fitted=False), Dataset(x.view(Mapped), targets={"": size.view(Mapped)})
    context = context_of(tmp_path, model, data, FIT.format(loss="'mse'"))
    goal = objective.prepare(model, HOW, context)
    Mapped.largest = 0
    for _ in by_function.rows_of(goal, context).dataset(40).take(3):
        pass
    assert Mapped.largest == 40


def test_without_a_known_loss_nothing_is_compared(tmp_path):
    model = regression(fitted=False)
    model.compiled = False
    context = context_of(tmp_path, model, sizes(100), FIT.format(loss="'mse'"))
    notes = training.recover(model, HOW, context)
    assert notes[1].startswith("what the training changed is kept without a comparison")


# --- what is refused


def refused(tmp_path, body, model=None, kind=StageError, how=HOW, arguments="epochs, callbacks"):
    model = model or regression(fitted=False)
    code = f"import keras\n\n\ndef fit(model, rows, {arguments}):\n    {body}\n"
    context = context_of(tmp_path, model, sizes(100), code)
    with pytest.raises(kind) as caught:
        training.recover(model, how, context)
    assert caught.value.hint
    return caught.value.message


def test_a_function_that_breaks_masks_is_refused(tmp_path):
    said = refused(tmp_path, "model.set_weights([each + 0.01 for each in model.get_weights()])", pruned(), PromiseError)
    assert "weights of 'hidden/kernel' another value, which were pruned to zero" in said


def test_another_model_is_refused(tmp_path):
    assert "returned another model than it got" in refused(tmp_path, "return keras.models.clone_model(model)")
    assert "changed the layer 'size' of the model" in refused(
        tmp_path, "model.layers[-1].activation = keras.activations.relu"
    )
    assert "changed" in refused(tmp_path, "model.get_layer('hidden').enable_lora(2)")
    assert "became NaN or infinite" in refused(
        tmp_path, "model.set_weights([each * float('nan') for each in model.get_weights()])"
    )


CLONE = "other = keras.models.clone_model(model)\n    other.compile('sgd', 'mse')\n    "


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 3, {'best': keras.models.clone_model(model)}", "returned another model than it got"),
        (f"{CLONE}return other.fit(rows.dataset(50), verbose=0)", "returned another model than it got"),
        (f"{CLONE}other.fit(rows.dataset(50), callbacks=callbacks, verbose=0)", "trained another model than it got"),
        ("yield model.fit", "returned without training: it has a `yield`"),
        ("raise SystemExit(3)", "line 5: SystemExit: 3"),
    ],
)
def test_another_model_is_noticed_wherever_it_is(tmp_path, body, said):
    assert said in refused(tmp_path, body)


def test_a_function_that_changes_nothing_is_said_to(tmp_path):
    code = "def fit(model, rows, epochs, callbacks):\n    pass\n"
    notes = training.recover(
        regression(fitted=False), HOW, context_of(tmp_path, regression(fitted=False), sizes(100), code)
    )
    assert notes[0].endswith(":fit, which changed no weight")


def test_what_it_returns_and_which_layers_it_freezes_does_not_matter(tmp_path):
    model = regression(fitted=False)
    body = "model.layers[1].trainable = False\n    model.compile('sgd', 'mse')\n    return model.fit(rows.dataset(), verbose=0)"
    code = f"def fit(model, rows, epochs, callbacks):\n    {body}\n"
    training.recover(model, HOW, context_of(tmp_path, model, sizes(100), code))
    assert model.layers[1].trainable


def test_an_error_is_named_with_its_file_and_line(tmp_path):
    said = refused(tmp_path, "raise ValueError('my own')")
    assert said.startswith("training.function: mine")
    assert ".py, line 5: ValueError: my own" in said


def test_callbacks_that_the_pass_needs_must_be_used(tmp_path):
    model = two_heads(fitted=False)
    code = FIT.format(loss=BOTH).replace(", callbacks=callbacks", "")
    context = context_of(tmp_path, model, two_labels(100), code)
    with pytest.raises(StageError, match="trained without the callbacks that it got") as caught:
        apply_pass(
            "quantize_aware", quantize_aware, model, quantize_aware.Settings(recover=HOW), context, FORMATS["keras"]
        )
    assert "callbacks=callbacks" in caught.value.hint


def test_a_function_that_cannot_be_called_so(tmp_path):
    assert "takes no 'callbacks'" in refused(tmp_path, "pass", arguments="epochs")
    said = refused(tmp_path, "pass", how=Recover(distill=Distill()))
    assert "the pass asks for a teacher" in said
    assert "mixed_precision is of edgepress's own" in refused(
        tmp_path, "pass", kind=PlanError, how=Recover(mixed_precision=True)
    )
    model = regression(fitted=False)
    with pytest.raises(EdgepressError, match=r"has no function 'train'") as caught:
        training.recover(model, HOW, context_of(tmp_path, model, sizes(50), FIT.format(loss="'mse'"), "train"))
    assert "It has: fit" in caught.value.hint


RESUMES = """
def fit(model, rows, epochs, callbacks, resume):
    kept = resume / "epoch"
    if not kept.exists():
        kept.write_text("1")
        raise KeyboardInterrupt
    assert kept.read_text() == "1"
"""


def test_a_function_finds_its_folder_again(tmp_path):
    model = regression(fitted=False)
    context = context_of(tmp_path, model, sizes(60), RESUMES, resume=tmp_path / "kept")
    with pytest.raises(KeyboardInterrupt):
        training.recover(model, HOW, context)
    assert training.recover(model, HOW, context)[0].startswith("trained by")
