"""The plan's [task]: which metric judges the model."""

from typing import Any

from pipeline import functions
from pipeline.errors import PlanError
from pipeline.plan import Plan
from pipeline.plan_tables import TaskTable
from pipeline.quality.heads import HEADS
from pipeline.quality.kinds.detection import SETTINGS as OF_DETECTION
from pipeline.quality.table import KINDS
from pipeline.quality.task import Metric
from pipeline.records import Detector, Task
from pipeline.spelling import did_you_mean

ALWAYS = ("kind", "metric", "output", "preprocess", "postprocess")
SETTINGS = tuple(key for key in TaskTable.__struct_fields__ if key not in ALWAYS)


def of_plan(plan: Plan) -> Task | None:
    """Return the task. None: the plan names none. PlanError for a metric or a setting that is not one of its kind."""
    table = plan.tables.task
    for key in ("preprocess", "postprocess"):
        functions.check(getattr(table, key), plan.folder, f"{plan.path}: task.{key}")
    settings = {key: getattr(table, key) for key in SETTINGS if getattr(table, key) is not None}
    if table.kind is None:
        given = [*(key for key in ("metric", "output", "postprocess") if getattr(table, key) is not None), *settings]
        if given:
            raise PlanError(
                f"{plan.path}: task.{given[0]}: the plan does not say of which kind the task is",
                hint=f"Add to [task]: kind = ..., one of {', '.join(KINDS)}.",
            )
        return None
    kind = KINDS[table.kind]
    metric, own = table.metric or next(iter(kind.METRICS), ""), table.kind == "custom"
    if own:
        _check_own(plan)
    elif metric not in kind.METRICS:
        raise PlanError(
            f"{plan.path}: task.metric: {table.kind} has no metric '{metric}'",
            hint='A function of your own judges with kind = "custom".'
            if ":" in metric
            else f"{did_you_mean(metric, list(kind.METRICS))}It has: {', '.join(kind.METRICS)}.",
        )
    unused = [key for key in settings if key not in kind.SETTINGS]
    if unused:
        raise PlanError(
            f"{plan.path}: task.{unused[0]}: {table.kind} has no use for it",
            hint=f"Its settings are {', '.join(sorted(kind.SETTINGS))}." if kind.SETTINGS else "Leave it out.",
        )
    about = Metric(metric.partition(":")[2], bool(table.higher_is_better), ratio=False) if own else kind.METRICS[metric]
    code = [functions.digest(each, plan.folder, "task") for each in (metric if own else None, table.postprocess)]
    detector = _detector(plan, settings) if table.kind == "detection" else None
    return Task(
        kind=table.kind,
        metric=metric,
        title=about.title,
        higher_is_better=about.higher_is_better,
        ratio=about.ratio,
        output=table.output,
        detector=detector,
        postprocess=table.postprocess,
        code="".join(code),
        **{key: value for key, value in settings.items() if key not in {*OF_DETECTION, "higher_is_better"}},
    )


def _check_own(plan: Plan) -> None:
    """PlanError unless the plan says all of a metric of the user's own."""
    table = plan.tables.task
    if table.metric is None:
        raise PlanError(
            f"{plan.path}: task.metric: the plan does not say which function judges",
            hint='Add to [task]: metric = "module:function", a function in module.py next to the plan.',
        )
    functions.check(table.metric, plan.folder, f"{plan.path}: task.metric")
    if table.higher_is_better is None:
        raise PlanError(
            f"{plan.path}: task.higher_is_better: nothing says whether a larger number of {table.metric} is better",
            hint="Add to [task]: higher_is_better = true, or false.",
        )
    if table.output is not None:
        raise PlanError(f"{plan.path}: task.output: the metric gets all outputs by name", hint="Leave it out.")


OF_A_HEAD = {
    "classes": ("yolo",),
    "objectness": ("yolo",),
    "anchors": ("anchors",),
    "unit": ("yolo", "boxes"),
    "overlap": ("yolo", "anchors"),
}
"""Settings of detection that not every head has."""


def _detector(plan: Plan, settings: dict[str, Any]) -> Detector:
    head = settings.get("head")
    if head is None:
        raise PlanError(
            f"{plan.path}: task.head: the plan does not say how the model answers boxes",
            hint=f"Add to [task]: head = ..., one of {', '.join(HEADS)} (docs/tasks.md).",
        )
    if plan.tables.task.output is not None:
        raise PlanError(
            f"{plan.path}: task.output: a detector may have several outputs",
            hint='Name them by what they have: outputs = { boxes = "..." }.',
        )
    for key, heads in OF_A_HEAD.items():
        if key in settings and head not in heads:
            raise PlanError(
                f"{plan.path}: task.{key}: the head '{head}' has no use for it", hint=f"It is of {' and '.join(heads)}."
            )
    if head == "anchors" and "anchors" not in settings:
        raise PlanError(
            f"{plan.path}: task.anchors: the plan does not say where the anchors are",
            hint="Add to [task]: anchors = [[8, 2], [16, 6]], the stride of each layer and the boxes of its cells.",
        )
    if head == "yolo" and "classes" not in settings and "objectness" not in settings:
        raise PlanError(
            f"{plan.path}: task.classes: one more class and an objectness look alike, and the plan says neither",
            hint="Add to [task]: classes = ..., how many there are; or objectness = true or false.",
        )
    given = {key: value for key, value in settings.items() if key != "labels"}
    if "labels" in settings:
        if given.get("label_unit") is not None:
            raise PlanError(
                f"{plan.path}: task.label_unit: boxes of a COCO file are in pixels of its pictures",
                hint="Leave it out.",
            )
        given["label_unit"] = "shares"
    if given.get("first_class") == "listed":
        given["first_class"] = 0
    return Detector(**given)
