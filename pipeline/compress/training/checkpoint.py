"""Arrays that outlive a stopped process: how far a training has come, and what was costly to compute."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.frameworks import Array
from pipeline.store import key_of, with_digest, without_digest, write_atomically

DIGEST = "made by"


class Checkpoint:
    """One file of named arrays in `folder`; without a folder nothing is kept.

    `identity` is all that the arrays depend on. It is part of the file's name and stands in the file, so several may lie in one folder,
    and what was left by other settings, or is damaged, is not read.
    """

    def __init__(self, folder: Path | None, what: str, *identity: object) -> None:
        self.digest = key_of(what, *identity)
        self.path = None if folder is None else folder / f"{what}-{self.digest[:16]}.npz"

    def read(self) -> dict[str, Array] | None:
        """The arrays as they were written last; None if there are none that can be used."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            content = without_digest(self.path.read_bytes())
            if content is None:
                return None
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
            return None  # whole, but written by another version
        return arrays if str(arrays.pop(DIGEST, "")) == self.digest else None

    def write(self, arrays: Mapping[str, Array]) -> None:
        """Replace what is there by these; a process that is killed while it does so leaves the old ones."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            data, named = io.BytesIO(), {DIGEST: np.array(self.digest), **arrays}
            np.savez(data, allow_pickle=False, **named)
            write_atomically(self.path, with_digest(data.getvalue()))


def digest_of(arrays: Sequence[Array]) -> str:
    """Sha256 of dtypes, shapes and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
