"""How large the weights of a Keras file are when they are unpacked: by its headers, before Keras reads it."""

import math
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

from pipeline import bounds
from pipeline.errors import ModelError

HDF5 = b"\x89HDF\r\n\x1a\n"
# Keras writes the first; Python unpacks bzip2 and LZMA without a bound, also where a few bytes are asked for
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MOST_CONFIG_BYTES = 64 * 2**20  # of the description of the layers; that of a model of 1,000 layers has 1 MB


def check(path: Path, name: str) -> None:
    """Raise ModelError if the file unpacks to more than may be read. Whatever else is wrong with it is raised as it comes."""
    packed = path.stat().st_size
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            _check_hdf5(file, packed, name)
        return
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        other = next((info for info in infos if info.compress_type not in PACKED), None)
        if other is not None:
            raise ModelError(
                f"{name}: its {other.filename[:60]} is packed in another way than Keras's (method {other.compress_type} of zip files)",
                hint="Save it again with model.save('model.keras').",
            )
        bounds.check_unpacked(sum(info.file_size for info in infos), packed, name, ModelError)
        for info in infos:
            if info.filename.endswith(".json") and info.file_size > MOST_CONFIG_BYTES:
                raise ModelError(
                    f"{name}: its {info.filename[:60]} has {info.file_size:,} bytes, more than the description of any model has",
                    hint="Save it again with model.save('model.keras').",
                )
            if info.filename.endswith(".h5"):
                with tempfile.TemporaryFile() as unpacked, archive.open(info) as member:
                    shutil.copyfileobj(member, unpacked)
                    _check_hdf5(unpacked, packed, name)


def _check_hdf5(file: IO[bytes], packed_bytes: int, name: str) -> None:
    """Datasets may be deflated, or say a shape of which nothing is stored."""
    import h5py

    sizes, elsewhere = [], []

    def look(at: str, thing: Any) -> None:
        if isinstance(thing, h5py.Dataset):
            sizes.append(math.prod(thing.shape or ()) * thing.dtype.itemsize)
            if thing.is_virtual or thing.external:
                elsewhere.append(at)

    with h5py.File(file, "r") as opened:
        opened.visititems(look)
    if elsewhere:
        raise ModelError(
            f"{name}: its weights '{elsewhere[0][:100]}' lie in another file",
            hint="Save it again with model.save('model.keras'): edgepress takes a model in one file.",
        )
    bounds.check_unpacked(sum(sizes), packed_bytes, name, ModelError)
