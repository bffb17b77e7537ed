"""Drawn pictures of discs and bars on shaded ground, and the class of each pixel.

x is float32 (rows, 48, 48, 3) in 0..1; y is uint8 (rows, 48, 48): 0 ground, 1 disc, 2 bar. What is drawn later lies on top.
"""

import numpy as np

SIZE, CLASSES = 48, 3


def training():
    return drawn(2500, seed=1)


def calibration():
    return training()[0][:100]


def evaluation():
    return drawn(300, seed=2)


def drawn(rows, seed):
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:SIZE, :SIZE] + 0.5
    x, y = np.empty((rows, SIZE, SIZE, 3), np.float32), np.zeros((rows, SIZE, SIZE), np.uint8)
    for picture, classes in zip(x, y, strict=True):
        shade = rng.normal(0, 0.3, (2, 3))
        picture[:] = (
            rng.uniform(0.2, 0.8, 3)
            + shade[0] * (down[..., None] / SIZE - 0.5)
            + shade[1] * (right[..., None] / SIZE - 0.5)
        )
        for _ in range(rng.integers(1, 4)):
            kind, turn, size = rng.integers(1, CLASSES), rng.uniform(0, np.pi), rng.uniform(5, 11)
            a, b = down - rng.uniform(6, SIZE - 6), right - rng.uniform(6, SIZE - 6)
            along, across = a * np.cos(turn) + b * np.sin(turn), b * np.cos(turn) - a * np.sin(turn)
            inside = a**2 + b**2 < size**2 if kind == 1 else (abs(along) < 2 * size) & (abs(across) < 0.4 * size)
            picture[inside] = np.abs(picture[inside].mean(0) - rng.uniform(0.3, 0.6, 3))  # unlike what it lies on
            classes[inside] = kind
    return np.clip(x + rng.normal(0, 0.07, x.shape), 0, 1).astype(np.float32), y
