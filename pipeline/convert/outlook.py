"""What each format of a plan will do with the model's inputs and outputs: known from the records, before anything is made."""

from collections.abc import Iterable, Sequence

from pipeline import units
from pipeline.convert.onnx_fp32 import OPSET
from pipeline.convert.onnx_int8 import LOWEST_OPSET
from pipeline.convert.table import CONVERTERS
from pipeline.frameworks.onnx_versions import OPENS
from pipeline.records import Loaded, Model, TensorSpec
from pipeline.safe_text import shortened

MOST = 8  # names in one sentence
FIXED = ("keras", "saved_model")
"""Formats of models whose open axes get a length when a file is made of them."""


def outlook(loaded: Loaded, formats: Iterable[str], opset: int | None = None) -> list[str]:
    """Return a sentence for each format, of CONVERTERS or that of the file that stays as it is. `opset`: of an .onnx file, where it
    is known.
    """
    return [f"{name}: {'; '.join(_parts(loaded.model, name, opset))}" for name in formats]


def _parts(model: Model, name: str, opset: int | None) -> list[str]:
    source = model.artifact.format
    if name not in CONVERTERS:
        return ["the file runs as it is", *_sizes(model, "is given"), *_opened(opset)]
    parts = [_types(model, name)]
    if name.startswith("onnx"):
        parts += _opsets(name, source, opset)
    return [*parts, *_sizes(model, "becomes" if source in FIXED else "is given")]


def _types(model: Model, name: str) -> str:
    if name == "tflite-int8":
        return _int8(model)
    inside = {"tflite-fp16": "weights are stored in 16 bits, ", "onnx-int8": "weights and activations become int8, "}
    return f"{inside.get(name, '')}inputs and outputs keep their types"


def _int8(model: Model) -> str:
    """Floats become int8 at both ends; tokens, masks and other integers stay what they are."""
    ends = {"inputs": model.inputs, "outputs": model.outputs}
    floats = [what for what, specs in ends.items() if any(map(_is_float, specs))]
    kept = [each for specs in ends.values() for each in specs if not _is_float(each)]
    changed = f"{'float ' if kept else ''}{' and '.join(floats)} become int8" if floats else ""
    by_type = {
        dtype: [each.name for each in kept if each.dtype == dtype]
        for dtype in dict.fromkeys(each.dtype for each in kept)
    }
    stay = [f"{_names(names)} {'stays' if len(names) == 1 else 'stay'} {dtype}" for dtype, names in by_type.items()]
    return ", ".join(filter(None, (changed, *stay))) or "inputs and outputs become int8 where they are float"


def _is_float(spec: TensorSpec) -> bool:
    return "float" in spec.dtype


def _opsets(name: str, source: str, opset: int | None) -> list[str]:
    if source in FIXED:
        return [f"opset {OPSET}"]
    if opset is not None and name == "onnx-int8" and opset < LOWEST_OPSET:
        return [f"raised from opset {opset} to {OPSET}"]
    return _opened(opset)


def _opened(opset: int | None) -> list[str]:
    """Which release of ONNX Runtime the board needs, where not all do."""
    if opset is None or opset <= OPENS[0][1]:
        return []
    release = next((known for known, highest, _ in OPENS if opset <= highest), None)
    newer = (
        "a newer ONNX Runtime than was measured"
        if release is None
        else f"ONNX Runtime {release[0]}.{release[1]} or later"
    )
    return [f"opset {opset}, for which the board needs {newer}"]


def _sizes(model: Model, verb: str) -> list[str]:
    """What becomes of open axes: each inference on a board has fixed ones."""
    found = []
    for spec in model.inputs:
        name = f"'{shortened(spec.name, 80)}'"
        if spec.fixed is None and (spec.shape is None or None in spec.shape[1:]):
            found.append(
                f"nothing says how long the open axes of {name} {units.shape(spec.shape)} are: give rows that do, or [model] shape"
            )
        elif spec.fixed is not None and (spec.shape is None or None in spec.shape[1:]):
            found.append(f"{name} {units.shape(spec.shape)} {verb} {units.shape(spec.fixed)}")
    return found


def _names(names: Sequence[str]) -> str:
    shown = [f"'{shortened(each, 80)}'" for each in names[:MOST]]
    more = [f"{len(names) - MOST} more"] if len(names) > MOST else []
    *first, last = [*shown, *more]
    return f"{', '.join(first)} and {last}" if first else last
