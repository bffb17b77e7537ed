"""Training after a change, shared by every pass: `recover`."""

from pipeline.compress.training.better import Untrained
from pipeline.compress.training.loop import check, recover, without_training_state
from pipeline.compress.training.objective import steps_of

__all__ = ["Untrained", "check", "recover", "steps_of", "without_training_state"]
