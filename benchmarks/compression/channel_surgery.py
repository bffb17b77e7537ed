"""How long it takes to remove half the channels of a large network, and whether what is left is right.

    .venv/bin/python benchmarks/surgery.py

Seconds are the median of three runs in one process (and of the processor time that they took, where the machine was busy), from the model in memory to the smaller model in memory: reading the graph,
importance, selection, building the layers and filling their weights. The difference is the largest one between the smaller model and
the original computed without the removed channels (the judge of the tests), relative to the standard deviation of the answers.
"""

import os
import statistics
import sys
import time
from pathlib import Path

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from benchmarks._support.machine import describe
from benchmarks._support.results import results
from pipeline.compress.surgery import Selection, prune_model
from tests.support.masked import masked, randomise

SIDES = {
    "ResNet50": 64, "VGG16": 64, "MobileNetV2": 64, "EfficientNetB0": 64, "DenseNet121": 64, "InceptionV3": 96, "NASNetMobile": 64,
    "ConvNeXtTiny": 64,
}  # fmt: skip
GOAL_S = {"ResNet50": 5.0}
RUNS = 3
HALF = Selection(ratio=0.5)


def measured(add, name: str) -> str:
    side = SIDES[name]
    keras.utils.set_random_seed(0)
    make = getattr(keras.applications, name)
    model = randomise(make(weights=None, input_shape=(side, side, 3), classes=10, classifier_activation=None))
    seconds, busy = [], []
    for _ in range(RUNS):
        began, worked = time.perf_counter(), time.process_time()
        pruned = prune_model(model, HALF).model
        seconds.append(time.perf_counter() - began)
        busy.append(time.process_time() - worked)
    x = np.random.default_rng(1).uniform(-1, 1, (2, side, side, 3)).astype("float32")
    (expected,) = masked(model, HALF, [x])
    difference = np.abs(np.asarray(pruned(x, training=False)) - expected).max() / expected.std()
    median = statistics.median(seconds)
    verdict = ("" if name not in GOAL_S else "yes" if median <= GOAL_S[name] else "MISSED").rjust(6)
    before, after = model.count_params(), pruned.count_params()
    add("seconds", round(median, 2), "s", of=name, note=f"{before / 1e6:.1f} to {after / 1e6:.1f} million parameters")
    return f"{name:<16}{median:>8.2f}{statistics.median(busy):>8.2f}{before:>14,}{after:>14,}{difference:>12.1e}  {verdict}"


def main() -> None:
    print(describe())
    print(f"{'network':<16}{'seconds':>8}{'cpu s':>8}{'parameters':>14}{'left':>14}{'difference':>12}  {'goal':>6}")
    with results(__file__) as add:
        for name in SIDES:
            print(measured(add, name), flush=True)
            keras.backend.clear_session()


if __name__ == "__main__":
    main()
