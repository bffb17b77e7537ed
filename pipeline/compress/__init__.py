"""Stage 2, compress: the plan's passes over the model, in their order, in one child process."""

import importlib

from pipeline import child, frameworks
from pipeline.compress.base import Pass, Step
from pipeline.errors import PlanError
from pipeline.plan import Plan, convert_table
from pipeline.progress import Progress
from pipeline.records import Artifact, Compressed, Loaded, Model, Record, Rows
from pipeline.store import Store, key_of, versions

PASSES = {
    "prune_weights": "pipeline.compress.prune_weights",
}
"""Name of a pass -> its module. What a module offers: `pipeline.compress.base.Pass`."""

VERSIONS = ("numpy", "keras", "tensorflow", "tensorflow-cpu")


class Request(Record, frozen=True):
    """What the child gets (pipeline.compress.work)."""

    root: str
    scratch: str
    model: Model
    training: Rows | None
    evaluation: Rows | None
    steps: tuple[Step, ...]
    seed: int


def load_pass(name: str) -> Pass:
    """Return the module of a pass; importing it imports no framework."""
    module: Pass = importlib.import_module(PASSES[name])
    return module


def settings_of(plan: Plan) -> tuple[Step, ...]:
    """Check every [[compress]] table against its pass. PlanError names the table and the key."""
    path = plan.file(plan.tables.model.path)
    if plan.tables.compress and path.suffix in (".onnx", ".tflite"):
        raise PlanError(
            f"{plan.path}: [[compress]] works on Keras models, not on {path.name}",
            hint="Give the .keras file that it was made from, or take the [[compress]] tables out.",
        )
    return tuple(_step(raw, i, plan) for i, raw in enumerate(plan.tables.compress))


def _step(raw: dict[str, object], i: int, plan: Plan) -> Step:
    table, name = f"compress[{i}]", raw.get("pass")
    if not isinstance(name, str) or name not in PASSES:
        raise PlanError(
            f"{plan.path}: {table}.pass: " + ("missing key `pass`" if name is None else f"there is no pass {name!r}"),
            hint=f"Known passes: {', '.join(PASSES)}.",
        )
    given = {key: value for key, value in raw.items() if key != "pass"}
    settings = convert_table(given, load_pass(name).Settings, plan.path, table)
    if getattr(settings, "fine_tune", None) is not None and plan.tables.data.training is None:
        raise PlanError(
            f"{plan.path}: {table}.fine_tune needs rows to train on, but data.training is missing",
            hint='Add to [data]: training = "module:function" or an .npz of x and y; or take fine_tune out.',
        )
    return Step(name=name, settings=settings.as_dict())


def compress(
    loaded: Loaded, steps: tuple[Step, ...], plan: Plan, store: Store, progress: Progress
) -> tuple[Compressed, bool]:
    """Run the passes; also say whether the answer was there already. No passes: the model as it is."""
    if not steps:
        return Compressed(model=loaded.model, passes=()), True
    frameworks.need("tensorflow", "compressing a model")

    def make() -> Compressed:
        with store.scratch() as scratch:
            request = Request(
                root=str(store.root), scratch=str(scratch), model=loaded.model, training=loaded.data.training,
                evaluation=loaded.data.evaluation, steps=steps, seed=plan.tables.seed,
            )  # fmt: skip
            doing = f"compressing {loaded.model.name} ({', '.join(step.name for step in steps)})"
            return child.run("pipeline.compress.work:work", request, Compressed, progress.step, doing=doing)

    key = key_of(
        loaded.model, _identity(loaded.data.training), _identity(loaded.data.evaluation), steps, plan.tables.seed,
        versions(*VERSIONS),
    )  # fmt: skip
    return store.remember("compress", key, Compressed, make)


def _identity(rows: Rows | None) -> tuple[Artifact | None, ...]:
    return () if rows is None else (rows.x, rows.y)
