"""SavedModel folders as models of a plan."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.errors import DataError, ModelError, PlanError
from pipeline.frameworks import saved_model_archive
from tests.support.plans import plan_for, read

LEGACY = Path(__file__).parents[2] / "models" / "keras2" / "legacy"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Two inputs and two outputs by name, as Keras 3 exports them; rows for it, and what it answers for them."""
    import keras

    keras.utils.set_random_seed(7)
    left, right = keras.Input((4,), name="left"), keras.Input((3, 2), name="right")
    both = keras.layers.Concatenate()([left, keras.layers.Flatten()(right)])
    scores = keras.layers.Dense(3, activation="softmax")(both)
    model = keras.Model({"left": left, "right": right}, {"scores": scores, "sum": keras.layers.Dense(1)(both)})
    folder = tmp_path_factory.mktemp("exported")
    model.export(str(folder / "net.v2"), verbose=False)
    rng = np.random.default_rng(0)
    rows = {"left": rng.random((6, 4), np.float32), "right": rng.random((6, 3, 2), np.float32)}
    np.savez(folder / "rows.npz", **rows)
    return folder, {name: np.asarray(value) for name, value in model(rows).items()}


@pytest.fixture
def project(empty, exported):
    shutil.copytree(exported[0], empty.folder, dirs_exist_ok=True)
    return empty


@pytest.mark.frameworks
def test_what_keras_exports(project, exported):
    loaded, cached = project.load(plan_for("net.v2", '[data]\nevaluation = "rows.npz"'))
    assert not cached
    model = loaded.model
    assert (model.name, model.artifact.format, model.parameters) == ("net.v2", "saved_model", 44)
    assert [(each.name, each.shape, each.fixed) for each in model.inputs] == [
        ("left", (None, 4), (1, 4)),
        ("right", (None, 3, 2), (1, 3, 2)),
    ]
    assert [each.name for each in model.outputs] == ["scores", "sum"]
    assert (model.scored, model.classes) == (0, True)
    for spec, answers in zip(model.outputs, frameworks.arrays_of(model.answers, project.store.path), strict=True):
        np.testing.assert_allclose(answers, exported[1][spec.name], atol=2e-6)


@pytest.mark.frameworks
def test_dates_do_not_load_it_again_and_a_flipped_bit_does(project):
    plan = plan_for("net.v2/")
    first, cached = project.load(plan)
    assert not cached
    os.utime(project.folder / "net.v2" / "saved_model.pb", (10**9, 10**9))
    (project.folder / "net.v2" / "fingerprint.pb").write_bytes(b"")
    assert project.load(plan) == (first, True)
    weights = project.folder / "net.v2" / "variables" / "variables.data-00000-of-00001"
    content = bytearray(weights.read_bytes())
    content[0] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match=r"TensorFlow cannot load net\.v2: .*Checksum does not match"):
        project.load(plan)


@pytest.mark.frameworks
def test_one_of_two_signatures_and_its_shape(empty):
    import tensorflow as tf

    class Two(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, None], tf.int32, name="tokens")])
        def embed(self, tokens):
            return {"vector": tf.cast(tokens, tf.float32) * 2}

        @tf.function(input_signature=[tf.TensorSpec([1, 2], tf.float32, name="x")])
        def score(self, x):
            return {"y": x + 1}

    two = Two()
    tf.saved_model.save(two, str(empty.folder / "two"), signatures={"embed": two.embed, "score": two.score})
    with pytest.raises(PlanError, match="two has 2 signatures, and the plan does not say which one to run"):
        empty.load(plan_for("two"))
    loaded, _ = empty.load(plan_for("two", 'signature = "embed"\nshape = { tokens = [1, 5] }'))
    (spec,) = loaded.model.inputs
    assert (spec.name, spec.dtype, spec.shape, spec.fixed) == ("tokens", "int32", (1, None), (1, 5))
    assert loaded.model.parameters is None


@pytest.mark.frameworks
def test_a_state_is_said(empty):
    import tensorflow as tf

    class Count(tf.Module):
        def __init__(self):
            super().__init__()
            self.total = tf.Variable([[0.0]])

        @tf.function(input_signature=[tf.TensorSpec([1, 1], tf.float32, name="x")])
        def serve(self, x):
            self.total.assign_add(x)
            return {"sum": self.total.read_value()}

    count = Count()
    tf.saved_model.save(count, str(empty.folder / "count"), signatures={"serve": count.serve})
    (note,) = empty.load(plan_for("count"))[0].notes
    assert note.startswith("It keeps a state between calls")
    assert empty.load(plan_for("count", "sequences = true"))[0].notes == ()


@pytest.mark.frameworks
def test_rows_that_do_not_fit(project):
    np.savez(project.folder / "left.npz", left=np.zeros((2, 4), np.float32))
    with pytest.raises(DataError, match=r"data\.evaluation.*'right'"):
        project.load(plan_for("net.v2", '[data]\nevaluation = "left.npz"'))


@pytest.mark.frameworks
def test_a_weight_that_is_not_a_number(empty):
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self):
            super().__init__()
            self.factor = tf.Variable([float("nan")], name="factor")

        @tf.function(input_signature=[tf.TensorSpec([1, 1], tf.float32, name="x")])
        def serve(self, x):
            return {"y": x * self.factor}

    net = Net()
    tf.saved_model.save(net, str(empty.folder / "net"), signatures={"serve": net.serve})
    with pytest.raises(ModelError, match="net: the weights 'factor:0' hold NaN or infinity"):
        empty.load(plan_for("net"))


@pytest.mark.frameworks
def test_folders_that_are_refused_before_tensorflow_sees_them(empty):
    shutil.copytree(LEGACY, empty.folder / "net")
    with pytest.raises(PlanError, match=r"compare\.baseline: net is a SavedModel, which cannot run on a board"):
        empty.load(plan_for("net", '[compare]\nbaseline = "net"'))
    (empty.folder / "net" / "assets").symlink_to("/etc")
    with pytest.raises(ModelError, match="net: assets is not an ordinary file"):
        empty.load(plan_for("net"))
    (empty.folder / "net" / "assets").unlink()
    graph = empty.folder / "net" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"net is damaged: its saved_model\.pb cannot be read to its end"):
        empty.load(plan_for("net"))


def test_the_format_of_a_folder(tmp_path):
    (tmp_path / "net.keras").mkdir()
    plan = read(tmp_path, plan_for("net.keras"))
    assert plan.source_format == "keras"
    (tmp_path / "net.keras" / saved_model_archive.GRAPH).write_bytes(b"")
    assert plan.source_format == "saved_model"
    assert read(tmp_path, plan_for("$HOME/x")).source_format == ""
