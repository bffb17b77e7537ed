"""Read what a .tflite file says of itself: inputs, outputs, signatures, operators, state, metadata. Needs no runtime.

Numbers of fields: tensorflow/lite/schema/schema.fbs, as in LiteRT 2.3. No part of the weights is read.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.errors import ModelError
from pipeline.frameworks.flatbuffer import DamagedError, Reader
from pipeline.frameworks.tflite_operators import CUSTOM, OPERATORS, TYPES

IDENTIFIER = b"TFL3"
LOWEST_RUNTIME = "min_runtime_version"  # the metadata entry that tf.lite writes
LONGEST_VERSION = 64  # bytes
BLOCKWISE = 2  # a QuantizationDetails
RESOURCE, VARIABLE = "resource variable", "variable tensor"


class Quantization(NamedTuple):
    """real = scale * (stored - zero point)."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int  # that the scales belong to, where there are several


def scales(scale: float, zero: int) -> bool:
    """Whether real values are other numbers than those that the tensor holds."""
    return scale != 0 and (scale, zero) != (1, 0)


class Tensor(NamedTuple):
    """One tensor of a subgraph."""

    tensor_index: int  # in its subgraph, as runtimes count
    name: str
    shape: tuple[int, ...]  # that the file is opened with
    open_shape: tuple[int | None, ...] | None  # None for an axis of any length, or for an unknown rank
    dtype: str
    quantization: Quantization | None
    is_variable: bool  # keeps its values between calls
    constant_bytes: int  # of the values that the file has for it; 0: none
    is_blockwise: bool  # quantized with a scale for each block, which older runtimes do not know


class Operator(NamedTuple):
    """One operator of a subgraph; its inputs and outputs are indices of tensors, -1 for one that is left out."""

    name: str
    version: int
    is_custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Subgraph(NamedTuple):
    """Its inputs and outputs are indices of tensors, in the order of the file."""

    name: str
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]


class Signature(NamedTuple):
    """A SignatureDef: the only reliable names of inputs and outputs."""

    key: str
    subgraph: int
    inputs: dict[str, int]  # name -> index of the tensor in the subgraph
    outputs: dict[str, int]


class State(NamedTuple):
    """Something that a call leaves for the next one.

    `kind`: a VARIABLE is reset by `reset_all_variables` of the runtimes; a RESOURCE only by opening the file again.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str


class Metadata(NamedTuple):
    """One metadata entry of the file."""

    name: str
    size_bytes: int


class TfliteFile(NamedTuple):
    """What a .tflite file says of itself."""

    description: str
    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...]
    state: tuple[State, ...]
    metadata: tuple[Metadata, ...]
    lowest_runtime: str  # of TensorFlow, as tf.lite computed it; "" where the file does not say

    @property
    def operators(self) -> dict[tuple[str, int], int]:
        """How often each operator of each version is there, in all subgraphs."""
        found: dict[tuple[str, int], int] = {}
        for each in (operator for subgraph in self.subgraphs for operator in subgraph.operators):
            found[each.name, each.version] = found.get((each.name, each.version), 0) + 1
        return found

    @property
    def custom_operators(self) -> tuple[str, ...]:
        """Names of operators that a runtime has only if they are added to it."""
        return tuple(sorted({each.name for graph in self.subgraphs for each in graph.operators if each.is_custom}))


def read(data: bytes | memoryview, name: str) -> TfliteFile:
    """Read a .tflite file, called `name` in messages. ModelError if the parts that are read here are damaged."""
    try:
        return _read(Reader(data))
    except DamagedError as error:
        raise ModelError(
            f"{name} is damaged: {error}", hint="Copy it again, or convert it again from its source."
        ) from error


def _read(reader: Reader) -> TfliteFile:
    if bytes(reader.data[4:8]) != IDENTIFIER:
        raise DamagedError("it does not begin as a .tflite file does")
    model = reader.root()
    codes = [_code(reader, each) for each in reader.tables(model, 1)]
    tables = reader.tables(model, 2)
    if not tables:
        raise DamagedError("it has no graph")
    sizes = [_buffer_bytes(reader, each) for each in reader.tables(model, 4)]
    subgraphs = tuple(_subgraph(reader, each, codes, sizes) for each in tables)
    metadata, lowest = _metadata(reader, model)
    return TfliteFile(
        description=reader.text(model, 3),
        subgraphs=subgraphs,
        signatures=tuple(_signature(reader, each, subgraphs) for each in reader.tables(model, 7)),
        state=tuple(dict.fromkeys(_state(reader, tables, subgraphs))),
        metadata=metadata,
        lowest_runtime=lowest,
    )


def _code(reader: Reader, table: int) -> tuple[str, int, bool]:
    """Return name and version of an operator code, and whether it is custom. Field 0 is a byte of older files, field 3 its successor."""
    code = max(reader.value(table, 0, "b"), reader.value(table, 3, "i"))
    version = reader.value(table, 2, "i", 1)
    if code == CUSTOM:
        return reader.text(table, 1), version, True
    return OPERATORS[code] if 0 <= code < len(OPERATORS) else f"operator {code}", version, False


def _buffer_bytes(reader: Reader, table: int) -> int:
    """Return the size of a buffer, which lies in it or, in files of more than 2 GB, after all tables."""
    return reader.vector(table, 0, 1)[1] or reader.value(table, 2, "Q")


def _subgraph(reader: Reader, table: int, codes: Sequence[tuple[str, int, bool]], sizes: Sequence[int]) -> Subgraph:
    tensors = tuple(_tensor(reader, each, index, sizes) for index, each in enumerate(reader.tables(table, 0)))
    operators = []
    for each in reader.tables(table, 3):
        code = reader.value(each, 0, "I")
        if code >= len(codes):
            raise DamagedError(f"an operator has the code {code}, and there are {len(codes)}")
        ends = (_indices(reader.numbers(each, field, "i"), tensors, lowest=-1) for field in (1, 2))
        operators.append(Operator(*codes[code], *ends))
    inputs, outputs = (_indices(reader.numbers(table, field, "i"), tensors) for field in (1, 2))
    return Subgraph(reader.text(table, 4), tensors, inputs, outputs, tuple(operators))


def _indices(found: tuple[int, ...], tensors: Sequence[Tensor], lowest: int = 0) -> tuple[int, ...]:
    for index in found:
        if not lowest <= index < len(tensors):
            raise DamagedError(f"it names the tensor {index}, and a graph has {len(tensors)}")
    return found


def _tensor(reader: Reader, table: int, index: int, sizes: Sequence[int]) -> Tensor:
    shape = reader.numbers(table, 0, "i")
    signature = reader.numbers(table, 7, "i") or shape
    kind, buffer = reader.value(table, 1, "b"), reader.value(table, 2, "I")
    quantization, at = None, reader.table(table, 4)
    if at:
        scales = reader.reals(at, 2)
        if scales and all(map(math.isfinite, scales)):
            quantization = Quantization(scales, reader.numbers(at, 3, "q"), reader.value(at, 6, "i"))
    return Tensor(
        tensor_index=index,
        name=reader.text(table, 3),
        shape=shape,
        # has_rank is missing in older files, also for scalars: only an empty shape leaves the rank open
        open_shape=tuple(None if size < 0 else size for size in signature)
        if signature or reader.value(table, 8, "B")
        else None,
        dtype=TYPES[kind] if 0 <= kind < len(TYPES) else f"type {kind}",
        quantization=quantization,
        is_variable=bool(reader.value(table, 5, "B")),
        constant_bytes=sizes[buffer] if buffer < len(sizes) else 0,
        is_blockwise=bool(at) and reader.value(at, 4, "B") == BLOCKWISE,
    )


def _signature(reader: Reader, table: int, subgraphs: Sequence[Subgraph]) -> Signature:
    key, graph = reader.text(table, 2), reader.value(table, 4, "I")
    if graph >= len(subgraphs):
        raise DamagedError(f"the signature '{key}' names the graph {graph}, and there are {len(subgraphs)}")
    ends: list[dict[str, int]] = []
    for field in (0, 1):
        pairs = [(reader.text(each, 0), reader.value(each, 1, "I")) for each in reader.tables(table, field)]
        _indices(tuple(index for _, index in pairs), subgraphs[graph].tensors)
        ends.append(dict(pairs))
        if len(ends[-1]) != len(pairs):
            raise DamagedError(f"the signature '{key}' has a name twice")
    return Signature(key, graph, *ends)


def _state(reader: Reader, tables: Sequence[int], subgraphs: Sequence[Subgraph]) -> Iterator[State]:
    """Yield what is kept between calls. A resource variable that only the graph of CALL_ONCE writes is a constant."""
    once, names = set(), {}
    for number, graph in enumerate(subgraphs):
        for operator, at in zip(graph.operators, reader.tables(tables[number], 3), strict=True):
            if operator.name not in {"CALL_ONCE", "VAR_HANDLE"} or operator.is_custom:
                continue
            options = reader.table(at, 4)
            if operator.name == "CALL_ONCE":
                once.add(reader.value(options, 0, "i") if options else 0)
            elif operator.outputs:
                names[number, operator.outputs[0]] = reader.text(options, 1) if options else ""
    for number, graph in enumerate(subgraphs):
        yield from (State(each.name, VARIABLE, each.shape, each.dtype) for each in graph.tensors if each.is_variable)
        if number in once:
            continue
        for operator in graph.operators:
            if operator.name == "ASSIGN_VARIABLE" and len(operator.inputs) == 2 and min(operator.inputs) >= 0:
                handle, values = operator.inputs
                kept = graph.tensors[values]
                yield State(names.get((number, handle)) or graph.tensors[handle].name, RESOURCE, kept.shape, kept.dtype)


def _metadata(reader: Reader, model: int) -> tuple[tuple[Metadata, ...], str]:
    buffers, found, lowest = reader.tables(model, 4), [], ""
    for each in reader.tables(model, 6):
        name, buffer = reader.text(each, 0), reader.value(each, 1, "I")
        begin, size = reader.vector(buffers[buffer], 0, 1) if buffer < len(buffers) else (0, 0)
        found.append(Metadata(name, size))
        if name == LOWEST_RUNTIME and size <= LONGEST_VERSION:
            text = bytes(reader.data[begin : begin + size]).rstrip(b"\0").decode("ascii", "replace")
            lowest = text if text.replace(".", "").isdecimal() else ""
    return tuple(found), lowest
