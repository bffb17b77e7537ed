"""Models with classes of the user's own, in a plan."""

import sys

import numpy as np
import pytest

from pipeline import load
from pipeline.errors import ModelError, PlanError
from tests.support.plans import plan_for

pytestmark = pytest.mark.frameworks
MINE = """
import keras

class Scale(keras.layers.Layer):
    def __init__(self, by=1.0, **more):
        super().__init__(**more)
        self.by = by

    def call(self, x):
        return self.by * x

    def get_config(self):
        return super().get_config() | {"by": self.by}

def known():
    return {"Scale": Scale}
"""


@pytest.fixture
def project(empty):
    """A model whose one layer is in a module next to the plan."""
    import keras

    (empty.folder / "mine_of_load.py").write_text(MINE)
    sys.path.insert(0, str(empty.folder))
    try:
        from mine_of_load import Scale
    finally:
        sys.path.remove(str(empty.folder))
        sys.modules.pop("mine_of_load", None)
    x = keras.Input((3,), name="x")
    keras.Model(x, Scale(3.0, name="y")(x)).save(empty.folder / "own.keras")
    np.savez(empty.folder / "rows.npz", x=np.ones((2, 3), np.float32))
    return empty


def test_a_layer_next_to_the_plan(project):
    data = '[data]\nevaluation = "rows.npz"'
    with pytest.raises(ModelError, match=r"own\.keras uses Scale, which is not part of Keras"):
        project.load(plan_for("own.keras", data))
    plan = plan_for("own.keras", f'custom_objects = "mine_of_load:known"\n{data}')
    loaded, _ = project.load(plan)
    (answers,) = loaded.model.answers
    np.testing.assert_array_equal(np.load(project.store.path(answers)), np.full((2, 3), 3.0))
    assert project.load(plan)[1]
    (project.folder / "mine_of_load.py").write_text(MINE.replace("self.by * x", "self.by + x"))
    loaded, cached = project.load(plan)
    assert not cached
    np.testing.assert_array_equal(np.load(project.store.path(loaded.model.answers[0])), np.full((2, 3), 4.0))


def test_a_module_that_is_not_there(project):
    plan = project.plan(plan_for("own.keras", 'custom_objects = "gone:known"'))
    with pytest.raises(PlanError, match=r"edge\.toml: model\.custom_objects: there is no gone\.py in"):
        load.check(plan)


def test_a_function_that_is_not_there(project):
    plan = plan_for("own.keras", 'custom_objects = "mine_of_load:gone"')
    with pytest.raises(PlanError, match=r"mine_of_load\.py has no function 'gone'") as caught:
        project.load(plan)
    assert "known" in caught.value.hint


@pytest.mark.parametrize("key", ['signature = "main"', 'custom_objects = "mine_of_load:known"'])
def test_keys_that_a_file_has_no_use_for(project, key):
    (project.folder / "m.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(PlanError, match=r"edge\.toml: model\.\w+: m\.onnx (has no signatures|is not a Keras model)"):
        load.check(project.plan(plan_for("m.onnx", key)))
