"""quantize_aware: the int8 file answers as the trained model does, and what cannot be quantized is named."""

import numpy as np
import pytest

from pipeline import compress, frameworks
from pipeline.compress.base import Changed, apply_pass
from pipeline.compress.callbacks import ObserveRanges, fake_quantized
from pipeline.compress.context import Context, Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.keras_passes import quantize_aware
from pipeline.compress.settings import Recover
from pipeline.errors import DataError, PromiseError, StageError
from tests.pipeline.compress.answering import answers
from tests.pipeline.compress.rounded_files import int8_file, silent, steps_apart
from tests.support.tiny_model import PLAN, through, tiny_model


def rounding(model, sets, **given):
    training, calibration = Dataset(*sets.training), Dataset(*sets.calibration)
    applied = compress.apply(model, "quantize_aware", training=training, calibration=calibration, **given)
    return applied.changed.model, applied


def residual(x):
    """What the example model is made of: residual add, squeeze-and-excite, concatenation, normalisation everywhere."""
    from keras import layers

    def conv(x, filters, kernel, *, relu=True):
        y = layers.BatchNormalization()(layers.Conv2D(filters, kernel, padding="same", use_bias=False)(x))
        return layers.ReLU()(y) if relu else y

    x = conv(x, 8, 3)
    y = conv(layers.DepthwiseConv2D(3, padding="same")(x), 8, 1, relu=False)
    gate = layers.Conv2D(4, 1, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(y))
    y = layers.Multiply()([y, layers.Conv2D(8, 1, activation="sigmoid")(gate)])
    x = layers.MaxPooling2D()(layers.ReLU()(layers.Add()([x, y])))
    x = layers.Concatenate()([conv(x, 4, 1), layers.AveragePooling2D(3, 1, "same")(x), conv(x, 4, 3)])
    return layers.Dense(4, activation="softmax")(layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x)))


def gated(x):
    """Rescaling, separable and padded convolutions, SiLU, a sum of keras.ops, normalisation that cannot be folded."""
    from keras import layers, ops

    x = layers.Activation("silu")(layers.ZeroPadding2D()(layers.SeparableConv2D(6, 3)(layers.Rescaling(2.0, -1.0)(x))))
    x = ops.relu(x + layers.Conv2D(6, 1, activation="hard_silu")(layers.BatchNormalization()(x)))
    return layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling2D()(x))


def generator(x):
    from keras import layers

    x = layers.Conv2DTranspose(5, 3, strides=2, activation="relu6")(layers.Conv2D(6, 3, activation="relu")(x))
    shared = layers.Conv2D(5, 3, padding="same", activation="sigmoid")
    x = shared(shared(x))
    return layers.Conv2D(1, 3, activation="tanh")(layers.Cropping2D(1)(layers.UpSampling2D()(x)))


def signal(x):
    """In one dimension, over nested models; answers are no probabilities."""
    import keras
    from keras import layers

    part = keras.Sequential([keras.Input((64, 1)), layers.Conv1D(6, 3), layers.ReLU(), layers.MaxPooling1D()])
    x = part(layers.Reshape((64, 1))(x))
    return layers.Dense(4)(layers.Dense(8, activation="tanh")(layers.GlobalMaxPooling1D()(x)))


def built(body, seed=0):
    import keras

    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 1), name="image")
    return keras.Model(image, body(image))


@pytest.mark.frameworks
def test_the_file_of_a_trained_model_answers_within_one_output_step(tiny_folder, sets, tmp_path):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    after, applied = rounding(model, sets, recover={"epochs": 2, "batch_size": 50, "distill": True})
    x, y = sets.evaluation
    assert steps_apart(after, tmp_path, x).max() <= 1.001
    assert frameworks.accuracy(answers(after, x), y) > 0.95
    assert applied.claims["quantized_layers"] == 5
    assert applied.claims["quantized_activations"] == 7  # the input, five layers, and the softmax behind the last
    assert applied.claims["most_values_of_a_channel"] <= 255
    assert any("batch normalisation is folded" in note for note in applied.changed.notes)
    assert not after.compiled


@pytest.mark.frameworks
@pytest.mark.parametrize(("body", "bits"), [(residual, 8), (residual, 4), (gated, 8), (generator, 8), (signal, 8)])
def test_every_operator_answers_within_one_output_step(body, bits, sets, tmp_path):
    after, _ = rounding(built(body), sets, weight_bits=bits)
    assert steps_apart(after, tmp_path, sets.evaluation[0]).max() <= 1.001


@pytest.mark.frameworks
def test_four_bits_in_the_file_and_training_makes_up_for_them(tiny_folder, sets, tmp_path):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    x, y = sets.evaluation
    plain, _ = rounding(model, sets, weight_bits=4)
    after, applied = rounding(model, sets, weight_bits=4, recover={"epochs": 3, "batch_size": 50})
    assert applied.claims["most_values_of_a_channel"] <= 15
    assert any("4-bit weights in 8 bits" in note for note in applied.changed.notes)
    before, now = (frameworks.accuracy(answers(each, x), y) for each in (plain, after))
    assert now > 0.95
    assert now >= before
    interpreter = frameworks.Tflite(int8_file(after, tmp_path), "int8", plain=True).interpreter
    kernels = [
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] == np.int8 and detail["shape"].size > 1 and detail["shape"][0] > 1
    ]
    assert len(kernels) >= 4
    assert all(np.abs(kernel.astype(int)).max() <= 7 for kernel in kernels)


@pytest.mark.frameworks
def test_pruned_weights_stay_zero(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    pruned = compress.apply(model, "prune_weights", sparsity=0.6).changed.model
    after, _ = rounding(pruned, sets, recover={"epochs": 1, "batch_size": 50})
    for name in ("stem", "pointwise", "hidden"):
        zero = np.asarray(pruned.get_layer(name).kernel) == 0
        assert np.mean(zero) > 0.5
        assert not np.asarray(after.get_layer(name).kernel)[zero].any()


@pytest.mark.frameworks
def test_the_same_seed_gives_the_same_model(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    files = [rounding(model, sets, recover={"batch_size": 50, "rows": 200}, seed=seed)[1].file for seed in (1, 1, 2)]
    assert files[0] == files[1] != files[2]


@pytest.mark.frameworks
def test_stopped_and_resumed(tiny_folder, sets, tmp_path):
    """Ranges, and how long they are still observed, are found again."""
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    settings = quantize_aware.Settings(recover=Recover(epochs=3, batch_size=50))

    def apply(tell, resume):
        context = Context(Dataset(*sets.training), Dataset(*sets.calibration), tell=tell, resume=resume)
        return apply_pass("quantize_aware", quantize_aware, model, settings, context, FORMATS["keras"]).file

    def stop(done, of, note):
        if done >= 12:  # the first of three epochs is done, and the ranges are not frozen yet
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(stop, tmp_path)
    assert apply(silent, tmp_path) == apply(silent, None)


@pytest.mark.frameworks
def test_a_training_of_ones_own(tiny_folder, sets, tmp_path):
    import keras

    from pipeline.frameworks import fake_quantization

    rows = sets.calibration[0]
    model = fake_quantized(frameworks.open_keras(tiny_folder / "tiny.keras"), rows)
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(model.get_layer("pointwise_range").high))

    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(*sets.training, batch_size=50, epochs=2, verbose=0, callbacks=[ObserveRanges(rows, 0.5), Watch()])
    assert len(seen) == 24
    assert len(set(seen[:11])) == 1  # a look every 100 steps, and one in the middle
    assert len(set(seen[11:])) == 1
    assert seen[10] != seen[11]
    biases = [layer.bias.numpy() for layer in fake_quantization.rounded_of(model)]
    fake_quantization.settle(model)
    for layer, bias in zip(fake_quantization.rounded_of(model), biases, strict=True):
        assert np.asarray(layer.bias) == pytest.approx(bias, rel=1e-5, abs=1e-8)
    assert steps_apart(model, tmp_path, sets.evaluation[0]).max() <= 1.001


@pytest.mark.frameworks
def test_a_plan_with_every_format(tiny, sets):
    text = PLAN.replace('pass = "prune_weights"\nsparsity = 0.5', 'pass = "quantize_aware"')
    made = through(tiny, text.replace('"tflite-int8", "onnx-fp32", "onnx-int8"', '"tflite-int8", "onnx-int8"'))
    files = {file.format: file for file in made.converted if file.variant == "compressed"}
    assert list(files) == ["tflite-fp32", "tflite-int8", "onnx-int8"]
    assert files["tflite-int8"].agreement.largest_error <= 1.001 / 256
    for file in files.values():
        assert file.agreement.top1_agreement_ratio > 0.98
        assert file.agreement.accuracy_ratio > 0.95
    assert made.loaded.model.accuracy_ratio > 0.95


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "softplus",
            r"cannot compute layer 'bent' \(Dense\) in 8 bits: the pass knows no 8-bit form of the activation 'softplus'",
        ),
        ("tokens", "cannot round the input 'words' of tokens: it holds int32"),
        ("twice", "quantize_aware: the model went through quantize_aware"),
        ("joined", "cannot give the inputs of layer 'joined' one scale"),
    ],
)
def test_what_has_no_8_bit_form_is_named(kind, message, sets):
    import keras
    from keras import layers

    x = keras.Input((4, 3), name="rows")
    rows = np.random.default_rng(0).normal(size=(8, 4, 3)).astype(np.float32)
    if kind == "tokens":
        x, rows = keras.Input((4,), dtype="int32", name="words"), rows[:, :, 0].astype(np.int32)
    if kind == "twice":
        model = fake_quantized(tiny_model(), sets.calibration[0])
    else:
        y = {
            "softplus": lambda: layers.Dense(3, activation="softplus", name="bent")(x),
            "tokens": lambda: layers.Embedding(5, 3)(x) * layers.Dense(3)(x)[:, None],
            "joined": lambda: layers.Concatenate(name="joined")([x, layers.Dense(3, activation="sigmoid")(x)]),
        }[kind]()
        model = keras.Model(x, y, name=kind)
    with pytest.raises(StageError, match=message) as caught:
        compress.apply(model, "quantize_aware", calibration=Dataset(rows))
    assert caught.value.hint


@pytest.mark.frameworks
def test_rows_are_needed():
    with pytest.raises(DataError, match="needs rows to see the range of every activation"):
        compress.apply(tiny_model(), "quantize_aware")
    with pytest.raises(DataError, match=r"a row of data\.calibration has shape"):
        compress.apply(tiny_model(), "quantize_aware", calibration=Dataset(np.zeros((5, 8, 8), np.float32)))


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("kind", "message"),
    [("not rounded", "the kernel of layer 'hidden' is not rounded to 4 bits"), ("zeros", "that were zero are zero no")],
)
def test_promises_that_are_broken(kind, message, sets):
    class Liar:
        Settings = quantize_aware.Settings
        requires = staticmethod(quantize_aware.requires)
        ensures = staticmethod(quantize_aware.ensures)

        @staticmethod
        def apply(model, settings, context):
            model = quantize_aware.apply(model, settings, context).model
            kernel = model.get_layer("hidden").kernel
            values = kernel.numpy()
            values[values == 0 if kind == "zeros" else 0] = np.abs(values).max() * (1 if kind == "zeros" else 0.55)
            kernel.assign(values)
            return Changed(model)

    model = tiny_model()
    kernel = model.get_layer("hidden").kernel
    kernel.assign(np.where(np.abs(kernel) < 0.01, 0, kernel))
    settings, context = quantize_aware.Settings(weight_bits=4), Context(calibration=Dataset(*sets.calibration))
    with pytest.raises(PromiseError, match=message):
        apply_pass("liar", Liar, model, settings, context, FORMATS["keras"])
