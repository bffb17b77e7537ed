"""Read the arrays of an .npz file. What its headers say is checked before anything is unpacked."""

import contextlib
import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import bounds
from pipeline.errors import DataError
from pipeline.frameworks import Array
from pipeline.safe_text import shortened

MAGIC = b"\x93NUMPY"  # https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
# numpy writes no others; Python unpacks those others without a bound, also where 12 bytes are asked for
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
LONGEST_HEADER_BYTES = 10_000  # numpy's own limit, which it applies only after reading that much
WRITE = "Write it again with np.savez(path, x=rows, y=labels); arrays of Python objects are not read."


class Member(NamedTuple):
    """One array in the file, as its header describes it."""

    info: zipfile.ZipInfo
    unpacked_bytes: int


def read(path: Path, key: str) -> tuple[Array, Array | None]:
    """Its x, and its y if it has one. DataError says what is wrong with the file; `key` is where the plan names it."""
    with _opened(path, key) as (file, members):
        x, *y = [_array(file, each) for each in members]
        return x, y[0] if y else None


def check(path: Path, key: str) -> None:
    """Check what the headers alone show: quick for a file of any size."""
    with _opened(path, key):
        pass


@contextlib.contextmanager
def _opened(path: Path, key: str) -> Iterator[tuple[zipfile.ZipFile, list[Member]]]:
    try:
        with zipfile.ZipFile(path) as file:
            infos = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            if "x" not in infos:
                raise DataError(
                    f"{key}: {path.name} has no array named x, only {shortened(', '.join(infos)) or 'nothing'}",
                    hint="Write it with np.savez(path, x=rows, y=labels); y may be left out.",
                )
            members = [_member(file, infos[name]) for name in ("x", "y") if name in infos]
            bounds.check_unpacked(
                sum(each.unpacked_bytes for each in members), path.stat().st_size, f"{key}: {path.name}", DataError
            )
            yield file, members
    except DataError:
        raise
    except Exception as error:
        # of zipfile, zlib, lzma and numpy, whatever a damaged or made-up file drives them to: it is the file's fault
        why = shortened(str(error) or type(error).__name__)
        with path.open("rb") as opened:
            single = opened.read(len(MAGIC)) == MAGIC
        raise DataError(
            f"{key}: {path.name} cannot be read as .npz: {'it is an .npy file, one array without a name' if single else why}",
            hint=f"Write it with np.savez({path.name!r}, x=np.load({path.name!r}))." if single else WRITE,
        ) from error


def _member(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    """Look at the header alone. ValueError unless it describes just what the member holds."""
    if info.compress_type not in PACKED:
        raise ValueError(
            f"{info.filename} is packed in another way than numpy's (method {info.compress_type} of zip files)"
        )
    with file.open(info) as member:
        head = member.read(len(MAGIC) + 6)
    if head[: len(MAGIC)] != MAGIC:
        raise ValueError(f"{info.filename} is not a NumPy array: it begins with {head[:8]!r}")
    major, length_format, start = head[6], "<H", 10
    if major == 2:
        length_format, start = "<I", 12
    elif major != 1:
        raise ValueError(
            f"{info.filename} is written in version {major} of numpy's format, which is not one for numbers"
        )
    (length,) = struct.unpack_from(length_format, head, 8)
    if length > LONGEST_HEADER_BYTES:
        raise ValueError(f"{info.filename} has a header of {length:,} bytes")
    with file.open(info) as member:
        version = np.lib.format.read_magic(member)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(member)
    if dtype.hasobject:
        raise ValueError(f"{info.filename} holds Python objects")
    holds = info.file_size - start - length
    says = math.prod(map(int, shape)) * dtype.itemsize
    if says != holds or any(size < 0 for size in shape):
        raise ValueError(
            f"{info.filename} holds {holds:,} bytes, and its header says {dtype} of shape {shape}: {says:,} bytes"
        )
    return Member(info, info.file_size)


def _array(file: zipfile.ZipFile, member: Member) -> Array:
    with file.open(member.info) as opened:
        found: Array = np.lib.format.read_array(opened, allow_pickle=False)
    return found
