"""Stage 1, load: the model that the plan names, and its data, checked against each other."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np

from pipeline import bounds, child, child_watch, frameworks
from pipeline.errors import ModelError, PlanError
from pipeline.frameworks import custom_objects, onnx_external, saved_model_archive
from pipeline.load import data, end_to_end, raw_rows
from pipeline.load import task as tasks
from pipeline.load.request import Request
from pipeline.load.table import Loader, load_loader
from pipeline.plan import FORMATS, Plan, check_file
from pipeline.plan_tables import ModelTable
from pipeline.progress import Progress
from pipeline.records import Artifact, Data, Loaded, Model
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean
from pipeline.store import Store, key_of, versions

A_FOLDER = (
    "A SavedModel is a folder with a file saved_model.pb in it, which this one has not. Save a Keras model with "
    "model.save('model.keras')."
)

VERSIONS = ("numpy", "keras", "tensorflow", "tensorflow-cpu", "ai-edge-litert", "onnxruntime", "h5py", "tf_keras")


def load(plan: Plan, store: Store, progress: Progress) -> tuple[Loaded, bool]:
    """Load what the plan names; also say whether the answer was there already."""
    table = plan.tables.model
    path = plan.file(table.path)
    loader = _loader(path, "model.path")
    readable = loader.readable(path.name)
    model = _put(path, loader, store, plan.tables.host.memory_bytes)
    baseline = _baseline(plan, store)
    found = tasks.of_plan(plan)
    rows = msgspec.structs.replace(data.read(plan, store, progress), tasks=found)
    layers = loader.FORMAT == "saved_model" and bool(plan.tables.compress)

    given = ", ".join(f"'{shortened(name, 100)}'" for name in table.shape)
    crashed = f"{f'Can the network run what [model] shape gives {given}? ' if given else ''}{loader.CRASHED}"

    def make() -> Loaded:
        if not readable:
            unread = Model(name=path.stem, artifact=model, inputs=(), outputs=(), parameters=None)
            _check_unread(rows, store)
            if loader.FORMAT == "tflite":
                content = store.path(model).read_bytes()
                raw_rows.check_unread(rows, content, path.name, table.signature, raw=plan.tables.data.raw)
            return Loaded(model=unread, data=rows, baseline=baseline)
        with store.scratch() as scratch:
            request = Request(
                root=str(store.root),
                scratch=str(scratch),
                name=path.name,
                format=loader.FORMAT,
                artifact=model,
                data=rows,
                baseline=baseline,
                baseline_name=Path(plan.tables.compare.baseline or "").name,
                signature=table.signature,
                constants=table.constants,
                shape=table.shape,
                state=table.state,
                sequences=table.sequences or bool(table.state),
                raw=plan.tables.data.raw,
                nonfinite=plan.tables.data.nonfinite,
                custom_objects=table.custom_objects,
                folder=str(plan.folder),
                layers=layers,
            )
            return child.run(
                loader.read, request, Loaded, progress.step, doing=f"loading {path.name}",
                limits=child_watch.of_plan(plan.tables.host), say=progress.say, folder=str(scratch), crashed=crashed,
                imports_tensorflow=loader.FORMAT in frameworks.BY_TENSORFLOW,
            )  # fmt: skip

    own = custom_objects.digest(table.custom_objects, plan.folder)
    key = key_of(
        model,
        path.name,
        readable,
        rows,
        baseline,
        table,
        own,
        plan.tables.data.raw,
        plan.tables.data.nonfinite,
        layers,
        versions(*VERSIONS),
    )
    loaded, cached = store.remember("load", key, Loaded, make)
    return end_to_end.tried(plan, loaded, store, progress), cached


def _check_unread(rows: Data, store: Store) -> None:
    """Nothing says here that the model has an input named y: then it is meant to be labels."""
    for name in ("evaluation", "calibration", "training"):
        found = getattr(rows, name)
        for column in () if found is None else found.inputs:
            if column.name == "y" and len(found.inputs) > 1:
                y = np.load(store.path(column.artifact), mmap_mode="r", allow_pickle=False)
                error = data.labels_error(y, found.rows, f"data.{name}")
                if error is not None:
                    raise error


def check(plan: Plan) -> None:
    """Check what can be checked before anything is made: the files must be there, and of a kind that is known."""
    table = plan.tables.model
    _check_keys(table, _loader(plan.file(table.path), f"{plan.path}: model.path"), plan.path)
    custom_objects.check(table.custom_objects, plan.folder, f"{plan.path}: {custom_objects.KEY}")
    tasks.of_plan(plan)
    if plan.tables.compare.baseline is not None:
        _loader(plan.file(plan.tables.compare.baseline), f"{plan.path}: compare.baseline")
    end_to_end.check(plan)


def _check_keys(table: ModelTable, loader: Loader, plan: Path) -> None:
    """A key that this kind of file has no use for would be ignored, and the plan would seem to say what is run."""
    for key, value, formats, why in (
        ("signature", table.signature, ("saved_model", "tflite"), "has no signatures"),
        (
            "custom_objects",
            table.custom_objects,
            ("keras", "saved_model"),
            "is not a Keras model, and has no classes of your own",
        ),
    ):
        if value is not None and loader.FORMAT not in formats:
            raise PlanError(f"{plan}: model.{key}: {Path(table.path).name} {why}", hint=f"Leave {key} out of [model].")


def _loader(path: Path, key: str) -> Loader:
    if saved_model_archive.is_saved_model(path):
        return load_loader("saved_model")
    check_file(path, key, A_FOLDER)
    if path.suffix.lower() not in FORMATS:
        raise PlanError(
            f"{key}: {path.name} ends in '{path.suffix}', which no loader knows",
            hint=f"{did_you_mean(path.suffix, FORMATS)}Known: {', '.join(FORMATS)}.",
        )
    return load_loader(FORMATS[path.suffix.lower()])


def _put(path: Path, loader: Loader, store: Store, of_bytes: int | None) -> Artifact:
    content = (
        saved_model_archive.packed(path, path.name, of_bytes)
        if loader.FORMAT == "saved_model"
        else _read(path, loader, of_bytes)
    )
    known = Artifact(sha256=hashlib.sha256(content).hexdigest(), format=loader.FORMAT, size_bytes=len(content))
    if store.has(known):
        return known
    loader.check(content, path.name)
    return store.put_bytes(content, loader.FORMAT)


def _read(path: Path, loader: Loader, of_bytes: int | None) -> bytes:
    bounds.check_unpacked(path.stat().st_size, path.stat().st_size, path.name, ModelError, of_bytes=of_bytes)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}", hint="Give a file that you may read.") from error
    return onnx_external.packed(content, path, of_bytes) if loader.FORMAT == "onnx" else content


def _baseline(plan: Plan, store: Store) -> Artifact | None:
    name = plan.tables.compare.baseline
    if name is None:
        return None
    path = plan.file(name)
    loader = _loader(path, "compare.baseline")
    if loader.FORMAT in {"keras", "saved_model"}:
        kind = "Keras model" if loader.FORMAT == "keras" else "SavedModel"
        raise PlanError(
            f"compare.baseline: {path.name} is a {kind}, which cannot run on a board",
            hint="Give the .tflite or .onnx file that was deployed last time.",
        )
    return _put(path, loader, store, plan.tables.host.memory_bytes)
