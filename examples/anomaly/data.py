"""Drawn vibration spectra of a machine, for an auto-encoder that has seen healthy ones alone.

x is float32 (rows, 64). A healthy machine has five harmonics of one speed. Of a broken one a harmonic is too weak, or there is a line
that belongs to none. Evaluation labels are 1 for a broken machine and 0 for a healthy one; training rows are healthy, and have none.
"""

import numpy as np

LINES = 64
HARMONICS = np.array([1, 0.6, 0.4, 0.25, 0.15])


def training():
    return drawn(4000, seed=1, broken=0)[0]


def calibration():
    return training()[:200]


def evaluation():
    return drawn(1000, seed=2, broken=0.3)


def drawn(rows, seed, broken):
    """`broken`: the share of broken machines."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 0.05, (rows, LINES)), (rng.random(rows) < broken).astype(np.int64)
    for row, label in enumerate(y):
        speed, level = rng.uniform(6, 9), rng.uniform(0.6, 1.0) * HARMONICS
        at = speed * np.arange(1, 6)
        if label and rng.random() < 0.5:
            level[rng.integers(0, 3)] *= rng.uniform(0.1, 0.6)
        elif label:
            level = np.append(level, rng.uniform(0.15, 0.4))
            at = np.append(at, speed * rng.uniform(1.3, 3.7))
        x[row] += (level[:, None] * np.exp(-0.5 * ((np.arange(LINES) - at[:, None]) / 0.8) ** 2)).sum(0)
    return x.astype(np.float32), y
