"""The process in which the plain libraries run: one JSON line in for each model, one out.

    python -m benchmarks._support.corpus.plain_process CACHE

A model that ends the process, takes too long or too much memory is one that its library cannot run; `plain` starts another.
"""

import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path

import numpy as np

from benchmarks._support.corpus import backend, nets, rows
from benchmarks._support.corpus.libraries import LIBRARIES, NotTensors, Tflite

MOST_BYTES = 14 << 30  # of address space, of which TensorFlow takes more than it uses


def serve() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print is not an answer
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if asked["do"] == "make":
                nets.make(asked["group"], asked["name"], Path(sys.argv[1]))
                found: dict[str, object] = {}
            else:
                found = run(asked)
        except Exception as error:  # noqa: BLE001 - whatever a library raises: it does not run this model
            traceback.print_exc()
            found = {"refused": f"{type(error).__name__}: {error}"[:2000]}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


def run(asked: dict) -> dict[str, object]:
    """Answer the rows, and write rows.npz and reference.npz into the folder.

    The reference has a member "<row>/<output>" for each output that is an array of numbers.
    """
    began = time.monotonic()
    path, folder = Path(asked["path"]), Path(asked["folder"])
    model = LIBRARIES[asked["kind"]](path)
    notes: list[str] = []
    if asked["given"]:
        given, expected, specs = _given(Path(asked["given"]), path, model)
        found = [model.run(row) for row in given]
        notes += _expected(found, expected, Path(asked["given"]))
    else:
        specs = model.inputs()
        given, found = _drawn(model, specs, asked)
    if isinstance(model, Tflite):
        found = [model.real(row) for row in found]
    random = ""
    again = model.run(given[0])
    again = model.real(again) if isinstance(model, Tflite) else again
    if not same(again, found[0]):
        fresh = LIBRARIES[asked["kind"]](path)
        first = fresh.run(given[0])
        first = fresh.real(first) if isinstance(fresh, Tflite) else first
        random = "keeps state" if same(first, found[0]) else "random"
    members, why = None, ""
    if specs:
        try:
            members = rows.as_data(given, specs)
        except (ValueError, AttributeError) as error:
            why = f"no rows can be made of its inputs: {error}"
    if members is not None:
        rows.write(folder / "rows.npz", members)
    rows.write(folder / "reference.npz", {
        f"{row}/{number}": np.asarray(value)
        for row, answers in enumerate(found) for number, value in enumerate(answers) if is_numbers(value)
    })  # fmt: skip
    return {
        "rows": len(given),
        "inputs": len(given[0]),
        "outputs": model.outputs,
        "arrays": [is_numbers(value) for value in found[0]],
        "written": members is not None,
        "why_not": why,
        "changes": random,
        "notes": notes,
        "seconds": time.monotonic() - began,
    }


def _drawn(model, specs, asked) -> tuple[list[dict], list[list]]:
    first: Exception | None = None
    for given in rows.candidates(asked["full_name"], specs, asked["seed"]):
        try:
            return given, [model.run(row) for row in given]
        except Exception as error:  # noqa: BLE001 - another size or range is tried
            first = first or error
    raise first or NotTensors("it has no inputs")


def _given(folder: Path, path: Path, model) -> tuple[list[dict], list[list], list]:
    import onnx

    sets = list(backend.data_sets(folder, onnx.load(path)))
    try:
        specs = model.inputs()
    except NotTensors:
        specs = []
    if any(value is None or isinstance(value, list | dict) for given, _ in sets for value in given.values()):
        specs = []
    names = {each.name for each in specs}
    specs = [each for each in specs if each.name in sets[0][0]] if names >= set(sets[0][0]) else []
    return [given for given, _ in sets], [expected for _, expected in sets], specs


def _expected(found: list[list], expected: list[list], folder: Path) -> list[str]:
    """Whether the plain library answers what the test wants."""
    path = folder / "tolerance.json"
    near = json.loads(path.read_text()) if path.exists() else {"rtol": 1e-3, "atol": 1e-7}
    for have, want in zip(found, expected, strict=True):
        for number, (one, other) in enumerate(zip(have, want, strict=False)):
            if not (is_numbers(one) and is_numbers(other)):
                continue
            if np.shape(one) != np.shape(other) or not np.allclose(_wide(one), _wide(other), **near, equal_nan=True):
                return [f"the plain library's output {number} is not what the test expects"]
    return []


def _wide(value) -> np.ndarray:
    value = np.asarray(value)
    return value.astype(np.complex128 if value.dtype.kind == "c" else np.float64)


def is_numbers(value: object) -> bool:
    return isinstance(value, np.ndarray | np.generic) and np.asarray(value).dtype.kind in "biufc"


def same(one: list, other: list) -> bool:
    return all(
        np.shape(a) == np.shape(b) and np.allclose(_wide(a), _wide(b), 1e-4, 1e-6, equal_nan=True)
        for a, b in zip(one, other, strict=True) if is_numbers(a) and is_numbers(b)
    )  # fmt: skip


if __name__ == "__main__":
    serve()
