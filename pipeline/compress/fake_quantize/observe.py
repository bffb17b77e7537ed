"""The ranges that activations reach, looked at with rows."""

import numpy as np

from pipeline import frameworks
from pipeline.compress.rows import Batches, called
from pipeline.frameworks.types import KerasModel


def observe(model: KerasModel, rows: Batches) -> None:
    """Set the range of every activation to what these rows reach with the weights as they are."""
    from pipeline.frameworks import fake_quantization

    every = fake_quantization.ranges_of(model)
    ranges = [layer for layer in every if layer.fixed is None]
    for layer in every:
        layer.observing = True
    try:
        for layer in ranges:
            layer.low.assign(0.0)
            layer.high.assign(0.0)
        for start in range(0, len(rows), frameworks.BATCH_ROWS):
            x = rows.take(np.arange(start, min(start + frameworks.BATCH_ROWS, len(rows))))
            called(model, x, training=False)
    finally:
        for layer in every:
            layer.observing = False
    for layer in ranges:
        layer.set_range(float(layer.low), float(layer.high))
