"""edge.toml -> a frozen Plan. Whatever is wrong is an error that names the file, the table and the key."""

import contextlib
import hashlib
import itertools
import os
import re
import stat
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pipeline import plan_file, plan_hints, spelling
from pipeline.errors import PlanError
from pipeline.plan_tables import (
    CONTROL_FREE,
    SHARES,
    HostTable,
    LimitsTable,
    ModelTable,
    StateTable,
    Table,
    Tables,
)
from pipeline.safe_text import shortened

FORMATS = {".keras": "keras", ".h5": "keras", ".onnx": "onnx", ".tflite": "tflite"}
"""Ending of a model's file -> its format."""


T = TypeVar("T", bound=Table)


MOST_NAMES = 1000  # of a folder, that are compared with one that is not there
NEWER = {
    "model": ("signature", "constants", "shape", "state", "sequences", "custom_objects"),
    "data": ("raw", "nonfinite"),
    "measure": ("answer_bytes", "answers", "end_to_end"),
    "limits": ("metric_drop", "metric_at_least", "metric_at_most"),
}
"""Keys that runs of schema 4 did not know. A plan without them is the one that they measured: its digest is the same."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    path: Path
    sha256: str
    tables: Tables
    state: Path | None = None  # the folder of runs and artifacts; None: where pipeline.state finds a place

    @property
    def folder(self) -> Path:
        """Paths in the plan are relative to this folder."""
        return self.path.parent

    @property
    def source_format(self) -> str:
        """Return what kind of file the model is, by its name; "" for none that is known. A folder is a SavedModel, or none."""
        with contextlib.suppress(PlanError, OSError):  # said where it is loaded
            if (self.file(self.tables.model.path) / "saved_model.pb").exists():
                return "saved_model"
        return FORMATS.get(Path(self.tables.model.path).suffix.lower(), "")

    @property
    def without_limits_sha256(self) -> str:
        """Changes with everything that can change a measurement that is judged, but not with the limits that judge it."""
        measure = msgspec.structs.replace(self.tables.measure, threads=self.tables.measure.thread_counts[0])
        tables = msgspec.structs.replace(
            self.tables, limits=LimitsTable(), host=HostTable(), state=StateTable(), measure=measure
        )
        plain = msgspec.to_builtins(tables, order="deterministic")
        defaults = msgspec.to_builtins(Tables(model=ModelTable(path="-")))
        for each in (plain["task"], defaults["task"]) if isinstance(plain["task"], dict) else plain["task"]:
            if each["name"] is None:  # of one task, which runs of schema 5 knew
                del each["name"]
        for name in ("task", "training"):
            if plain[name] == defaults[name]:
                del plain[name]
        for table, keys in NEWER.items():
            for key in keys:
                if plain[table][key] == defaults[table][key]:
                    del plain[table][key]
        return hashlib.sha256(msgspec.json.encode(plain)).hexdigest()

    @property
    def trains(self) -> bool:
        """Return whether the training rows may be needed: a pass may train, or look at what the layers answer for them."""
        return bool(self.tables.compress)

    def file(self, name: str) -> Path:
        """As in boards.toml: ~ at the beginning is a home folder, and nothing else is put in."""
        if "$" in name:
            raise PlanError(
                f"{self.path}: '{name}': variables with $ are not expanded",
                hint="Write the path out; a leading ~ is your home folder.",
            )
        try:
            return plan_file.check_name((self.folder / Path(name).expanduser()).resolve())
        except (OSError, RuntimeError) as error:  # a loop of links, or no home folder to expand
            raise PlanError(f"{self.path}: '{name}': {error}", hint="Give a path that leads to a file.") from error


def read(path: Path) -> Plan:
    """Read a plan. PlanError says which file, table and key is wrong."""
    text, raw = plan_file.read(path, SHARES)
    return Plan(
        path=plan_file.check_name(path.resolve()),
        sha256=hashlib.sha256(text).hexdigest(),
        tables=convert_table(raw, Tables, path, ""),
    )


def check_file(path: Path, key: str, folder_hint: str = "Give the file itself.") -> None:
    """Raise PlanError unless `path` is an ordinary file that may be read; `key` is where the plan names it."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PlanError(
            f"{key}: there is no file {path}",
            hint=f"{_near_file(path)}Correct the path; it is relative to the plan's folder.",
        ) from error
    except OSError as error:
        raise PlanError(f"{key}: {path} cannot be read: {error.strerror}", hint="Correct the path.") from error
    if stat.S_ISDIR(mode):
        saved = (path / "saved_model.pb").exists()
        hint = folder_hint if saved else " ".join(dict.fromkeys(("Give the file itself.", folder_hint)))
        raise PlanError(f"{key}: {path} is a folder, and a file is expected", hint=hint)
    if not stat.S_ISREG(mode):  # reading a pipe would wait, and /dev/zero has no end
        raise PlanError(f"{key}: {path} is not a regular file", hint="Give the file itself.")
    if not os.access(path, os.R_OK):
        raise PlanError(f"{key}: {path} may not be read by you", hint="Give yourself the right to read it.")


def _near_file(path: Path) -> str:
    """Return a sentence with the file of nearly that name, followed by a space."""
    with contextlib.suppress(OSError):
        with os.scandir(path.parent) as entries:
            names = [each.name for each in itertools.islice(entries, MOST_NAMES)]
        return spelling.did_you_mean(path.name, names, cutoff=0.8)
    return ""


def with_state(plan: Plan, state: Path | None) -> Plan:
    """Return the plan with another state folder; None: where it is by default."""
    return plan if state is None else msgspec.structs.replace(plan, state=state)


def with_threads(plan: Plan, threads: tuple[int, ...]) -> Plan:
    """Return the plan with other numbers of threads; (): as it is."""
    if not threads:
        return plan
    measure = msgspec.structs.replace(plan.tables.measure, threads=threads)
    return msgspec.structs.replace(plan, tables=msgspec.structs.replace(plan.tables, measure=measure))


def convert_table(raw: dict[str, Any], kind: type[T], path: Path | None, table: str, page: str = "docs/plan.md") -> T:
    """Check one table of a plan, or settings without a plan; `table` is its name for messages ("" is the whole file)."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        what, at = _where(str(error), table)
        at = plan_hints.with_names(at, raw, kind, table)
        known = _known_keys(kind, at.removeprefix(table).lstrip("."))
        unknown = re.fullmatch(r"unknown key `(.*)`", what, re.DOTALL)
        near = (
            (_elsewhere(unknown[1]) or spelling.did_you_mean(unknown[1], known))
            if unknown
            else plan_hints.of_a_model(at)
            or plan_hints.choices(what, at.removeprefix(table).lstrip("."), kind)
            or plan_hints.brackets(what, at, known) + plan_hints.without_unit(what, at)
        )
        keys = f"Keys that may stand there: {', '.join(known)}. {page} describes each." if known else f"See {page}."
        raise PlanError(
            f"{'' if path is None else f'{path}: '}{at or 'the file'}: {shortened(what)}", hint=near + keys
        ) from error


def _elsewhere(key: str) -> str:
    """A sentence with the table that has this key, followed by a space."""
    for field in msgspec.structs.fields(Tables):
        table = plan_hints.table_in(field.type)
        if field.name == key:
            return f"{key} is not a key of a table: write it above the first [table]. " if key == "seed" else ""
        if table is not None and key in table.__struct_fields__:
            return f"{key} is a key of [{field.name}]. "
    return ""


def _where(message: str, table: str) -> tuple[str, str]:
    """Msgspec says 'Object contains unknown field `x` - at `$.model`'; we say the same of tables and keys."""
    what, _, at = message.partition(" - at `$")
    if not at and " - at `key` in `$" in message:  # of a table whose keys are the user's own
        what, _, at = message.partition(" - at `key` in `$")
        what = f"{what} for a name in it"
    at = re.sub(r"^\.", "", at.rstrip("`"))
    what = what.replace("Object contains unknown field", "unknown key").replace(
        "Object missing required field", "missing key"
    )
    what = what[:1].lower() + what[1:] if what.startswith("Expected") else what
    what = what.replace(" | null`", "`")  # TOML has none: such a key is left out
    if what.endswith(f"matching regex {CONTROL_FREE!r}"):
        what = "it has a line break or another control character in it"
    return what, ".".join(part for part in (table, at) if part)


def _known_keys(kind: type[Table], at: str) -> tuple[str, ...]:
    table: type[msgspec.Struct] = kind
    for name in filter(None, re.sub(r"\[[0-9]+\]", "", at).split(".")):
        hint = next((field.type for field in msgspec.structs.fields(table) if field.name == name), None)
        found = plan_hints.table_in(hint)
        if found is None:
            return ()
        table = found
    return table.__struct_fields__
