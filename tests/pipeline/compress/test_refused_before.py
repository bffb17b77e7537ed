"""What is refused before a pass begins: nothing was trained, and nothing was cut, in vain."""

import numpy as np
import pytest

from pipeline import compress
from pipeline.compress.callbacks import fake_quantized
from pipeline.compress.context import Dataset
from pipeline.compress.keras_passes import prune_channels
from pipeline.errors import DataError, PlanError, StageError
from tests.support.tiny_model import rows, tiny_model

MODEL = '[model]\npath = "m.keras"\n[data]\ntraining = "t.npz"\n'
CHANGES = {
    "half_precision": {}, "recover": {}, "codebook": {}, "prune_weights": {"sparsity": 0.5}, "prune_channels": {"ratio": 0.5},
    "distill": {"ratio": 0.5}, "quantize_aware": {},
}  # fmt: skip


# --- behind quantize_aware


@pytest.fixture(scope="module")
def quantized(sets):
    return fake_quantized(tiny_model(), sets.calibration[0])


@pytest.mark.frameworks
@pytest.mark.parametrize("name", CHANGES)
def test_passes_that_would_undo_quantize_aware(name, quantized, sets):
    with pytest.raises(StageError, match=f"{name}: the model went through quantize_aware, and a change") as caught:
        compress.apply(quantized, name, training=Dataset(*sets.training), **CHANGES[name])
    assert "quantize_aware comes last" in caught.value.hint


@pytest.mark.frameworks
def test_looking_is_allowed(quantized, sets):
    applied = compress.apply(
        quantized, "sensitivity", training=Dataset(*sets.training), rows=20, weights=[0.5], bits=[4]
    )
    assert applied.changed.sensitivity


def test_a_plan_says_so_before_anything_runs(empty):
    tables = '[[compress]]\npass = "quantize_aware"\n[[compress]]\npass = "sensitivity"\n'
    assert len(compress.settings_of(empty.plan(MODEL + tables))) == 2
    with pytest.raises(PlanError, match=r"compress\[2\]: half_precision is after quantize_aware") as caught:
        compress.settings_of(empty.plan(MODEL + tables + '[[compress]]\npass = "half_precision"\n'))
    assert "quantize_aware comes last" in caught.value.hint


def test_every_pass_that_changes_weights_is_refused():
    assert set(CHANGES) == set(compress.PASSES["keras"]) - set(compress.base.ONLY_LOOK)


# --- rows that do not fit


def never(*_, **__):
    raise AssertionError("the pass had begun")


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["prune_channels", "prune_weights", "codebook", "quantize_aware"])
def test_rows_to_recover_with_are_checked_first(name, sets, monkeypatch):
    monkeypatch.setattr(f"pipeline.compress.keras_passes.{name}.apply", never)
    flat = Dataset(sets.training[0][..., 0], sets.training[1])
    with pytest.raises(DataError, match=r"a row of data\.training has shape \(8, 8\)"):
        compress.apply(
            tiny_model(), name, training=flat, calibration=Dataset(*sets.calibration), recover={}, **CHANGES[name]
        )


@pytest.mark.frameworks
def test_rows_for_batch_normalisation_are_checked_first(monkeypatch):
    monkeypatch.setattr(prune_channels, "apply", never)
    with pytest.raises(DataError, match=r"a row of data\.calibration has shape \(7, 8, 1\)"):
        compress.apply(tiny_model(), "prune_channels", ratio=0.5, calibration=Dataset(rows(20, 1)[0][:, :7]))


@pytest.mark.frameworks
def test_statistics_of_a_model_of_two_inputs(monkeypatch):
    import keras

    one, other = keras.Input((8,), name="one"), keras.Input((8,), name="other")
    x = keras.layers.BatchNormalization()(keras.layers.Dense(32)(keras.layers.Concatenate()([one, other])))
    model = keras.Model([one, other], keras.layers.Dense(2)(x))
    data = Dataset({"one": np.ones((20, 8), np.float32), "other": np.zeros((20, 8), np.float32)})
    assert compress.apply(model, "prune_channels", ratio=0.5, calibration=data)
    monkeypatch.setattr(prune_channels, "apply", never)
    with pytest.raises(DataError, match=r"the rows of data\.calibration lack the input 'other'"):
        compress.apply(model, "prune_channels", ratio=0.5, calibration=Dataset({"one": data.x["one"]}))


# --- files of teachers and students


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('pass = "distill"\nstudent = "gone.keras"', r"compress\[1\]\.student"),
        ('pass = "distill"\nratio = 0.5\ndistill = { teacher = "gone.keras" }', r"compress\[1\]\.distill\.teacher"),
        (
            'pass = "prune_channels"\nratio = 0.5\nrecover = { distill = { teacher = "gone.keras" } }',
            r"compress\[1\]\.recover\.distill\.teacher",
        ),
    ],
)
def test_files_that_are_not_there(empty, table, key):
    plan = f'{MODEL}[[compress]]\npass = "recover"\n[[compress]]\n{table}\n'
    with pytest.raises(PlanError, match=f"{key}: there is no file .*gone.keras"):
        compress.settings_of(empty.plan(plan))
    (empty.folder / "gone.keras").touch()
    assert len(compress.settings_of(empty.plan(plan))) == 2


# --- wrong keys


def test_settings_are_described_in_the_page_of_passes(empty):
    with pytest.raises(PlanError, match=r"compress\[0\]: unknown key `speed`") as caught:
        compress.settings_of(empty.plan(f'{MODEL}[[compress]]\npass = "codebook"\nspeed = 1\n'))
    assert caught.value.hint.endswith("docs/passes.md describes each.")
    with pytest.raises(PlanError, match=r"^codebook: unknown key `speed`"):
        compress.apply(object(), "codebook", speed=1)
