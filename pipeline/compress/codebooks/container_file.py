"""The container of a codebook: all weights of a model in a file of their own (docs/codebook.md describes every byte).

`write` finds out by itself how to store each tensor smallest, `read` gives back exactly the same values. What is read may come from
anywhere: a wrong file is a ModelError, and no file takes more memory than about a thousand times its size.
"""

import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.compress.codebooks import entropy
from pipeline.compress.codebooks.entropy import broken
from pipeline.compress.codebooks.tables import Coded, code, decode
from pipeline.errors import ModelError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel

MAGIC = b"EDGEBOOK"
VERSION = 1
DTYPES = (
    "float32",
    "float16",
    "float64",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "bool",
)
STORED, DEFLATED, CODEBOOK = range(3)
LEVELS, SCALED = range(2)
PACKED, RANS = range(2)
MOST_AXES = 8
INFLATES_AT_MOST = 1032  # bytes of one byte of deflate: 258 for each code of 2 bits (RFC 1951)


class Weights(NamedTuple):
    """One tensor. `axes` number its tables, () is one table for all of it; None: it is not from a codebook."""

    name: str
    values: Array
    axes: tuple[int, ...] | None = None


def write(weights: Sequence[Weights], *, entropy_coded: bool = True) -> bytes:
    """Return the container. Without `entropy_coded`: indices packed into their bits, the rest as it is.

    ModelError for a tensor that a container cannot hold.
    """
    parts = [MAGIC, struct.pack("<HI", VERSION, len(weights))]
    for name, values, axes in weights:
        if values.dtype.name not in DTYPES or values.size == 0 or values.ndim > MOST_AXES:
            raise ModelError(
                f"the weights '{name}' are {values.dtype.name} of shape {values.shape}, which a container cannot hold",
                hint=f"It holds {', '.join(DTYPES)}, not empty, of up to {MOST_AXES} axes.",
            )
        text = name.encode()
        head = struct.pack("<H", len(text)) + text + bytes([DTYPES.index(values.dtype.name), values.ndim])
        parts += [head, struct.pack(f"<{values.ndim}I", *values.shape), _body(values, axes, entropy_coded)]
    data = b"".join(parts)
    return data + struct.pack("<I", zlib.crc32(data))


def _body(values: Array, axes: tuple[int, ...] | None, entropy_coded: bool) -> bytes:
    found = None if axes is None else code(values, axes)
    coded = None if found is None else _codebook(found, entropy_coded)
    if coded is not None and 2 * len(coded) < values.nbytes:
        return coded
    raw = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    bodies = [_raw(STORED, raw)]
    if entropy_coded:
        bodies.append(_raw(DEFLATED, zlib.compress(raw, 9)))
    return min([*bodies, coded] if coded is not None else bodies, key=len)


def _raw(kind: int, payload: bytes) -> bytes:
    return struct.pack("<BI", kind, len(payload)) + payload


def _codebook(found: Coded, entropy_coded: bool) -> bytes:
    if found.multiples is None:
        kind, tables = LEVELS, found.levels.astype("<f4").tobytes()
    else:
        kind, tables = SCALED, found.multiples.astype("<i2").tobytes() + found.scales.astype("<f4").tobytes()
    head = bytes([CODEBOOK, kind, len(found.axes), *found.axes]) + struct.pack("<H", found.alphabet)
    bits = max(1, (found.alphabet - 1).bit_length())
    symbols = found.symbols.ravel()
    indices = bytes([PACKED, bits]) + entropy.pack(symbols, bits)
    if entropy_coded:
        frequency = entropy.frequencies(symbols, found.alphabet)
        payload = entropy.encode(symbols, frequency)
        rans = bytes([RANS]) + frequency.astype("<u2").tobytes() + struct.pack("<I", len(payload)) + payload
        indices = min(indices, rans, key=len)
    return head + tables + indices


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise broken("it ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, kind: str) -> int:
        found: int = struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}")))[0]
        return found

    def array(self, dtype: str, count: int) -> Array:
        return np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype)


def read(data: bytes) -> dict[str, Array]:
    """Name -> values of every tensor, in the order in which they were written. ModelError if the data is not a whole container."""
    return {each.name: each.values for each in tensors(data)}


def tensors(data: bytes) -> list[Weights]:
    """Return every tensor, and the axes that number its tables; None for one that is stored without. ModelError as in `read`."""
    if data[: len(MAGIC)] != MAGIC:
        raise broken("it does not begin with EDGEBOOK")
    if len(data) < len(MAGIC) + 10 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise broken("its checksum is wrong")
    reader = _Reader(data[:-4])
    reader.take(len(MAGIC))
    version = reader.number("H")
    if version != VERSION:
        raise ModelError(
            f"this codebook container is of version {version}, and this edgepress reads version {VERSION}",
            hint="Read it with the edgepress that wrote it, or write it again.",
        )
    found: dict[str, Weights] = {}
    for _ in range(reader.number("I")):
        tensor = _tensor(reader)
        if tensor.name in found:
            raise broken("two tensors have the same name")
        found[tensor.name] = tensor
    if reader.at != len(reader.data):
        raise broken("something follows its last tensor")
    return list(found.values())


def _tensor(reader: _Reader) -> Weights:
    try:
        name = reader.take(reader.number("H")).decode()
    except UnicodeDecodeError as error:
        raise broken("a name is not UTF-8") from error
    dtype_code, rank = reader.number("B"), reader.number("B")
    if dtype_code >= len(DTYPES) or rank > MOST_AXES:
        raise broken("a tensor has an unknown dtype or too many axes")
    shape = tuple(reader.array("<u4", rank).tolist())
    dtype, count = np.dtype(DTYPES[dtype_code]), math.prod(shape)
    if count == 0:
        raise broken("a tensor is empty")
    kind = reader.number("B")
    if kind == CODEBOOK:
        return Weights(name, *_read_codebook(reader, shape, dtype))
    payload = reader.take(reader.number("I"))
    if kind == DEFLATED:
        payload = _inflate(payload, count * dtype.itemsize)
    elif kind != STORED:
        raise broken("a tensor is stored in an unknown way")
    if len(payload) != count * dtype.itemsize:
        raise broken("a tensor has more or fewer bytes than its shape")
    if dtype.kind == "b":
        return Weights(name, np.frombuffer(payload, np.uint8).astype(bool).reshape(shape))
    return Weights(name, np.frombuffer(payload, dtype.newbyteorder("<")).astype(dtype).reshape(shape))


def _inflate(payload: bytes, size: int) -> bytes:
    if size > INFLATES_AT_MOST * len(payload):
        raise broken("a tensor claims more than its bytes can hold")
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(payload, size)
        rest = b"" if inflater.eof else inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error as error:
        raise broken("a tensor cannot be inflated") from error
    if rest or not inflater.eof or inflater.unused_data:
        raise broken("a tensor has more or fewer bytes than its shape")
    return found


def _read_codebook(reader: _Reader, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, tuple[int, ...]]:
    kind, axes = reader.number("B"), tuple(reader.take(reader.number("B")))
    alphabet, count = reader.number("H"), math.prod(shape)
    if dtype not in (np.float32, np.float16) or kind not in (LEVELS, SCALED):
        raise broken("a table is of an unknown kind")
    if any(axis >= len(shape) for axis in axes) or len(set(axes)) < len(axes) or not 1 <= alphabet <= 256:
        raise broken("a table does not fit its tensor")
    groups = math.prod(shape[axis] for axis in axes)
    multiples = reader.array("<i2", alphabet) if kind == SCALED else None
    tables = reader.array("<f4", groups * (1 if kind == SCALED else alphabet))
    symbols = _read_indices(reader, count, alphabet).reshape(shape)
    coded = Coded(symbols, axes, alphabet, tables.reshape(groups, -1), multiples, tables)
    with np.errstate(over="ignore", invalid="ignore"):
        values = decode(coded).astype(dtype)
    if not np.isfinite(values).all():
        raise broken("a table holds NaN or infinity")
    return values, axes


def _read_indices(reader: _Reader, count: int, alphabet: int) -> Array:
    coding = reader.number("B")
    if coding == PACKED:
        bits = reader.number("B")
        if not 1 <= bits <= 8:
            raise broken("an index has an unknown number of bits")
        symbols = entropy.unpack(reader.take(-(-count * bits // 8)), count, bits)
        if symbols.max() >= alphabet:
            raise broken("an index is beyond its table")
        return symbols
    if coding != RANS:
        raise broken("indices are coded in an unknown way")
    frequency = reader.array("<u2", alphabet).astype(np.int64)
    if frequency.sum() != entropy.TOTAL:
        raise broken("the frequencies do not add up")
    return entropy.decode(reader.take(reader.number("I")), count, frequency)


def restore(model: KerasModel, data: bytes) -> None:
    """Put the weights of a container into a Keras model of the same architecture. ModelError if they are not its weights."""
    found = list(read(data).items())
    shapes = [tuple(variable.shape) for variable in model.weights]
    for (name, values), shape in zip(found, shapes, strict=False):
        if values.shape != shape:
            raise ModelError(
                f"the container's weights '{name}' have the shape {values.shape}, and those of {model.name} {shape}",
                hint="Build the model as it was when the container was written, layer for layer.",
            )
    if len(found) != len(shapes):
        raise ModelError(
            f"the container holds {len(found)} tensors, and {model.name} has {len(shapes)}",
            hint="Build the model as it was when the container was written, layer for layer.",
        )
    for variable, (_, values) in zip(model.weights, found, strict=True):
        variable.assign(values)
