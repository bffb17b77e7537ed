"""Train the example model: `python examples/detection/train.py` writes model.keras next to this file, in a minute or two.

The net marks the centre of each shape on a grid of 12 x 12 cells, by class, and tells there how far the sides of its box are.
Sources of the losses: Zhou et al., "Objects as Points", arXiv 1904.07850 (centres); Yu et al., "UnitBox", ACM MM 2016 (sides).
"""

import sys
from pathlib import Path

import data
import keras
import numpy as np
from keras import layers, ops

MODEL = Path(__file__).with_name("model.keras")
EPOCHS, BATCH, SEED = 10, 32, 7


def conv(x, filters, strides=1):
    x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def build():
    """Return the untrained net: (batch, 48, 48, 3) in 0..1 to score (batch, 12, 12, 3) and sides (batch, 12, 12, 4)."""
    image = keras.Input((data.SIZE, data.SIZE, 3), name="image")
    fine = conv(conv(image, 12, 2), 24, 2)
    x = layers.UpSampling2D(2)(conv(conv(fine, 40, 2), 40))
    x = conv(conv(layers.Concatenate()([x, fine]), 32), 32)
    score = layers.Conv2D(data.CLASSES, 1, bias_initializer=keras.initializers.Constant(-3.0), name="score")(x)
    sides = layers.Conv2D(4, 1, activation="relu", bias_initializer=keras.initializers.Constant(2.0), name="sides")(x)
    return keras.Model(image, {"score": score, "sides": sides}, name="shapes")


def targets(boxes):
    """Return what the outputs should be: centres as blurred spots, and the sides with a fifth value, how much they count."""
    score = np.zeros((len(boxes), data.GRID, data.GRID, data.CLASSES), np.float32)
    sides = np.zeros((len(boxes), data.GRID, data.GRID, 5), np.float32)
    down, right = (np.mgrid[: data.GRID, : data.GRID] + 0.5) * data.STRIDE
    for row, shapes in enumerate(boxes):
        for x, y, width, height, kind in shapes[shapes[:, 4] >= 0]:
            far = np.maximum(np.abs(right - x - width / 2), np.abs(down - y - height / 2))
            spot = np.exp(-0.5 * (far / (0.175 * width)) ** 2)
            spot[far == far.min()] = 1
            score[row, ..., int(kind)] = np.maximum(score[row, ..., int(kind)], spot)
            distances = np.stack([right - x, down - y, x + width - right, y + height - down], -1) / data.STRIDE
            inside = spot > 0.3
            sides[row][inside] = np.concatenate([distances[inside], spot[inside, None]], 1)
    return {"score": score, "sides": sides}


def centres(wanted, logits):
    p = ops.clip(ops.sigmoid(logits), 1e-5, 1 - 1e-5)
    peak = ops.cast(wanted > 0.999, p.dtype)
    loss = -peak * (1 - p) ** 2 * ops.log(p) - (1 - peak) * (1 - wanted) ** 4 * p**2 * ops.log(1 - p)
    return ops.sum(loss, axis=(1, 2, 3)) / 3


def overlaps(wanted, found):
    """Return -log of the overlap of two boxes around the same point."""
    sides, weight = wanted[..., :4], wanted[..., 4]
    least = ops.minimum(sides, found)
    shared = (least[..., 0] + least[..., 2]) * (least[..., 1] + least[..., 3])
    areas = [(each[..., 0] + each[..., 2]) * (each[..., 1] + each[..., 3]) for each in (sides, found)]
    overlap = (shared + 0.1) / (areas[0] + areas[1] - shared + 0.1)
    return ops.sum(-ops.log(overlap) * weight, axis=(1, 2)) / (ops.sum(weight, axis=(1, 2)) + 1)


def train(model, x, boxes, epochs, batch_size, learning_rate, **more):
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * -(-len(x) // batch_size))
    model.compile(keras.optimizers.Adam(rate), {"score": centres, "sides": overlaps})
    model.fit(x, targets(boxes), batch_size, epochs, **more)


def fit(model, rows, epochs, callbacks, batch_size, learning_rate):
    """[training] function of the plan: what is left after pruning learns as the whole net did."""
    x, labels = rows[: len(rows)]
    boxes = labels["score"]  # labels that name no output are given as the first one's
    train(model, x, boxes, epochs, batch_size, learning_rate, callbacks=callbacks, verbose=0)


def main():
    keras.utils.set_random_seed(SEED)
    model = build()
    train(model, *data.training(), EPOCHS, BATCH, 4e-3, verbose=2)
    x, y = data.evaluation()
    found = data.boxes({name: np.asarray(each) for name, each in model.predict(x, verbose=0).items()})["boxes"]
    sure = (found[..., 4] > 0.3).sum()
    shapes = (y[..., 4] >= 0).sum()
    print(f"{model.count_params():,} parameters, {sure} boxes above 0.3 for {shapes} shapes")
    if not 0.8 < sure / shapes < 1.25:
        sys.exit("not what the example promises: model.keras was not written")
    keras.Model(model.inputs, model.output, name=model.name).save(MODEL)


if __name__ == "__main__":
    main()
