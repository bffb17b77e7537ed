"""Stage 3, convert: the files that can run on a board, each made and checked in a child process of its own."""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from pipeline import child, child_watch, frameworks
from pipeline.convert import conversion
from pipeline.convert.activations import AUTO, Form, form_of
from pipeline.convert.request import Request
from pipeline.convert.table import CONVERTERS, load_converter
from pipeline.errors import EdgepressError, PlanError
from pipeline.frameworks import custom_objects
from pipeline.plan import Plan
from pipeline.progress import Progress
from pipeline.records import Compressed, Converted, Data, Loaded, Model, Processor, Step, file_of
from pipeline.spelling import did_you_mean
from pipeline.store import Store, key_of, versions

VERSIONS = (
    "numpy", "keras", "tensorflow", "tensorflow-cpu", "ai-edge-litert", "onnx", "onnxruntime", "tf2onnx", "protobuf",
    "sympy",
)  # fmt: skip

NO_FORM = Form("", "")  # of a format that has none
UNKNOWN = Processor(told_by="nobody asked the board")
WITHOUT_STEPS = (
    "This file is made for the ledger alone, which says what each pass changed: [measure] steps = false leaves it out."
)
AT_ONCE = 2  # children at once; each pins its framework to one thread


class Wanted(NamedTuple):
    """One file to make. `format` is a name of CONVERTERS, or tflite / onnx for a file that stays as it is."""

    variant: str
    format: str
    model: Model
    name: str = ""  # of a file that was given
    role: str = ""  # candidate or baseline, where the plan has a baseline
    step: Step | None = None  # of a model between two passes


def check(plan: Plan) -> None:
    """Refuse what cannot be made, before any work: PlanError names the key and what is possible."""
    path, formats = plan.file(plan.tables.model.path), plan.tables.convert.formats
    source = plan.source_format
    possible = [name for name in CONVERTERS if source in load_converter(name).SOURCES]
    for name in formats:
        if name not in CONVERTERS:
            raise PlanError(
                f"{plan.path}: convert.formats: there is no format '{name}'",
                hint=f"{did_you_mean(name, CONVERTERS)}Known: {', '.join(CONVERTERS)}.",
            )
        if name not in possible:
            raise PlanError(
                f"{plan.path}: convert.formats: '{name}' cannot be made from {path.name}",
                hint=f"Possible from it: {', '.join(possible)}."
                if possible
                else "Leave formats out: it runs as it is.",
            )
        if load_converter(name).CALIBRATES and plan.tables.data.calibration is None:
            raise PlanError(
                f"{plan.path}: '{name}' needs rows to see the range of every activation, but data.calibration is missing",
                hint='Add to [data]: calibration = "module:function" or an .npz; 100 to 500 rows of training data will do.',
            )
        for extra in load_converter(name).EXTRAS:
            frameworks.need(extra, f"convert.formats: making {name}")
    if source in {"keras", "saved_model"} and not formats:
        kind = "Keras model" if source == "keras" else "SavedModel"
        raise PlanError(
            f"{plan.path}: convert.formats is empty, and a {kind} cannot run on a board as it is",
            hint=f'Choose from: {", ".join(possible)}; for example formats = ["tflite-int8"].',
        )


def asks_for_processor(plan: Plan) -> bool:
    """Return whether the files depend on the board's processor."""
    return "onnx-int8" in plan.tables.convert.formats and plan.tables.convert.onnx_int8_activations == AUTO


def wanted(loaded: Loaded, compressed: Compressed, plan: Plan) -> tuple[Wanted, ...]:
    """Return every file to make, once: the requested ones, what they are judged against, and the plan's baseline."""
    variant = "compressed" if compressed.passes else "original"
    role = "" if loaded.baseline is None else "candidate"
    files = [
        Wanted(variant, name, compressed.model, _name(variant, name, compressed, plan), role)
        for name in plan.tables.convert.formats
    ]
    references = [load_converter(name).REFERENCE for name in plan.tables.convert.formats]
    files += [Wanted("original", name, loaded.model, _name("original", name, compressed, plan)) for name in references]
    if plan.tables.measure.steps:
        files += _between_passes(loaded, compressed, plan)
    if not files:  # as they are; the original is what a compressed one is judged against
        pair = ((variant, compressed.model), ("original", loaded.model))
        files = [
            Wanted(
                each, model.artifact.format, model, _name(each, "", compressed, plan), role if each == variant else ""
            )
            for each, model in pair
        ]
    if loaded.baseline is not None:
        # it is compared with what the plan's model answers
        baseline = msgspec.structs.replace(loaded.model, name="baseline", artifact=loaded.baseline, parameters=None)
        name = plan.file(plan.tables.compare.baseline or "").name
        files.append(Wanted("baseline", loaded.baseline.format, baseline, name, "baseline"))
    once: dict[tuple[str, str], Wanted] = {}
    for file in files:  # the first of each: what was asked for goes before what it is judged against
        once.setdefault((file.variant, file.format), file)
    return tuple(once.values())


def _name(variant: str, format_name: str, compressed: Compressed, plan: Plan) -> str:
    """What was given is called by its file's name, as long as nothing else was made of it. "": by its variant and format."""
    if variant != "original" or compressed.passes:
        return ""
    path = plan.file(plan.tables.model.path)
    if not format_name:
        return path.name
    return f"{path.stem} {format_name}" if plan.tables.compare.baseline else ""


def _between_passes(loaded: Loaded, compressed: Compressed, plan: Plan) -> list[Wanted]:
    """Return the models of the ledger: before the first pass, and after each pass but the last that changed something."""
    formats = plan.tables.convert.formats if compressed.passes else ()
    files = [Wanted("original", name, loaded.model) for name in formats]
    seen = {loaded.model.artifact, compressed.model.artifact}
    for number, report in enumerate(compressed.passes, start=1):
        if report.model.artifact not in seen:
            seen.add(report.model.artifact)
            step = Step(number=number, name=report.name)
            files += [Wanted(step.variant, name, report.model, step=step) for name in formats]
    return files


def convert(
    loaded: Loaded, compressed: Compressed, plan: Plan, store: Store, progress: Progress, processor: Processor = UNKNOWN
) -> tuple[tuple[Converted, ...], bool]:
    """Make every file; also say whether all were there already. `processor`: of the board."""
    check(plan)
    form = form_of(plan.tables.convert.onnx_int8_activations, processor)
    files = wanted(loaded, compressed, plan)
    lock, finished = threading.Lock(), 0

    def one(file: Wanted) -> tuple[Converted, bool]:
        nonlocal finished

        def tell(done: int, of: int, note: str) -> None:
            del done, of
            with lock:
                progress.step(finished, len(files), note)

        def say(sentence: str) -> None:
            with lock:
                progress.say(sentence)

        mine = form if file.format == "onnx-int8" else NO_FORM
        try:
            made, cached = store.remember(
                "convert",
                _key(file, loaded, plan, mine),
                Converted,
                lambda: _make(file, loaded, plan, store, mine, tell, say),
            )
        except EdgepressError as error:
            if _of_ledger(file, compressed, plan):
                raise type(error)(error.message, hint=f"{error.hint} {WITHOUT_STEPS}") from error
            raise
        with lock:
            finished += 1
            progress.step(finished, len(files), file_of(file.variant, file.format, file.name, file.role))
        classes = file.model.classes or loaded.model.classes or _labelled(loaded.data)
        # what does not follow from the file's own content and settings, by which it is kept
        notes = (mine.note, *made.notes) if mine.note else made.notes
        about = {"name": file.name, "role": file.role, "step": file.step}
        return msgspec.structs.replace(made, **about, classes=classes, notes=notes), cached

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        futures: list[concurrent.futures.Future[tuple[Converted, bool]]] = []
        try:
            futures += [pool.submit(one, file) for file in files]
            answers = [future.result() for future in futures]
        except BaseException:  # also Ctrl-C: do not wait for the others
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in futures):  # a thread may just be starting another child
                child.kill_all()
                concurrent.futures.wait(futures, timeout=0.05)
            raise
    for made, _ in answers:
        for note in made.notes:
            progress.say(f"{made.variant} {made.format}: {note}.")
    return tuple(answer for answer, _ in answers), all(cached for _, cached in answers)


def _labelled(data: Data) -> bool:
    return data.evaluation is not None and data.evaluation.y is not None


def _of_ledger(file: Wanted, compressed: Compressed, plan: Plan) -> bool:
    """Return whether a file is made to see what each pass changed, and for nothing else."""
    asked = {load_converter(name).REFERENCE for name in plan.tables.convert.formats}
    before = file.variant == "original" and bool(compressed.passes) and file.format not in asked
    return file.format in CONVERTERS and (file.step is not None or before)


def _make(
    file: Wanted, loaded: Loaded, plan: Plan, store: Store, form: Form, tell: child.Tell, say: Callable[[str], None]
) -> Converted:
    with store.scratch() as scratch:
        request = Request(
            root=str(store.root), scratch=str(scratch), variant=file.variant, format=file.format, name=file.name,
            model=file.model, data=loaded.data, seed=plan.tables.seed, activations=form.activations,
            signature=plan.tables.model.signature,
            folder=str(plan.folder), custom_objects=plan.tables.model.custom_objects,
        )  # fmt: skip
        doing = f"converting the {file.variant} model to {file.format}"
        return child.run(
            conversion.work, request, Converted, tell, doing=doing,
            limits=child_watch.of_plan(plan.tables.host), say=say, folder=str(scratch), crashed=_crashed(file.format),
                imports_tensorflow=file.model.artifact.format in frameworks.BY_TENSORFLOW,
        )  # fmt: skip


def _crashed(name: str) -> str:
    return load_converter(name).CRASHED if name in CONVERTERS else child.CRASHED


def _key(file: Wanted, loaded: Loaded, plan: Plan, form: Form) -> str:
    calibration = loaded.data.calibration if file.format in CONVERTERS else None
    evaluation = loaded.data.evaluation
    readable = frameworks.available("tensorflow"), frameworks.available("onnx")
    return key_of(
        file.variant, file.format, file.model, calibration, evaluation, loaded.data.tasks, plan.tables.seed, readable, form.activations,
        plan.tables.model.signature, custom_objects.digest(plan.tables.model.custom_objects, plan.folder), versions(*VERSIONS),
    )  # fmt: skip
