"""Models with layers of the user's own, through three stages."""

import importlib
import sys

import numpy as np
import pytest

from tests.support.plans import plan_for
from tests.support.tiny_model import through

pytestmark = pytest.mark.frameworks
MINE = """
import keras

class LambdaScale(keras.layers.Layer):
    def build(self, shape):
        self.by = self.add_weight(shape=shape[-1:], initializer="ones")

    def call(self, x):
        return self.by * x

def known():
    return {"LambdaScale": LambdaScale}
"""
PLAN = """
custom_objects = "mine_of_convert:known"
[data]
evaluation = "rows.npz"
[[compress]]
pass = "prune_weights"
sparsity = 0.5
[convert]
formats = ["tflite-fp32", "onnx-fp32"]
"""


def test_a_layer_next_to_the_plan(empty):
    """It is pruned, converted, and answers as its source does; with another source of the layer all is made again."""
    import keras

    (empty.folder / "mine_of_convert.py").write_text(MINE)
    sys.path.insert(0, str(empty.folder))
    try:
        own = importlib.import_module("mine_of_convert").LambdaScale
    finally:
        sys.path.remove(str(empty.folder))
        sys.modules.pop("mine_of_convert", None)
    x = keras.Input((32,), name="x")
    scaled = own(name="scaled")
    model = keras.Model(x, keras.layers.Dense(4, name="y")(keras.layers.Dense(64)(scaled(x))))
    scaled.set_weights([np.linspace(1, 2, 32, dtype=np.float32)])
    model.save(empty.folder / "own.keras")
    np.savez(empty.folder / "rows.npz", x=np.random.default_rng(0).random((5, 32)).astype(np.float32))
    whole = through(empty, plan_for("own.keras", PLAN))
    assert not any(whole.cached)
    assert {each.format for each in whole.converted} == {"tflite-fp32", "onnx-fp32"}
    assert all(each.agreement.largest_error < 1e-5 for each in whole.converted)
    assert all(through(empty, plan_for("own.keras", PLAN)).cached)
    (empty.folder / "mine_of_convert.py").write_text(MINE.replace("self.by * x", "self.by + x"))
    again = through(empty, plan_for("own.keras", PLAN))
    assert not any(again.cached)
    assert {each.artifact for each in again.converted}.isdisjoint({each.artifact for each in whole.converted})
