"""A run that an older edgepress wrote -> the JSON of a run as this one writes it.

One function for each step of SCHEMA, on the decoded JSON: each changes what the step before it left, and knows nothing of the records of today,
which will change again. What an older version did not keep stays None or empty: nothing is made up.
"""

from collections.abc import Callable
from typing import Any

import msgspec

Run = dict[str, Any]


class Unknown(ValueError):
    """A schema that this edgepress does not read."""

    def __init__(self, schema: int) -> None:
        super().__init__(f"the stored run is of schema {schema}")


class _Head(msgspec.Struct, frozen=True):
    schema: int


def migrated(data: bytes, schema: int) -> bytes:
    """The JSON of a run, as `schema` has it. Unknown for one that is newer, or that no migration begins at; ValueError where the run
    is damaged.
    """
    found = msgspec.json.decode(data, type=_Head).schema
    if found == schema:
        return data
    if found not in MIGRATIONS:
        raise Unknown(found)
    try:
        run = msgspec.json.decode(data)
        for step in range(found, schema):
            MIGRATIONS[step](run)
        run["schema"] = schema
        return msgspec.json.encode(run)
    except (
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,  # an integer that JSON can hold and no record
    ) as error:  # it has another shape than that version gave it
        raise ValueError(f"it is not what schema {found} says ({type(error).__name__}: {error})") from error


def _to_2(run: Run) -> None:
    """Energy becomes a reading for each meter: the first version had none, and said why. A runtime's wheels may lie in several sites.
    How a process started was not timed as a whole.
    """
    for runtime in run["deployment"]["runtimes"]:
        if "site_sha256" in runtime:
            site = runtime.pop("site_sha256")
            runtime["sites"] = [] if site is None else [site]
    for one in run["measured"]["measurements"]:
        one |= {"cold_start_s": one.get("cold_start_s"), "swept": one.get("swept", False)}
        if "readings" not in one["energy"]:
            one["energy"] = {"readings": [], "note": one["energy"]["note"]}


def _to_3(run: Run) -> None:
    """Answers were taken for scores of classes, and of the errors only the largest was kept."""
    run["loaded"]["model"]["classes"] = True
    for one in run["converted"]:
        one["classes"] = True
        if one["agreement"] is not None:
            one["agreement"] |= {"error_rms": None, "spread": None}


def _to_4(run: Run) -> None:
    """What the board was like between blocks has another key. Labels become subjects: they are found among the files of the run, by the label that schema 3 gave each, and are not parsed."""
    passes = enumerate(run["compressed"]["passes"], start=1)
    steps = {f"{number}-{one['name']}": {"number": number, "name": one["name"]} for number, one in passes}
    measured, compared = run["measured"], run["compared"]
    measurements = measured["measurements"]
    not_measured = [*measured.get("failures", ()), *measured.get("unpaired", ())]
    for one in (*run["converted"], *measurements, *not_measured):
        one["step"] = None if one["variant"] in {"original", "compressed", "baseline"} else steps[one["variant"]]
    subjects = {}
    for one in (*measurements, *not_measured):
        subject = {key: one.get(key, "") for key in ("variant", "step", "format", "runtime", "name", "role")}
        subject["threads"] = (
            one.get("threads") if one.get("swept", True) else None
        )  # what was not measured has it only where swept
        subjects[_label_of_3(subject)] = subject
    for one in measured.get("paired", ()):
        one["board_samples"] = one.pop("glances")
    judged = [] if compared is None else [*compared["comparisons"], *compared.get("steps", ())]
    for one in (*judged, *measured.get("paired", ()), *measured.get("energy_paired", ())):
        one["subject"], one["baseline_subject"] = subjects[one["subject"]], subjects[one["baseline_subject"]]
    for one in () if compared is None else compared["verdicts"]:
        one["subject"] = subjects.get(one["subject"]) or _entry_of_3(one["subject"])
        if one["baseline_subject"] is not None:
            one["baseline_subject"] = subjects[one["baseline_subject"]]


def _label_of_3(subject: Run) -> str:
    role = f" ({subject['role']})" if subject["role"] else ""
    file = (subject["name"] or f"{subject['variant']} {subject['format']}") + role
    return f"{file} @ {subject['runtime']}" + ("" if subject["threads"] is None else f" x{subject['threads']}")


def _entry_of_3(text: str) -> Run:
    """What a verdict stood for that no file was measured for: an entry of the plan's limits.applies_to, as the plan wrote it."""
    if text == "every file":
        return {}
    format_name, _, runtime = text.partition("@")
    if " " in text:
        raise KeyError(text)
    return {"format": format_name, "runtime": runtime}


def _to_5(run: Run) -> None:
    """One input and one output become tuples of them. Shapes were without the axis of rows, which no version kept the length of."""
    loaded, compressed = run["loaded"], run["compressed"]
    name, dtype = _rows_of_4(loaded["model"])
    for model in (loaded["model"], compressed["model"], *(one["model"] for one in compressed["passes"])):
        model["inputs"], model["answers"] = _listed(model.pop("input")), _listed(model.pop("outputs", None))
        model["outputs"] = _listed(model.pop("output"))
        for tensor in (*model["inputs"], *model["outputs"]):
            tensor["shape"] = [None, *tensor["shape"]]
    for key in ("training", "calibration", "evaluation"):
        rows = loaded["data"].get(key)
        if rows is not None:
            column = {"name": name, "artifact": rows.pop("x"), "shape": rows.pop("row_shape"), "dtype": dtype}
            rows["inputs"] = [column]
    for one in run["converted"]:
        for kind in ("", "other_", "source_"):
            one[f"{kind}answers"] = _listed(one.pop(f"{kind}outputs", None))
    deployment = run["deployment"]
    deployment["evaluation"] = _listed(deployment.get("evaluation"))


def _rows_of_4(model: Run) -> tuple[str, str]:
    """What the only column of the data is called, and its type: those of the model's input, where a runtime could read it."""
    spec = model["input"] or {"name": "x", "dtype": "float32"}
    return spec["name"], spec["dtype"]


def _listed(value: Run | None) -> list[Run]:
    return [] if value is None else [value]


def _to_6(run: Run) -> None:
    """The task of a plan becomes a list of tasks, and so do what is known of it: each belongs to the only one, which has no name."""
    loaded, compressed, compared = run["loaded"], run["compressed"], run["compared"]
    loaded["data"]["tasks"] = _listed(loaded["data"].pop("task", None))
    for model in (loaded["model"], compressed["model"], *(one["model"] for one in compressed["passes"])):
        model["qualities"] = _listed(model.pop("quality", None))
    for one in run["converted"]:
        agreement = one["agreement"]
        if agreement is not None:
            value, title = agreement.pop("alike", None), agreement.pop("alike_title", "")
            agreement["alike"] = _listed(None if value is None else {"title": title, "value": value})
            agreement["qualities"] = _listed(agreement.pop("quality", None))
    for one in run["measured"]["measurements"]:
        if one["accuracy"] is not None:
            one["accuracy"]["qualities"] = _listed(one["accuracy"].pop("quality", None))
    for one in () if compared is None else (*compared["comparisons"], *compared.get("steps", ())):
        found = {key: one.pop(f"metric_{key}", None) for key in ("drop", "method", "detectable")}
        one["metric_drops"] = _listed(found if found["drop"] else None)


MIGRATIONS: dict[int, Callable[[Run], None]] = {1: _to_2, 2: _to_3, 3: _to_4, 4: _to_5, 5: _to_6}
"""The schema that is left -> what changes its JSON into that of the next."""
