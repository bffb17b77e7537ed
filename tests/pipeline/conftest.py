"""A tiny trained classifier and its data, shared by the tests of load, compress and convert.

Rows are 8x8 images of four classes: a bright quadrant under noise.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from pipeline import compress, convert, load, plan
from pipeline.progress import Silent
from pipeline.records import Compressed, Converted, Loaded
from pipeline.store import Store

FORMATS = ("tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8")
PLAN = """
seed = 3
[model]
path = "tiny.keras"
[data]
training = "training.npz"
calibration = "calibration.npz"
evaluation = "evaluation.npz"
[[compress]]
pass = "prune_weights"
sparsity = 0.5
recover = { epochs = 1, batch_size = 50 }
[convert]
formats = ["tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8"]
"""


def rows(count, seed):
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 4, count)
    x = generator.normal(0.3, 0.3, (count, 8, 8, 1)).astype(np.float32)
    for row, label in zip(x, y, strict=True):
        row[4 * (label // 2) :][:4, 4 * (label % 2) :][:, :4] += 0.4
    return x, y


def tiny_model(seed=0):
    """A convolution, a depthwise one, batch normalisation, dense layers: under 2,000 weights."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", name="depthwise")(x)
    x = layers.Conv2D(16, 1, activation="relu", name="pointwise")(x)
    x = layers.Dense(12, activation="relu", name="hidden")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(4, activation="softmax", name="scores")(x), name="tiny")


class Sets(NamedTuple):
    training: tuple
    calibration: tuple
    evaluation: tuple


@pytest.fixture(scope="session")
def sets():
    return Sets(rows(600, 1), rows(60, 2), rows(300, 3))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory, sets):
    """A folder with tiny.keras (trained) and the three .npz files; copy it, do not write into it."""
    import keras

    folder = tmp_path_factory.mktemp("tiny")
    model = tiny_model()
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(*sets.training, epochs=6, batch_size=50, verbose=0)
    model.save(folder / "tiny.keras")
    for name, (x, y) in sets._asdict().items():
        np.savez(folder / f"{name}.npz", x=x, y=y)
    return folder


class Project:
    """A plan in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / ".edgepress")

    def plan(self, text: str = PLAN) -> plan.Plan:
        path = self.folder / "edge.toml"
        path.write_text(text)
        return plan.read(path)

    def load(self, text: str = PLAN) -> tuple[Loaded, bool]:
        return load.load(self.plan(text), self.store, Silent())


@pytest.fixture
def empty(tmp_path):
    """A project with nothing in it."""
    return Project(tmp_path)


@pytest.fixture
def tiny(tmp_path, tiny_folder):
    """A project of the tiny model, of this test alone."""
    shutil.copytree(tiny_folder, tmp_path, dirs_exist_ok=True)
    return Project(tmp_path)


class Whole(NamedTuple):
    project: Project
    loaded: Loaded
    compressed: Compressed
    converted: tuple[Converted, ...]
    cached: tuple[bool, bool, bool]


@pytest.fixture(scope="session")
def whole(tmp_path_factory, tiny_folder):
    """The three stages over the tiny model, once for all tests that look at their answers."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(tiny_folder, folder, dirs_exist_ok=True)
    return through(Project(folder))


def through(project: Project, text: str = PLAN) -> Whole:
    """Load, compress and convert."""
    the_plan = project.plan(text)
    steps = compress.settings_of(the_plan)
    convert.check(the_plan)
    loaded, one = load.load(the_plan, project.store, Silent())
    compressed, two = compress.compress(loaded, steps, the_plan, project.store, Silent())
    converted, three = convert.convert(loaded, compressed, the_plan, project.store, Silent())
    return Whole(project, loaded, compressed, converted, (one, two, three))
