"""Load a .tflite file: it goes to the board as it is."""

import struct

from pipeline import frameworks
from pipeline.child import Tell
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
    return answers.of_file(argument, tell, FORMAT)
