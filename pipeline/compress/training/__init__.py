"""Training after a change, shared by every pass: `recover`."""

from pipeline.compress.training.loop import check, recover, without_training_state

__all__ = ["check", "recover", "without_training_state"]
