"""Friedman's first function: drawn rows of ten numbers and one target, with noise of standard deviation 1.

x is float32 (rows, 10) in 0..1, of which five matter; y is float32 (rows, 1) in 0..30. The noise is what no model can learn: a root mean
square error below 1 would be a fault of the measurement.

Source: J. H. Friedman, "Multivariate Adaptive Regression Splines", The Annals of Statistics 19 (1), 1991, equation 61.
"""

import numpy as np


def training():
    return drawn(4000, seed=1)


def calibration():
    return training()[0][:200]


def evaluation():
    return drawn(1000, seed=2)


def drawn(rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (rows, 10)).astype(np.float32)
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return x, (y + rng.normal(0, 1, rows)).astype(np.float32)[:, None]
