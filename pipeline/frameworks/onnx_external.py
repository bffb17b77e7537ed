"""ONNX models whose weights lie in files next to them, as PyTorch's exporter writes by default: all is put into one file.

Needs no framework: the fields of the protobuf are walked, and what names a file is replaced by the file's bytes. Numbers of fields:
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import contextlib
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pipeline import bounds, units
from pipeline.errors import ModelError
from pipeline.frameworks import protobuf
from pipeline.frameworks.protobuf import BYTES, VARINT, DamagedError, Field
from pipeline.safe_text import shortened

MOST_BYTES = 2**31 - 1  # of one protobuf: onnx.checker.MAXIMUM_PROTOBUF
MOST_FIELDS = 10_000_000  # walked in one model: 100,000 nodes have some 5 million
MOST_DIMS = 64  # of a tensor; numpy's limit
DEEPEST = 100  # protobuf's own limit for messages in messages

MESSAGES = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Kind of message -> number of a field -> kind of the message in it, on the way to each tensor."""
DIMS, DATA_TYPE, NAME, RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = 1, 2, 8, 9, 13, 14  # of a TensorProto
KEY, VALUE = 1, 2  # of a StringStringEntryProto
EXTERNAL = 1  # a DataLocation
BITS = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8), **dict.fromkeys((4, 5, 10, 16), 16), **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64), 15: 128, **dict.fromkeys((21, 22, 23), 4), **dict.fromkeys((25, 26), 2),
}  # fmt: skip
"""Bits of one element of each TensorProto.DataType that can lie in another file; text (8) cannot."""


class Region(NamedTuple):
    """Bytes of another file that belong to a tensor."""

    tensor: str
    location: str
    offset: int
    size: int


Part = memoryview | bytes | Region


def packed(data: bytes, path: Path, of_bytes: int | None = None) -> bytes:
    """Return the model as one file: `data` itself if nothing lies elsewhere, or if it is not an ONNX file.

    `path`: where `data` was read, whose folder the other files must be in. `of_bytes`: the memory that may be taken. ModelError if a
    file is missing, too short, not an ordinary file or out of that folder, or if all together are too large.
    """
    if b"location" not in data:  # the key of a name of a file
        return data
    try:
        parts = _Model(data, path.name).parts()
    except DamagedError:
        return data  # the reader of the model says so
    regions = [part for part in parts if isinstance(part, Region)]
    if not regions:
        return data
    with contextlib.ExitStack() as stack:
        opened: dict[str, tuple[int, int]] = {}
        for region in regions:
            if region.location not in opened:
                opened[region.location] = _open(path, region)
                stack.callback(os.close, opened[region.location][0])
            _check_size(region, opened[region.location][1], path.name)
        _check_total(sum(map(_size, parts)), len(data) + sum(size for _, size in opened.values()), path.name, of_bytes)
        return b"".join(
            _read(opened[part.location][0], part, path.name) if isinstance(part, Region) else part for part in parts
        )


class _Model:
    """The bytes of one model, walked once."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name, self.left = memoryview(data), name, MOST_FIELDS

    def parts(self) -> list[Part]:
        return list(self._parts(Field(0, BYTES, 0, 0, len(self.data)), "model", DEEPEST))

    def _fields(self, message: Field) -> Iterator[Field]:
        for field in protobuf.fields(self.data, message.value, message.end):
            self.left -= 1
            if self.left < 0:
                raise DamagedError("it has more parts than any model")
            yield field

    def _parts(self, message: Field, kind: str, depth: int) -> Iterator[Part]:
        """Yield the content of a message, with what names a file replaced by the region of that file."""
        if depth == 0:
            raise DamagedError("messages lie in each other without an end")
        if kind == "tensor":
            yield from self._tensor(message)
            return
        unchanged = message.value
        for field in self._fields(message):
            inner = MESSAGES[kind].get(field.number) if field.wire == BYTES else None
            if inner is None:
                continue
            parts = list(self._parts(field, inner, depth - 1))
            if any(isinstance(part, Region) for part in parts):
                yield self.data[unchanged : field.begin]
                yield protobuf.encoded(field.number << 3 | BYTES) + protobuf.encoded(sum(map(_size, parts)))
                yield from parts
                unchanged = field.end
        yield self.data[unchanged : message.end]

    def _tensor(self, message: Field) -> Iterator[Part]:
        numbers, kept, entries, dims = {}, [], [], []
        tensor = ""
        for each in self._fields(message):
            if each.wire == VARINT:
                numbers[each.number] = protobuf.varint(self.data, each.value, each.end)[0]
            if each.number == EXTERNAL_DATA and each.wire == BYTES:
                entries.append(each)
            elif each.number not in (RAW_DATA, DATA_LOCATION):
                kept.append(self.data[each.begin : each.end])
            if each.number == NAME and each.wire == BYTES:
                tensor = shortened(self._text(each), 80)
            if each.number == DIMS and each.wire in (VARINT, BYTES):
                dims += self._packed_numbers(each)
        if numbers.get(DATA_LOCATION) != EXTERNAL:
            yield self.data[message.value : message.end]
            return
        region = self._region(tensor, entries, numbers.get(DATA_TYPE, 0), dims)
        yield from kept
        yield protobuf.encoded(RAW_DATA << 3 | BYTES) + protobuf.encoded(region.size)
        yield region

    def _packed_numbers(self, field: Field) -> list[int]:
        """Return the numbers of a field: one of its own, or many packed into it."""
        found: list[int] = []
        at = field.value
        while at < field.end and len(found) <= MOST_DIMS:
            number, at = protobuf.varint(self.data, at, field.end)
            found.append(number)
        return found

    def _region(self, tensor: str, entries: list[Field], dtype: int, dims: list[int]) -> Region:
        said: dict[str, str] = {}
        for each in entries:
            pair = {part.number: self._text(part) for part in self._fields(each) if part.wire == BYTES}
            if said.setdefault(pair.get(KEY, ""), pair.get(VALUE, "")) != pair.get(VALUE, ""):
                raise _error(f"{self.name} says twice where the values of '{tensor}' lie, and not the same")
        offset, length = (self._whole(said.get(key, "0"), f"{key} of '{tensor}'") for key in ("offset", "length"))
        if dtype not in BITS or len(dims) > MOST_DIMS:
            what = f"its type ({dtype})" if dtype not in BITS else f"a shape of {len(dims)} axes"
            raise _error(f"{self.name} keeps '{tensor}' in another file, and {what} cannot lie there")
        size = -(-math.prod(dims) * BITS[dtype] // 8)
        if length not in (0, size):
            raise _error(f"'{tensor}' of {self.name} needs {size:,} bytes by its shape, and {length:,} are named")
        return Region(tensor, said.get("location", ""), offset, size)

    def _text(self, field: Field) -> str:
        return bytes(self.data[field.value : field.end]).decode("utf-8", "replace")

    def _whole(self, text: str, what: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 19):
            raise _error(f"the {what} in {self.name} is not a number of bytes: {shortened(text, 40)!r}")
        return int(text)


def _open(path: Path, region: Region) -> tuple[int, int]:
    """Open a second file for reading; return its descriptor and size. What is not a file in the model's folder is refused."""
    what = f"{path.name} keeps its weights ('{region.tensor}') in {shortened(region.location, 100)!r}"
    location = PurePosixPath(region.location)
    if location.is_absolute() or ".." in location.parts or not location.parts:
        raise _error(f"{what}, which is not in its folder")
    try:
        real = (path.parent / location).resolve(strict=True)
        if not real.is_relative_to(path.parent.resolve()):
            raise _error(f"{what}, a link that leads out of its folder")
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)  # a pipe would wait
    except FileNotFoundError as error:
        raise _error(f"{what}, and there is no such file next to it") from error
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name with a null byte
        raise _error(
            f"{what}, which cannot be read: {shortened(getattr(error, 'strerror', None) or str(error))}"
        ) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise _error(f"{what}, which is not an ordinary file")
    return descriptor, found.st_size


def _check_size(region: Region, size: int, name: str) -> None:
    if region.offset + region.size > size:
        raise _error(
            f"'{shortened(region.location, 100)}' next to {name} ends too early: '{region.tensor}' needs bytes "
            f"{region.offset:,} to {region.offset + region.size:,}, and it has {size:,}"
        )


def _check_total(total: int, stored: int, name: str, of_bytes: int | None) -> None:
    if total > MOST_BYTES:
        raise ModelError(
            f"{name} has {units.size(total)} with the files next to it, and a model in one file can have {units.size(MOST_BYTES)}",
            hint="Such a model is too large for edgepress: store its weights in float16 or in 8 or 4 bits where it was made.",
        )
    bounds.check_unpacked(total, stored, f"{name} with the files next to it", ModelError, of_bytes=of_bytes)


def _size(part: Part) -> int:
    return part.size if isinstance(part, Region) else len(part)


def _read(descriptor: int, region: Region, name: str) -> bytes:
    found = bytearray()
    while len(found) < region.size:
        more = os.pread(descriptor, region.size - len(found), region.offset + len(found))
        if not more:
            raise _error(f"'{shortened(region.location, 100)}' next to {name} became shorter while it was read")
        found += more
    return bytes(found)


def _error(message: str) -> ModelError:
    return ModelError(
        message,
        hint="Copy the model's files together as they were written, or put them into one where it was made: "
        "onnx.save(onnx.load('model.onnx'), 'one_file.onnx').",
    )
