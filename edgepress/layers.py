"""The layers with fake quantization that `fake_quantized` and the pass `quantize_aware` put into a model.

Import this module before keras.models.load_model opens such a model. It imports Keras and TensorFlow.
"""

from pipeline.frameworks.fake_quantization import (
    FakeQuantize,
    FakeQuantizedConv1D,
    FakeQuantizedConv1DTranspose,
    FakeQuantizedConv2D,
    FakeQuantizedConv2DTranspose,
    FakeQuantizedDense,
    FakeQuantizedDepthwiseConv1D,
    FakeQuantizedDepthwiseConv2D,
)
from pipeline.frameworks.operator_layers import Counting, InverseRoot

__all__ = [
    "Counting",
    "FakeQuantize",
    "FakeQuantizedConv1D",
    "FakeQuantizedConv1DTranspose",
    "FakeQuantizedConv2D",
    "FakeQuantizedConv2DTranspose",
    "FakeQuantizedDense",
    "FakeQuantizedDepthwiseConv1D",
    "FakeQuantizedDepthwiseConv2D",
    "InverseRoot",
]
