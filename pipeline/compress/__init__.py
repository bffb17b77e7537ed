"""Stage 2, compress: the plan's passes over the model, in their order, in one child process.

From Python, without a plan: `apply`, which users call edgepress.compress (docs/python.md).
"""

from pathlib import Path

from pipeline import child, child_watch, frameworks, functions
from pipeline.compress import chain
from pipeline.compress.base import LAST, ONLY_LOOK, UNDONE, Applied, Step, apply_pass
from pipeline.compress.context import Context, Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.formats.base import VERSIONS
from pipeline.compress.request import Request, files_in, identity, learning, teachers
from pipeline.compress.rows import place_of
from pipeline.compress.settings import Recover
from pipeline.compress.table import PASSES, load_pass
from pipeline.compress.training import compiled
from pipeline.errors import PlanError
from pipeline.frameworks import custom_objects
from pipeline.frameworks.saved_model_layers import has_layers
from pipeline.frameworks.types import KerasModel, OpenModel
from pipeline.plan import Plan, convert_table
from pipeline.plan_tables import TrainingTable
from pipeline.progress import Progress
from pipeline.records import Compressed, Loaded
from pipeline.store import Store, key_of, versions

PAGE = "docs/passes.md"

TRAINING_KEYS = ("recover", "schedule", "distill")


def settings_of(plan: Plan) -> tuple[Step, ...]:
    """Check every [[compress]] table against its pass. PlanError names the table and the key."""
    steps = tuple(_step(raw, i, plan) for i, raw in enumerate(plan.tables.compress))
    _check_learning(plan, steps)
    names = [step.name for step in steps]
    for i, step in enumerate(steps):
        if "quantize_aware" in names[:i] and step.name not in ONLY_LOOK:
            raise PlanError(f"{plan.path}: compress[{i}]: {step.name} is after quantize_aware: {UNDONE}", hint=LAST)
        for key, name in files_in(step.settings):
            if not (plan.folder / name).is_file():
                raise PlanError(
                    f"{plan.path}: compress[{i}].{key}: there is no file {plan.folder / name}",
                    hint="Give the path of a .keras file, relative to the plan.",
                )
    return steps


def _check_learning(plan: Plan, steps: tuple[Step, ...]) -> None:
    """Raise PlanError for a table [training] that nothing would read, and for functions that are not there."""
    table = plan.tables.training
    trains = any("epochs" in step.settings or step.settings.get("recover") is not None for step in steps)
    if table != TrainingTable() and not trains:
        raise PlanError(
            f"{plan.path}: [training] says how passes learn from labels, and no pass trains",
            hint="Give a pass the table recover, such as recover = { epochs = 2 }; or leave [training] out.",
        )
    if table.function is not None and table.augment is not None:
        raise PlanError(
            f"{plan.path}: training.augment changes the batches of edgepress's own training, and training.function does its own",
            hint="Let the function augment its rows, or leave one of the two out.",
        )
    for key in ("function", "augment"):
        functions.check(getattr(table, key), plan.folder, f"{plan.path}: training.{key}")


def _format_of(plan: Plan) -> str:
    """Return which passes may work on the model: those of Keras, too, where a SavedModel says which layers it was made of."""
    with_layers = plan.source_format == "saved_model" and has_layers(plan.file(plan.tables.model.path))
    return "keras" if with_layers else plan.source_format


def _step(raw: dict[str, object], i: int, plan: Plan) -> Step:
    table, name = f"compress[{i}]", raw.get("pass")
    model_format = _format_of(plan)
    known = PASSES.get(model_format, {})
    if model_format == "saved_model":
        raise PlanError(
            f"{plan.path}: {table}: a SavedModel has no layers that a pass could work on",
            hint="Give the model as a .keras file (model.save('model.keras') in the program that made it) or as ONNX, or leave out "
            "[[compress]].",
        )
    if not known:
        raise PlanError(
            f"{plan.path}: {table}: there are no passes for {model_format or 'such'} models",
            hint=f"Passes work on {' and '.join(PASSES)} models: give the model that this file was made from, or leave out [[compress]].",
        )
    if not isinstance(name, str):
        wrong = (
            "missing key `pass`" if name is None else "the name of a pass is a string: one pass for each [[compress]]"
        )
        raise PlanError(f"{plan.path}: {table}.pass: {wrong}", hint=f"Known passes: {', '.join(known)}.")
    try:
        the_pass = load_pass(model_format, name)
    except PlanError as error:
        raise PlanError(f"{plan.path}: {table}.pass: {error.message}", hint=error.hint) from error
    given = {key: value for key, value in raw.items() if key != "pass"}
    _check_training(given, model_format, f"{plan.path}: {table}")
    settings = convert_table(given, the_pass.Settings, plan.path, table, PAGE)
    trains = isinstance(settings, Recover)  # its own keys are those of the table `recover`
    if plan.tables.data.training is None and (trains or getattr(settings, "recover", None) is not None):
        raise PlanError(
            f"{plan.path}: {table}{'' if trains else '.recover'} needs rows to train on, but data.training is missing",
            hint='Add to [data]: training = "module:function" or an .npz of x and y; or take recover out.',
        )
    return Step(name=name, settings=settings.as_dict())


def _check_training(given: dict[str, object], model_format: str, where: str) -> None:
    """Raise PlanError for a key that makes a pass train, where the model cannot be trained."""
    trains = [key for key in TRAINING_KEYS if key in given]
    if model_format == "onnx" and trains:
        raise PlanError(
            f"{where}.{trains[0]}: an ONNX model cannot be trained here",
            hint=f"Compress the Keras or PyTorch model before exporting it, or take {trains[0]} out.",
        )


def apply(
    model: OpenModel,
    name: str,
    *,
    training: Dataset | None = None,
    calibration: Dataset | None = None,
    evaluation: Dataset | None = None,
    scored: str | None = None,
    teacher: KerasModel | None = None,
    tell: child.Tell | None = None,
    seed: int = 0,
    folder: Path = Path(),
    resume: Path | None = None,
    **settings: object,
) -> Applied:
    """Apply one pass to a model in this process: what the plan's `[[compress]]` does, from Python.

    `model` is a Keras model or an `onnx.ModelProto`, and stays as it was; `settings` are the keys of docs/passes.md. `scored` is the name
    of the output that labels are of, by default the first that can be one score for each class. `resume` is a folder
    in which a training keeps each epoch, so that the same call continues after it. Returns the changed model with its notes, its file and
    the figures that the check of its promise found. Raises EdgepressError.
    """
    model_format = "onnx" if type(model).__module__.startswith("onnx") else "keras"
    the_pass = load_pass(model_format, name)
    context = Context(
        training=training, calibration=calibration, evaluation=evaluation, seed=seed, folder=folder,
        resume=resume, original=lambda: model if teacher is None else teacher,
    )  # fmt: skip
    if model_format == "keras":
        context = context._replace(compiled=compiled.of_model(model))
    if tell is not None:
        context = context._replace(tell=tell)
    if scored is not None:
        context = context._replace(scored=place_of(scored, FORMATS[model_format].interface(model)[1]))
    _check_training(settings, model_format, name)
    given = convert_table(dict(settings), the_pass.Settings, None, name, PAGE)
    return apply_pass(name, the_pass, model, given, context, FORMATS[model_format])


def compress(
    loaded: Loaded, steps: tuple[Step, ...], plan: Plan, store: Store, progress: Progress
) -> tuple[Compressed, bool]:
    """Run the passes; also say whether the answer was there already. No passes: the model as it is."""
    if not steps:
        return Compressed(model=loaded.model, passes=()), True
    frameworks.need(frameworks.RUNTIME_EXTRA[plan.source_format], "compressing a model")
    if loaded.model.artifact.format == "saved_model":  # its layers did not come back, or tf_keras opened it
        raise PlanError(
            f"{plan.path}: compress[0]: {plan.file(plan.tables.model.path).name} has no layers of Keras 3 that a pass could work on",
            hint=f"Leave out [[compress]] to convert and measure it. {' '.join(loaded.notes[:1])}",
        )

    def make() -> Compressed:
        with store.scratch() as scratch:
            request = Request(
                root=str(store.root), scratch=str(scratch), folder=str(plan.folder), format=loaded.model.artifact.format,
                model=loaded.model, data=loaded.data, steps=steps, seed=plan.tables.seed,
                custom_objects=plan.tables.model.custom_objects, training=plan.tables.training,
            )  # fmt: skip
            doing = f"compressing {loaded.model.name} ({', '.join(step.name for step in steps)})"
            return child.run(
                chain.work, request, Compressed, progress.step, doing=doing,
                limits=child_watch.of_plan(plan.tables.host, compress=True), say=progress.say, folder=str(scratch),
                imports_tensorflow=request.format in frameworks.BY_TENSORFLOW,
            )  # fmt: skip

    own = custom_objects.digest(plan.tables.model.custom_objects, plan.folder)
    key = key_of(
        loaded.model,
        identity(loaded.data),
        steps,
        plan.tables.seed,
        teachers(steps, plan.folder),
        own,
        learning(plan.tables.training, plan.folder),
        versions(*VERSIONS),
    )
    return store.remember("compress", key, Compressed, make)
