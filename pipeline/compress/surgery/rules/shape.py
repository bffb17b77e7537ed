"""The same values in another shape."""

import numpy as np

from pipeline.compress.surgery.channels import Axes, Ids
from pipeline.compress.surgery.rules.reshaping import reshaped
from pipeline.compress.surgery.wiring import Call, Size


def flatten(call: Call) -> list[Axes]:
    if getattr(call.layer, "data_format", None) == "channels_first":
        return call.fixed()  # it turns the channels to the last axis first
    return [reshaped(call, call.out_shapes[0])]


def reshape(call: Call) -> list[Axes]:
    axes = reshaped(call, call.out_shapes[0])
    if any(ids is not None for ids in axes):
        key = "newshape" if hasattr(call.layer, "newshape") else "target_shape"
        given = getattr(call.layer, key)
        told = axes if key == "newshape" else axes[1:]
        sizes: Size = tuple(size if ids is None or size == -1 else ids for ids, size in zip(told, given, strict=True))
        call.size(**{key: sizes})
    return [axes]


def permute(call: Call) -> list[Axes]:
    return [(call.x[0], *(call.x[axis] for axis in call.layer.dims))]


def repeat_vector(call: Call) -> list[Axes]:
    return [(call.x[0], None, call.x[1])]


def transpose(call: Call) -> list[Axes]:
    axes = call.layer.axes
    return [tuple(call.x[axis] for axis in (range(len(call.x))[::-1] if axes is None else axes))]


def swap_axes(call: Call) -> list[Axes]:
    order = list(range(len(call.x)))
    one, other = call.layer.axis1, call.layer.axis2
    order[one], order[other] = order[other], order[one]
    return [tuple(call.x[axis] for axis in order)]


def expand_dims(call: Call) -> list[Axes]:
    axis, rank = call.layer.axis, len(call.out_shapes[0])
    added = {i % rank for i in ((axis,) if isinstance(axis, int) else axis)}
    rest = iter(call.x)
    return [tuple(None if i in added else next(rest) for i in range(rank))]


def squeeze(call: Call) -> list[Axes]:
    axis, rank = call.layer.axis, len(call.x)
    if axis is None:
        return call.fixed()
    gone = {i % rank for i in ((axis,) if isinstance(axis, int) else axis)}
    for i in gone:
        call.keep(call.x[i], f"'{call.name}' takes its axis away")
    return [tuple(ids for i, ids in enumerate(call.x) if i not in gone)]


def split(call: Call) -> list[Axes]:
    """Into equal parts: the parts stay equally wide, so the same place in each of them goes."""
    axis, count = call.layer.axis % len(call.x), call.layer.indices_or_sections
    ids = call.x[axis]
    if ids is not None and not isinstance(count, int):
        return call.fixed(f"'{call.name}' cuts them at given places")
    parts: list[Ids | None] = [None] * len(call.out_shapes) if ids is None else list(np.split(ids, count))
    for part in parts[1:]:
        call.tie(parts[0], part)
    return [tuple(part if i == axis else each for i, each in enumerate(call.x)) for part in parts]


def get_item(call: Call) -> list[Axes]:
    """x[key]: whole axes keep their channels; of a part of an axis nothing can be removed."""
    key = call.arguments.get("key")
    parts = list(key) if isinstance(key, tuple | list) else [key]
    if not all(part is None or part is Ellipsis or isinstance(part, slice | int) for part in parts):
        return call.fixed()
    named = sum(part is not None and part is not Ellipsis for part in parts)
    if Ellipsis not in parts:
        parts.append(Ellipsis)
    at = parts.index(Ellipsis)
    parts[at : at + 1] = [slice(None)] * (len(call.x) - named)
    rest, out = iter(call.x), list[Ids | None]()
    for part in parts:
        if part is None:
            out.append(None)
            continue
        ids = next(rest)
        if part == slice(None):
            out.append(ids)
            continue
        call.keep(ids, f"'{call.name}' takes a part of them")
        if isinstance(part, slice):
            out.append(None)
    return [tuple(out)]
