"""Train the example model: `python examples/anomaly/train.py` writes model.keras next to this file, in some seconds."""

import sys
from pathlib import Path

import data
import keras
import numpy as np
from keras import layers

MODEL = Path(__file__).with_name("model.keras")
EPOCHS, BATCH, SEED = 40, 64, 7


def build():
    """Return the untrained auto-encoder: (batch, 64) through 6 numbers to (batch, 64)."""
    x = keras.Input((data.LINES,), name="spectrum")
    code = layers.Dense(6, activation="relu")(layers.Dense(32, activation="relu")(x))
    return keras.Model(x, layers.Dense(data.LINES, name="restored")(layers.Dense(32, activation="relu")(code)))


def main():
    keras.utils.set_random_seed(SEED)
    x = data.training()
    model = build()
    rate = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * -(-len(x) // BATCH))
    model.compile(keras.optimizers.Adam(rate), "mse")
    model.fit(x, x, BATCH, EPOCHS, verbose=2)
    x, y = data.evaluation()
    error = np.square(model.predict(x, verbose=0) - x).mean(1)
    healthy, broken = error[y == 0].mean(), error[y == 1].mean()
    print(
        f"{model.count_params():,} parameters, mean squared error of healthy ones {healthy:.5f}, of broken ones {broken:.5f}"
    )
    if broken < 1.5 * healthy:
        sys.exit("it does not tell them apart: model.keras was not written")
    model.compile("adam", "mse")  # the file keeps the loss, and not the state of the optimizer
    model.save(MODEL)


if __name__ == "__main__":
    main()
