"""Rows for a model: drawn by seed where none come with it, and written as a plan's [data] and [model] take them.

A row of an input is what one inference gets: the whole tensor, without its first axis where that is 1. So a member of an .npz file
has the shape (rows, *row), and of sequences (rows, steps, *row).
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._support.corpus.libraries import NotTensors, Spec

ROWS = 4
SEQUENCES, STEPS = 2, 3  # of a model that keeps a state
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

# Inputs that take what an output has answered in the step before, as the packages' own code passes them on.
STATES: dict[str, dict[str, str]] = {
    "*silero_vad_16k_sequence*": {"h": "hn", "c": "cn"},
    "packages/openwakeword/*silero_vad*": {"h": "hn", "c": "cn"},
    "*silero_vad*": {"state": "stateN"},
}

Row = dict[str, np.ndarray]


def _known(table: dict[str, Any], full_name: str) -> dict[str, Any]:
    return next((each for pattern, each in table.items() if fnmatch(full_name, pattern)), {})


def states_of(full_name: str) -> dict[str, str]:
    return _known(STATES, full_name)


def constants_of(full_name: str, specs: list[Spec]) -> dict[str, int]:
    """Return the inputs that a plan gives one value, since no row has it."""
    known = _known(KNOWN, full_name)
    return {each.name: known[each.name][1] for each in specs if known.get(each.name, ((), None))[1] is not None}


def candidates(full_name: str, specs: list[Spec], seed: int, rows: int = ROWS) -> Iterator[list[Row]]:
    """Yield rows of the sizes and ranges that a model may take, the likeliest first."""
    known = _known(KNOWN, full_name)
    if any(each.dtype == "str" for each in specs):
        raise NotTensors("an input holds strings")
    is_open = any(None in each.shape[1:] for each in specs if each.name not in known)
    integers = any(np.dtype(each.dtype).kind in "iu" and not each.scale for each in specs)
    for size in SIZES if is_open else SIZES[:1]:
        for highest in HIGHEST if integers else HIGHEST[:1]:
            random = np.random.default_rng(seed)
            yield [
                {each.name: _drawn(each, known.get(each.name), size, highest, random) for each in specs}
                for _ in range(rows)
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


@dataclass
class Given:
    """What a user of the model would write: members of the .npz file, and keys of [model]."""

    members: Row
    model: dict[str, Any] = field(default_factory=dict)


def as_data(
    rows: list[Row],
    specs: list[Spec],
    *,
    steps: int = 0,
    state: dict[str, str] | None = None,
    constants: dict[str, int] | None = None,
) -> Given:
    """Return the members by name, or `x` where one input takes rows. Values of quantized inputs are real numbers.

    `steps`: how many of the rows, which follow one another, are one sequence; 0: each row is on its own.
    """
    state, constants = state or {}, constants or {}
    free = [each for each in specs if each.name not in {*state, *constants}]
    shape = {each.name: list(rows[0][each.name].shape) for each in specs if each.name in state and None in each.shape}
    members = {}
    for spec in free:
        values = [_real(row[spec.name], spec) for row in rows]
        if spec.shape[:1] in ((1,), (None,)) and all(value.ndim and value.shape[0] == 1 for value in values):
            values = [value[0] for value in values]
        elif spec.shape[:1] == (None,) and all(
            rows[0][spec.name].shape
        ):  # several rows in one inference: a plan says so
            shape[spec.name] = list(rows[0][spec.name].shape)
        whole = np.stack(values)
        members["x" if len(free) == 1 else spec.name] = whole.reshape(-1, steps, *whole.shape[1:]) if steps else whole
    said = {"constants": constants, "shape": shape, "state": state, "sequences": bool(steps) and not state}
    return Given(members, {key: value for key, value in said.items() if value})


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
