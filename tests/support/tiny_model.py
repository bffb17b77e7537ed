"""A tiny classifier, its data and its plan.

Rows are 8x8 images of four classes: a bright quadrant under noise.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

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


class Whole(NamedTuple):
    project: Project
    loaded: Loaded
    compressed: Compressed
    converted: tuple[Converted, ...]
    cached: tuple[bool, bool, bool]


def through(project: Project, text: str = PLAN) -> Whole:
    """Load, compress and convert."""
    the_plan = project.plan(text)
    steps = compress.settings_of(the_plan)
    convert.check(the_plan)
    loaded, one = load.load(the_plan, project.store, Silent())
    compressed, two = compress.compress(loaded, steps, the_plan, project.store, Silent())
    converted, three = convert.convert(loaded, compressed, the_plan, project.store, Silent())
    return Whole(project, loaded, compressed, converted, (one, two, three))


QUICK = "[measure]\ntimed_seconds = 0.02\nlaunches = 6\nevaluation_rows = 100\n"
