"""Which input or output of a file is which one of the model: by name, because the order of tensors in a file means nothing."""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.convert import keras_source, onnx_names
from pipeline.errors import StageError
from pipeline.frameworks import row_shape
from pipeline.records import TensorSpec
from pipeline.safe_text import shortened


class Matched(NamedTuple):
    file: tuple[TensorSpec, ...]  # as the file calls them, in the order of the model's
    specs: tuple[TensorSpec, ...]  # the same with the names of the model's
    places: tuple[int, ...]  # of each in the order of the file's
    note: str  # a sentence, where no name told it


def matched(
    model: Sequence[TensorSpec],
    file: Sequence[TensorSpec],
    what: str,
    label: str,
    *,
    made: bool,
    inputs: Sequence[TensorSpec] = (),
) -> Matched:
    """Pair a model's inputs or outputs with those of a file. `what`: "input" or "output"; `made`: the file was made of the model;
    `inputs`: with outputs, the model's inputs.

    StageError if neither names nor shapes tell which is which.
    """
    names = [each.name for each in file]
    places, note = None, ""
    ours = [each.name for each in model]
    converted = [list(keras_source.safe(ours).values()), onnx_names.apart(ours, [each.name for each in inputs])]
    for called in (ours, *(converted if made else ())):
        if places is None and sorted(called) == sorted(names):
            places = [names.index(each) for each in called]
    if places is None and len(model) == len(file) == 1:
        places = [0]
    if places is None and not made:
        places = _by_shape(model, file)
        pairs = zip(model, places or (), strict=False)
        told = ", ".join(
            f"'{shortened(file[place].name, 60)}' is '{shortened(each.name, 60)}'" for each, place in pairs
        )
        note = f"its {what}s have other names than the model's, and were told apart by their shapes: {told}"
    if places is None:
        raise StageError(
            f"{label} has the {what}s {', '.join(shortened(each, 60) for each in names)}, and the model {', '.join(shortened(each, 60) for each in ours)}",
            hint="Names that are equal, or shapes that differ from each other, would say which is which: give both the same names."
            if not made
            else "The converter has lost names. Try the other format, or name the inputs and outputs of the model simply.",
        )
    found = [file[place] for place in places]
    specs = [_with_names(ours, theirs) for ours, theirs in zip(model, found, strict=True)]
    return Matched(tuple(_fixed(*pair) for pair in zip(model, found, strict=True)), tuple(specs), tuple(places), note)


def as_they_are(file: Sequence[TensorSpec]) -> Matched:
    """Those of a file whose model nothing on this host could read."""
    return Matched(tuple(file), tuple(file), tuple(range(len(file))), "")


def _with_names(model: TensorSpec, file: TensorSpec) -> TensorSpec:
    fixed = _fixed(model, file)
    return TensorSpec(name=model.name, shape=fixed.shape, dtype=fixed.dtype, tensor=fixed.tensor, fixed=fixed.fixed)


def _fixed(model: TensorSpec, file: TensorSpec) -> TensorSpec:
    """The file's, with its shape in one inference: what it says itself, or where an axis is open, what the model's says."""
    closed = file.shape is not None and None not in file.shape
    fixed = tuple(size for size in file.shape or () if size is not None) if closed else model.fixed
    return TensorSpec(name=file.name, shape=file.shape, dtype=file.dtype, tensor=file.tensor, fixed=fixed)


def _by_shape(model: Sequence[TensorSpec], file: Sequence[TensorSpec]) -> list[int] | None:
    """The place of each in the file, where the shapes allow one alone."""
    if len(model) != len(file):
        return None
    candidates = [[place for place, each in enumerate(file) if _alike(ours, each)] for ours in model]
    places = [each[0] for each in candidates if len(each) == 1]
    return places if len(set(places)) == len(model) else None


def _alike(one: TensorSpec, other: TensorSpec) -> bool:
    first, second = row_shape(one.shape), row_shape(other.shape)
    if first is None or second is None:
        return True
    return len(first) == len(second) and all(
        size == length or None in (size, length) for size, length in zip(first, second, strict=True)
    )
