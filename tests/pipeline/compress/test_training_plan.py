"""[training] in a plan, the whole way: the data by the names of outputs, the loss that the file keeps, a function next to the plan."""

import numpy as np
import pytest

from pipeline import compress
from pipeline.errors import ChildError, EdgepressError, PlanError
from pipeline.progress import Silent
from tests.support.trained_models import numbers, two_heads

MODEL = '[model]\npath = "two.keras"\n'
PLAN = f"""{MODEL}[data]
training = "training.npz"
evaluation = "evaluation.npz"
[task]
kind = "regression"
output = "size"
[[compress]]
pass = "prune_channels"
ratio = 0.5
round_to = 1
[[compress]]
pass = "recover"
epochs = 4
batch_size = 25
learning_rate = 5e-3
"""
FIT = """
def fit(model, rows, epochs, callbacks):
    import keras
    model.compile(keras.optimizers.Adam(5e-3), loss={"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"})
    model.fit(rows.dataset(25), epochs=epochs, callbacks=callbacks, verbose=0)
"""


def write(folder):
    two_heads().save(folder / "two.keras")
    for name, count, seed in (("training", 600, 1), ("evaluation", 200, 2)):
        x, kind, size = numbers(count, seed)
        np.savez(folder / f"{name}.npz", x=x, **{"labels.kind": kind, "labels.size": size})


def passes(project, text):
    plan = project.plan(text)
    loaded, _ = project.load(text)
    found, cached = compress.compress(loaded, compress.settings_of(plan), plan, project.store, Silent())
    return loaded, found.passes, cached


@pytest.mark.frameworks
def test_two_heads_recover_from_their_labels_by_the_losses_of_the_file(empty):
    write(empty.folder)
    loaded, (pruned, recovered), _ = passes(empty, PLAN)
    assert recovered.notes[0] == (
        "'kind' learns from labels by sparse_categorical_crossentropy; 'size' learns from labels by mean_squared_error"
    )
    errors = [each.qualities[0].value for each in (loaded.model, pruned.model, recovered.model)]
    assert errors[2] < 0.8 * errors[1]
    assert errors[0] < errors[1]


@pytest.mark.frameworks
def test_a_function_next_to_the_plan_trains_and_is_run_again_when_it_changes(empty):
    write(empty.folder)
    (empty.folder / "own_training.py").write_text(FIT)
    text = f'{PLAN}[training]\nfunction = "own_training:fit"\n'
    _, (pruned, recovered), _ = passes(empty, text)
    assert recovered.notes[0] == "trained by own_training:fit"
    assert recovered.model.qualities[0].value < 0.8 * pruned.model.qualities[0].value
    assert passes(empty, text)[2]
    (empty.folder / "own_training.py").write_text("def fit(model, rows, epochs, callbacks):\n    return 1 / 0\n")
    with pytest.raises(EdgepressError, match=r"own_training:fit failed in own_training.py, line 2: ZeroDivisionError"):
        passes(empty, text)


@pytest.mark.frameworks
def test_labels_of_an_output_that_is_not_there(empty):
    write(empty.folder)
    x, kind, _ = numbers(60)
    np.savez(empty.folder / "training.npz", x=x, **{"labels.kinds": kind})
    with pytest.raises((ChildError, EdgepressError), match=r"data.training has labels of 'kinds'") as caught:
        empty.load(PLAN)
    assert "Did you mean kind" in caught.value.hint


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('[training]\nloss = "mse"\n', r"\[training\] says how passes learn from labels, and no pass trains"),
        (
            '[[compress]]\npass = "recover"\n[training]\nfunction = "away:fit"\n',
            r"training.function: there is no away.py",
        ),
        (
            '[[compress]]\npass = "recover"\n[training]\naugment = "flip"\n',
            r"training.augment: 'flip' is not a function",
        ),
        (
            '[[compress]]\npass = "recover"\n[training]\naugment = "a:b"\nfunction = "a:b"\n',
            r"training.augment changes the batches of edgepress's own training",
        ),
        ('[[compress]]\npass = "recover"\n[training]\nlosses = "mse"\n', "training: unknown key `losses`"),
    ],
)
def test_what_a_plan_cannot_say(empty, more, message):
    with pytest.raises(PlanError, match=message) as caught:
        compress.settings_of(empty.plan(f'{MODEL}[data]\ntraining = "t.npz"\n{more}'))
    assert caught.value.hint
