"""Which outputs learn from labels, by which loss, and whether the labels are of the form that the loss needs."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from pipeline import frameworks
from pipeline.compress.context import Context, Dataset
from pipeline.compress.training import compiled, logits, losses
from pipeline.compress.training.label_forms import Given, Learned, fitted, of_classes
from pipeline.compress.training.losses import Cannot, Loss
from pipeline.errors import DataError, PlanError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel
from pipeline.records import Task, TensorSpec
from pipeline.safe_text import shortened
from pipeline.spelling import did_you_mean

KEY = "training.loss"
OF_KINDS = {
    "classification": "sparse_categorical_crossentropy",
    "segmentation": "sparse_categorical_crossentropy",
    "regression": "mean_squared_error",
    "binary": "binary_crossentropy",
    "multilabel": "binary_crossentropy",
}
"""The loss of a kind of task, where it is certain."""


class Labels(NamedTuple):
    learned: tuple[Learned, ...] = ()
    notes: tuple[str, ...] = ()
    unused: str = ""  # the name of an output whose labels have no loss


class _Wanted(NamedTuple):
    """A loss that an output shall have: its name, or what a file keeps of it."""

    spec: Any
    source: Literal["plan", "model", "task"]
    weight: float = 1.0


def learned_from(
    model: KerasModel, context: Context, outputs: Sequence[TensorSpec], scored: int, answers: Sequence[Array]
) -> Labels:
    """Return the outputs that learn from the labels of the training rows. `answers`: of the model to the first of them.

    The loss is [training] loss of the plan, else the compiled model's, else that of the kind of task, else cross entropy where an output
    is scores of classes. PlanError or DataError says what does not fit.
    """
    assert context.training is not None
    names = list(context.outputs) or [each.name for each in outputs]
    given = _given(context.training)
    wanted = _of_plan(context, names, list(given))
    given = _with_names(given, wanted, names, scored)
    of_model = {} if wanted else compiled.losses_of(context.compiled, names, model)
    found: list[Learned] = []
    notes: list[str] = []
    unused = ""
    if context.learn.loss is not None and not given:
        raise DataError(
            f"{KEY} says what labels are learned by, and data.training has none",
            hint="Give (x, y), or an .npz with labels; or leave [training] loss out.",
        )
    weighted = context.training.weights is not None or bool(context.learn.class_weight)
    for name, y in given.items():
        place = names.index(name)
        labels = Given(place, name, y, outputs[place], answers[place], context.training.rows, weighted)
        kept = of_model.get(name)
        of_file = None if kept is None else _Wanted(kept.spec, "model", kept.weight)
        task = context.task_of(name, scored=place == scored)
        tries = [wanted.get(name)] if wanted else [of_file, _of_task(task, labels)]
        known = [each for each in tries if each is not None]
        learned, said = _first(known, model, task, labels)
        if learned is None and not wanted and frameworks.classes_of(outputs[place]) is not None:
            learned = of_classes(place, name, y, len(answers[place][0]), context.training.rows)
        notes += said
        if learned is not None:
            found.append(learned._replace(weight=context.learn.loss_weights.get(name, learned.weight)))
        unused = unused or (name if learned is None else "")
    without = [name for name in context.learn.loss_weights if name not in {each.name for each in found}]
    if without:
        raise PlanError(
            f"training.loss_weights: '{without[0]}' learns from no labels",
            hint="Give data.training labels of that output, and a loss; or take it out.",
        )
    return Labels(tuple(found), (*notes, *_told(found, names)), unused)


def given_to(context: Context, names: Sequence[str], scored: int) -> dict[int, Array]:
    """Return the labels of the training rows by the place of their output. PlanError or DataError for a name that is not an output's."""
    assert context.training is not None
    given = _given(context.training)
    given = _with_names(given, _of_plan(context, names, list(given)), names, scored)
    return {names.index(name): y for name, y in given.items()}


def _given(training: Dataset) -> dict[str, Array]:
    return dict(training.targets) if training.y is None else {"": training.y}


def _of_plan(context: Context, names: Sequence[str], given: Sequence[str]) -> dict[str, _Wanted]:
    loss, weights = context.learn.loss, context.learn.loss_weights
    for key, table in ((KEY, loss if isinstance(loss, dict) else {}), ("training.loss_weights", weights)):
        for name in table:
            if name not in names:
                raise PlanError(
                    f"{key}: the model has no output '{shortened(name, 100)}'",
                    hint=f"{did_you_mean(name, names)}Its outputs are {', '.join(names)}.",
                )
    if loss is None:
        return {}
    if isinstance(loss, str):
        return {name: _Wanted(loss, "plan") for name in (given if "" not in given else names)}
    lacking = [name for name in loss if given and "" not in given and name not in given]
    if lacking or (len(loss) > 1 and list(given) == [""]):
        raise DataError(
            f"{KEY} names '{lacking[0] if lacking else list(loss)[1]}', and data.training has no labels of that output",
            hint="Give labels by the names of outputs: (x, {'NAME': labels}) from a function, or arrays labels.NAME in an .npz; or take it out "
            "of [training] loss.",
        )
    return {name: _Wanted(each, "plan") for name, each in loss.items()}


def _with_names(
    given: dict[str, Array], wanted: Mapping[str, _Wanted], names: Sequence[str], scored: int
) -> dict[str, Array]:
    """Return labels by the names of outputs: those that name none are of the only one with a loss, or of the scored one."""
    if "" in given:
        return {next(iter(wanted)) if len(wanted) == 1 else names[scored]: given[""]}
    for name in given:
        if name not in names:
            raise DataError(
                f"data.training has labels of '{shortened(name, 100)}', and the model has no output of that name",
                hint=f"{did_you_mean(name, names)}Its outputs are {', '.join(names)}.",
            )
    return given


def _of_task(task: Task | None, labels: Given) -> _Wanted | None:
    """Return the loss of the kind of task, where the labels leave no doubt."""
    kind, size = None if task is None else task.kind, labels.size
    if kind == "binary" and int(np.prod(size)) == 2:
        kind = "classification"  # a score of each of the two
    if kind == "segmentation" and not (labels.are_classes and size[-1] > 1):
        kind = "binary" if int(np.prod(size)) == int(np.prod(labels.form)) else None  # one mask; else classes first
    return _Wanted(OF_KINDS[kind], "task") if kind in OF_KINDS else None


def _first(
    tries: Sequence[_Wanted], model: KerasModel, task: Task | None, labels: Given
) -> tuple[Learned | None, list[str]]:
    """Return the output with the first loss that can be had, and what is to be said of those before."""
    notes, reason = [], None
    for wanted in tries:
        try:
            loss = _loss(wanted, model, task, labels)
        except Cannot as error:
            reason = error
            notes.append(f"the loss of '{labels.name}' in the compiled model is not restored, because {error}")
            continue
        return fitted(labels, loss, wanted.weight, of_file=wanted.source == "model"), notes
    if reason is not None and frameworks.classes_of(labels.output) is None:
        raise StageError(
            f"the loss of '{labels.name}' in the compiled model is not restored: {reason}", hint=reason.hint
        ) from reason
    return None, notes


def _loss(wanted: _Wanted, model: KerasModel, task: Task | None, labels: Given) -> Loss:
    if wanted.source == "model":
        return losses.restored(wanted.spec)
    ignored = task.ignored if task is not None and task.kind == "segmentation" else None
    seen = logits.is_probability if "binary" in str(wanted.spec).lower() else logits.is_distribution
    return losses.named(wanted.spec, KEY, logits=not seen(model, labels.answers, labels.place), ignored=ignored)


def _told(found: Sequence[Learned], names: Sequence[str]) -> list[str]:
    """Say what learns by which loss, and what has none; nothing of cross entropy alone, which is what a classifier learns by."""
    if all(each.loss.of is None for each in found):
        return []
    several, told = len(names) > 1, []
    for each in found:
        weight = "" if each.weight == 1 else f", with the weight {each.weight:g}"
        which = f"'{each.name}'" if several else "it"
        told.append(f"{which} learns from labels by {each.loss.name}{weight}")
    without = [f"'{name}'" for name in names if name not in {each.name for each in found}]
    if without:
        told.append(f"{', '.join(without)} learns from no labels, and keeps to the answers of the model as it was")
    return ["; ".join(told)]
