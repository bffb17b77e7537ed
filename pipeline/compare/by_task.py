"""Limits on the metrics of the plan's tasks: what each needs of the plan, and which of several tasks it judges."""

from collections.abc import Mapping

from pipeline.errors import PlanError
from pipeline.plan import Plan
from pipeline.plan_tables import TaskTable
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean

Bound = float | Mapping[str, float]
"""What [limits] allows: of every task, or of each by its name."""


def check(plan: Plan, key: str) -> dict[str, TaskTable]:
    """Return the tasks that the limit judges, by their names. PlanError unless the plan has a task, rows with labels, and each task that the
    limit names.
    """
    tables, bound = plan.tables.tasks, getattr(plan.tables.limits, key)
    if any(each.kind is None for each in tables):
        raise PlanError(
            f"{plan.path}: limits.{key} needs a metric, and the plan names no task",
            hint="Add to [task]: kind = ... (docs/tasks.md).",
        )
    if plan.tables.data.evaluation is None:
        raise PlanError(
            f"{plan.path}: limits.{key} needs rows to judge by, but data.evaluation is missing",
            hint='Add to [data]: evaluation = "module:function" or an .npz with x and y.',
        )
    tasks = {each.name or each.output or "": each for each in tables}
    if not isinstance(bound, Mapping):
        return tasks
    if len(tables) == 1:
        raise PlanError(
            f"{plan.path}: limits.{key}: there is one task, and its limit is a number", hint=f"Write {key} = 0.01."
        )
    for name in bound:
        if name not in tasks:
            raise PlanError(
                f"{plan.path}: limits.{key}: no task is called '{shortened(name, 100)}'",
                hint=f"{did_you_mean(name, tasks)}The tasks are {', '.join(tasks)}.",
            )
    return {name: tasks[name] for name in bound}


def bounds(bound: Bound | None, tasks: tuple[str, ...]) -> Mapping[str, float]:
    """Return what is allowed of each task, by its name. `tasks`: those that have labels, of which a limit without names is."""
    if isinstance(bound, Mapping):
        return bound
    return dict.fromkeys(tasks, bound or 0.0)
