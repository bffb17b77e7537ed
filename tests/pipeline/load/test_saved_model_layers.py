"""SavedModels that say which layers they were made of: passes work on these, if they answer as the SavedModel does."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import compress, frameworks
from pipeline.errors import PlanError
from pipeline.frameworks import protobuf, saved_model_layers
from pipeline.progress import Silent
from tests.support.plans import plan_for
from tests.support.tiny_model import through

pytestmark = pytest.mark.frameworks
LEGACY = Path(__file__).parents[2] / "models" / "keras2" / "legacy"
DATA = '[data]\nevaluation = "rows.npz"\n'
PRUNED = f'{DATA}[[compress]]\npass = "prune_weights"\nsparsity = 0.5\n'


@pytest.fixture
def project(empty):
    """Nested models with batch normalisation, one of them frozen, two inputs by name."""
    shutil.copytree(LEGACY, empty.folder / "net")
    generator = np.random.default_rng(0)
    rows = {name: generator.normal(size=(40, 4)).astype(np.float32) for name in ("left", "right")}
    np.savez(empty.folder / "rows.npz", **rows)
    return empty


def harm(folder, change):
    """Change what the metadata says of the root, by a function of its JSON."""
    path = folder / "net" / saved_model_layers.METADATA
    data, found = path.read_bytes(), b""
    for number, node in enumerate(protobuf.fields(data, 0, len(data))):
        content = data[node.value : node.end]
        if number == 0:
            parts = {each.number: each for each in protobuf.fields(content, 0, len(content))}
            root = json.loads(content[parts[5].value : parts[5].end])
            change(root)
            text = json.dumps(root).encode()
            content = content[: parts[5].begin] + b"\x2a" + protobuf.encoded(len(text)) + text
        found += b"\x0a" + protobuf.encoded(len(content)) + content
    path.write_bytes(found)


def refused(project, *parts):
    """It is loaded without its layers, and the pass says why."""
    plan = project.plan(plan_for("net", PRUNED))
    loaded, _ = project.load(plan_for("net", PRUNED))
    assert loaded.model.artifact.format == "saved_model"
    with pytest.raises(PlanError, match=r"compress\[0\]: net has no layers of Keras 3") as caught:
        compress.compress(loaded, compress.settings_of(plan), plan, project.store, Silent())
    for part in ("Its layers do not come back", *parts):
        assert part in loaded.notes[0]
        assert part in caught.value.hint


def test_its_layers_come_back_and_are_pruned(project):
    plain, _ = project.load(plan_for("net", DATA))
    assert plain.model.artifact.format == "saved_model"
    done = through(project, plan_for("net", f'{PRUNED}[convert]\nformats = ["onnx-fp32"]'))
    model = done.loaded.model
    assert (model.name, model.artifact.format, done.loaded.notes) == ("net", "keras", ())
    assert {each.name for each in model.inputs} == {"left", "right"}
    (found,), (wanted,) = (frameworks.arrays_of(each.answers, project.store.path) for each in (model, plain.model))
    np.testing.assert_allclose(found, wanted, atol=2e-6)  # the largest difference seen is 5e-7, of answers up to 2
    kept = frameworks.open_keras(project.store.path(done.compressed.model.artifact), "m")
    zeros = [np.mean(np.asarray(each) == 0) for each in kept.weights if "kernel" in each.path]
    assert max(zeros) >= 0.4
    assert len(done.converted) == 2


def test_other_weights_are_not_taken(project):
    """Of another slope the answers differ: the configuration is not what the graph computes."""
    harm(
        project.folder,
        lambda root: root["config"]["layers"][2]["config"]["layers"][1]["config"].update(activation="tanh"),
    )
    refused(project, "their answers 'distance' are up to ", "away from those of its signature")


def test_code_is_not_run(project):
    harm(project.folder, lambda root: root["config"]["layers"][2].update(class_name="Lambda"))
    refused(project, "net holds a Lambda layer, 'tower', which is Python code")


def test_a_layer_that_keras_3_does_not_have(project):
    harm(project.folder, lambda root: root["config"]["layers"][2].update(class_name="Mine"))
    refused(project, "its Mine 'tower' has no equal in Keras 3")


def test_a_damaged_description(project):
    path = project.folder / "net" / saved_model_layers.METADATA
    path.write_bytes(path.read_bytes()[:-1])
    refused(project, "its keras_metadata.pb is damaged")
    path.write_bytes(b"\x0a\x02\x1a\x00")
    refused(project, "net was made by Keras 2, and its None has no equal in Keras 3")


def test_without_rows_nothing_says_that_they_are_the_same(project):
    loaded, _ = project.load(plan_for("net", '[[compress]]\npass = "prune_weights"\nsparsity = 0.5\n'))
    assert "there are no evaluation rows to see by whether they answer the same" in loaded.notes[0]


def test_a_description_that_is_too_large(project, monkeypatch):
    from pipeline.errors import ModelError
    from pipeline.frameworks import saved_model

    monkeypatch.setattr(saved_model_layers, "MOST_BYTES", 1000)
    with pytest.raises(ModelError, match=r"net: its keras_metadata\.pb has 30,308 bytes, and 1,000 is the most"):
        saved_model_layers.with_layers(saved_model.Opened(LEGACY, "net"))
