"""Conversions of models with several inputs and outputs, states and odd types, judged by the answers of the files."""

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.convert import keras_source
from pipeline.convert.table import load_converter
from pipeline.errors import StageError
from tests.support.conversions import answers, job, silent

pytestmark = pytest.mark.frameworks
FORMATS = ("tflite-fp32", "tflite-fp16", "tflite-int8", "onnx-fp32", "onnx-int8")
ALLOWED = {"tflite-fp32": 1e-5, "onnx-fp32": 1e-5, "tflite-fp16": 1e-2, "tflite-int8": 0.15, "onnx-int8": 0.15}


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def keras_answers(model, rows):
    runner = frameworks.KerasRunner(model, "m")
    found = [
        runner.run({name: x[i : i + 1] for name, x in rows.items()}) for i in range(len(next(iter(rows.values()))))
    ]
    return {
        each.name: np.concatenate([np.atleast_1d(row[place]) for row in found])
        for place, each in enumerate(runner.outputs)
    }


def check(model, name, folder, rows, **more):
    """Convert, and hold each output against the model's."""
    converter = load_converter(name)
    the_job = job(model, folder, rows if converter.CALIBRATES else None, **more)
    found = answers(converter.convert(the_job, silent), converter.FILE, folder, the_job.model, rows)
    for output, exact in keras_answers(model, rows).items():
        assert found[output].shape == exact.shape, output
        if exact.dtype.kind == "f":
            error = np.abs(found[output] - exact).max()
            assert error < ALLOWED[name] * max(1, np.abs(exact).max()), (output, error)
        else:
            assert np.mean(found[output] != exact) <= (0.1 if name.endswith("int8") else 0), output
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_inputs_of_one_shape_are_not_swapped(name, tmp_path, generator):
    import keras

    first, second = keras.Input((4,), name="zulu"), keras.Input((4,), name="alpha")
    model = keras.Model([first, second], keras.layers.Dense(3)(keras.layers.Subtract()([first, second])))
    rows = {
        key: generator.normal(size=(30, 4)).astype(np.float32) * scale for key, scale in (("zulu", 1), ("alpha", 3))
    }
    check(model, name, tmp_path, rows)


@pytest.mark.parametrize("name", FORMATS)
def test_a_dict_of_outputs_in_an_order_that_is_not_sorted(name, tmp_path, generator):
    import keras

    x = keras.Input((4,), name="x")
    dense = keras.layers.Dense
    model = keras.Model(x, {"z": dense(3)(x), "b": dense(3)(x), "m": dense(2)(x)})
    check(model, name, tmp_path, {"x": generator.normal(size=(30, 4)).astype(np.float32)})


@pytest.mark.parametrize("name", ["tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8"])
def test_names_that_tensorflow_does_not_take(name, tmp_path, generator):
    import keras

    first, second = keras.Input((4,), name="a b:0"), keras.Input((4,), name="a-b.0")
    out = keras.layers.Dense(3)(keras.layers.Subtract()([first, second]))
    model = keras.Model(
        {"a b:0": first, "a-b.0": second}, {"self": out, "o/1": keras.layers.ReLU()(out), "a b:0": out * 2}
    )
    rows = {key: generator.normal(size=(30, 4)).astype(np.float32) for key in ("a b:0", "a-b.0")}
    check(model, name, tmp_path, rows)


@pytest.mark.parametrize("name", ["tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8"])
def test_tokens_and_numbers(name, tmp_path, generator):
    import keras
    from keras import layers, ops

    tokens, x = keras.Input((5,), dtype="int32", name="tokens"), keras.Input((4,), name="x")
    both = layers.Concatenate()([layers.Flatten()(layers.Embedding(10, 4)(tokens)), x])
    scores = layers.Dense(3)(both)
    model = keras.Model([tokens, x], [scores, ops.cast(tokens, "int32") + 1])
    rows = {
        "tokens": generator.integers(0, 10, (40, 5)).astype(np.int32),
        "x": generator.normal(size=(40, 4)).astype(np.float32),
    }
    check(model, name, tmp_path, rows)
    if name == "tflite-int8":
        file = frameworks.Tflite(tmp_path / "made", "made")
        assert {each.name: each.dtype for each in file.inputs} == {"tokens": "int32", "x": "int8"}
        assert sorted(each.dtype for each in file.outputs) == ["int32", "int8"]


@pytest.mark.parametrize("name", ["tflite-fp32", "tflite-int8", "onnx-int8"])
def test_integers_that_the_model_casts(name, tmp_path, generator):
    import keras

    counts = keras.Input((6,), dtype="int32", name="counts")
    model = keras.Model(counts, keras.layers.Dense(3)(keras.layers.Rescaling(0.1)(counts)))
    check(model, name, tmp_path, {"counts": generator.integers(0, 10, (40, 6)).astype(np.int32)})


@pytest.mark.parametrize("name", ["tflite-fp32", "onnx-fp32"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float64"])
def test_inputs_of_other_types(name, dtype, tmp_path, generator):
    import keras
    from keras import layers, ops

    x, y = keras.Input((4,), name="x"), keras.Input((4,), dtype=dtype, name="y")
    model = keras.Model([x, y], layers.Dense(3)(layers.Add()([x, ops.cast(y, "float32")])))
    rows = {
        "x": generator.normal(size=(10, 4)).astype(np.float32),
        "y": generator.integers(0, 2, (10, 4)).astype(dtype),
    }
    check(model, name, tmp_path, rows)


@pytest.mark.parametrize("name", ["tflite-fp32", "onnx-fp32"])
def test_fixed_batches_and_open_axes(name, tmp_path, generator):
    import keras
    from keras import layers

    x, y = keras.Input((None, None, 3), name="x"), keras.Input(batch_shape=(2, 5), name="y")
    model = keras.Model([x, y], [layers.Conv2D(4, 3, padding="same")(x), layers.Dense(3)(y)])
    the_job = job(model, tmp_path, shapes={"x": (1, 8, 6, 3)})
    converter = load_converter(name)
    rows = {
        "x": generator.normal(size=(3, 8, 6, 3)).astype(np.float32),
        "y": generator.normal(size=(3, 2, 5)).astype(np.float32),
    }
    found = answers(converter.convert(the_job, silent), converter.FILE, tmp_path, the_job.model, rows)
    assert [each.shape for each in found.values()] == [(3, 8, 6, 4), (3, 2, 3)]
    dense = next(each for each in model.layers if isinstance(each, layers.Dense))
    exact = rows["y"] @ np.asarray(dense.kernel) + np.asarray(dense.bias)
    assert np.abs(list(found.values())[1] - exact).max() < 1e-5


# --- state


def step_model(units=6):
    """A GRU by hand: the state goes in and comes out."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(2)
    x, h = keras.Input((4,), name="x"), keras.Input((units,), name="h")
    both = layers.Concatenate()([x, h])
    gate = layers.Dense(units, activation="sigmoid")(both)
    new = layers.Dense(units, activation="tanh")(both)
    state = gate * h * 0.5 + (1 - gate) * new * 3
    return keras.Model([x, h], {"score": layers.Dense(2)(state), "hn": layers.Identity()(state)})


@pytest.mark.parametrize("name", ["tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8"])
def test_a_state_is_calibrated_with_what_the_model_reaches(name, tmp_path, generator):
    model = step_model()
    rows = {"x": generator.normal(size=(12, 9, 4)).astype(np.float32)}
    converter = load_converter(name)
    state = (("h", "hn"),)
    the_job = job(model, tmp_path, rows, state=state, sequences=True)
    found = answers(converter.convert(the_job, silent), converter.FILE, tmp_path, the_job.model, rows)
    runner, exact = frameworks.KerasRunner(model, "m"), []
    places = {each.name: place for place, each in enumerate(runner.outputs)}
    for row in rows["x"]:
        h, steps = np.zeros((1, 6), np.float32), []
        for x in row:
            given = runner.run({"x": x[None], "h": h})
            h = given[places["hn"]]
            steps.append(given[places["score"]][0])
        exact.append(steps)
    assert found["score"].shape == (12, 9, 2)
    assert np.abs(found["score"] - exact).max() < {"32": 1e-4, "t8": 0.3}[name[-2:]] * np.abs(exact).max()
    if name == "tflite-int8":
        file = frameworks.Tflite(tmp_path / "made", "made")
        scale = file._inputs["h"]["quantization"][0]
        assert scale * 255 > 2  # of states that were reached, and not of zeros


def test_an_output_that_a_relu_takes_too_keeps_its_negative_numbers(tmp_path):
    import keras

    x = keras.Input((8,), name="x")
    before = keras.layers.Dense(8, name="before")(x)
    model = keras.Model(x, [before, keras.layers.ReLU(name="after")(before)])
    rows = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    the_job = job(model, tmp_path, rows)
    found = answers(load_converter("onnx-int8").convert(the_job, silent), "onnx", tmp_path, the_job.model, rows)
    exact = model.predict(rows, verbose=0)
    for name, want in zip(("before", "after"), exact, strict=True):
        assert np.abs(found[name] - want).max() < 0.05 * np.abs(want).max()


def stateful_model():
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    return keras.Sequential([
        keras.Input(batch_shape=(1, 1, 4)), layers.GRU(6, stateful=True, unroll=True, name="keeper"), layers.Dense(2)
    ])  # fmt: skip


@pytest.mark.parametrize("name", ["tflite-fp32", "tflite-int8"])
def test_a_state_inside(name, tmp_path, generator):
    model = stateful_model()
    rows = generator.normal(size=(6, 5, 1, 1, 4)).astype(np.float32)
    the_job = job(model, tmp_path, rows, sequences=True)
    converter = load_converter(name)
    (found,) = answers(converter.convert(the_job, silent), converter.FILE, tmp_path, the_job.model, rows).values()
    exact = []
    for row in rows:
        model.layers[0].reset_state()
        exact.append([model(x, training=False)[0] for x in row])
    assert found.shape == (6, 5, 2)
    assert np.abs(found - np.asarray(exact)).max() < {"32": 1e-5, "t8": 0.2}[name[-2:]]


def test_onnx_has_no_variables(tmp_path):
    the_job = job(stateful_model(), tmp_path, sequences=True)
    with pytest.raises(
        StageError, match=r"keeps a state inside \('keeper' is stateful=True\), and an ONNX file has no variables"
    ):
        load_converter("onnx-fp32").convert(the_job, silent)


# --- 16 bits, channels first


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(name, policy, tmp_path, generator):
    import keras
    from keras import layers

    keras.mixed_precision.set_global_policy(policy)
    try:
        x = keras.Input((8, 8, 3), name="x")
        h = layers.BatchNormalization()(layers.Conv2D(8, 3, activation="relu")(x))
        h = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(5)])(h)
        model = keras.Model(x, layers.Dense(4, activation="softmax", dtype="float32")(h))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    rows = {"x": generator.uniform(size=(20, 8, 8, 3)).astype(np.float32)}
    converter = load_converter(name)
    the_job = job(model, tmp_path, rows if converter.CALIBRATES else None)
    (found,) = answers(converter.convert(the_job, silent), converter.FILE, tmp_path, the_job.model, rows).values()
    assert np.abs(found - model.predict(rows["x"], verbose=0)).max() < 0.02


@pytest.mark.parametrize("name", FORMATS)
def test_channels_first(name, tmp_path, generator):
    import keras
    from keras import layers

    first = {"data_format": "channels_first"}
    x = keras.Input((3, 10, 8), name="x")
    h = layers.BatchNormalization(axis=1)(layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", **first)(x))
    h = layers.MaxPooling2D(**first)(layers.DepthwiseConv2D(3, padding="same", **first)(h))
    pooled = layers.GlobalAveragePooling2D(**first)(h)
    model = keras.Model(x, [layers.Dense(4)(pooled), layers.Flatten(**first)(h), h])
    check(model, name, tmp_path, {"x": generator.normal(size=(20, 3, 10, 8)).astype(np.float32)})


def test_safe_names_are_all_different():
    names = ["a b", "a-b", "x_a_b", "é", "self", "ok"]
    found = keras_source.safe(names)
    assert list(found) == names
    assert len(set(found.values())) == len(names)
    assert (found["ok"], found["x_a_b"]) == ("ok", "x_a_b")
    assert all(keras_source.SAFE.fullmatch(each) and each != "self" for each in found.values())
