"""The plan's [task], or each of its [[task]]: which metric judges the model, or one of its outputs."""

from typing import Any

from pipeline import functions
from pipeline.errors import PlanError
from pipeline.plan import Plan
from pipeline.plan_tables import TaskTable
from pipeline.quality.heads import HEADS
from pipeline.quality.table import KINDS
from pipeline.quality.task import Metric
from pipeline.records import Detector, Task
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean

ALWAYS = ("kind", "name", "metric", "output", "preprocess", "postprocess")
SETTINGS = tuple(key for key in TaskTable.__struct_fields__ if key not in ALWAYS)


def of_plan(plan: Plan) -> tuple[Task, ...]:
    """Return the tasks; (): the plan names none. PlanError for a metric or a setting that is not one of its kind."""
    tables = plan.tables.tasks
    if len(tables) > 1:
        return tuple(_of_table(plan, table, f"task[{place}]", _name(plan, place)) for place, table in enumerate(tables))
    (table,) = tables
    if table.name is not None:
        raise PlanError(f"{plan.path}: task.name: there is one task, which needs no name", hint="Leave it out.")
    if table.kind is not None:
        return (_of_table(plan, table, "task", ""),)
    given = {key: getattr(table, key) for key in ("metric", "output", "postprocess")} | _settings(table)
    for key, value in given.items():
        if value is not None:
            raise _without_kind(plan, "task", key)
    functions.check(table.preprocess, plan.folder, f"{plan.path}: task.preprocess")
    return ()


def preprocess_of(plan: Plan) -> str | None:
    """Return the function that all rows go through before anything sees them. PlanError where two tasks name different ones."""
    found = list(dict.fromkeys(each.preprocess for each in plan.tables.tasks if each.preprocess is not None))
    if len(found) > 1:
        raise PlanError(
            f"{plan.path}: task.preprocess: one task says {found[0]}, and another {found[1]}",
            hint="All tasks are judged on the same rows: name one function, in one of them.",
        )
    return found[0] if found else None


def _name(plan: Plan, place: int) -> str:
    """Return what one of several tasks is called. PlanError where nothing says it, or another is called so, too."""
    names = [each.name or each.output for each in plan.tables.tasks]
    name = names[place]
    if name is None:
        raise PlanError(
            f"{plan.path}: task[{place}]: nothing says which of the outputs it is of",
            hint='Add to that [[task]]: output = "..."; or, where it has several or none of its own, name = "...", by which labels and limits call it.',
        )
    if name in names[:place]:
        raise PlanError(
            f"{plan.path}: task[{place}]: another task is called '{shortened(name, 100)}', too",
            hint='Give it a name of its own in its [[task]]: name = "...".',
        )
    return name


def _settings(table: TaskTable) -> dict[str, Any]:
    return {key: getattr(table, key) for key in SETTINGS if getattr(table, key) is not None}


def _without_kind(plan: Plan, where: str, key: str) -> PlanError:
    return PlanError(
        f"{plan.path}: {where}{key and f'.{key}'}: the plan does not say of which kind the task is",
        hint=f"Add to [task]: kind = ..., one of {', '.join(KINDS)}.",
    )


def _of_table(plan: Plan, table: TaskTable, where: str, name: str) -> Task:
    """`where`: of the table in the plan, for messages."""
    for key in ("preprocess", "postprocess"):
        functions.check(getattr(table, key), plan.folder, f"{plan.path}: {where}.{key}")
    settings = _settings(table)
    if table.kind is None:
        raise _without_kind(plan, where, "")
    kind = KINDS[table.kind]
    metric, own = table.metric or next(iter(kind.METRICS), ""), table.kind == "custom"
    if own:
        _check_own(plan, table, where)
    elif metric not in kind.METRICS:
        raise PlanError(
            f"{plan.path}: {where}.metric: {table.kind} has no metric '{metric}'",
            hint='A function of your own judges with kind = "custom".'
            if ":" in metric
            else f"{did_you_mean(metric, list(kind.METRICS))}It has: {', '.join(kind.METRICS)}.",
        )
    unused = [key for key in settings if key not in kind.SETTINGS]
    if unused:
        raise PlanError(
            f"{plan.path}: {where}.{unused[0]}: {table.kind} has no use for it",
            hint=f"Its settings are {', '.join(sorted(kind.SETTINGS))}." if kind.SETTINGS else "Leave it out.",
        )
    about = Metric(metric.partition(":")[2], bool(table.higher_is_better), ratio=False) if own else kind.METRICS[metric]
    code = [functions.digest(each, plan.folder, "task") for each in (metric if own else None, table.postprocess)]
    detector = _detector(plan, table, where) if table.kind == "detection" else None
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
        name=name,
        **{
            key: value for key, value in settings.items() if key in Task.__struct_fields__ and key != "higher_is_better"
        },
    )


def _check_own(plan: Plan, table: TaskTable, where: str) -> None:
    """PlanError unless the plan says all of a metric of the user's own."""
    if table.metric is None:
        raise PlanError(
            f"{plan.path}: {where}.metric: the plan does not say which function judges",
            hint='Add to [task]: metric = "module:function", a function in module.py next to the plan.',
        )
    functions.check(table.metric, plan.folder, f"{plan.path}: {where}.metric")
    if table.higher_is_better is None:
        raise PlanError(
            f"{plan.path}: {where}.higher_is_better: nothing says whether a larger number of {table.metric} is better",
            hint="Add to [task]: higher_is_better = true, or false.",
        )
    if table.output is not None:
        raise PlanError(f"{plan.path}: {where}.output: the metric gets all outputs by name", hint="Leave it out.")


OF_A_HEAD = {
    "classes": ("yolo",),
    "objectness": ("yolo",),
    "anchors": ("anchors",),
    "unit": ("yolo", "boxes"),
    "overlap": ("yolo", "anchors"),
}
"""Settings of detection that not every head has."""


def _detector(plan: Plan, table: TaskTable, where: str) -> Detector:
    settings = _settings(table)
    head = settings.get("head")
    if head is None:
        raise PlanError(
            f"{plan.path}: {where}.head: the plan does not say how the model answers boxes",
            hint=f"Add to [task]: head = ..., one of {', '.join(HEADS)} (docs/tasks.md).",
        )
    if table.output is not None:
        raise PlanError(
            f"{plan.path}: {where}.output: a detector may have several outputs",
            hint='Name them by what they have: outputs = { boxes = "..." }.',
        )
    for key, heads in OF_A_HEAD.items():
        if key in settings and head not in heads:
            raise PlanError(
                f"{plan.path}: {where}.{key}: the head '{head}' has no use for it",
                hint=f"It is of {' and '.join(heads)}.",
            )
    if head == "anchors" and "anchors" not in settings:
        raise PlanError(
            f"{plan.path}: {where}.anchors: the plan does not say where the anchors are",
            hint="Add to [task]: anchors = [[8, 2], [16, 6]], the stride of each layer and the boxes of its cells.",
        )
    if head == "yolo" and "classes" not in settings and "objectness" not in settings:
        raise PlanError(
            f"{plan.path}: {where}.classes: one more class and an objectness look alike, and the plan says neither",
            hint="Add to [task]: classes = ..., how many there are; or objectness = true or false.",
        )
    given = {key: value for key, value in settings.items() if key in Detector.__struct_fields__}
    if "labels" in settings:
        if given.get("label_unit") is not None:
            raise PlanError(
                f"{plan.path}: {where}.label_unit: boxes of a COCO file are in pixels of its pictures",
                hint="Leave it out.",
            )
        given["label_unit"] = "shares"
    if given.get("first_class") == "listed":
        given["first_class"] = 0
    return Detector(**given)
