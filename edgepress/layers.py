"""The layers with fake quantization that `fake_quantized` and the pass `quantize_aware` put into a model.

Import this module before keras.models.load_model opens such a model. It imports Keras and TensorFlow.
"""

from pipeline.frameworks.fake_quantization import (
    FakeQuantize,
    FakeQuantizedConv1D,
    FakeQuantizedConv2D,
    FakeQuantizedConv2DTranspose,
    FakeQuantizedDense,
    FakeQuantizedDepthwiseConv2D,
)

__all__ = [
    "FakeQuantize",
    "FakeQuantizedConv1D",
    "FakeQuantizedConv2D",
    "FakeQuantizedConv2DTranspose",
    "FakeQuantizedDense",
    "FakeQuantizedDepthwiseConv2D",
]
