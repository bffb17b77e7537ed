"""Load an .onnx file."""

from typing import Any

import msgspec

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.errors import DataError, ModelError
from pipeline.frameworks import onnx_signature, onnx_versions, random_numbers
from pipeline.frameworks.causes import cause_of
from pipeline.load import answers, not_a_model
from pipeline.load.request import Request
from pipeline.records import Loaded
from pipeline.safe_text import shortened

FORMAT = "onnx"
CRASHED = "ONNX Runtime crashed on it. The file may be damaged: export it again from the program that made it."
GRAPH_FIELD = 7  # ModelProto.graph; ir_version is field 1. https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_32 = 0, 1, 2, 5  # https://protobuf.dev/programming-guides/encoding/


def check(data: bytes, name: str) -> None:
    """Refuse bytes that cannot be an ONNX file: walk the outermost fields of the protobuf. Needs no framework."""
    if GRAPH_FIELD not in _fields(data):
        why = "its bytes are not a whole protobuf with a graph in it"
        hint = "Give the .onnx file itself, whole; a download may have been cut off."
        raise not_a_model.error(data, name, "an ONNX model", why, hint)


def _fields(data: bytes) -> set[int]:
    """Numbers of the outermost fields; empty if the bytes are not a protobuf that ends where the file ends."""
    found, at = set(), 0
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            if tag & 7 == WIRE_VARINT:
                _, at = _varint(data, at)
            elif tag & 7 == WIRE_BYTES:
                length, at = _varint(data, at)
                at += length
            elif tag & 7 in (WIRE_64, WIRE_32):
                at += 8 if tag & 7 == WIRE_64 else 4
            else:
                return set()
            found.add(tag >> 3)
    except IndexError:
        return set()
    return found if at == len(data) else set()


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise IndexError


def readable(name: str) -> bool:
    """Without the extra the file is carried as it is, unread."""
    del name
    return frameworks.available("onnx")


def read(argument: Request, tell: Tell) -> Loaded:
    """Return its inputs and outputs, its parameters, and its answers for the evaluation rows. Runs in a child."""
    proto = frameworks.onnx_proto(argument.store().path(argument.artifact), argument.name)
    try:
        loaded = answers.of_file(argument, tell, FORMAT)
    except DataError as error:
        hint = _state_hint(argument, proto)  # first: rows for a state, or a constant, would run and mean nothing
        raise error if hint is None else DataError(error.message, hint=f"{hint}. {error.hint}") from error
    except ModelError as error:
        raise _lengths_apart(argument, proto) or error from error
    try:
        parameters = sum(values.size for _, values in frameworks.onnx_weights(proto))
    except Exception as error:
        raise ModelError(
            f"{argument.name} is damaged: a tensor of it holds more or less than its shape says ({cause_of(error)})",
            hint="Copy it again, or export it again from the program that made it.",
        ) from error
    hint = _state_hint(argument, proto)
    operators = (node.op_type for part in onnx_versions.parts(proto) for node in part.node)
    notes = (None if hint is None else f"{hint}.", random_numbers.sentence(operators, random_numbers.ONNX))
    loaded = msgspec.structs.replace(loaded, notes=(*filter(None, notes), *loaded.notes))
    return msgspec.structs.replace(loaded, model=msgspec.structs.replace(loaded.model, parameters=parameters))


def _lengths_apart(argument: Request, proto: Any) -> DataError | None:
    """Say where two axes that the file calls by one name have different lengths in the rows. Only why a file does not run: exporters
    give one name to axes that need not be alike.
    """
    rows = argument.data.evaluation
    columns = {each.name: each for each in rows.inputs} if rows is not None else {}
    lengths: dict[str, tuple[int, str]] = {}
    for value in onnx_signature.signature(proto).inputs:
        if value.name in columns and value.shape is not None:
            row = columns[value.name].shape[argument.sequences :]
            for axis, size in zip(reversed(value.shape), reversed(row), strict=False):  # a row may lack the first axis
                first, other = lengths.setdefault(axis, (size, value.name)) if isinstance(axis, str) else (size, "")
                if first != size:
                    return DataError(
                        f"{argument.name} cannot run the rows of data.evaluation: its axis '{shortened(str(axis), 100)}' is {first} in "
                        f"'{shortened(other, 100)}' and {size} in '{shortened(value.name, 100)}'",
                        hint="Axes that the file calls by one name have one length: prepare the rows as for training.",
                    )
    return None


def _state_hint(argument: Request, proto: Any) -> str | None:
    if argument.state:
        return None
    return onnx_signature.suggestion(onnx_signature.state_candidates(onnx_signature.signature(proto)))
