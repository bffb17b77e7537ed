"""Files that a runtime opens, and cannot run as the plan says, or not yet: the hint names the key of the plan."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.errors import CannotRunError, DataError
from tests.support.plans import plan_for

pytestmark = pytest.mark.frameworks
MODELS = Path(__file__).parents[2] / "models"


def takes_four(path):
    """A network that takes four numbers, though its file leaves their number open."""
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("x", [1, "n"]), ("y", [2, 2]))
    ]
    shape = numpy_helper.from_array(np.array([2, 2], np.int64), "shape")
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "shape"], ["y"])], "g", *ends, [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize("rows", [True, False])
def test_a_shape_that_the_network_cannot_run(empty, rows):
    takes_four(empty.folder / "m.onnx")
    np.savez(empty.folder / "rows.npz", x=np.ones((3, 5), np.float32))
    data = '[data]\nevaluation = "rows.npz"' if rows else ""
    with pytest.raises(CannotRunError, match=r"ONNX Runtime cannot run m\.onnx") as caught:
        empty.load(plan_for("m.onnx", f'shape = {{ "x" = [1, 5] }}\n{data}'))
    assert caught.value.exit_code == 5
    assert "By [model] shape, 'x' is (1, 5): give lengths that the network can run." in caught.value.hint


def test_a_shape_that_the_plan_does_not_give_is_not_blamed(empty):
    takes_four(empty.folder / "m.onnx")
    np.savez(empty.folder / "rows.npz", x=np.ones((3, 5), np.float32))
    with pytest.raises(CannotRunError) as caught:
        empty.load(plan_for("m.onnx", '[data]\nevaluation = "rows.npz"'))
    assert "[model]" not in caught.value.hint


def keeper(path):
    import keras

    layers = [keras.Input(batch_shape=(1, 1, 4)), keras.layers.GRU(2, stateful=True)]
    keras.Sequential(layers).save(path)


def counter(path):
    import tensorflow as tf

    class Count(tf.Module):
        def __init__(self):
            self.total = tf.Variable([[0.0]])

        @tf.function(input_signature=[tf.TensorSpec([1, 1], tf.float32, "x")])
        def serve(self, x):
            return {"sum": self.total.assign_add(x)}

    module = Count()
    tf.saved_model.save(module, path, {"serving_default": module.serve})


MADE = {
    "keeper.keras": keeper,
    "counter": counter,
    "counter.tflite": lambda path: shutil.copy(MODELS / path.name, path),
}


@pytest.mark.parametrize(("name", "step"), [("counter.tflite", (1,)), ("keeper.keras", (1, 4)), ("counter", (1,))])
def test_rows_that_are_sequences_of_a_file_that_keeps_a_state(empty, name, step):
    MADE[name](empty.folder / name)
    for rows, told in ((np.ones((2, 7, *step), np.float32), True), (np.ones((2, *step, 9), np.float32), False)):
        np.savez(empty.folder / "rows.npz", x=rows)
        with pytest.raises(DataError, match=r"a row of data\.evaluation has shape") as caught:
            empty.load(plan_for(name, '[data]\nevaluation = "rows.npz"'))
        assert ("add to [model]: sequences = true" in caught.value.hint) is told
    np.savez(empty.folder / "rows.npz", x=np.ones((2, 7, *step), np.float32))
    loaded, _ = empty.load(plan_for(name, 'sequences = true\n[data]\nevaluation = "rows.npz"'))
    assert loaded.model.sequences
