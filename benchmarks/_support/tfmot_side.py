"""The side of TensorFlow's own toolkit in benchmarks/compression/against_tfmot.py.

Runs in an environment with the legacy Keras, and prints JSON.

    python tfmot_side.py DATA.npz sparsity 0.8 2 SEED      prune_low_magnitude, polynomial decay
    python tfmot_side.py DATA.npz clusters 16 2 SEED       cluster_weights, linear centroids

DATA.npz holds the example model's weights in their order (w0, w1, ...), the training rows and the test rows.
"""

import json
import os
import sys
import time

os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tf_keras import layers

BATCH = 128
RATE = 5e-4


def build():
    """Return the net of examples/fashion_mnist/train.py in the legacy Keras."""

    def normalise(x):
        return layers.BatchNormalization(momentum=0.9)(x)

    def conv(x, filters, kernel):
        return layers.ReLU()(normalise(layers.Conv2D(filters, kernel, padding="same", use_bias=False)(x)))

    def depthwise(x, strides=1):
        return layers.ReLU()(normalise(layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False)(x)))

    image = layers.Input((28, 28, 1))
    x = conv(image, 32, 3)
    x = conv(depthwise(x, strides=2), 64, 1)
    residual = normalise(layers.Conv2D(64, 1, use_bias=False)(depthwise(x)))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(residual)
    gate = layers.Conv2D(16, 1, activation="relu")(gate)
    gate = layers.Conv2D(64, 1, activation="sigmoid")(gate)
    x = layers.ReLU()(layers.Add()([x, layers.Multiply()([residual, gate])]))
    x = conv(depthwise(x, strides=2), 96, 1)
    x = layers.Concatenate()([conv(x, 64, 1), conv(x, 96, 3)])
    x = layers.GlobalAveragePooling2D()(conv(x, 256, 1))
    x = layers.Dense(96, activation="relu")(layers.Dropout(0.3)(x))
    return tf_keras.Model(image, layers.Dense(10, activation="softmax", name="clothing")(x))


def main():
    path, what, amount, epochs, seed = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    data = np.load(path)
    tf_keras.utils.set_random_seed(seed)
    model = build()
    by_layer = [layer for layer in model.layers if layer.weights]
    given = [data[f"w{i}"] for i in range(sum(len(layer.weights) for layer in by_layer))]
    for layer in by_layer:
        layer.set_weights([given.pop(0) for _ in layer.weights])
    steps = epochs * -(-len(data["x"]) // BATCH)

    def wanted(layer):
        return type(layer) in (layers.Conv2D, layers.Dense) and layer.name != "clothing"

    if what == "sparsity":
        schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, amount, 0, steps // 2, frequency=10)
        wrap = lambda layer: tfmot.sparsity.keras.prune_low_magnitude(layer, schedule)  # noqa: E731
        callbacks, strip = [tfmot.sparsity.keras.UpdatePruningStep()], tfmot.sparsity.keras.strip_pruning
    else:
        linear = tfmot.clustering.keras.CentroidInitialization.LINEAR
        wrap = lambda layer: tfmot.clustering.keras.cluster_weights(layer, int(amount), linear)  # noqa: E731
        callbacks, strip = [], tfmot.clustering.keras.strip_clustering
    wrapped = tf_keras.models.clone_model(model, clone_function=lambda layer: wrap(layer) if wanted(layer) else layer)
    wrapped.compile(
        tf_keras.optimizers.Adam(tf_keras.optimizers.schedules.CosineDecay(RATE, steps)),
        "sparse_categorical_crossentropy",
    )
    began = []
    clock = tf_keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: began.append(time.perf_counter()))
    wrapped.fit(data["x"], data["y"], batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[*callbacks, clock])
    seconds = time.perf_counter() - began[-1]  # of the last epoch: the first one traces the graph
    final = strip(wrapped)
    answers = final.predict(data["x_test"], batch_size=500, verbose=0).argmax(-1)
    kernels = [np.asarray(layer.kernel) for layer in final.layers if wanted(layer)]
    print(
        json.dumps(
            {
                "accuracy": 100 * float(np.mean(answers == data["y_test"])),
                "epoch_s": seconds,
                "sparsity": float(sum((k == 0).sum() for k in kernels) / sum(k.size for k in kernels)),
                "most_values": int(max(len(np.unique(k)) for k in kernels)),
                "tensorflow": tf.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
