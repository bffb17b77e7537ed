"""For a training of your own with Keras: what the passes `prune_weights` and `quantize_aware` do while they train.

model.fit(x, y, callbacks=[PruneWeights(sparsity=0.8)])
"""

from pipeline.compress.callbacks import ObserveRanges, PruneWeights, fake_quantized

__all__ = ["ObserveRanges", "PruneWeights", "fake_quantized"]
