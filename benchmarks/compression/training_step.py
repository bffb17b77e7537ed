"""How much time does a recovery add to a plain training step?

    .venv/bin/python benchmarks/compression/training_step.py [--rounds 7] [--rows 2560] [--batch-size 128]

The example model trains on rows of noise, for their content does not change the time. Each round runs one epoch of every kind, one after
the other, in an order that rotates by one from round to round. Other load on the machine only adds time, so the ratio is that of the
fastest epochs; the median over the rounds of (kind / plain step) in the same round is printed, too. The plain step is the least code that
trains the same way: a compiled function with a tape, cross entropy and Adam. Keras's own `fit` is listed for comparison; its time includes
what it sets up in each call. The teacher's answers are computed once, in advance; its features cannot be, so each step runs the teacher, too.
"""

import contextlib
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.machine import describe
from benchmarks._support.results import ROOT, change, results
from pipeline import frameworks
from pipeline.compress.context import Context, Dataset
from pipeline.compress.settings import Distill, Recover
from pipeline.compress.sparsity import masks
from pipeline.compress.training import loop, objective

MODEL = ROOT / "examples" / "fashion_mnist" / "model.keras"
GOAL = 1.10
JUDGED = (
    "recover",
    "recover, 50 % zeros held",
    "recover, distilled from cached answers",
    "recover, zeros held and distilled",
)


def plain_step(data, how):
    """Return a function that measures the seconds of one epoch of the plain step: no checks, no progress, no accuracy."""
    import keras
    import tensorflow as tf

    model = frameworks.open_keras(MODEL)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    rows = how.batch_size

    @tf.function(reduce_retracing=True, autograph=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            found = keras.losses.sparse_categorical_crossentropy(y, model(x, training=True))
            loss = tf.reduce_mean(found)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    def epoch():
        began = time.perf_counter()
        order = np.random.default_rng(0).permutation(len(data.x))
        for start in range(0, len(order), rows):
            at = order[start : start + rows]
            step(data.x[at], data.y[at]).numpy()
        return time.perf_counter() - began

    return epoch


def keras_fit(data, how):
    """Return a function that measures the seconds of one epoch of `model.fit`, compiled as a recovery trains: Adam, cross entropy, accuracy."""
    import keras

    model = frameworks.open_keras(MODEL)
    model.compile(
        keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False
    )

    def epoch():
        began = time.perf_counter()
        model.fit(data.x, data.y, batch_size=how.batch_size, epochs=1, verbose=0)
        return time.perf_counter() - began

    return epoch


def recovery(data, how, *, sparse=False):
    """Return a function that measures the seconds of one epoch of `recover`: rows by index, checks for NaN, progress, and what `how` adds."""
    import keras

    model = frameworks.open_keras(MODEL)
    if sparse:
        for weight in (weight for weight in model.trainable_weights if weight.name == "kernel"):
            (mask,) = masks.keep_largest(masks.magnitudes([weight.numpy()]), 0.5, "layer")
            weight.assign(weight.numpy() * mask)
    context = Context(training=data, original=lambda: frameworks.open_keras(MODEL))
    running = loop.Training(objective.prepare(model, how, context), how, context, ())
    called = keras.callbacks.CallbackList([], model=model)
    step = running.step_in(None)

    def epoch():
        with loop.zeros_held(model) if sparse else contextlib.nullcontext():
            began = time.perf_counter()
            running.epoch(0, step, called)
            return time.perf_counter() - began

    return epoch


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=2560)
    parser.add_argument("--batch-size", type=int, default=128)
    given = parser.parse_args()
    print(describe())
    generator = np.random.default_rng(0)
    x = generator.random((given.rows, 28, 28, 1), np.float32)
    data, plain = Dataset(x, generator.integers(0, 10, given.rows)), Recover(batch_size=given.batch_size)
    distilled = Recover(batch_size=given.batch_size, distill=True)
    features = Distill(features=("conv2d_1",))
    kinds = {
        "plain step": plain_step(data, plain),
        "keras fit": keras_fit(data, plain),
        "recover": recovery(data, plain),
        "recover, 50 % zeros held": recovery(data, plain, sparse=True),
        "recover, distilled from cached answers": recovery(data, distilled),
        "recover, zeros held and distilled": recovery(data, distilled, sparse=True),
        "recover, distilled with features": recovery(data, Recover(batch_size=given.batch_size, distill=features)),
    }
    for epoch in kinds.values():
        epoch()  # traces
    names, times = list(kinds), {name: [] for name in kinds}
    for round_ in range(given.rounds):
        rotated = names[round_ % len(names) :] + names[: round_ % len(names)]
        for name in rotated:
            times[name].append(kinds[name]())
    steps = -(-given.rows // given.batch_size)
    with results(__file__) as add:
        for name, seconds in times.items():
            keep(add, name, seconds, times["plain step"], steps)


def keep(add, name, seconds, plain, steps):
    least = min(seconds) / min(plain)
    middle = statistics.median(one / plain_one for one, plain_one in zip(seconds, plain, strict=True))
    judged = f", goal {GOAL:.2f}: {'kept' if least <= GOAL else 'missed'}" if name in JUDGED else ""
    print(f"{name:40} {1e3 * min(seconds) / steps:7.1f} ms a step, ratio {least:.3f} (median {middle:.3f}){judged}")
    add("quickest step", round(1e3 * min(seconds) / steps, 1), "ms", of=name)
    add("against the plain step, quickest of each", *change(1 / least, 3), of=name)


if __name__ == "__main__":
    main()
