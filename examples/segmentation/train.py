"""Train the example model: `python examples/segmentation/train.py` writes model.keras next to this file, in a minute or two."""

import sys
from pathlib import Path

import data
import keras
from keras import layers

MODEL = Path(__file__).with_name("model.keras")
EPOCHS, BATCH, SEED = 8, 32, 7


def conv(x, filters, strides=1):
    x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def build():
    """Return the untrained net, a small U: (batch, 48, 48, 3) in 0..1 to the logits of three classes for each pixel."""
    image = keras.Input((data.SIZE, data.SIZE, 3), name="image")
    fine = conv(image, 12, 2)
    middle = conv(fine, 24, 2)
    coarse = conv(conv(middle, 40, 2), 40)
    x = conv(layers.Concatenate()([layers.UpSampling2D(2, interpolation="bilinear")(coarse), middle]), 32)
    x = conv(layers.Concatenate()([layers.UpSampling2D(2, interpolation="bilinear")(x), fine]), 16)
    return keras.Model(image, layers.Conv2DTranspose(data.CLASSES, 2, 2, name="classes")(x), name="regions")


def main():
    keras.utils.set_random_seed(SEED)
    x, y = data.training()
    model = build()
    rate = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * -(-len(x) // BATCH))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(x, y, BATCH, EPOCHS, verbose=2)
    right = model.evaluate(*data.evaluation(), verbose=0)[1]
    print(f"{model.count_params():,} parameters, {right:.2%} of the pixels are right")
    if right < 0.94:
        sys.exit("below the 94 % that the example promises: model.keras was not written")
    model.compile("adam", loss)  # the file keeps the loss, and not the state of the optimizer
    model.save(MODEL)


if __name__ == "__main__":
    main()
