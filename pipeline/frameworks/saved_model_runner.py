"""One signature of a SavedModel as a runner: answers by name, in batches where its rows do not know of each other."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import CannotRunError
from pipeline.frameworks import saved_model
from pipeline.frameworks.batches import batched_answers, in_batches
from pipeline.frameworks.causes import cause_of
from pipeline.frameworks.feeds import Feed, Feeds
from pipeline.frameworks.rows import Array, Count
from pipeline.frameworks.runner import Runner, State


class SavedModelRunner(Runner):
    """What one signature answers. `keeps_state`: a call changes what the next one answers, until `reset`."""

    def __init__(self, folder: Path, name: str, signature: str | None = None) -> None:
        """ModelError if the folder cannot be opened, or takes or gives no numbers; PlanError if there is no such signature."""
        self.name = name
        self.opened = saved_model.Opened(folder, name)  # TensorFlow frees its variables with it
        self.signature = self.opened.chosen(signature or "")
        self.inputs, self.outputs = self.signature.inputs, self.signature.outputs
        saved_model.check_numbers((*self.inputs, *self.outputs), name)
        self._function = self.opened.functions[self.signature.key]
        self.keeps_state = self.opened.keeps_state(self.signature)
        variables = self.opened.variables(self.signature) if self.keeps_state else []
        self._beginning = [(each, each.numpy()) for each in variables]

    def run(self, feed: Feed) -> list[Array]:
        import tensorflow as tf

        try:
            given = {each.name: tf.constant(feed[each.name], dtype=each.dtype) for each in self.inputs}
            found = self._function(**given)
            return [_plain(found[each.name].numpy()) for each in self.outputs]
        except Exception as error:
            raise CannotRunError(
                f"TensorFlow cannot run {self.name}: {cause_of(error)}",
                hint="Does it answer such a row in the program that made it? Export it again from there.",
            ) from error

    def reset(self) -> None:
        for variable, value in self._beginning:
            variable.assign(value)

    def in_other_kernels(self) -> None:
        """It is not a file that boards run."""

    def weights(self) -> list[tuple[str, Array]]:
        """Return the numbers that the signature computes with, by the names of their variables."""
        return [
            (each.name, each.numpy())
            for each in self.opened.variables(self.signature)
            if saved_model.NUMBERS.fullmatch(each.dtype.name)
        ]

    def answers(self, feeds: Feeds, folder: Path, count: Count, state: State = ()) -> tuple[Array, ...]:
        if self.keeps_state or state or not in_batches(self, feeds):
            return super().answers(feeds, folder, count, state)
        return batched_answers(self, feeds, folder, count)


def _plain(value: Any) -> Array:
    found: Array = np.asarray(value)
    return found.astype(np.float32) if found.dtype.kind == "f" or found.dtype.name == "bfloat16" else found
