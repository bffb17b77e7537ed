"""Training after a change, shared by every pass: `recover`."""

from pipeline.compress.training.better import Untrained
from pipeline.compress.training.lesson import steps_of
from pipeline.compress.training.loop import check, recover, without_training_state

__all__ = ["Untrained", "check", "recover", "steps_of", "without_training_state"]
