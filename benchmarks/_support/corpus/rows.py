"""Rows for a model: drawn by seed where none come with it, and written as a plan's [data] takes them.

A row is what one inference gets. Where the first axis of an input is 1 or open, it is the axis of rows and no part of a row;
where it is another number, or where there is none, the whole input is a row. So `x` of an .npz file has the shape (rows, *row).
"""

import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from benchmarks._support.corpus.libraries import NotTensors, Spec

ROWS = 4
SIZES = (16, 32, 64, 96, 128, 8, 4, 1)  # what open axes are tried with, in this order
HIGHEST = (10, 2, 1)  # integers are drawn below this; smaller ones where the model takes no larger

# Inputs whose range or size nobody can guess: a rate of samples, an image's height, a text's bytes.
# The first pattern that fits the name holds.
KNOWN: dict[str, dict[str, tuple[tuple[int, ...], int | None]]] = {
    "*silero_vad_16k_sequence*": {"input": ((1, 576), None)},
    "*silero_vad_openvino_16k*": {"input": ((1, 576), None)},
    "*silero_vad*": {"sr": ((), 16000), "input": ((1, 512), None), "state": ((2, 1, 128), None), "h": ((2, 1, 64), None), "c": ((2, 1, 64), None)},
    "*PP-OCRv4_det*": {"x": ((1, 3, 64, 64), None)},
    "*PP-OCRv4_rec*": {"x": ((1, 3, 48, 64), None)},
    "*mobile_v2.0_cls*": {"x": ((1, 3, 48, 192), None)},
    "*melspectrogram*": {"input": ((1, 1760), None)},
    "*embedding_model*": {"input_1": ((1, 76, 32, 1), None)},
}  # fmt: skip


def candidates(full_name: str, specs: list[Spec], seed: int) -> Iterator[list[dict[str, np.ndarray]]]:
    """Yield rows of the sizes and ranges that a model may take, the likeliest first."""
    known = next((each for pattern, each in KNOWN.items() if fnmatch(full_name, pattern)), {})
    if any(each.dtype == "str" for each in specs):
        raise NotTensors("an input holds strings")
    is_open = any(None in each.shape[1:] for each in specs if each.name not in known)
    integers = any(np.dtype(each.dtype).kind in "iu" and not each.scale for each in specs)
    for size in SIZES if is_open else SIZES[:1]:
        for highest in HIGHEST if integers else HIGHEST[:1]:
            random = np.random.default_rng(seed)
            yield [
                {each.name: _drawn(each, known.get(each.name), size, highest, random) for each in specs}
                for _ in range(ROWS)
            ]


def _drawn(spec: Spec, known: tuple[tuple[int, ...], int | None] | None, size: int, highest: int, random) -> np.ndarray:
    filled = [1 if axis == 0 else size for axis in range(len(spec.shape))]
    shape = tuple(fill if have is None else have for have, fill in zip(spec.shape, filled, strict=True))
    if known is not None and len(known[0]) == len(shape):
        shape = known[0]
        if known[1] is not None:
            return np.full(shape, known[1], spec.dtype)
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "b":
        return random.random(shape) < 0.5
    if spec.scale:
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    if dtype.kind in "iu":
        return random.integers(0, highest, shape).astype(dtype)
    return random.normal(size=shape).astype(dtype)


def is_row_axis(shape: tuple[int | None, ...]) -> bool:
    return bool(shape) and shape[0] in (1, None)


def as_data(rows: list[dict[str, np.ndarray]], specs: list[Spec]) -> dict[str, np.ndarray]:
    """Return the members of the .npz: by name, or `x` where there is one input. Values of quantized inputs are real numbers."""
    shapes = {each.name: each for each in specs}
    members = {}
    for name in rows[0]:
        spec = shapes[name]
        values = [_real(each[name], spec) for each in rows]
        if is_row_axis(spec.shape) and all(value.ndim and value.shape[0] == 1 for value in values):
            values = [value[0] for value in values]
        members["x" if len(specs) == 1 else name] = np.stack(values)
    return members


def _real(value: np.ndarray, spec: Spec) -> np.ndarray:
    if value.dtype == object:
        return value.astype(str)
    if not spec.scale:
        return value
    return (value.astype(np.float32) - np.float32(spec.zero)) * np.float32(spec.scale)


def write(path: Path, members: dict[str, np.ndarray]) -> None:
    """As np.savez, whose own arguments are names that a model may have, too."""
    with zipfile.ZipFile(path, "w") as file:
        for name, values in members.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(values), allow_pickle=False)
