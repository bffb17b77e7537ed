"""How long does it take to remove half the channels of a large network, and is the smaller network right?

    .venv/bin/python benchmarks/compression/channel_surgery.py

The time is the median of three runs in one process, from the model in memory to the smaller model in memory: reading the graph, importance,
selection, building the layers and filling their weights. Their processor time is printed, too, for a busy machine. The difference is the
largest one between the smaller model and the original computed without the removed channels (as the tests judge it), relative to the
standard deviation of the answers.
"""

import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.machine import describe
from benchmarks._support.results import results

SIDES = {  # of the square images, in pixels
    "ResNet50": 64,
    "VGG16": 64,
    "MobileNetV2": 64,
    "EfficientNetB0": 64,
    "DenseNet121": 64,
    "InceptionV3": 96,
    "NASNetMobile": 64,
    "ConvNeXtTiny": 64,
}
GOAL_S = {"ResNet50": 5.0}
RUNS = 3


def measure(add, name: str) -> str:
    import keras

    from pipeline.compress.surgery import Selection, prune_model
    from tests.support.masked import masked, randomise

    half = Selection(ratio=0.5)
    side = SIDES[name]
    keras.utils.set_random_seed(0)
    make = getattr(keras.applications, name)
    model = randomise(make(weights=None, input_shape=(side, side, 3), classes=10, classifier_activation=None))
    seconds, busy = [], []
    for _ in range(RUNS):
        began, worked = time.perf_counter(), time.process_time()
        pruned = prune_model(model, half).model
        seconds.append(time.perf_counter() - began)
        busy.append(time.process_time() - worked)
    x = np.random.default_rng(1).uniform(-1, 1, (2, side, side, 3)).astype("float32")
    (expected,) = masked(model, half, [x])
    difference = np.abs(np.asarray(pruned(x, training=False)) - expected).max() / expected.std()
    median = statistics.median(seconds)
    verdict = ("" if name not in GOAL_S else "yes" if median <= GOAL_S[name] else "MISSED").rjust(6)
    before, after = model.count_params(), pruned.count_params()
    add("seconds", round(median, 2), "s", of=name, note=f"{before / 1e6:.1f} to {after / 1e6:.1f} million parameters")
    keras.backend.clear_session()
    return f"{name:<16}{median:>8.2f}{statistics.median(busy):>8.2f}{before:>14,}{after:>14,}{difference:>12.1e}  {verdict}"


def main() -> None:
    command.parser(__doc__).parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    print(describe())
    print(f"{'network':<16}{'seconds':>8}{'cpu s':>8}{'parameters':>14}{'left':>14}{'difference':>12}  {'goal':>6}")
    with results(__file__) as add:
        for name in SIDES:
            print(measure(add, name), flush=True)


if __name__ == "__main__":
    main()
