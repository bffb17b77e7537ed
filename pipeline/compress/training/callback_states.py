"""What a pass's callbacks have reached, kept while a function of the user's trains: its own checkpoint holds the model alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.compress.training.checkpoint import Checkpoint
from pipeline.frameworks.types import KerasCallback

KEPT_EPOCHS = 10
"""The user's checkpoint may be older than the training by as many."""


class CallbackStates:
    """The states after each of the last epochs: a training that was stopped resumes with them, and not with how they begin."""

    def __init__(self, folder: Path | None, callbacks: Sequence[KerasCallback]) -> None:
        """`folder`: None keeps nothing. Of `callbacks` those count that have `state` and `restore`."""
        self.folder, self.callbacks = folder, [each for each in callbacks if hasattr(each, "state")]

    def keep(self, epochs: int) -> None:
        """Write what they are after this many epochs."""
        if self.folder is None or not self.callbacks:
            return
        states = [each.state() for each in self.callbacks]
        self._of(epochs).write(
            {f"{i} {j}": np.asarray(each) for i, state in enumerate(states) for j, each in enumerate(state)}
        )
        old = self._of(epochs - KEPT_EPOCHS).path
        if old is not None:
            old.unlink(missing_ok=True)

    def restore(self, epochs: int) -> None:
        """Bring them back to what they were after this many epochs, where that is known."""
        found = self._of(epochs).read() or {}
        for i, each in enumerate(self.callbacks):
            state = [array for name, array in found.items() if name.startswith(f"{i} ")]
            if state:
                each.restore(state)

    def _of(self, epochs: int) -> Checkpoint:
        return Checkpoint(self.folder, f"callbacks-{epochs}")
