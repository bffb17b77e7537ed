"""A .tflite file with several signatures: the one that the plan names is run, also by runtimes that know tensors by number alone."""

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.errors import PlanError
from pipeline.frameworks import tflite_names, tflite_schema, tflite_signature
from tests.support.plans import plan_for

pytestmark = pytest.mark.frameworks


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """`embed` and `loop`, of which the second has a graph of its own for the body of its loop; neither is the default."""
    import tensorflow as tf

    class Two(tf.Module):
        def __init__(self):
            self.w = tf.Variable(np.arange(12, dtype=np.float32).reshape(4, 3))

        @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32, name="x")])
        def embed(self, x):
            return {"e": x @ self.w}

        @tf.function(
            input_signature=[tf.TensorSpec((1, 4), tf.float32, name="x"), tf.TensorSpec((), tf.int32, name="n")]
        )
        def loop(self, x, n):
            for _ in tf.range(n):
                x = x * 2.0
            return {"y": x}

    folder, module = tmp_path_factory.mktemp("two"), Two()
    tf.saved_model.save(module, str(folder), signatures={"embed": module.embed, "loop": module.loop})
    return tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert()


def test_any_signature_is_brought_first_and_answers_the_same(two, tmp_path):
    file = tflite_schema.read(two, "m")
    for key in ("embed", "loop"):
        data = tflite_signature.brought_first(two, tflite_names.interface(file, "m", key).subgraph, "m")
        path = tmp_path / f"{key}.tflite"
        path.write_bytes(data)
        for signature in (key, None, "of another file"):
            runner = frameworks.Tflite(path, "m", signature=signature)
            feed = {"x": np.ones((1, 4), np.float32), "n": np.array(3, np.int32)}
            (answer,) = runner.run({each.name: feed[each.name] for each in runner.inputs})
            np.testing.assert_allclose(answer, np.full((1, 4), 8) if key == "loop" else [[18, 22, 26]])
        assert frameworks.kind_of_file(path, "tflite", "m") == "float32"


def test_the_plan_says_which(empty, two):
    (empty.folder / "m.tflite").write_bytes(two)
    np.savez(empty.folder / "e.npz", x=np.ones((3, 4), np.float32))
    loaded, _ = empty.load(
        '[model]\npath = "m.tflite"\nsignature = "loop"\nconstants = { n = 3 }\n[data]\nevaluation = "e.npz"\n'
    )
    (answers,) = frameworks.arrays_of(loaded.model.answers, empty.store.path)
    np.testing.assert_allclose(answers, np.full((3, 4), 8))
    assert "The signature 'loop' was put first in the file" in loaded.notes[0]
    with pytest.raises(PlanError, match=r"m\.tflite has 2 signatures, and the plan does not say which one to run"):
        empty.load(plan_for("m.tflite"))
    with pytest.raises(PlanError, match=r"m\.tflite has no signature 'lop'") as caught:
        empty.load('[model]\npath = "m.tflite"\nsignature = "lop"\n')
    assert "Did you mean loop? It has: embed, loop." in caught.value.hint
