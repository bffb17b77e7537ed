"""Train the example model: `python examples/regression/train.py` writes model.keras next to this file, in some seconds."""

import sys
from pathlib import Path

import data
import keras
from keras import layers

MODEL = Path(__file__).with_name("model.keras")
EPOCHS, BATCH, SEED = 60, 64, 7


def build():
    """Return the untrained model: (batch, 10) to one number."""
    x = keras.Input((10,), name="x")
    hidden = layers.Dense(64, activation="relu")(layers.Dense(64, activation="relu")(x))
    return keras.Model(x, layers.Dense(1, name="y")(hidden), name="friedman")


def main():
    keras.utils.set_random_seed(SEED)
    x, y = data.training()
    model = build()
    rate = keras.optimizers.schedules.CosineDecay(5e-3, EPOCHS * -(-len(x) // BATCH))
    model.compile(keras.optimizers.Adam(rate), "mse")
    model.fit(x, y, BATCH, EPOCHS, verbose=2)
    error = model.evaluate(*data.evaluation(), verbose=0) ** 0.5
    print(f"{model.count_params():,} parameters, root mean square error {error:.3f}, of which the noise alone is 1")
    if not 1 < error < 1.7:
        sys.exit("not what the example promises: model.keras was not written")
    model.compile("adam", "mse")  # the file keeps the loss, and not the state of the optimizer
    model.save(MODEL)


if __name__ == "__main__":
    main()
