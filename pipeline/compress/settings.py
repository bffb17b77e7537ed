"""What the plan can say to a pass: the tables that several passes share. Imports no framework."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pipeline.errors import PlanError
from pipeline.plan_tables import Table, Text

FAULT = "This is a fault of the pass. Take it out of the plan and report it."
"""The hint of a promise that was broken."""


class PassSettings(Table, frozen=True):
    """Base of every pass's Settings."""

    def as_dict(self) -> dict[str, Any]:
        """All settings, also those left at their default: what the report shows and the cache key holds."""
        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return found


class Distill(Table, frozen=True):
    """Learn from a teacher's answers too (Hinton, Vinyals, Dean: arXiv 1503.02531).

    The loss is `weight * T^2 * KL(teacher softened by T || student softened by T) + (1 - weight) * loss of the labels`. Answers that
    are not class scores are compared by their mean squared difference.
    """

    teacher: Text | None = (
        None  # a Keras model's file next to the plan; None: the model as it was before the first pass
    )
    # Short recoveries lose accuracy with more: benchmarks/compression/controls.py.
    temperature: Annotated[float, Meta(gt=0, le=100)] = 1.0
    weight: Annotated[float, Meta(ge=0, le=1)] = 0.9  # of the soft labels; the rest is the labels' own
    features: tuple[
        str, ...
    ] = ()  # layers whose outputs are compared too: "layer", or "teacher's layer=student's layer"
    feature_weight: Annotated[float, Meta(gt=0, le=1000)] = 1.0


class Recover(Table, frozen=True):
    """How a pass trains afterwards. In every pass this table is called `recover`."""

    epochs: Annotated[int, Meta(ge=1, le=1000)] = 1
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 1e-3
    batch_size: Annotated[int, Meta(ge=1, le=65536)] = 128
    rows: Annotated[int, Meta(ge=1)] | None = None  # drawn by the plan's seed; None: all
    distill: Distill | bool = False
    recalibrate: bool = True  # batch normalisation: estimate the statistics of the final weights
    mixed_precision: bool = False  # compute in 16 bits, if that is faster on this machine

    @property
    def distillation(self) -> Distill | None:
        return Distill() if self.distill is True else self.distill or None


def check_names(given: Iterable[str], known: Sequence[str], key: str, kind: str = "layer") -> None:
    """Raise PlanError with the nearest name for the first of `given` that is not in `known`. `key` is where it stands in the plan."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            listed = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
            raise PlanError(
                f"{key}: the model has no {kind} '{name}' that supports this setting",
                hint=(f"Did you mean '{near[0]}'? " if near else "") + f"Possible: {listed or 'none'}.",
            )
