"""For a training of one's own, `model.fit(..., callbacks=[...])`: the same masks, schedules and fake quantization as the passes."""

from pipeline.compress.callbacks.pruning import PruneWeights
from pipeline.compress.fake_quantize.callback import ObserveRanges, fake_quantized

__all__ = ["ObserveRanges", "PruneWeights", "fake_quantized"]
