"""What the child that makes one file gets, and what a converter gets of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline import units
from pipeline.errors import DataError
from pipeline.frameworks import Feeds
from pipeline.records import Data, Model, Record
from pipeline.safe_text import shortened


class Request(Record, frozen=True):
    """What a child gets (conversion.py)."""

    root: str
    scratch: str
    variant: str
    format: str
    name: str  # for messages
    model: Model
    data: Data
    seed: int
    activations: str = "signed"  # of onnx-int8
    signature: str | None = None  # of a file that was given and has several
    folder: str = ""  # of the plan
    custom_objects: str | None = None  # "module:function" in it


class Job(NamedTuple):
    """What a converter gets."""

    source: Path  # the model's file
    model: Model
    calibration: Feeds | None
    scratch: Path  # a folder for its own files, removed afterwards
    shapes: Mapping[str, tuple[int, ...]]  # of the whole tensor of each input; no axis of unknown length
    activations: str = "signed"  # of onnx-int8: see pipeline/convert/activations.py
    signature: str | None = None  # of a SavedModel: as the plan says


def shapes_of(model: Model) -> dict[str, tuple[int, ...]]:
    """Return the shape that each input of a model has in one inference. DataError if an axis has no length."""
    found = {}
    for each in model.inputs:
        if each.fixed is None and (each.shape is None or None in each.shape):
            which = f" '{shortened(each.name, 100)}'" if len(model.inputs) > 1 else ""
            raise DataError(
                f"the model's input{which} has shape {units.shape(each.shape)}: an axis has no fixed length, and there is no data to take it from",
                hint=f"Give data.calibration or data.evaluation, whose rows fix the length for the board, or write it into the plan: "
                f'[model] shape = {{ "{shortened(each.name, 100)}" = [...] }}.',
            )
        shape = each.shape if each.fixed is None else each.fixed
        found[each.name] = tuple(size for size in shape or () if size is not None)
    return found
