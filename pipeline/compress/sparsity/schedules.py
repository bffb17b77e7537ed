"""How sparsity rises while a model trains: gradual pruning loses less than one cut (Zhu and Gupta, arXiv 1710.01878)."""

from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from pipeline.errors import PlanError
from pipeline.plan_tables import Table

PART_TO_RECOVER = 4
"""One part in this many of the training is left to the final sparsity, if the plan says nothing else. The paper keeps the masks as they are
from the last change on, and trains on."""

FEWEST_RISES = 20
LARGEST_FREQUENCY = 100
"""The paper changes the masks every 100 to 1000 steps; a training too short for that changes them about `FEWEST_RISES` times."""


class Schedule(Table, frozen=True):
    """The table `schedule` of a pass that prunes while it trains. Steps are optimizer steps (batches)."""

    kind: Literal["polynomial", "constant"] = "polynomial"
    initial_sparsity: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    begin_step: Annotated[int, Meta(ge=0)] = 0
    end_step: Annotated[int, Meta(ge=1)] | None = None  # None: at three quarters of the training
    frequency: Annotated[int, Meta(ge=1)] | None = (
        None  # steps between two changes; None: 100, or fewer if training is short
    )
    power: Annotated[float, Meta(gt=0, le=10)] = 3.0

    def over(self, steps: int, final: float) -> "Rise":
        """Return the schedule of a training of this many steps that ends at the sparsity `final`. PlanError if it does not fit in."""
        if self.kind == "constant":
            last, initial = self.begin_step, final
        else:
            last = self.end_step or max(self.begin_step + 1, steps - -(-steps // PART_TO_RECOVER))
            initial = self.initial_sparsity
        if last <= self.begin_step and self.kind == "polynomial":
            raise PlanError(
                f"schedule.end_step is {last}, which is not after schedule.begin_step {self.begin_step}",
                hint="The sparsity rises between the two: give a later end_step.",
            )
        if max(last, self.begin_step) >= steps:
            raise PlanError(
                f"the pruning schedule ends at step {max(last, self.begin_step):,}, but the training has {steps:,} steps",
                hint="Give an earlier schedule.end_step or begin_step, or more recover.epochs: some steps must be left to recover.",
            )
        if initial > final:
            raise PlanError(
                f"schedule.initial_sparsity {initial} is above the final sparsity {final}",
                hint="Sparsity can only rise: give a smaller initial_sparsity.",
            )
        frequency = self.frequency or max(1, min(LARGEST_FREQUENCY, (last - self.begin_step) // FEWEST_RISES))
        return Rise(initial, final, self.begin_step, last, frequency, self.power)


class Rise(NamedTuple):
    """Sparsity over optimizer steps. `begin == end`: all at once."""

    initial: float
    final: float
    begin: int
    end: int
    frequency: int
    power: float

    def sparsity(self, step: int) -> float:
        """Before `begin` nothing is pruned; then final + (initial - final) * (1 - progress)^power; after `end` it stays."""
        if step < self.begin:
            return 0.0
        if step >= self.end:
            return self.final
        progress = (step - self.begin) / (self.end - self.begin)
        return self.final + (self.initial - self.final) * float((1 - progress) ** self.power)

    def changes(self, before: int, step: int) -> bool:
        """Return whether a change is due at a step after `before` and up to `step`: every `frequency` steps, and at the end."""
        if step < self.begin or before >= self.end:
            return False
        rises = (min(step, self.end) - self.begin) // self.frequency - (before - self.begin) // self.frequency
        return rises > 0 or step >= self.end
