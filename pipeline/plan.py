"""edge.toml -> a frozen Plan. Whatever is wrong is an error that names the file, the table and the key."""

import contextlib
import hashlib
import itertools
import os
import re
import stat
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from pipeline import plan_file, plan_hints, spelling
from pipeline.errors import PlanError
from pipeline.safe_text import shortened

FORMATS = {".keras": "keras", ".h5": "keras", ".onnx": "onnx", ".tflite": "tflite"}
"""Ending of a model's file -> its format."""


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the plan's tables."""


T = TypeVar("T", bound=Table)


MOST_NAMES = 1000  # of a folder, that are compared with one that is not there
CONTROL_FREE = r"^[^\x00-\x1f]*$"
Text = Annotated[str, Meta(min_length=1, max_length=4000, pattern=CONTROL_FREE)]
"""A path or a name: nothing in it that no file and no board is called by."""


Name = Annotated[str, Meta(min_length=1, max_length=1000, pattern=CONTROL_FREE)]
"""Of an input or output."""
Length = Annotated[int, Meta(ge=1, le=2**31)]


class ModelTable(Table, frozen=True):
    path: Text
    signature: Name | None = None  # of a file that has several; None: the default one, or the only one
    # of an input that no row fixes: one number, or lists in lists with its shape
    constants: dict[Name, float | int | bool | list[Any]] = {}
    shape: dict[
        Name, Annotated[tuple[Length, ...], Meta(max_length=8)]
    ] = {}  # of the whole tensor; else the rows fix open axes
    state: dict[
        Name, Name
    ] = {}  # input = "output": what the model passes from one step to the next; rows are then sequences
    sequences: bool = False  # rows are sequences also without `state`: the model keeps it inside
    custom_objects: Text | None = None  # "module:function" next to the plan: the model's own classes, by name


class DataTable(Table, frozen=True):
    """Each is an .npz file with `x` (and `y`: integer labels), or "module:function" next to the plan, returning (x, y)."""

    training: Text | None = None
    calibration: Text | None = None
    evaluation: Text | None = None
    raw: bool = False  # rows for quantized inputs are integers as the file holds them, and not real values


class ConvertTable(Table, frozen=True):
    formats: tuple[str, ...] = ()  # empty: the model's own file, as it is
    # how onnx-int8 writes them; "auto": by the board's processor
    onnx_int8_activations: Literal["auto", "signed", "unsigned", "unsigned-7bit"] = "auto"


class BoardTable(Table, frozen=True):
    name: Text = "local"
    # of a runtime: its version, or a wheel file; others have the versions of targets/provision.py
    runtimes: dict[Text, Text] = {}
    tune: bool = False  # set governor and clocks for the time of the measurement, where the board's user may


MOST_THREADS = 256
Threads = Annotated[int, Meta(ge=1, le=MOST_THREADS)]


class MeasureTable(Table, frozen=True):
    threads: Threads | Annotated[tuple[Threads, ...], Meta(min_length=1, max_length=16)] = 1  # limits judge the first
    cpus: tuple[Annotated[int, Meta(ge=0, le=4095)], ...] = ()  # to be bound to; empty: `threads` of the fastest
    # those to measure, or "all" that this board can have; empty: the best that it can have for each kind of file
    runtimes: tuple[Text, ...] | Text = ()
    launches: Annotated[int, Meta(ge=1, le=1000)] = 6  # fresh processes per file and runtime; 6 give a 95 % interval
    timed_seconds: Annotated[float, Meta(gt=0, le=3600)] = 0.3  # in each launch
    evaluation_rows: Annotated[int, Meta(ge=1)] | None = None  # on the board; None: all
    # the most that a file's answers may be; where they are more, a part of the rows is answered
    answer_bytes: Annotated[int, Meta(ge=1, le=2**40)] = 200_000_000
    answers: Literal["whole", "float16"] = "whole"  # how the board sends floating point
    temperature_band_c: Annotated[float, Meta(gt=0, le=100)] = 5.0  # above the temperature at the beginning
    # the most that all launches together wait for the band
    cool_seconds: Annotated[float, Meta(ge=0, le=36_000)] = 120.0
    operators: bool = True  # one more launch of each file, in which the runtime profiles its kernels: some 1 s
    # "auto": those that the board has, and those of its table in boards.toml; (): none
    meters: tuple[Text, ...] = ("auto",)
    energy_seconds: Annotated[float, Meta(gt=0, le=600)] | None = None  # None: as long as the slowest meter needs
    energy_idle_seconds: Annotated[float, Meta(ge=1, le=15)] = 10  # before and after
    steps: bool = True  # also the models between two passes, for the ledger: which pass made it faster

    @property
    def thread_counts(self) -> tuple[int, ...]:
        """Each once; the first is what limits judge, the others are measured as well."""
        return (self.threads,) if isinstance(self.threads, int) else tuple(dict.fromkeys(self.threads))


class CompareTable(Table, frozen=True):
    baseline: Text | None = None  # a .tflite or .onnx file to judge against, measured again in the same run


# as a share. Not without an end: TOML knows `inf`, which no record can hold and nothing is judged by
MOST_SLOWER = 1000


class LimitsTable(Table, frozen=True):
    """`applies_to` names what is judged: "format" or "format@runtime"; empty: every compressed file."""

    accuracy_drop_points: Annotated[float, Meta(ge=0, le=100)] | None = None
    latency_regression: Annotated[float, Meta(gt=0, le=MOST_SLOWER)] | None = None
    latency_margin: Annotated[float, Meta(ge=0, le=MOST_SLOWER)] | None = (
        None  # a stricter rule: REGRESSED from a smaller change on
    )
    latency_tail: Annotated[float, Meta(gt=0, le=MOST_SLOWER)] = 0.15  # p95 and p99; judged with latency_regression
    # net joules of one inference, by a power meter
    energy_regression: Annotated[float, Meta(gt=0, le=MOST_SLOWER)] | None = None
    energy_margin: Annotated[float, Meta(ge=0, le=MOST_SLOWER)] | None = None  # as latency_margin
    memory_regression_bytes: Annotated[int, Meta(ge=0)] | None = None
    size_bytes: Annotated[int, Meta(ge=0)] | None = None
    applies_to: tuple[str, ...] = ()


# the limits that are shares: they may be written with %
SHARES = ("latency_regression", "latency_margin", "latency_tail", "energy_regression", "energy_margin")


class HostTable(Table, frozen=True):
    """What a process on this machine may take: reading the data, loading, all passes together, each conversion."""

    minutes: Annotated[float, Meta(gt=0, le=100_000)] = 60
    compress_minutes: Annotated[float, Meta(gt=0, le=100_000)] = 1440  # passes may train
    # of all that run at once; None: three quarters of the machine's (pipeline.bounds)
    memory_bytes: Annotated[int, Meta(ge=64 * 2**20, le=2**50)] | None = None


class StateTable(Table, frozen=True):
    """What stays in the state folder after a run; the newest run of each plan and what it needs always does."""

    keep_runs: Annotated[int, Meta(ge=1, le=1_000_000)] = 20  # of this plan
    max_bytes: Annotated[int, Meta(ge=0)] = 5_000_000_000


class Tables(Table, frozen=True):
    model: ModelTable
    data: DataTable = DataTable()
    compress: tuple[dict[str, Any], ...] = ()  # settings belong to the passes: pipeline.compress.settings_of
    convert: ConvertTable = ConvertTable()
    board: BoardTable = BoardTable()
    measure: MeasureTable = MeasureTable()
    compare: CompareTable = CompareTable()
    limits: LimitsTable = LimitsTable()
    host: HostTable = HostTable()
    state: StateTable = StateTable()
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0


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
        return hashlib.sha256(msgspec.json.encode(tables, order="deterministic")).hexdigest()

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
        known = _known_keys(kind, at.removeprefix(table).lstrip("."))
        unknown = re.fullmatch(r"unknown key `(.*)`", what, re.DOTALL)
        near = (
            (_elsewhere(unknown[1]) or spelling.did_you_mean(unknown[1], known))
            if unknown
            else plan_hints.brackets(what, at, known) + plan_hints.without_unit(what, at)
        )
        keys = f"Keys that may stand there: {', '.join(known)}. {page} describes each." if known else f"See {page}."
        raise PlanError(
            f"{'' if path is None else f'{path}: '}{at or 'the file'}: {shortened(what)}", hint=near + keys
        ) from error


def _elsewhere(key: str) -> str:
    """A sentence with the table that has this key, followed by a space."""
    for field in msgspec.structs.fields(Tables):
        if field.name == key:
            return f"{key} is not a key of a table: write it above the first [table]. " if key == "seed" else ""
        if isinstance(field.type, type) and issubclass(field.type, Table) and key in field.type.__struct_fields__:
            return f"{key} is a key of [{field.name}]. "
    return ""


def _where(message: str, table: str) -> tuple[str, str]:
    """Msgspec says 'Object contains unknown field `x` - at `$.model`'; we say the same of tables and keys."""
    what, _, at = message.partition(" - at `$")
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
    for name in filter(None, at.split(".")):
        hint = next((field.type for field in msgspec.structs.fields(kind) if field.name == name), None)
        if not (isinstance(hint, type) and issubclass(hint, Table)):
            return ()
        kind = hint
    return kind.__struct_fields__
