"""Classes of the user's own: run only where the plan names them, and part of what an answer depends on."""

import sys

import numpy as np
import pytest

from pipeline import frameworks
from pipeline.errors import ModelError, PlanError
from pipeline.frameworks import custom_objects

MINE = """
import keras

class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def known():
    return {"Twice": Twice}

def broken():
    raise ValueError("no luck")

def ends():
    raise SystemExit(3)

def odd():
    return [Twice]

def three():
    return {"Twice": 3}

def unnamed():
    return {1: Twice}

word = "not a function"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    sys.modules.pop("mine", None)  # other tests call theirs so, too
    yield tmp_path
    sys.modules.pop("mine", None)


@pytest.mark.frameworks
def test_classes_of_ones_own_are_used_only_where_they_are_named(folder, monkeypatch):
    import keras

    known = custom_objects.custom_objects("mine:known", folder)
    x = keras.Input((3,), name="x")
    keras.Model(x, known["Twice"](name="y")(x)).save(folder / "m.keras")
    with pytest.raises(ModelError, match=r"m\.keras uses Twice, which is not part of Keras") as caught:
        frameworks.open_keras(folder / "m.keras")
    assert '[model] custom_objects = "module:function"' in caught.value.hint
    monkeypatch.setitem(keras.saving.get_custom_objects(), "Twice", None)  # so that it is taken out again
    custom_objects.register("mine:known", folder)
    runner = frameworks.KerasRunner(frameworks.open_keras(folder / "m.keras"), "m")
    np.testing.assert_array_equal(runner.run({"x": np.ones((1, 3), np.float32)})[0], np.full((1, 3), 2.0))


@pytest.mark.frameworks
def test_a_class_that_the_file_calls_by_a_longer_name(folder, monkeypatch):
    """A class that was registered under a package is looked for by both: what the hint asks for must be what opens the file."""
    import keras

    known = custom_objects.custom_objects("mine:known", folder)["Twice"]
    monkeypatch.setitem(keras.saving.get_custom_objects(), "shop>Twice", known)
    monkeypatch.setitem(keras.src.saving.object_registration.GLOBAL_CUSTOM_NAMES, known, "shop>Twice")
    x = keras.Input((3,), name="x")
    keras.Model(x, known(name="y")(x)).save(folder / "m.keras")
    monkeypatch.delitem(keras.saving.get_custom_objects(), "shop>Twice")
    for given in ((), ("Twice",)):
        for each in given:
            monkeypatch.setitem(keras.saving.get_custom_objects(), each, known)
        with pytest.raises(ModelError, match=r"m\.keras uses Twice, which is not part of Keras") as caught:
            frameworks.open_keras(folder / "m.keras")
        assert "{'shop>Twice': ...}" in caught.value.hint
        assert ("custom_objects of the plan returns Twice: let it return" in caught.value.hint) == bool(given)
    monkeypatch.setitem(keras.saving.get_custom_objects(), "shop>Twice", known)
    assert frameworks.open_keras(folder / "m.keras").get_layer("y")


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("mine", "'mine' is not a function"),
        ("../mine:known", "is not a function"),
        ("mine.:known", "is not a function"),
        ("nothing:known", r"there is no nothing\.py"),
        ("mine:none", r"mine\.py has no function 'none'"),
        ("mine:word", r"mine\.py has no function 'word'"),
        ("mine:broken", "mine:broken failed: ValueError: no luck"),
        ("mine:ends", "mine:ends failed: SystemExit: 3"),
        ("mine:odd", "returned list, and a dict of names and classes"),
        ("mine:three", "returned 'Twice': 3, and a name with a class or a function is expected"),
        ("mine:unnamed", "returned 1: a class, and a name with a class or a function is expected"),
        ("json:loads", "'json' is a module of Python or of an installed package"),
    ],
)
def test_custom_objects_that_are_none(folder, reference, said):
    (folder / "json.py").write_text(MINE)
    with pytest.raises(PlanError, match=f"^model.custom_objects: .*{said}"):
        custom_objects.custom_objects(reference, folder)


def test_what_can_be_said_before_anything_runs(folder):
    custom_objects.check(None, folder)
    custom_objects.check("mine:none", folder)  # what the module has is only known when it runs
    assert "mine" not in sys.modules
    with pytest.raises(PlanError, match=r"edge\.toml: key: there is no layers/own\.py in"):
        custom_objects.check("layers.own:known", folder, "edge.toml: key")


def test_the_digest_is_that_of_the_source(folder):
    package = folder / "layers"
    package.mkdir()
    for name in ("__init__", "own", "helper", "unused"):
        (package / f"{name}.py").write_text("")
    (folder / "other.py").write_text("import mine\n")  # in a circle
    (folder / "mine.py").write_text("import os\nimport other\nfrom layers.own import Twice\n")
    (package / "own.py").write_text("from .helper import *\nfrom . import gone\n")

    def digest():
        return custom_objects.digest("mine:known", folder)

    before = digest()
    assert before == digest()
    assert custom_objects.digest("mine:other", folder) != before
    assert custom_objects.digest(None, folder) == ""
    (package / "unused.py").write_text("x = 1")
    assert digest() == before
    for name in ("mine.py", "other.py", "layers/__init__.py", "layers/own.py", "layers/helper.py"):
        (folder / name).write_text((folder / name).read_text() + "x = 1\n")
        after = digest()
        assert after != before, name
        before = after
    (folder / "mine.py").write_bytes(b"def broken(:\n\0")
    assert digest() != before
