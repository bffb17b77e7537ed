"""Whether a model can learn from the rows, and what of it: checked before a pass begins."""

from collections.abc import Sequence

import numpy as np

from pipeline import frameworks
from pipeline.compress.context import Context
from pipeline.compress.rows import Batches, called, outputs_of, refuse_steps, scored_of
from pipeline.compress.settings import PassSettings, Recover
from pipeline.compress.training import distillation, logits
from pipeline.compress.training.distillation import Kind
from pipeline.compress.training.label_forms import Learned
from pipeline.compress.training.labels import Labels, given_to, learned_from
from pipeline.compress.training.weights import weights_of
from pipeline.errors import DataError, EdgepressError, PlanError, StageError
from pipeline.frameworks import Array
from pipeline.frameworks.types import KerasModel
from pipeline.records import TensorSpec


def _key(how: Recover, name: str) -> str:
    """The name of a key for messages: the pass `recover` has it itself, and other passes in a table of that name."""
    return name if isinstance(how, PassSettings) else f"recover.{name}"


def _written(how: Recover, line: str) -> str:
    """As `_key`, of a key with its value, as a plan has it."""
    return line if isinstance(how, PassSettings) else f"recover = {{ {line} }}"


def fitting(model: KerasModel, how: Recover, context: Context) -> tuple[Batches, Labels, tuple[Kind, ...], int]:
    """Return the checked rows, what is learned from labels, the kind of each output, and which one is scored.

    A row of numbers is taken for class scores where its labels are classes, or where it is probabilities. Else it may be anything, and is
    learned from a teacher like an image: by the mean squared difference, which serves logits too (Ba, Caruana: arXiv 1312.6184).
    """
    training = context.training
    if training is None or not training.rows:
        raise DataError("recover needs data.training", hint="Give the rows that the model was trained on, with labels.")
    refuse_steps(model, context, "recover cannot train")
    x, outputs, scored = Batches(model, training, "data.training"), outputs_of(model), scored_of(model, context)
    _check_batches(model, x)
    if how.rows is not None and how.rows > len(x):
        raise DataError(
            f"{_key(how, 'rows')} is {how.rows:,}, but data.training has only {len(x):,} rows",
            hint=f"Leave {_key(how, 'rows')} out to train on all of them.",
        )
    probe = x.take(slice(distillation.PROBE_ROWS))
    kinds = [_kind(model, place, each, probe, scored) for place, each in enumerate(outputs)]
    answers = [np.asarray(each, np.float32) for each in called(model, probe, training=False)]
    if context.learn.function is not None:
        labels = _compared_by(model, how, context, scored, answers)
    else:
        labels = learned_from(model, context, outputs, scored, answers)
    if not labels.learned and context.learn.function is None:
        _check_without(model, how, (kinds, scored, probe), labels)
    for each in labels.learned:
        if each.loss.of is None or each.loss.is_of_classes:
            kinds[each.place] = "classes"
    softmax = [
        each._replace(loss=each.loss._replace(softmax=_takes_probabilities(model, each, kinds[each.place], probe)))
        for each in labels.learned
    ]
    weights_of(context, labels.learned)
    return x, labels._replace(learned=tuple(softmax)), tuple(kinds), scored


def _compared_by(model: KerasModel, how: Recover, context: Context, scored: int, answers: Sequence[Array]) -> Labels:
    """Return what a training by a function of the user's is compared by. It may know more of its labels than a loss does."""
    if how.mixed_precision:
        raise PlanError(
            f"{_key(how, 'mixed_precision')} is of edgepress's own training, and [training] function does its own",
            hint="Leave it out, and let the function choose in what it computes.",
        )
    outputs = outputs_of(model)
    given_to(context, list(context.outputs) or [each.name for each in outputs], scored)
    try:
        return learned_from(model, context, outputs, scored, answers)._replace(notes=())
    except EdgepressError:
        if context.learn.loss is not None:
            raise
    return Labels()


def _check_without(model: KerasModel, how: Recover, known: tuple[list[Kind], int, list[Array]], labels: Labels) -> None:
    """Raise unless the model can learn without labels; class scores, from whom `known` is changed, from the teacher alone."""
    kinds, scored, probe = known
    outputs, distill = outputs_of(model), how.distillation
    classes = frameworks.classes_of(outputs[scored]) is not None and bool(kinds[scored])
    if not classes or labels.unused or (distill is not None and not _softened(model, probe, scored)):
        if distill is None:
            raise StageError(
                f"recover can train classifiers, and the output {_named(outputs, scored)}of {model.name} is not one score for each class; "
                "for others no loss is known",
                hint=f"Write {_written(how, 'distill = true')}, to learn from the answers of the model as it was; say the loss of the labels, "
                "[training] loss, or the [task] kind; or take recover out.",
            )
        _check_learned(model, kinds)
        return
    kinds[scored] = "classes"
    if distill is None or distill.weight < 1:
        raise DataError(
            "recover needs labels, but data.training has none",
            hint=f"Give (x, y) with one integer label for each row; or write {_written(how, 'distill = { weight = 1 }')}, to learn from the "
            "teacher's answers alone.",
        )


def _kind(model: KerasModel, place: int, output: TensorSpec, probe: list[Array], scored: int) -> Kind:
    """How an output is compared with the teacher's. "": it is an integer, such as an argmax, which nothing can be learned through."""
    if output.dtype != "bfloat16" and np.dtype(output.dtype).kind != "f":
        return ""
    if place == scored or frameworks.classes_of(output) is None or not _softened(model, probe, place):
        return "numbers"
    return "classes"


def _takes_probabilities(model: KerasModel, learned: Learned, kind: Kind, probe: list[Array]) -> bool:
    """Whether a loss from elsewhere is of probabilities, and the output is trained before its softmax."""
    return learned.loss.of is not None and kind == "classes" and _softened(model, probe, learned.place)


def _softened(model: KerasModel, probe: list[Array], output: int) -> bool:
    return logits.final_softmax(model, output) is not None or logits.answers_probabilities(model, probe, output)


def _named(outputs: Sequence[TensorSpec], place: int) -> str:
    """The name of an output, followed by a space; "" where there is only one."""
    return f"'{outputs[place].name}' " if len(outputs) > 1 else ""


def _check_batches(model: KerasModel, x: Batches) -> None:
    if x.whole:
        raise StageError(
            f"recover cannot train {model.name}: each row is a whole batch for it",
            hint="Build the model with an open batch, keras.Input(shape), and give it these weights.",
        )


def _check_learned(model: KerasModel, kinds: Sequence[Kind]) -> None:
    if not any(kinds):
        raise StageError(
            f"recover cannot train {model.name}: no output is a floating point number, so nothing can be learned from them",
            hint="Give the model before its argmax or rounding: keras.Model(model.inputs, the scores).",
        )
