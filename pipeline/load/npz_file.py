"""Read the arrays of an .npz file part by part. What its headers say is checked before anything is unpacked."""

import contextlib
import errno
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pipeline import bounds
from pipeline.errors import DataError
from pipeline.frameworks import Array
from pipeline.load import data_npy
from pipeline.load.data_stage import Stage, Staged, Whole
from pipeline.safe_text import shortened

# numpy writes no others; Python unpacks those others without a bound, also where 12 bytes are asked for
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MOST_MEMBERS = 1000
WRITE = "Write it again with np.savez(path, x=rows, y=labels); arrays of Python objects are not read."


def staged(path: Path, key: str, stage: Stage) -> Staged:
    """Take its arrays by their names. DataError says what is wrong with the file; `key` is where the plan names it."""
    with _opened(path, key) as (file, members):
        return stage.whole(
            {
                name: Whole(header.shape, header.dtype, partial(_parts, file, info, header, stage.folder))
                for name, (info, header) in members.items()
            }
        )


def check(path: Path, key: str) -> None:
    """Check what the headers alone show: quick for a file of any size."""
    with _opened(path, key):
        pass


Members = dict[str, tuple[zipfile.ZipInfo, data_npy.Header]]


@contextlib.contextmanager
def _opened(path: Path, key: str) -> Iterator[tuple[zipfile.ZipFile, Members]]:
    try:
        with zipfile.ZipFile(path) as file:
            infos = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            if not infos.keys() - {"y"} or infos.keys() == {"labels"}:
                raise DataError(
                    f"{key}: {path.name} has no array named x, only {shortened(', '.join(infos)) or 'nothing'}",
                    hint="Write it with np.savez(path, x=rows, y=labels); y may be left out.",
                )
            if len(infos) > MOST_MEMBERS:
                raise DataError(
                    f"{key}: {path.name} has {len(infos):,} arrays, and each is taken as an input of the model",
                    hint="Write all rows of an input into one array.",
                )
            members = {name: (info, _header(file, info)) for name, info in infos.items()}
            unpacked_bytes = sum(info.file_size for info, _ in members.values())
            bounds.check_unpacked(
                unpacked_bytes, path.stat().st_size, f"{key}: {path.name}", DataError,
                of_bytes=bounds.COPIES * unpacked_bytes,  # it is never in memory as a whole
            )  # fmt: skip
            yield file, members
    except DataError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # of the disk that they are written to
        # of zipfile, zlib, lzma and numpy, whatever a damaged or made-up file drives them to: it is the file's fault
        why = shortened(str(error) or type(error).__name__)
        with path.open("rb") as opened:
            single = opened.read(len(data_npy.MAGIC)) == data_npy.MAGIC
        raise DataError(
            f"{key}: {path.name} cannot be read as .npz: {'it is an .npy file, one array without a name' if single else why}",
            hint="Name it .npy: such a file is an array x." if single else WRITE,
        ) from error


def _header(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> data_npy.Header:
    if info.compress_type not in PACKED:
        raise ValueError(
            f"{info.filename} is packed in another way than numpy's (method {info.compress_type} of zip files)"
        )
    return data_npy.read_header(lambda: file.open(info), info.file_size, info.filename)


def _parts(file: zipfile.ZipFile, info: zipfile.ZipInfo, header: data_npy.Header, scratch: Path) -> Iterator[Array]:
    with file.open(info) as opened:
        yield from data_npy.parts(opened, header, scratch)
