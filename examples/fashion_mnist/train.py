"""Train the example model: `python examples/fashion_mnist/train.py` writes model.keras next to this file.

A small modern net (175,162 parameters) with the structures that compression has to cope with: a residual add,
depthwise and pointwise convolutions, a squeeze-and-excite branch, a concatenation and a dense head.
"""

import sys
from pathlib import Path

import data
import keras
from keras import layers

MODEL = Path(__file__).with_name("model.keras")
EPOCHS = 12
SEED = 7


def conv(x, filters, kernel, strides=1):
    x = layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False)(x)
    return layers.ReLU()(normalise(x))


def depthwise(x, strides=1):
    x = layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False)(x)
    return layers.ReLU()(normalise(x))


def normalise(x):
    # Momentum 0.9 instead of Keras's 0.99: a short fine-tuning after compression must be able to move the statistics.
    return layers.BatchNormalization(momentum=0.9)(x)


def squeeze_and_excite(x, squeezed):
    channels = x.shape[-1]
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(squeezed, 1, activation="relu")(gate)
    gate = layers.Conv2D(channels, 1, activation="sigmoid")(gate)
    return layers.Multiply()([x, gate])


def build():
    """Return the untrained model: (batch, 28, 28, 1) in [0, 1] to ten class probabilities."""
    image = keras.Input((28, 28, 1), name="image")
    x = conv(image, 32, 3)
    x = conv(depthwise(x, strides=2), 64, 1)
    residual = normalise(layers.Conv2D(64, 1, use_bias=False)(depthwise(x)))
    x = layers.ReLU()(layers.Add()([x, squeeze_and_excite(residual, 16)]))
    x = conv(depthwise(x, strides=2), 96, 1)
    x = layers.Concatenate()([conv(x, 64, 1), conv(x, 96, 3)])
    x = layers.GlobalAveragePooling2D()(conv(x, 256, 1))
    x = layers.Dense(96, activation="relu")(layers.Dropout(0.3)(x))
    return keras.Model(image, layers.Dense(10, activation="softmax", name="clothing")(x), name="fashion_net")


def main():
    keras.utils.set_random_seed(SEED)
    x, y = data.training()
    x_test, y_test = data.evaluation()
    model = build()
    augment = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomTranslation(0.08, 0.08)])
    image = keras.Input((28, 28, 1))
    trainer = keras.Model(image, model(augment(image)))
    batch = 128
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * len(x) // batch)
    trainer.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    trainer.fit(x, y, batch_size=batch, epochs=EPOCHS, verbose=2)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    accuracy = model.evaluate(x_test, y_test, batch_size=500, verbose=0)[1]
    print(f"{model.count_params():,} parameters, test accuracy {accuracy:.2%}")
    if accuracy < 0.90:
        sys.exit("below the 90 % that the example promises: model.keras was not written")
    keras.Model(model.inputs, model.outputs, name=model.name).save(MODEL)
    print(f"wrote {MODEL} ({MODEL.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
