"""What a SavedModel of TensorFlow 1 runs may not save or restore files."""

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.frameworks.saved_model_runner import SavedModelRunner


def saved(folder, make):
    """A SavedModel of TensorFlow 1 whose output `make` gives, of x and a variable."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x, weight = v1.placeholder(tf.float32, [None, 2]), v1.get_variable("weight", initializer=3.0)
        y, init = make(tf, x, weight)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def({"x": info(x)}, {"y": info(y)}, "predict")
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, main_op=init)
        builder.save()
    return folder


def save_op(tf, where):
    return tf.raw_ops.SaveV2(prefix=str(where), tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant(1.0)])


def test_the_saver_of_a_model_of_tensorflow_1_is_no_reason(tmp_path):
    runner = SavedModelRunner(saved(tmp_path / "m", lambda tf, x, weight: (x * weight, None)), "m")
    np.testing.assert_array_equal(runner.run({"x": np.ones((1, 2), np.float32)})[0], [[3, 3]])


@pytest.mark.parametrize("when", ["in an answer", "when it is loaded"])
def test_a_graph_that_writes_a_file_is_not_run(tmp_path, when):
    def make(tf, x, weight):
        if when == "when it is loaded":
            return x * weight, tf.group(save_op(tf, tmp_path / "written"))
        with tf.control_dependencies([save_op(tf, tmp_path / "written")]):
            return x * weight, None

    folder = saved(tmp_path / "m", make)
    with pytest.raises(ModelError, match="holds the operation SaveV2, which reaches files"):
        SavedModelRunner(folder, "m")
    assert not list(tmp_path.glob("written*"))


def test_an_answer_is_not_read_from_another_file(tmp_path):
    def make(tf, x, weight):
        (found,) = tf.raw_ops.RestoreV2(prefix="/other", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])
        return x * weight + found, None

    with pytest.raises(ModelError, match="RestoreV2"):
        SavedModelRunner(saved(tmp_path / "m", make), "m")
