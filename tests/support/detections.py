"""Labelled boxes, and boxes that a detector might find."""

import numpy as np

from pipeline.quality.detection import Boxes


def drawn(seed, rows=60, classes=4, blur=3.0):
    random = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(rows):
        count = random.integers(0, 7)
        corner = random.uniform(0, 80, (count, 2))
        boxes = np.concatenate([corner, corner + random.uniform(10, 40, (count, 2))], axis=1)
        kinds = random.integers(0, classes, count)
        kept = random.random(count) < 0.9
        extra = random.uniform(0, 60, (3, 2))
        near = boxes + np.clip(random.normal(0, blur, boxes.shape), -4.9, 4.9)
        truths.append(Boxes(boxes, kinds))
        found.append(
            Boxes(
                np.concatenate([near[kept], np.concatenate([extra, extra + 20], axis=1)]),
                np.concatenate([kinds[kept], random.integers(0, classes, 3)]),
                np.round(np.concatenate([random.beta(5, 2, kept.sum()), random.beta(2, 5, 3)]), 2),  # with ties
            )
        )
    return truths, found
