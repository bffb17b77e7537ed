"""Train the example model: `python examples/keyword_stream/train.py` writes model.keras next to this file, in a minute.

It is trained on whole sounds. What is saved has the same weights, and takes one step: its state is an input and an output, so that every
format and every runtime has it, and the application resets it by giving zeros.
"""

import sys
from pathlib import Path

import data
import keras
import numpy as np
from keras import layers

MODEL = Path(__file__).with_name("model.keras")
EPOCHS, BATCH, SEED, UNITS = 15, 64, 7, 24


def build():
    """Return the untrained net for training: (batch, 40, 16) to the logits of four classes in each step."""
    bands = keras.Input((data.STEPS, data.BANDS), name="bands")
    x = layers.GRU(UNITS, return_sequences=True)(layers.Dense(24, activation="relu")(bands))
    return keras.Model(bands, layers.Dense(data.CLASSES, name="kinds")(x))


def one_step(trained):
    """Return the same net for one step: bands (1, 16) and state (1, 24) to kinds (1, 4) and the state after it."""
    _, dense, gru, head = trained.layers
    bands = keras.Input((data.BANDS,), batch_size=1, name="bands")
    state = keras.Input((UNITS,), batch_size=1, name="state")
    cell = layers.GRU(UNITS, return_state=True, unroll=True)
    x, after = cell(layers.Reshape((1, -1))(dense(bands)), initial_state=state)
    model = keras.Model({"bands": bands, "state": state}, {"kinds": head(x), "state_after": after}, name="chirps")
    cell.set_weights(gru.get_weights())
    return model


def main():
    keras.utils.set_random_seed(SEED)
    x, y = data.training()
    model = build()
    rate = keras.optimizers.schedules.CosineDecay(8e-3, EPOCHS * -(-len(x) // BATCH))
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, BATCH, EPOCHS, verbose=2)
    x, y = data.evaluation()
    right = data.sounds({"kinds": np.asarray(model.predict(x, verbose=0))}, y)
    print(f"{model.count_params():,} parameters, {right:.1%} of the sounds are known rightly")
    if right < 0.93:
        sys.exit("below the 93 % that the example promises: model.keras was not written")
    one_step(model).save(MODEL)


if __name__ == "__main__":
    main()
