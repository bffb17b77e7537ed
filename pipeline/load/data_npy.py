"""Read .npy files and the members of .npz files, which are the same, part by part. Their headers are checked before anything is read."""

import math
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from pipeline.frameworks import Array
from pipeline.load.data_columns import rows_at_once

MAGIC = b"\x93NUMPY"  # https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
LONGEST_HEADER_BYTES = 10_000  # numpy's own limit, which it applies only after reading that much

MOST_EMPTY = 10_000_000
"""Rows without a value, which take no room in a file: each takes time, and memory later."""


class Header(NamedTuple):
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[np.generic]
    size_bytes: int  # of the header


def read_header(opened: Callable[[], IO[bytes]], file_bytes: int, name: str) -> Header:
    """Look at the header alone. ValueError unless it describes what the file of `file_bytes` holds, and Python objects are not in it."""
    with opened() as file:
        head = file.read(len(MAGIC) + 6)
    if head[: len(MAGIC)] != MAGIC:
        raise ValueError(f"{name} is not a NumPy array: it begins with {head[:8]!r}")
    major, length_format, start = head[6], "<H", 10
    if major == 2:
        length_format, start = "<I", 12
    elif major != 1:
        raise ValueError(f"{name} is written in version {major} of numpy's format, which is not one for numbers")
    (length,) = struct.unpack_from(length_format, head, 8)
    if length > LONGEST_HEADER_BYTES:
        raise ValueError(f"{name} has a header of {length:,} bytes")
    with opened() as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    holds = file_bytes - start - length
    says = math.prod(map(int, shape)) * dtype.itemsize
    if says != holds or any(size < 0 for size in shape):
        raise ValueError(f"{name} holds {holds:,} bytes, and its header says {dtype} of shape {shape}: {says:,} bytes")
    if not says and shape[:1] > (MOST_EMPTY,):
        raise ValueError(f"{name} says that it has {shape[0]:,} rows, and there is no value in them")
    return Header(tuple(map(int, shape)), is_fortran, dtype, start + length)


def parts(file: IO[bytes], header: Header, scratch: Path) -> Iterator[Array]:
    """Yield its rows in order, some at a time: (some, *shape of a row). An array in Fortran's order is copied to the folder `scratch`
    first, since its rows do not lie one after the other.
    """
    file.read(header.size_bytes)
    rows, shape = header.shape[0], header.shape[1:]
    at_once = rows_at_once(shape, header.dtype)
    if header.is_fortran and len(header.shape) > 1:
        yield from _of_fortran(file, header, scratch / "fortran", at_once)
    else:
        row_bytes = math.prod(shape) * header.dtype.itemsize
        for start in range(0, rows, at_once):
            count = min(at_once, rows - start)
            yield np.frombuffer(_exactly(file, count * row_bytes), header.dtype).reshape(count, *shape)
    file.read(1)  # the end: a checksum in an archive is compared there


def _exactly(file: IO[bytes], count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise ValueError(f"it ends {count - len(content):,} bytes early")
    return content


def _of_fortran(file: IO[bytes], header: Header, copy: Path, at_once: int) -> Iterator[Array]:
    try:
        with copy.open("wb") as raw:
            shutil.copyfileobj(file, raw, 2**20)
        mapped = np.memmap(copy, header.dtype, "r", shape=header.shape, order="F")
        for start in range(0, header.shape[0], at_once):
            yield np.ascontiguousarray(mapped[start : start + at_once])
    finally:
        copy.unlink(missing_ok=True)
