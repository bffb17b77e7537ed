"""What a pass is, and the check of its promise. A pass is one file and one line in PASSES.

    Settings     its keys in the plan, a frozen PassSettings; a pass that trains afterwards calls that table `recover`
    requires     raise if this model or these settings cannot be used
    apply        change the model (it is the pass's own copy); return it with notes on the change
    ensures      look whether the promise is kept in what was saved; return the figures that were found

The base checks what no pass may change: the inputs and the outputs, and that every weight is a finite number. It also checks that a
container holds exactly the weights that were saved.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from pipeline import units
from pipeline.compress.codebooks import check
from pipeline.compress.context import Context
from pipeline.compress.formats.base import Format
from pipeline.compress.settings import PassSettings, Recover
from pipeline.errors import PromiseError, StageError
from pipeline.frameworks import row_shape
from pipeline.frameworks.types import OpenModel
from pipeline.records import Record, SensitivityPoint

Claims = dict[str, float]

ONLY_LOOK = ("sensitivity",)
"""Passes that leave the model as it is."""

UNDONE = "the model went through quantize_aware, and a change of its weights would undo what was trained for 8 bits"
LAST = "quantize_aware comes last: put this pass before it."


class Step(Record, frozen=True):
    """One pass that the plan asks for, with its checked settings."""

    name: str
    settings: dict[str, Any]


class Changed(NamedTuple):
    """What `apply` returns."""

    model: OpenModel
    notes: tuple[str, ...] = ()  # sentences: what was left as it was and why, what does not pay
    # all weights packed (codebooks.container_file): the base compares them with what was saved
    container: bytes | None = None
    sensitivity: tuple[SensitivityPoint, ...] = ()


class Pass(Protocol):
    """The module of a pass. Frameworks are imported inside its functions."""

    Settings: type[PassSettings]

    def requires(self, model: OpenModel, settings: Any, context: Context) -> None: ...
    def apply(self, model: OpenModel, settings: Any, context: Context) -> Changed: ...
    def ensures(self, before: OpenModel, after: OpenModel, settings: Any) -> Claims: ...


class Applied(NamedTuple):
    """A pass that was done: `file` holds the changed model, and `changed.model` is what was read back from it."""

    changed: Changed
    file: bytes
    claims: Claims


def apply_pass(
    name: str, the_pass: Pass, model: OpenModel, settings: PassSettings, context: Context, model_format: Format
) -> Applied:
    """Apply one pass; `model` itself stays as it was.

    The promise is checked on the model as it is read back from its file, so on what the next stage gets.
    """
    if name not in ONLY_LOOK and model_format.is_rounded(model):
        raise StageError(f"{name}: {UNDONE}", hint=LAST)
    the_pass.requires(model, settings, context)
    model_format.set_seed(context.seed)
    try:
        changed = the_pass.apply(model_format.reopened(model)[1], settings, context)
        file, after = model_format.reopened(changed.model)
    except StageError as error:
        message = error.message if error.message.startswith(name) else f"{name}: {error.message}"
        raise StageError(message, hint=error.hint) from error
    check_promises(name, model, after, model_format)
    trained = isinstance(settings, Recover) or getattr(settings, "recover", None) is not None
    with _broken(name, context.learn.function if trained else None):
        claims = the_pass.ensures(model, after, settings)
        if changed.container is not None:
            claims = check.check(changed.container, model_format.weights(after)) | claims
        return Applied(changed._replace(model=after), file, claims)


@contextlib.contextmanager
def _broken(name: str, function: str | None) -> Iterator[None]:
    """`function`: of the plan, which trained the model."""
    try:
        yield
    except PromiseError as error:
        if function is not None:
            raise PromiseError(
                f"{name}: after the training by {function}, {error.message}",
                hint="It must train with the callbacks that it gets, and with a Keras optimizer, which applies the constraints of kernels.",
            ) from error
        raise PromiseError(f"{name} broke its promise: {error.message}", hint=error.hint) from error


def check_promises(name: str, before: OpenModel, after: OpenModel, model_format: Format) -> None:
    """PromiseError if the pass changed the interface, or left a weight that is not a finite number."""
    for what, old, new in zip(
        ("input", "output"), model_format.interface(before), model_format.interface(after), strict=True
    ):
        kinds = [
            [(spec.name if what == "input" else "", spec.shape, spec.dtype) for spec in specs] for specs in (old, new)
        ]
        if kinds[0] != kinds[1]:
            told = [
                ", ".join(f"'{spec.name}' {spec.dtype} {units.shape(row_shape(spec.shape))}" for spec in specs)
                for specs in (old, new)
            ]
            raise PromiseError(
                f"{name} broke its promise: the {what} was {told[0]} and is now {told[1]}",
                hint="This is a fault of the pass. Take it out of the plan and report it.",
            )
    for weights, values in model_format.weights(after):
        if not np.isfinite(values).all():
            raise PromiseError(
                f"{name} broke its promise: the weights '{weights}' hold NaN or infinity",
                hint="If the pass trains, a smaller recover.learning_rate usually helps.",
            )
