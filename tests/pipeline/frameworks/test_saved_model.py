"""SavedModel folders of three kinds: a tf.Module with two signatures, Keras 3's export, and one that tf_keras saved."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import DataError, ModelError, PlanError, StageError
from pipeline.frameworks import saved_model, saved_model_check, saved_model_export
from pipeline.records import TensorSpec

pytestmark = pytest.mark.frameworks
LEGACY = Path(__file__).parents[2] / "models" / "keras2" / "legacy"
TOKENS = np.array([[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [0, 0, 9, 9, 9]], np.int32)
EXTRA = np.random.default_rng(0).random((3, 4)).astype(np.float32)
ROWS = {"tokens": TOKENS, "extra": EXTRA}


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """Two signatures; the inputs of one have different types, and their order by name is not that of the code."""
    import tensorflow as tf

    rng = np.random.default_rng(1)

    class Scorer(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = tf.Variable(rng.standard_normal((4, 3)).astype(np.float32))
            self.table = tf.Variable(rng.standard_normal((10, 4)).astype(np.float32))

        @tf.function(
            input_signature=[
                tf.TensorSpec([1, None], tf.int32, name="tokens"),
                tf.TensorSpec([1, 4], tf.float32, name="extra"),
            ]
        )
        def score(self, tokens, extra):
            mean = tf.reduce_mean(tf.gather(self.table, tokens), 1)
            return {"score": (mean + extra) @ self.weights, "feature": mean * 2}

        @tf.function(input_signature=[tf.TensorSpec([1, 5], tf.int32, name="tokens")])
        def embed(self, tokens):
            return {"vector": tf.reduce_mean(tf.gather(self.table, tokens), 1)}

    folder, scorer = tmp_path_factory.mktemp("saved") / "module", Scorer()
    tf.saved_model.save(scorer, str(folder), signatures={"score": scorer.score, "embed": scorer.embed})
    mean = scorer.table.numpy()[TOKENS].mean(axis=1)
    return folder, {"score": (mean + EXTRA) @ scorer.weights.numpy(), "feature": mean * 2}


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory):
    """A batch of any size before a recurrent layer, which the converter of TFLite does not take."""
    import keras

    keras.utils.set_random_seed(3)
    x = keras.Input((6, 3), name="sound")
    model = keras.Model(
        x,
        keras.layers.Dense(2, name="y")(
            keras.layers.Bidirectional(keras.layers.GRU(3))(keras.layers.LSTM(4, return_sequences=True)(x))
        ),
    )
    folder = tmp_path_factory.mktemp("saved") / "recurrent"
    model.export(str(folder), verbose=False)
    rows = np.random.default_rng(2).random((3, 6, 3)).astype(np.float32)
    return folder, rows, np.asarray(model(rows))


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """It adds up what it is given, in a variable."""
    import tensorflow as tf

    class Count(tf.Module):
        def __init__(self):
            super().__init__()
            self.total = tf.Variable([[0.0]])
            self.factor = tf.Variable([[3.0]])

        @tf.function(input_signature=[tf.TensorSpec([1, 1], tf.float32, name="x")])
        def serve(self, x):
            self.total.assign_add(x)
            return {"sum": self.total.read_value() * self.factor}

    folder, count = tmp_path_factory.mktemp("saved") / "count", Count()
    tf.saved_model.save(count, str(folder), signatures={"serve": count.serve})
    return folder


def in_litert(data, key, rows):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=data, num_threads=1).get_signature_runner(key)
    count = len(next(iter(rows.values())))
    found = [runner(**{name: x[i : i + 1] for name, x in rows.items()}) for i in range(count)]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def in_onnxruntime(proto, rows):
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString())
    names = [each.name for each in session.get_outputs()]
    count = len(next(iter(rows.values())))
    found = [session.run(names, {name: x[i : i + 1] for name, x in rows.items()}) for i in range(count)]
    return {name: np.concatenate([each[k] for each in found]) for k, name in enumerate(names)}


def check_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], atol=2e-6)


def test_signatures_have_named_inputs_and_outputs(module):
    found = saved_model.Opened(module[0]).signatures()
    assert sorted(found) == ["embed", "score"]
    assert found["score"].inputs == (
        TensorSpec(name="extra", shape=(1, 4), dtype="float32"),
        TensorSpec(name="tokens", shape=(1, None), dtype="int32"),
    )
    assert found["score"].outputs == (
        TensorSpec(name="feature", shape=(1, 4), dtype="float32"),
        TensorSpec(name="score", shape=(1, 3), dtype="float32"),
    )


def test_one_of_several_signatures_must_be_named(module):
    opened = saved_model.Opened(module[0])
    with pytest.raises(PlanError, match="module has 2 signatures, and the plan does not say which") as caught:
        opened.chosen()
    assert caught.value.hint == 'Add to [model]: signature = "embed". It has: embed, score.'
    with pytest.raises(PlanError, match=r"model\.signature: module has no signature 'scores'") as caught:
        opened.chosen("scores")
    assert caught.value.hint == "Did you mean score? It has: embed, score."


@pytest.mark.parametrize("shapes", [{}, {"tokens": (1, 5)}])
def test_to_tflite(module, tmp_path, shapes):
    folder, wanted = module
    data = saved_model_export.converter_from_saved_model(folder, "score", shapes, tmp_path).convert()
    check_same(in_litert(data, "score", ROWS), wanted)


@pytest.mark.parametrize("shapes", [{}, {"tokens": (1, 5)}])
def test_to_onnx_with_outputs_in_the_order_of_the_signature(module, shapes):
    """Their names are given later, with those of any conversion to ONNX."""
    folder, wanted = module
    found = in_onnxruntime(saved_model_export.onnx_from_saved_model(folder, "score", shapes), ROWS)
    check_same(dict(zip(["feature", "score"], found.values(), strict=True)), wanted)


def test_shapes_that_do_not_fit(module, tmp_path):
    with pytest.raises(DataError, match=r"'extra' of module takes \(1, 4\), which \(1, 5\) does not fit"):
        saved_model_export.converter_from_saved_model(module[0], "score", {"extra": (1, 5)}, tmp_path)
    with pytest.raises(DataError, match="module has no input 'more' in its signature 'score'"):
        saved_model_export.onnx_from_saved_model(module[0], "score", {"more": (1, 5)})


def test_a_recurrent_layer_with_an_open_batch(recurrent, tmp_path):
    """Keras 3's export: two keys for one function, so neither needs to be named."""
    folder, rows, wanted = recurrent
    assert saved_model.Opened(folder).chosen().key == "serving_default"
    shapes = {"sound": (1, 6, 3)}
    data = saved_model_export.converter_from_saved_model(folder, None, shapes, tmp_path).convert()
    (found,) = in_litert(data, "serving_default", {"sound": rows}).values()
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    proto = saved_model_export.onnx_from_saved_model(folder, None, shapes)
    (found,) = in_onnxruntime(proto, {"sound": rows}).values()
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_what_tf_keras_saved(tmp_path):
    with np.load(LEGACY.parent / "answers.npz") as file:
        rows = {name: file[f"nested/{name}"] for name in ("left", "right")}
        wanted = {"distance": file["nested/distance"]}
    shapes = {name: (1, *x.shape[1:]) for name, x in rows.items()}
    data = saved_model_export.converter_from_saved_model(LEGACY, None, shapes, tmp_path).convert()
    check_same(in_litert(data, "serving_default", rows), wanted)
    (found,) = in_onnxruntime(saved_model_export.onnx_from_saved_model(LEGACY, None, shapes), rows).values()
    check_same({"distance": found}, wanted)


def test_folders_that_are_no_saved_model(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match=r"x is not a SavedModel: it has no file saved_model\.pb"):
        saved_model_check.check_folder(tmp_path / "x", "x")
    (tmp_path / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="x is damaged"):
        saved_model_check.check(tmp_path, "x")
    (tmp_path / "assets").symlink_to("/etc")
    with pytest.raises(ModelError, match="x: assets is not an ordinary file"):
        saved_model_check.check_folder(tmp_path, "x")
    (tmp_path / "assets").unlink()
    monkeypatch.setattr(saved_model_check, "MOST_FILES", 1)
    (tmp_path / "more").write_bytes(b"")
    with pytest.raises(ModelError, match="more than 1 files"):
        saved_model_check.check_folder(tmp_path, "x")
    monkeypatch.undo()
    (tmp_path / "more").unlink()
    monkeypatch.setattr(saved_model_check, "MOST_GRAPH_BYTES", 3)
    with pytest.raises(ModelError, match=r"its saved_model\.pb has 8 bytes"):
        saved_model_check.check_folder(tmp_path, "x")


def test_weights_that_are_gone(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes((LEGACY / "saved_model.pb").read_bytes())
    with pytest.raises(ModelError, match="TensorFlow cannot load cut"):
        saved_model.Opened(tmp_path, "cut")


@pytest.mark.parametrize("harm", ["file", "python", "own weights"])
def test_a_graph_that_does_more_than_compute(tmp_path, harm):
    import tensorflow as tf

    class Harm(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1], tf.float32, name="x")])
        def answer(self, x):
            if harm == "file":
                tf.io.write_file(str(tmp_path / "written"), "here")
            if harm == "python":
                x = tf.py_function(lambda rows: rows, [x], tf.float32)
            if harm == "own weights":
                tf.raw_ops.SaveV2(prefix=str(tmp_path / "w"), tensor_names=["x"], shape_and_slices=[""], tensors=[x])
            return {"y": x * 2}

    module = Harm()
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"serve": module.answer})
    with pytest.raises(ModelError, match=r"m holds the operation (WriteFile|EagerPyFunc|SaveV2), which reaches files"):
        saved_model.Opened(tmp_path / "m").signatures()
    assert not (tmp_path / "written").exists()


def test_a_module_without_signatures(tmp_path):
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path / "m"))
    with pytest.raises(ModelError, match="m has no signature"):
        saved_model.Opened(tmp_path / "m").signatures()


def test_an_operation_that_no_format_has(tmp_path):
    import tensorflow as tf

    class Odd(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
        def answer(self, x):
            return {"y": tf.math.bessel_i0(x)}

    module = Odd()
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"serve": module.answer})
    with pytest.raises(StageError, match="tf2onnx cannot convert m"):
        saved_model_export.onnx_from_saved_model(tmp_path / "m", "serve", {})


def test_a_state_survives_in_tflite_and_is_refused_in_onnx(counter, tmp_path):
    shapes = {"x": (1, 1)}
    data = saved_model_export.converter_from_saved_model(counter, None, shapes, tmp_path).convert()
    found = in_litert(data, "serve", {"x": np.ones((3, 1), np.float32)})
    np.testing.assert_array_equal(found["sum"], [[3], [6], [9]])
    with pytest.raises(StageError, match="count keeps a state from one call to the next"):
        saved_model_export.onnx_from_saved_model(counter, None, shapes)


def test_an_exact_gelu(tmp_path):
    """ONNX has no Erfc, which tf2onnx writes for it: the converters replace it later."""
    import keras

    from pipeline.convert import onnx_fp32

    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.layers.Activation(lambda y: keras.ops.gelu(y, approximate=False))(x))
    model.export(str(tmp_path / "m"), verbose=False)
    proto = saved_model_export.onnx_from_saved_model(tmp_path / "m", None, {"x": (1, 4)})
    onnx_fp32.replace_erfc(proto)
    (found,) = in_onnxruntime(proto, {"x": EXTRA}).values()
    np.testing.assert_allclose(found, np.asarray(model(EXTRA)), atol=2e-6)
