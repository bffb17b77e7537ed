"""Rows from .npy files: one file is an array x; in a folder each file is a row, or each name in it an input.

rows.npy                     (rows, ...)
rows/0.npy, 1.npy, ...       a row each, in the natural order of their names: 2 before 10
rows/x/0.npy, ... y.npy      a folder, or a file of all rows, for each input: as the members of an .npz are
"""

import hashlib
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.errors import DataError
from pipeline.frameworks import Array
from pipeline.load import data_labels, data_npy
from pipeline.load.data_stage import Stage, Staged, Whole
from pipeline.safe_text import shortened

NPY = ".npy"
WRITE = "Write it again with np.save(path, row); arrays of Python objects are not read."


class Entry:
    """One input: a file of all its rows, or the files of its rows in order."""

    def __init__(self, path: Path, files: list[Path] | None = None) -> None:
        self.path, self.files = path, files


def entries_of(path: Path, key: str) -> dict[str, Entry]:
    """Return the inputs by their names, and labels, by names of files alone. DataError where there are none."""
    if not path.is_dir():
        return {"x": Entry(path)}
    inside = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    folders = [each for each in inside if each.is_dir()]
    files = [each for each in inside if each.suffix.lower() == NPY and each.is_file()]
    if folders or any(each.stem == "x" for each in files):
        found = {each.stem: Entry(each) for each in files}
        found |= {each.name: Entry(each, _natural(each.iterdir())) for each in folders}
        empty = next((name for name, entry in found.items() if entry.files == []), None)
        if empty is not None:
            raise DataError(
                f"{key}: the folder {path / empty} has no {NPY} files", hint="Put a file in it for each row."
            )
        return found
    found = {each.stem: Entry(each) for each in files if each.stem == data_labels.LABELS}
    rows = _natural(each for each in files if each.stem != data_labels.LABELS)
    if not rows:
        raise DataError(
            f"{key}: the folder {path} has no {NPY} files",
            hint="Put a file in it for each row, or a folder of such files for each input.",
        )
    return {"x": Entry(path, rows), **found}


def _natural(paths: Iterator[Path]) -> list[Path]:
    files = [each for each in paths if each.suffix.lower() == NPY and not each.name.startswith(".")]
    return sorted(
        files,
        key=lambda each: [
            (len(part), part) if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", each.name)
        ],
    )


def digest(entries: dict[str, Entry]) -> str:
    """Return a digest of all content, in its order."""
    content = hashlib.sha256()
    for name, entry in sorted(entries.items()):
        content.update(f"{name!r} {entry.files is None}".encode())
        for path in (entry.path,) if entry.files is None else entry.files:
            with path.open("rb") as file:
                content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()


def staged(entries: dict[str, Entry], key: str, stage: Stage) -> Staged:
    return stage.whole({name: _whole(entry, key, stage.folder) for name, entry in entries.items()})


def _whole(entry: Entry, key: str, scratch: Path) -> Whole:
    if entry.files is None:
        header = _header(entry.path, key)
        return Whole(header.shape, header.dtype, partial(_parts, entry.path, header, scratch))
    first = _header(entry.files[0], key)
    return Whole((len(entry.files), *first.shape), first.dtype, partial(_rows, entry.files, first, key))


def _header(path: Path, key: str) -> data_npy.Header:
    try:
        return data_npy.read_header(lambda: path.open("rb"), path.stat().st_size, path.name)
    except OSError as error:
        raise DataError(
            f"{key}: {path} cannot be read: {error.strerror}", hint="Give a file that you may read."
        ) from error
    except Exception as error:  # whatever a damaged file drives numpy to
        why = shortened(str(error) or type(error).__name__)
        raise DataError(f"{key}: {path} cannot be read as {NPY}: {why}", hint=WRITE) from error


def _parts(path: Path, header: data_npy.Header, scratch: Path) -> Iterator[Array]:
    with path.open("rb") as file:
        yield from data_npy.parts(file, header, scratch)


def _rows(files: list[Path], first: data_npy.Header, key: str) -> Iterator[Array]:
    for path in files:
        header = _header(path, key)
        if (header.shape, header.dtype) != (first.shape, first.dtype):
            raise DataError(
                f"{key}: {path} is {header.dtype} of shape {header.shape}, and {files[0].name} is {first.dtype} of {first.shape}",
                hint="Rows of one input have one shape and one dtype: cut, pad or convert them.",
            )
        row: Array = np.load(path, allow_pickle=False)
        yield row[None]
