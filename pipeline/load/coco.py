"""Boxes of a COCO file as labels: T.-Y. Lin et al., Microsoft COCO, 2014; https://cocodataset.org/#format-data."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline import units
from pipeline.errors import DataError
from pipeline.frameworks import Array
from pipeline.safe_text import shortened

MOST_BYTES = 2**29  # that are read: Python makes ten times as much of them
MOST_PIXELS = 2**31
MOST_LABELS_BYTES = 2**30
FORM = 'A COCO file is {"images": [{"id", "width", "height"}, ...], "categories": [{"id"}, ...], "annotations": [{"image_id", "category_id", "bbox"}, ...]}.'
MOST_CLIPPED_PIXELS = 1.0  # that annotations may reach over the edge, by rounding

Entry = Mapping[str, Any]


def boxes_of(path: Path, rows: int, key: str, first_class: int | Literal["listed"] | None) -> Array:
    """Return x, y, width, height as shares of the picture, and class, of the boxes of each row: (rows, boxes, 5), filled up with -1.

    Rows are the entries of "images", in their order. Crowds are left out. `key`: where the plan names the file. `first_class`: the id of the
    model's class 0, and the other classes have the ids after it; "listed": classes are numbered in the order of their ids; None: by the ids,
    where they have no gap. DataError for a file that is not of this form.
    """
    content = _read(path, key)
    images = _entries(content, "images", path, key)
    if len(images) != rows:
        raise DataError(
            f"{key}: {path.name} has {units.counted(len(images), 'image')}, and data.evaluation {units.counted(rows, 'row')}",
            hint='Give "images" an entry for each evaluation row, in the order of the rows.',
        )
    places = {_id(each, "id", "images", path, key): place for place, each in enumerate(images)}
    if len(places) != rows:
        raise DataError(f"{key}: {path.name} gives the same id to two images", hint="Number them, each once.")
    sizes = np.array(
        [_numbers(each, ("width", "height"), f"images[{place}]", path, key) for place, each in enumerate(images)]
    )
    if rows and sizes.min() <= 0:
        raise DataError(f"{key}: {path.name} has an image without width or height", hint=FORM)
    numbers = _classes(content, path, key, first_class)
    found: list[list[tuple[float, ...]]] = [[] for _ in range(rows)]
    for place, each in enumerate(_entries(content, "annotations", path, key)):
        where = f"annotations[{place}]"
        row = places.get(_id(each, "image_id", where, path, key))
        category = _id(each, "category_id", where, path, key)
        if row is None or category not in numbers:
            what = f"image {each['image_id']}" if row is None else f"category {category}"
            raise DataError(f"{key}: {path.name}: {where} is of {what}, which is not there", hint=FORM)
        if not each.get("iscrowd"):
            found[row].append((*_box(each, sizes[row], where, path, key), numbers[category]))
    most = max(1, max(map(len, found), default=1))
    if rows * most * 40 > MOST_LABELS_BYTES:
        raise DataError(f"{key}: {path.name} has {most:,} boxes in one image", hint="Leave that image out.")
    boxes = np.full((rows, most, 5), -1.0)
    for row, own in enumerate(found):
        if own:
            boxes[row, : len(own)] = own
    return boxes


def _read(path: Path, key: str) -> Entry:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise DataError(
                f"{key}: {path.name} has {units.size(size)}, and {units.size(MOST_BYTES)} are read",
                hint='Leave out what is not used: "segmentation", "keypoints", and images that are not evaluation rows.',
            )
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{key}: {path} cannot be read: {error.strerror}", hint="Give a file that you may read."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{key}: {path.name} is not JSON: {shortened(str(error), 200)}", hint=FORM) from error
    if not isinstance(content, dict):
        raise DataError(f"{key}: {path.name} holds a {type(content).__name__}, not a dict", hint=FORM)
    return content


def _entries(content: Entry, name: str, path: Path, key: str) -> Sequence[Entry]:
    found = content.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise DataError(f'{key}: {path.name} has no list of dicts "{name}"', hint=FORM)
    return found


def _id(entry: Entry, name: str, where: str, path: Path, key: str) -> int:
    found = entry.get(name)
    if type(found) is not int:
        raise DataError(f'{key}: {path.name}: "{name}" of {where} is not an integer', hint=FORM)
    return found


def _numbers(entry: Entry, names: Sequence[str], where: str, path: Path, key: str) -> list[float]:
    found = [entry.get(name) for name in names]
    numbers = [
        float(each)
        for each in found
        if isinstance(each, int | float) and not isinstance(each, bool) and -MOST_PIXELS < each < MOST_PIXELS
    ]
    if len(numbers) != len(names):
        raise DataError(f"{key}: {path.name}: {', '.join(names)} of {where} are not numbers", hint=FORM)
    return numbers


def _box(entry: Entry, size: Array, where: str, path: Path, key: str) -> tuple[float, ...]:
    """Return it as shares of the picture. What reaches over its edge by rounding is cut; what lies farther outside is refused with its row
    where it is judged.
    """
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise DataError(f'{key}: {path.name}: "bbox" of {where} is not x, y, width and height', hint=FORM)
    x, y, width, height = _numbers(dict(zip("xywh", box, strict=True)), "xywh", where, path, key)
    corners = np.array([x, y, x + width, y + height])
    limits = np.tile(size, 2)
    inside = np.clip(corners, 0, limits)
    corners = np.where(np.abs(inside - corners) <= MOST_CLIPPED_PIXELS, inside, corners) / limits
    return (corners[0], corners[1], corners[2] - corners[0], corners[3] - corners[1])


def _classes(content: Entry, path: Path, key: str, first: int | Literal["listed"] | None) -> dict[int, int]:
    """Return what is written as the class of each category: its id, or where no `first` is said its place."""
    ids = sorted({_id(each, "id", "categories", path, key) for each in _entries(content, "categories", path, key)})
    if isinstance(first, int):
        return {each: each for each in ids}
    if first is None and ids and (ids[0] not in (0, 1) or ids[-1] - ids[0] != len(ids) - 1):
        raise DataError(
            f"{key}: the ids of the categories in {path.name} run from {ids[0]} to {ids[-1]}, and are {len(ids)}: nothing says which is the "
            "model's first class",
            hint='Add to [task]: first_class = 1, where the model keeps the gaps; or first_class = "listed", where its classes have none.',
        )
    return {each: place for place, each in enumerate(ids)}
