"""Weights in 16 bits: rounded in the model, stored so in the file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import compress, frameworks
from pipeline.compress.keras_passes import half_precision
from pipeline.convert import tflite_fp16, tflite_fp32
from pipeline.convert.table import load_converter
from pipeline.errors import PromiseError, StageError
from tests.pipeline.compress.liars import lying_with
from tests.support.conversions import job, largest_error, silent
from tests.support.tiny_model import through, tiny_model

LEAST = 2.0**-24  # the smallest float16 above zero


@settings(max_examples=50, deadline=None)
@given(st.floats(-65504, 65504, width=32))
def test_no_float16_number_is_nearer(value):
    found = float(half_precision.rounded(np.array([value], np.float32))[0])
    near = np.float16(found)
    for other in (np.nextafter(near, np.float16(np.inf)), np.nextafter(near, np.float16(-np.inf))):
        assert abs(found - value) <= abs(float(other) - value)


def test_values_worked_by_hand():
    values = np.array([1 + 2**-11, 1 + 3 * 2**-11, 0.1, 65504, LEAST / 2, 0.75 * LEAST], np.float32)
    expected = [1.0, 1 + 2**-9, 0.0999755859375, 65504, 0.0, LEAST]  # ties go to the even neighbour
    assert half_precision.rounded(values).tolist() == expected


@pytest.mark.frameworks
def test_every_weight_is_rounded_and_the_figures_are_those_of_it():
    model = tiny_model()
    kernel = model.get_layer("hidden").kernel
    kernel.assign(np.full((256, 12), 1 + 2**-11))
    values = np.zeros(12, np.float32)
    values[:4] = [3.3 * LEAST, LEAST / 4, -LEAST / 4, 2.0**-14]
    model.get_layer("hidden").bias.assign(values)
    applied = compress.apply(model, "half_precision")
    after = applied.changed.model
    assert applied.claims == {
        "largest_relative_error": pytest.approx(2**-11 / (1 + 2**-11)), "subnormal_weights": 1.0, "weights_rounded_to_zero": 2.0,
    }  # fmt: skip
    for old, new in zip(model.weights, after.weights, strict=True):
        assert np.array_equal(new.numpy(), old.numpy().astype(np.float16).astype(np.float32))
        assert str(new.dtype) == "float32"
    again = compress.apply(after, "half_precision")
    assert again.claims["largest_relative_error"] == 0


@pytest.mark.frameworks
def test_weights_that_16_bits_can_not_hold():
    model = tiny_model()
    model.get_layer("norm").moving_variance.assign(np.full(8, 70000.0))
    with pytest.raises(StageError, match=r"'norm/moving_variance' go up to 7e\+04, and float16 ends at 65504"):
        compress.apply(model, "half_precision")


@pytest.mark.frameworks
def test_a_weight_that_was_not_rounded_breaks_the_promise():
    with pytest.raises(PromiseError, match="'stem/kernel' are not the nearest float16 numbers"):
        lying_with(half_precision, lambda model: None)(tiny_model(), half_precision.Settings())


# --- the file


def dense_model():
    import keras

    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(image))
    return keras.Model(image, keras.layers.Dense(4)(x))


@pytest.mark.frameworks
def test_the_file_holds_exactly_the_weights_of_the_pass(tmp_path, sets):
    """Rounded beforehand, a file of 16-bit weights answers what one of 32-bit weights does, in half the bytes."""
    model = compress.apply(dense_model(), "half_precision").changed.model
    half = tflite_fp16.convert(job(model, tmp_path), silent)
    whole = tflite_fp32.convert(job(model, tmp_path), silent)
    assert len(half) < 0.65 * len(whole)
    x = sets.evaluation[0][:50]
    answers = []
    for data in (half, whole):
        (tmp_path / "made.tflite").write_bytes(data)
        runner = frameworks.Tflite(tmp_path / "made.tflite", "made")
        answers.append(np.concatenate([runner.run({runner.inputs[0].name: row[None]})[0] for row in x]))
    np.testing.assert_allclose(*answers, rtol=1e-5, atol=1e-6)


@pytest.mark.frameworks
@pytest.mark.parametrize("kind", ["tiny", "lstm"])
def test_answers_stay_near(kind, tmp_path):
    import keras

    model = tiny_model()
    if kind == "lstm":
        model = keras.Sequential([keras.Input((6, 4)), keras.layers.LSTM(16), keras.layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(8, *model.inputs[0].shape[1:])).astype(np.float32)
    data = load_converter("tflite-fp16").convert(job(model, tmp_path), silent)
    assert 0 < largest_error(model, data, "tflite", tmp_path, x) < 1e-3


@pytest.mark.frameworks
def test_the_audit_finds_weights_in_32_bits(tmp_path):
    path = tmp_path / "fp32.tflite"
    path.write_bytes(tflite_fp32.convert(job(tiny_model(), tmp_path), silent))
    with pytest.raises(StageError, match="still stores weights in 32 bits"):
        tflite_fp16.audit(path)


@pytest.mark.frameworks
def test_from_the_plan(tiny):
    text = """
seed = 3
[model]
path = "tiny.keras"
[data]
evaluation = "evaluation.npz"
[[compress]]
pass = "half_precision"
[convert]
formats = ["tflite-fp16"]
[measure]
steps = false
"""
    done = through(tiny, text)
    made = {(file.variant, file.format): file for file in done.converted}
    assert set(made) == {("compressed", "tflite-fp16"), ("original", "tflite-fp32")}
    half, whole = made["compressed", "tflite-fp16"], made["original", "tflite-fp32"]
    assert half.agreement.top1_agreement_ratio == 1
    assert half.agreement.largest_error < 1e-3
    assert half.artifact.size_bytes < whole.artifact.size_bytes
    assert "only the format tflite-fp16" in done.compressed.passes[0].notes[0]
