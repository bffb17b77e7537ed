"""Fashion-MNIST for the example plan: 28x28 grey images of ten kinds of clothing.

Images are float32 of shape (rows, 28, 28, 1) in [0, 1]; labels are int64 in 0..9.
Calibration rows come from the training images and evaluation rows are the test images, so they never overlap.

Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST", arXiv 1708.07747 (Expat licence).
"""

import gzip
import os
from pathlib import Path

import numpy as np

DEBIAN_FOLDER = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
CALIBRATION_ROWS = 300


def training():
    """All 60,000 training images and their labels."""
    return _load("train")


def calibration():
    """The first 300 training images: enough to see the range of every activation."""
    x, y = _load("train", rows=CALIBRATION_ROWS)
    return x, y


def evaluation():
    """All 10,000 test images and their labels."""
    return _load("t10k")


def _load(part, rows=None):
    images, labels = DEBIAN_FOLDER / f"{part}-images-idx3-ubyte.gz", DEBIAN_FOLDER / f"{part}-labels-idx1-ubyte.gz"
    if images.exists() and labels.exists():
        x = _idx(images, header_bytes=16, row_bytes=28 * 28, rows=rows).reshape(-1, 28, 28, 1)
        y = _idx(labels, header_bytes=8, row_bytes=1, rows=rows)
    else:
        x, y = _download(part, rows)
    return x.astype(np.float32) / np.float32(255), y.astype(np.int64)


def _idx(path, header_bytes, row_bytes, rows):
    """Read a gzipped IDX file (the format of the MNIST family: a fixed header, then rows of bytes)."""
    with gzip.open(path) as file:
        file.read(header_bytes)
        return np.frombuffer(file.read(-1 if rows is None else rows * row_bytes), np.uint8)


def _download(part, rows):
    try:
        from keras.datasets import fashion_mnist

        train, test = fashion_mnist.load_data()
    except Exception as error:
        raise FileNotFoundError(
            f"Fashion-MNIST is neither in {DEBIAN_FOLDER} nor could keras.datasets download it ({error}). "
            "Either install Debian's package: apt-get install dataset-fashion-mnist; "
            "or run on a machine with internet access and the tensorflow extra, where keras.datasets fetches it."
        ) from error
    x, y = train if part == "train" else test
    return x[:rows, ..., np.newaxis], y[:rows]
