"""What a signature of a SavedModel answers on this host, by name: batches, state, types."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ModelError, PlanError
from pipeline.frameworks.feeds import Feeds
from pipeline.frameworks.saved_model_runner import SavedModelRunner
from pipeline.records import TensorSpec

pytestmark = pytest.mark.frameworks
LEGACY = Path(__file__).parents[2] / "models" / "keras2" / "legacy"
ROWS = np.random.default_rng(0).random((7, 4)).astype(np.float32)


def saved(tmp_path, function, *specs, **variables):
    """A SavedModel of one function of the variables, by name, and of its inputs."""
    import tensorflow as tf

    module = tf.Module()
    module.kept = {name: tf.Variable(value) for name, value in variables.items()}
    module.serve = tf.function(lambda *given: function(module.kept, *given), input_signature=specs)
    concrete = module.serve.get_concrete_function()
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"serve": concrete})
    return tmp_path / "m"


def answers_of(runner, tmp_path, **columns):
    return runner.answers(Feeds(runner.inputs, columns), tmp_path / "answers", lambda _done, _of: None)


def test_what_tf_keras_saved(tmp_path):
    """In batches; with the names and shapes of the signature."""
    with np.load(LEGACY.parent / "answers.npz") as file:
        rows = {name: file[f"nested/{name}"] for name in ("left", "right")}
        wanted = file["nested/distance"]
    runner = SavedModelRunner(LEGACY, "legacy")
    assert [each.name for each in runner.inputs] == ["left", "right"]
    assert runner.outputs == (TensorSpec(name="distance", shape=(None, 1), dtype="float32"),)
    assert not runner.keeps_state
    assert sum(values.size for _, values in runner.weights()) == 67
    (found,) = answers_of(runner, tmp_path, **rows)
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_a_batch_is_taken_where_rows_do_not_know_of_each_other(tmp_path, monkeypatch):
    import tensorflow as tf

    def mean(kept, x):
        return {"own": x @ kept["w"], "share": x / tf.reduce_sum(x, 0, keepdims=True)}

    x = tf.TensorSpec([None, 4], tf.float32, name="x")
    calls = []
    run = SavedModelRunner.run
    monkeypatch.setattr(SavedModelRunner, "run", lambda self, feed: calls.append(len(feed["x"])) or run(self, feed))
    folder = saved(tmp_path / "a", lambda kept, x: {"own": x @ kept["w"]}, x, w=np.ones((4, 2), np.float32))
    (found,) = answers_of(SavedModelRunner(folder, "m"), tmp_path / "one", x=ROWS)
    np.testing.assert_allclose(found, ROWS @ np.ones((4, 2)), rtol=1e-6)
    assert calls == [2, 1, 1, 7]
    folder = saved(tmp_path / "b", mean, x, w=np.ones((4, 2), np.float32))
    own, share = answers_of(SavedModelRunner(folder, "m"), tmp_path / "two", x=ROWS)
    np.testing.assert_array_equal(share, np.ones((7, 4)))  # as a board answers: each row alone
    np.testing.assert_allclose(own, ROWS @ np.ones((4, 2)), rtol=1e-6)


def test_state_begins_again_with_each_row(tmp_path):
    import tensorflow as tf

    def count(kept, x):
        kept["total"].assign_add(x)
        return {"sum": kept["total"].read_value()}

    folder = saved(tmp_path, count, tf.TensorSpec([1, 1], tf.float32, name="x"), total=np.float32([[5]]))
    runner = SavedModelRunner(folder, "m")
    assert runner.keeps_state
    rows = np.float32([[1], [2], [3]])
    (found,) = answers_of(runner, tmp_path, x=rows)
    np.testing.assert_array_equal(found, [[6], [7], [8]])
    feeds = Feeds(runner.inputs, {"x": rows[None]}, sequences=True)
    (found,) = runner.answers(feeds, tmp_path / "steps", lambda _done, _of: None)
    np.testing.assert_array_equal(found, [[[6], [8], [11]]])


def test_other_types_and_shapes(tmp_path):
    import tensorflow as tf

    def typed(_kept, a, b, c):
        return {"half": tf.cast(a, tf.float16), "whole": b + 1, "no": tf.logical_not(c), "none": tf.reduce_sum(a)}

    folder = saved(
        tmp_path,
        typed,
        tf.TensorSpec([5], tf.float64, name="a"),
        tf.TensorSpec([], tf.int64, name="b"),
        tf.TensorSpec([1, None], tf.bool, name="c"),
    )
    runner = SavedModelRunner(folder, "m")
    assert runner.inputs[1] == TensorSpec(name="b", shape=(), dtype="int64")
    a, b = np.arange(10, dtype=np.float32).reshape(2, 5), np.array([2**40, -1])
    found = answers_of(runner, tmp_path, a=a, b=b, c=np.array([[[True, False, True]], [[True, True, True]]]))
    by_name = dict(zip([each.name for each in runner.outputs], found, strict=True))
    assert {name: each.dtype.name for name, each in by_name.items()} == {
        "half": "float32", "whole": "int64", "no": "bool", "none": "float32",
    }  # fmt: skip
    np.testing.assert_array_equal(by_name["whole"], b + 1)
    np.testing.assert_array_equal(by_name["no"], [[False, True, False], [False, False, False]])
    np.testing.assert_array_equal(by_name["none"], a.sum(1))
    assert by_name["none"].shape == (2,)


def test_text_and_what_is_no_number(tmp_path):
    import tensorflow as tf

    text = saved(tmp_path / "a", lambda _, x: {"n": tf.strings.length(x)}, tf.TensorSpec([1], tf.string, name="words"))
    with pytest.raises(ModelError, match="'words' of m is text, which no file for a board can take or give") as caught:
        SavedModelRunner(text, "m")
    assert "TextVectorization" in caught.value.hint
    spectrum = saved(tmp_path / "b", lambda _, x: {"y": tf.signal.rfft(x)}, tf.TensorSpec([1, 8], tf.float32, name="x"))
    with pytest.raises(ModelError, match="'y' of m is of type complex64"):
        SavedModelRunner(spectrum, "m")


def test_what_tensorflow_cannot_run(tmp_path):
    import tensorflow as tf

    folder = saved(tmp_path, lambda _, x: {"y": tf.reshape(x, [2, 2])}, tf.TensorSpec([None, 4], tf.float32, name="x"))
    runner = SavedModelRunner(folder, "m")
    with pytest.raises(ModelError, match="TensorFlow cannot run m: "):
        runner.run({"x": np.zeros((3, 4), np.float32)})
    with pytest.raises(PlanError, match=r"model\.signature: m has no signature 'train'"):
        SavedModelRunner(folder, "m", "train")
