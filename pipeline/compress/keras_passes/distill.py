"""A smaller model, the student, learns the answers of the model as it was.

The student is given, or is made of the model: `ratio` removes the channels with the smallest L1 norms and keeps the weights of the
others; `width` gives the same architecture with that share of the channels, and weights drawn again by the layers' own initializers. With the
same training, beginning with the teacher's weights was better by 2.8 points (measured on Fashion-MNIST, half the channels).
"""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from pipeline import frameworks, units
from pipeline.compress import training as train
from pipeline.compress.base import Changed, Claims
from pipeline.compress.context import Context
from pipeline.compress.rows import inputs_of, outputs_of
from pipeline.compress.settings import Distill, PassSettings, Recover
from pipeline.errors import PlanError, PromiseError, StageError
from pipeline.frameworks import row_shape
from pipeline.frameworks.keras_graph import follow_weights
from pipeline.frameworks.types import KerasModel
from pipeline.plan_tables import Text


class Settings(Recover, PassSettings, frozen=True):
    """The keys of the table `recover`, and where the student comes from: exactly one of student, ratio and width."""

    student: Text | None = None  # a Keras model's file next to the plan
    ratio: Annotated[float, Meta(gt=0, lt=1)] | None = None  # share of the channels that goes
    width: Annotated[float, Meta(gt=0, lt=1)] | None = None  # share of the channels that stays
    distill: Distill | bool = True

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.student, self.ratio, self.width)) != 1:
            raise ValueError("give exactly one of `student`, `ratio` and `width`")
        if self.distill is False:
            raise ValueError("`distill` cannot be false here: without a teacher the pass is `recover`")


def requires(model: KerasModel, settings: Settings, context: Context) -> None:
    """Refuse rows that do not fit the model, and a student that is not there."""
    train.check(model, settings, context)
    if settings.student is not None and not (context.folder / settings.student).is_file():
        raise PlanError(
            f"distill.student: there is no file {context.folder / settings.student}",
            hint="Give the path of a .keras file, relative to the plan.",
        )


def apply(model: KerasModel, settings: Settings, context: Context) -> Changed:
    """Make the student, and train it."""
    student, notes = _student(model, settings, context)
    pruned = settings.ratio is not None  # else zeros are what an initializer made: they have yet to learn
    notes += train.recover(student, settings, context, hold_zeros=pruned)
    return Changed(train.without_training_state(student), notes)


def ensures(before: KerasModel, after: KerasModel, settings: Settings) -> Claims:
    """A student that was made of the model is smaller."""
    parameters = before.count_params(), after.count_params()
    if settings.student is None and parameters[1] >= parameters[0]:
        raise PromiseError(
            f"the student has {parameters[1]:,} parameters, and the model has {parameters[0]:,}",
            hint="This is a fault of the pass. Take it out of the plan and report it.",
        )
    return {"parameters_ratio": parameters[1] / parameters[0]}


def _student(model: KerasModel, settings: Settings, context: Context) -> tuple[KerasModel, tuple[str, ...]]:
    if settings.student is not None:
        return _given(model, context.folder / settings.student, settings.student), ()
    from pipeline.compress.surgery import Selection, groups_of, prune_model

    if settings.width is None:
        selection = Selection(ratio=settings.ratio, importance="l1")
    else:
        selection = Selection(ratio=1 - settings.width, importance="random")
    pruned = prune_model(model, selection, context.seed)
    if not pruned.groups:
        why = "no layer of it can lose channels"
        if groups_of(model):
            share = f"ratio = {settings.ratio}" if settings.width is None else f"width = {settings.width}"
            why = f"channels are removed in multiples of {selection.round_to}, and with {share} every layer keeps all of its own"
        raise StageError(
            f"distill cannot make a smaller {model.name}: {why}",
            hint="Give the student as a file: distill.student.",
        )
    notes = tuple(f"'{left.layer}' is as wide as in the teacher: {left.why}" for left in pruned.left)
    return (pruned.model if settings.width is None else _fresh(pruned.model)), notes


def _fresh(model: KerasModel) -> KerasModel:
    """The same architecture with weights of the layers' own initializers. What a Normalization has learned of the data stays."""
    import keras

    fresh = type(model).from_config(model.get_config())
    for old, new in zip(model._flatten_layers(), fresh._flatten_layers(), strict=True):  # noqa: SLF001 - also inside wrappers
        if isinstance(old, keras.layers.Normalization):
            new.set_weights(old.get_weights())
            follow_weights(new)
    return fresh


def _given(model: KerasModel, path: Path, name: str) -> KerasModel:
    student = frameworks.open_keras(path)
    for what, of_model, of_student in (
        ("input", inputs_of(model), inputs_of(student)),
        ("output", outputs_of(model), outputs_of(student)),
    ):
        if len(of_model) != len(of_student):
            raise PlanError(
                f"distill.student: {name} has {units.counted(len(of_student), what)}, and the model {len(of_model)}",
                hint="The student must take the same rows and answer the same question.",
            )
        for mine, other in zip(of_model, of_student, strict=True):
            named = len(of_model) > 1
            if (row_shape(mine.shape), mine.dtype, named and mine.name) != (
                row_shape(other.shape),
                other.dtype,
                named and other.name,
            ):
                told = [f" '{each.name}'" if named else "" for each in (other, mine)]
                raise PlanError(
                    f"distill.student: the {what}{told[0]} of {name} is {other.dtype} {units.shape(row_shape(other.shape))}, and the model's{told[1]} is "
                    f"{mine.dtype} {units.shape(row_shape(mine.shape))}",
                    hint="The student must take the same rows and answer the same question.",
                )
    _rename_inputs(student, [each.name for each in inputs_of(model)])
    return student


def _rename_inputs(student: KerasModel, names: list[str]) -> None:
    """Rows come to the student, too, by the names that the model has for them."""
    for tensor, name, now in zip(student.inputs, names, inputs_of(student), strict=True):
        if name != now.name:
            layer = tensor._keras_history.operation  # noqa: SLF001 - Keras has no public way
            layer.name = tensor.name = name
