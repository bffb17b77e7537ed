"""The plan's [task]: which metric judges the model."""

from pipeline.errors import PlanError
from pipeline.plan import Plan
from pipeline.quality.table import KINDS
from pipeline.records import Task
from pipeline.spelling import did_you_mean

SETTINGS = ("threshold", "ignored", "blank", "share")


def of_plan(plan: Plan) -> Task | None:
    """Return the task. None: the plan names none. PlanError for a metric or a setting that is not one of its kind."""
    table = plan.tables.task
    if table.kind is None:
        given = [key for key in ("metric", "output", *SETTINGS) if getattr(table, key) is not None]
        if given:
            raise PlanError(
                f"{plan.path}: task.{given[0]}: the plan does not say of which kind the task is",
                hint=f"Add to [task]: kind = ..., one of {', '.join(KINDS)}.",
            )
        return None
    kind = KINDS[table.kind]
    metric = table.metric or next(iter(kind.METRICS))
    if metric not in kind.METRICS:
        raise PlanError(
            f"{plan.path}: task.metric: {table.kind} has no metric '{metric}'",
            hint=f"{did_you_mean(metric, list(kind.METRICS))}It has: {', '.join(kind.METRICS)}.",
        )
    settings = {key: getattr(table, key) for key in SETTINGS if getattr(table, key) is not None}
    unused = [key for key in settings if key not in kind.SETTINGS]
    if unused:
        raise PlanError(
            f"{plan.path}: task.{unused[0]}: {table.kind} has no use for it",
            hint=f"Its settings are {', '.join(sorted(kind.SETTINGS))}." if kind.SETTINGS else "Leave it out.",
        )
    about = kind.METRICS[metric]
    return Task(
        kind=table.kind,
        metric=metric,
        title=about.title,
        higher_is_better=about.higher_is_better,
        ratio=about.ratio,
        **settings,
    )
