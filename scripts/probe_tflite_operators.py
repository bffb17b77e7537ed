#!/usr/bin/env python3
"""Which operators does the installed TFLite runtime know, and up to which version? One line of JSON: {"NAME VERSION": {operator: version}}.

A file of one operator without inputs is opened for each operator and version, and the runtime refuses what it does not know. It needs
Python 3.8, numpy and tflite-runtime or ai-edge-litert: run it in an environment of each release, and put the answers together into
pipeline/audit/tflite_versions.json.
"""

import importlib
import importlib.util
import json
import struct
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

HIGHEST = 15  # versions asked for: none of the runtimes that were probed knows more than 14
UNKNOWN = ("Didn't find op", "out of range", "unresolved")  # out of range: a number that is newer than the runtime
NOT_OPERATORS = {"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"}
RUNTIMES = (
    ("tflite-runtime", "tflite_runtime.interpreter"),
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
)
OPERATORS = Path(__file__).parents[1] / "pipeline" / "frameworks" / "tflite_operators.py"


def file_of(code: int, version: int) -> bytes:
    """Return a .tflite file of one operator: vtables first, then a table after the other, each offset leading forward."""
    small = min(code, 127)  # older files have the number in a byte
    vtables = {
        "model": struct.pack("<7H", 14, 20, 4, 8, 12, 0, 16),
        "code": struct.pack("<6H", 12, 16, 4, 0, 8, 12),
        "graph": struct.pack("<6H", 12, 20, 4, 8, 12, 16),
        "operator": struct.pack("<5H", 10, 16, 4, 8, 12),
        "empty": struct.pack("<2H", 4, 4),
    }
    data, places = bytearray(b"\0\0\0\0TFL3"), {}
    for name, vtable in vtables.items():
        places[name] = len(data)
        data += vtable + b"\0" * (-len(vtable) % 4)

    def table(kind: str, *fields: bytes) -> int:
        at = len(data)
        data.extend(struct.pack("<i", at - places[kind]) + b"".join(fields))
        return at

    def lead(at: int, to: int) -> None:
        struct.pack_into("<I", data, at, to - at)

    def vector(count: int = 0) -> int:
        at = len(data)
        data.extend(struct.pack("<I", count) + b"\0" * 4 * count)
        return at

    offset, number = b"\0" * 4, struct.Struct("<i")
    root = table("model", number.pack(3), offset, offset, offset)
    struct.pack_into("<I", data, 0, root)
    for field, (kind, fields) in enumerate(
        (
            ("code", (struct.pack("<b3x", small), number.pack(version), number.pack(code))),
            ("graph", (offset,) * 4),
            ("empty", ()),
        )
    ):
        list_at = vector(1)
        lead(root + 8 + 4 * field, list_at)
        inner = table(kind, *fields)
        lead(list_at + 4, inner)
        if kind == "graph":
            for each in range(3):  # tensors, inputs, outputs
                lead(inner + 4 + 4 * each, vector())
            operators = vector(1)
            lead(inner + 16, operators)
            operator = table("operator", number.pack(0), offset, offset)
            lead(operators + 4, operator)
            lead(operator + 8, vector())
            lead(operator + 12, vector())
    return bytes(data)


def knows(interpreter: ModuleType, code: int, version: int) -> bool:
    """Whether the runtime has this version of an operator: it opens the file, or refuses it for another reason."""
    try:
        interpreter.Interpreter(model_content=file_of(code, version))
    except Exception as error:  # noqa: BLE001 - runtimes raise ValueError and RuntimeError, and may raise others
        return not any(words in str(error) for words in UNKNOWN)
    return True


def operators() -> dict[str, int]:
    """Return the names of the built-in operators, by their numbers. The file is read by itself: boards do not have the package."""
    spec = importlib.util.spec_from_file_location("tflite_operators", str(OPERATORS))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: code for code, name in enumerate(module.OPERATORS) if name not in NOT_OPERATORS}


def probe(interpreter: ModuleType) -> dict[str, int]:
    """Return the highest version of each operator that the runtime knows."""
    found = {}
    for name, code in sorted(operators().items()):
        known = [version for version in range(1, HIGHEST + 1) if knows(interpreter, code, version)]
        if known:
            found[name] = max(known)
    return found


def main() -> None:
    for distribution, module in RUNTIMES:
        if importlib.util.find_spec(module.split(".")[0]):
            name = f"{distribution} {metadata.version(distribution)}"
            print(json.dumps({name: probe(importlib.import_module(module))}, sort_keys=True))
            return
    sys.exit("neither tflite-runtime nor ai-edge-litert is installed here")


if __name__ == "__main__":
    main()
