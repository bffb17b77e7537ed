"""The layers of fake quantization: what they round to, what they let through, and what is left of them in files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline import frameworks
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.frameworks
REALS = st.floats(-50, 50, width=32)


@pytest.fixture
def fq():
    from pipeline.frameworks import fake_quantization

    return fake_quantization


def layer_with(fq, kernel, bits=8, kind="Dense", **options):
    """A layer with this kernel, and no bias."""
    layer = getattr(fq, f"FakeQuantized{kind}")(weight_bits=bits, use_bias=False, **options)
    layer.build((None, *([8] * (kernel.ndim - 2)), kernel.shape[-2]))
    layer.kernel.assign(kernel)
    return layer


def test_kernels_by_hand(fq):
    """A largest weight of 1.27 makes steps of 0.01 in 8 bits; one of 0.7 makes steps of 0.1 in 4 bits."""
    eight = layer_with(fq, np.float32([[1.27, 0.333], [-0.018, 0.0]]), units=2)
    assert np.asarray(eight.rounded(eight.kernel)) == pytest.approx(np.array([[1.27, 0.33], [-0.02, 0.0]]), abs=1e-6)
    four = layer_with(fq, np.float32([[0.7, 0.24], [-0.36, 0.04]]), bits=4, units=2)
    assert np.asarray(four.rounded(four.kernel)) == pytest.approx(np.array([[0.7, 0.2], [-0.4, 0.0]]), abs=1e-6)


def test_a_convolution_has_a_scale_for_each_channel_and_a_dense_layer_one_for_all(fq):
    kernel = np.float32([[1.27, 0.00127], [0.5, 0.00050]])
    dense = layer_with(fq, kernel, units=2)
    assert np.count_nonzero(np.asarray(dense.rounded(dense.kernel))[:, 1]) == 0
    conv = layer_with(fq, kernel[None, None] * [1, 10], kind="Conv2D", filters=2, kernel_size=1)
    assert np.asarray(conv.rounded(conv.kernel))[0, 0] == pytest.approx(kernel * [1, 10], abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(kernel=hnp.arrays(np.float32, (3, 3, 2, 4), elements=REALS), bits=st.sampled_from([4, 8]))
def test_rounded_kernels(kernel, bits):
    """Half a step at most, few values, zero stays zero, and rounding once more changes nothing."""
    from pipeline.frameworks import fake_quantization as fq

    kernel[0, 0, 0] = 0
    layer = layer_with(fq, kernel, bits, kind="Conv2D", filters=4, kernel_size=3)
    scales = np.asarray(layer.scales(layer.columns(kernel)))
    rounded = np.asarray(layer.rounded(layer.kernel))
    assert (np.abs(rounded - kernel) <= 0.5001 * scales).all()
    assert (np.abs(np.rint(rounded / scales)) <= 2 ** (bits - 1) - 1).all()
    assert (rounded[kernel == 0] == 0).all()
    assert np.asarray(layer.rounded(rounded)) == pytest.approx(rounded, rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(low=REALS, high=REALS, x=hnp.arrays(np.float32, 20, elements=REALS))
def test_activations(low, high, x):
    """Zero is exact; inside the range the error is half a step at most, outside it is cut off."""
    from pipeline.frameworks import fake_quantization as fq

    layer = fq.FakeQuantize()
    layer.build(None)
    layer.set_range(min(low, high), max(low, high))
    x[0] = 0
    found = np.asarray(layer(x))
    assert found[0] == 0
    limited = np.clip(x, float(layer.low), float(layer.high))
    assert np.abs(found - limited).max() <= 0.501 * layer.scale
    assert float(layer.low) <= min(low, high, 0.0) + layer.scale
    assert float(layer.high) >= max(low, high, 0.0) - layer.scale


def test_gradients_pass_straight_through(fq):
    import tensorflow as tf

    layer = layer_with(fq, np.float32([[0.9, -0.4], [0.2, 0.1]]), units=2)
    x = tf.constant([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) * [3.0, 5.0])
    assert np.asarray(tape.gradient(loss, layer.kernel.value)).tolist() == [[3, 5], [6, 10]]
    cut = fq.FakeQuantize()
    cut.build(None)
    cut.set_range(0, 1)
    inside = tf.Variable([0.5, 3.0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(cut(inside))
    assert np.asarray(tape.gradient(loss, inside)).tolist() == [1, 0]


def test_prescribed_ranges_do_not_touch_what_is_trained(fq):
    layer = fq.FakeQuantize((0.0, 255 / 256))
    x = np.float32([0.0011, 0.5, 0.998])
    assert np.asarray(layer(x, training=True)).tolist() == x.tolist()
    assert np.asarray(layer(x, training=False)).tolist() == [0, 0.5, 255 / 256]
    assert layer.scale == 1 / 256


def test_a_saved_model_is_known_and_answers_alike(fq, sets, tmp_path):
    from pipeline.compress.callbacks import fake_quantized

    model = fake_quantized(tiny_model(), sets.calibration[0], 4)
    path = tmp_path / "m.keras"
    path.write_bytes(frameworks.save_keras(model))
    assert frameworks.is_fake_quantized(path)
    x = sets.evaluation[0][:50]
    again = frameworks.open_keras(path)
    assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert {layer.weight_bits for layer in fq.rounded_of(again)} == {4}
    tiny_model().save(path)
    assert not frameworks.is_fake_quantized(path)


def test_the_plain_model_has_the_rounded_weights_and_no_ranges(fq, sets):
    from pipeline.compress.callbacks import fake_quantized

    model = fake_quantized(tiny_model(), sets.calibration[0])
    fq.settle(model)
    kernels = {layer.name: np.asarray(layer.kernel) for layer in fq.rounded_of(model)}
    plain = fq.plain(model)
    assert not any(fq.is_rounding(layer) for layer in plain.layers)
    for name, kernel in kernels.items():
        assert np.asarray(plain.get_layer(name).kernel) == pytest.approx(kernel, rel=1e-6)
    x = sets.evaluation[0]
    assert np.abs(plain.predict(x, verbose=0) - model.predict(x, verbose=0)).max() < 0.05


def test_settling_puts_biases_on_steps_of_the_products(fq, sets):
    from pipeline.compress.callbacks import fake_quantized

    model = fake_quantized(tiny_model(), sets.calibration[0])
    stem = model.get_layer("stem")
    stem.bias.assign(np.linspace(-1, 1, 8))
    fq.settle(model)
    steps = np.asarray(stem.bias, np.float64) / (
        model.get_layer("image_range").scale * np.asarray(stem.scales(stem.columns(stem.kernel)), np.float64)
    )
    assert np.abs(steps - np.rint(steps)).max() < 1e-2
    assert np.abs(np.asarray(stem.bias) - np.linspace(-1, 1, 8)).max() < 1e-3
