"""Training after a change, shared by every pass: `recover`."""

from pipeline.compress.training.loop import recover, without_training_state

__all__ = ["recover", "without_training_state"]
