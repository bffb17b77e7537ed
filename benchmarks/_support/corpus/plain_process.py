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
from typing import Any

import numpy as np

from benchmarks._support.corpus import backend, nets, rows
from benchmarks._support.corpus.libraries import LIBRARIES, NotTensors, Tflite

NUDGED = 2  # rows of which the last bit is changed
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

    The reference has a member "<row>/<output>" for each output that is an array of numbers; of sequences its first axis are the
    steps.
    """
    began = time.monotonic()
    path, folder = Path(asked["path"]), Path(asked["folder"])

    def opened() -> Any:
        return LIBRARIES[asked["kind"]](path)

    model = opened()
    notes: list[str] = []
    state, constants, steps, changes = {}, {}, 0, ""
    if asked["given"]:
        given, expected, specs = _given(Path(asked["given"]), path, model)
        found = [_answers(model, row) for row in given]
        notes += _expected(found, expected, Path(asked["given"]))
        given, found = _of_one_shape(given, found, notes)
    else:
        specs = model.inputs()
        state, constants = rows.states_of(asked["full_name"]), rows.constants_of(asked["full_name"], specs)
        given, found = _drawn(model, specs, asked)
    if not state and not same(_answers(model, given[0]), found[0]):
        changes = "keeps state" if same(_answers(opened(), given[0]), found[0]) else "random"
    if state or changes == "keeps state":
        steps = rows.STEPS
        given = next(rows.candidates(asked["full_name"], specs, asked["seed"], rows.SEQUENCES * steps))
        found = [_stream(opened(), given[start : start + steps], state) for start in range(0, len(given), steps)]
    is_drawn = not (asked["given"] or changes or steps)
    nudged = _nudged(model, given[:NUDGED], found) if is_drawn else []
    made, why = None, ""
    if specs:
        try:
            made = rows.as_data(given, specs, steps=steps, state=state, constants=constants)
        except (ValueError, AttributeError) as error:
            why = f"no rows can be made of its inputs: {error}"
    if made is not None:
        rows.write(folder / "rows.npz", made.members)
    rows.write(folder / "reference.npz", {
        f"{row}/{number}": np.asarray(value)
        for row, answers in enumerate(found) for number, value in enumerate(answers) if is_numbers(value)
    })  # fmt: skip
    return {
        "rows": len(found),
        "steps": steps,
        "inputs": len(given[0]),
        "outputs": model.outputs,
        "arrays": [is_numbers(value) for value in found[0]],
        "written": made is not None,
        "model": {} if made is None else made.model,
        "why_not": why,
        "changes": changes,
        "nudged": nudged,
        "notes": notes,
        "seconds": time.monotonic() - began,
    }


def _answers(model: Any, row: dict) -> list:
    found = model.run(row)
    return model.real(found) if isinstance(model, Tflite) else found


def _nudged(model: Any, given: list[dict], found: list[list]) -> list[float]:
    """By how much each output changes where the numbers of a row change in their last bit: no library knows it more exactly."""
    changed = [0.0] * len(found[0])
    for row, before in zip(given, found, strict=False):
        nearby = {
            name: np.nextafter(value, np.asarray(np.inf, value.dtype))
            if isinstance(value, np.ndarray) and value.dtype.kind == "f"
            else value
            for name, value in row.items()
        }
        for number, (one, other) in enumerate(zip(before, _answers(model, nearby), strict=True)):
            if is_numbers(one) and np.shape(one) == np.shape(other) and np.size(one):
                with np.errstate(invalid="ignore"):
                    apart = np.abs(_wide(one) - _wide(other))
                changed[number] = max(changed[number], float(np.nan_to_num(apart, nan=0.0, posinf=0.0).max()))
    return changed


def _stream(model: Any, given: list[dict], state: dict[str, str]) -> list[np.ndarray]:
    """Answer the steps of one sequence with a model that was just opened; the state begins with zeros."""
    kept = {name: np.zeros_like(given[0][name]) for name in state}
    steps = []
    for row in given:
        answers = _answers(model, row | kept)
        kept = {name: answers[list(model.outputs).index(output)] for name, output in state.items()}
        steps.append(answers)
    return [np.stack(each) for each in zip(*steps, strict=True)]


def _of_one_shape(given: list[dict], found: list[list], notes: list[str]) -> tuple[list[dict], list[list]]:
    """Keep the rows whose inputs have the shapes of the first row: on a board a model has one shape."""

    def shapes(row: dict) -> list[tuple[int, ...]]:
        return [np.shape(value) for value in row.values() if is_numbers(value)]

    same_shapes = [number for number, row in enumerate(given) if shapes(row) == shapes(given[0])]
    if len(same_shapes) < len(given):
        notes.append(
            f"{len(given) - len(same_shapes)} of its {len(given)} data sets have other shapes and are left out"
        )
    return [given[each] for each in same_shapes], [found[each] for each in same_shapes]


def _drawn(model, specs, asked) -> tuple[list[dict], list[list]]:
    first: Exception | None = None
    for given in rows.candidates(asked["full_name"], specs, asked["seed"]):
        try:
            return given, [_answers(model, row) for row in given]
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
