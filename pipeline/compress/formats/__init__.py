"""The kinds of models that passes work on: Keras models, and ONNX graphs (which cannot be trained).

One object of these functions for each, so that the chain of passes is the same for both.
"""

from pipeline.compress.formats.base import Format
from pipeline.compress.formats.keras_model import Keras
from pipeline.compress.formats.onnx_model import Onnx

FORMATS: dict[str, Format] = {"keras": Keras(), "onnx": Onnx()}
