"""Load a .tflite file: it goes to the board as it is."""

import struct

import msgspec

from pipeline import frameworks
from pipeline.child import Tell
from pipeline.errors import ModelError
from pipeline.frameworks import tflite_description, tflite_names, tflite_schema, tflite_signature
from pipeline.load import answers, not_a_model
from pipeline.load.request import Request
from pipeline.records import Loaded

FORMAT = "tflite"
CRASHED = "LiteRT crashed on it. The file may be damaged: copy it again, or convert it again from its source."
IDENTIFIER = b"TFL3"  # bytes 4..8 of a FlatBuffer are its file identifier; tensorflow/lite/schema/schema.fbs


def check(data: bytes, name: str) -> None:
    """Refuse bytes that cannot be a .tflite file; needs no framework."""
    root = struct.unpack("<I", data[:4])[0] if len(data) >= 8 else 0
    if data[4:8] != IDENTIFIER or not 8 <= root <= len(data) - 4:
        why = "its first bytes are not those of one"
        hint = "Give the .tflite file itself, whole; a download may have been cut off."
        raise not_a_model.error(data, name, "a TFLite model", why, hint)


def readable(name: str) -> bool:
    """Without the extra the file is carried as it is, unread."""
    del name
    return frameworks.available("tensorflow")


def read(argument: Request, tell: Tell) -> Loaded:
    """Return its inputs and outputs, and its answers for the evaluation rows. Runs in a child."""
    argument, notes = _first(argument)
    loaded = answers.of_file(argument, tell, FORMAT)
    data = argument.store().path(argument.artifact).read_bytes()
    kept = not argument.sequences and tflite_description.state_of(data, argument.name)
    if kept:
        notes = (
            *notes,
            (
                f"Its state ({kept}) is reset before each row. If rows are steps of a stream, give each stream as "
                "a row, (streams, steps, ...), and add to [model]: sequences = true."
            ),
        )
    return msgspec.structs.replace(loaded, notes=(*notes, *loaded.notes))


def _first(argument: Request) -> tuple[Request, tuple[str, ...]]:
    """Boards run the first function of a file: the one that the plan names must be that."""
    store = argument.store()
    data = store.path(argument.artifact).read_bytes()
    try:
        found = tflite_names.interface(tflite_schema.read(data, argument.name), argument.name, argument.signature)
    except ModelError:  # LiteRT opens some damaged files, in parts that it does not use
        return argument, ()
    if not found.subgraph:
        return argument, ()
    artifact = store.put_bytes(tflite_signature.brought_first(data, found.subgraph, argument.name), FORMAT)
    note = f"The signature '{found.signature}' was put first in the file, since boards run the first one; weights and operators are the same."
    return msgspec.structs.replace(argument, artifact=artifact, signature=found.signature), (note,)
