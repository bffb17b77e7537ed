"""A SavedModel folder as one file of the store, and back: a zip archive that depends on nothing but the model.

Names are sorted, dates fixed, and nothing is compressed. Of the folder goes in what TensorFlow reads to run the model. Its
fingerprint.pb does not: it holds a random number, with which the same model would be another one each time that it is exported.
"""

import io
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pipeline import bounds
from pipeline.errors import ModelError
from pipeline.frameworks import protobuf, saved_model_check
from pipeline.frameworks.protobuf import BYTES, DamagedError
from pipeline.frameworks.saved_model_check import GRAPH, MOST_FILES
from pipeline.safe_text import shortened

DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can hold
BELONGS = re.compile(
    rf"{re.escape(GRAPH)}|keras_metadata\.pb|variables/variables\.(index|data-\d{{5}}-of-\d{{5}})|assets/[^\x00\\]+"
)
META_GRAPHS = 2  # SavedModel.meta_graphs of tensorflow/core/protobuf/saved_model.proto
FOLDER = "saved_model"
AGAIN = "Copy the whole folder again, or export it again from the program that made it."


def is_saved_model(path: Path) -> bool:
    """Return whether this is a folder with a SavedModel in it, by its names alone."""
    return os.path.lexists(path / GRAPH)


def packed(folder: Path, name: str = "", of_bytes: int | None = None) -> bytes:
    """Return the archive of a SavedModel folder: the same for the same files, whatever their dates.

    `of_bytes`: the memory that may be taken. ModelError if the folder is not a SavedModel, is too large, or holds a link or anything
    else that is not an ordinary file or folder; also if a file changes while it is read.
    """
    name = name or folder.name
    sizes = {
        path: size
        for path, size in saved_model_check.files_in(folder, name, of_bytes).items()
        if BELONGS.fullmatch(path)
    }
    odd = next((path for path in sizes if not path.isprintable()), None)  # such as one that was named in latin-1
    if odd is not None:
        raise ModelError(
            f"{name}: the name of {shortened(odd, 200)} holds what no text does",
            hint="Give the file another name before the model is exported.",
        )
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(sizes):
            with archive.open(zipfile.ZipInfo(path, DATE), "w", force_zip64=True) as target:
                for block in _blocks(folder / path, sizes[path], f"{name}: {shortened(path, 200)}"):
                    target.write(block)
    return data.getvalue()


def check(data: bytes, name: str) -> None:
    """Raise ModelError if this archive cannot hold a SavedModel. TensorFlow is not needed for it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        graph = archive.read(GRAPH)
    try:
        found = {field.number for field in protobuf.fields(graph, 0, len(graph)) if field.wire == BYTES}
    except DamagedError as error:
        raise saved_model_check.damaged(name) from error
    if META_GRAPHS not in found:
        raise ModelError(f"{name} is not a SavedModel: its {GRAPH} has no graph in it", hint=AGAIN)


def unpacked(path: Path, scratch: Path, name: str = "") -> Path:
    """Write the files of an archive into a folder of their own in `scratch`, and return it.

    ModelError if the file is not such an archive: each member is looked at before any is written, its name, its size, that it is not
    compressed, and that there is room in this process's bounds.
    """
    name = name or path.name
    folder = Path(tempfile.mkdtemp(dir=scratch)) / FOLDER
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked(archive.infolist(), path.stat().st_size, name)
            for member in members:
                target = folder / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
    except (
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        FileExistsError,
        NotADirectoryError,
    ) as error:
        raise _no_archive(name, shortened(str(error))) from error
    return folder


def _checked(members: list[zipfile.ZipInfo], size: int, name: str) -> list[zipfile.ZipInfo]:
    names = [each.filename for each in members]
    if GRAPH not in names or len(names) > MOST_FILES or len(set(names)) < len(names):
        raise _no_archive(name, f"it has {len(names):,} members, among them not one {GRAPH}, too many or one twice")
    for each in members:
        parts = each.filename.split("/")
        if not BELONGS.fullmatch(each.filename) or not {"", ".", ".."}.isdisjoint(parts):
            raise _no_archive(name, f"'{shortened(each.filename, 200)}' does not belong to a SavedModel")
        if each.compress_type != zipfile.ZIP_STORED or each.file_size != each.compress_size:
            raise _no_archive(name, f"'{shortened(each.filename, 200)}' is compressed")
    total = sum(each.file_size for each in members)
    if total > size:
        raise _no_archive(name, f"its members have {total:,} bytes, and the file {size:,}")
    bounds.check_unpacked(total, size, name, ModelError)
    return members


def _blocks(path: Path, size: int, what: str) -> Iterator[bytes]:
    with _opened(path, what) as file:
        left = size
        while block := file.read(min(2**20, left + 1)):
            left -= len(block)
            if left < 0:
                break
            yield block
    if left:
        raise ModelError(f"{what} changed while it was read", hint="Wait until it is written, then run again.")


def _opened(path: Path, what: str) -> IO[bytes]:
    """Open a file that was an ordinary one a moment ago; what has taken its place since is not followed and not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ModelError(
            f"{what} cannot be read: {error.strerror}", hint="Give yourself the right to read the whole folder."
        ) from error
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise ModelError(f"{what} is not an ordinary file", hint="Copy the folder with its content: cp -rL.")
    return file


def _no_archive(name: str, why: str) -> ModelError:
    return ModelError(
        f"{name} is not an archive of a SavedModel: {why}", hint="Give the folder of the SavedModel itself."
    )
