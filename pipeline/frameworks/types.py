"""Names for what the frameworks' objects are, for annotations only: none of the frameworks is imported for them at run time.

To the type checker, the names of ONNX are its classes where onnx is installed. Keras and TensorFlow have no types of their own, so
theirs are `Any` to it, and show a reader what is passed on.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NotRequired, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras
    import onnx
    import onnxruntime
    import tensorflow as tf
    from keras.src.ops.node import Node
    from onnxruntime.quantization import CalibrationDataReader

    KerasModel: TypeAlias = keras.Model
    KerasLayer: TypeAlias = keras.Layer  # or an operation of keras.ops, which stands in a graph like a layer
    KerasNode: TypeAlias = Node  # one call of a layer in a graph
    KerasTensor: TypeAlias = keras.KerasTensor  # symbolic, in a graph
    KerasVariable: TypeAlias = keras.Variable
    KerasCallback: TypeAlias = keras.callbacks.Callback
    KerasLoss: TypeAlias = keras.losses.Loss
    TfTensor: TypeAlias = tf.Tensor  # with values, or in a tf.function that is being traced
    TfVariable: TypeAlias = tf.Variable
    TfSpec: TypeAlias = tf.TensorSpec
    TfDataset: TypeAlias = tf.data.Dataset
    TfFunction: TypeAlias = tf.types.experimental.PolymorphicFunction  # what tf.function makes
    TfliteConverter: TypeAlias = tf.lite.TFLiteConverter
    OnnxModel: TypeAlias = onnx.ModelProto
    OnnxGraph: TypeAlias = onnx.GraphProto
    OnnxFunction: TypeAlias = onnx.FunctionProto
    OnnxNode: TypeAlias = onnx.NodeProto
    OnnxTensor: TypeAlias = onnx.TensorProto
    OnnxValue: TypeAlias = onnx.ValueInfoProto
    OnnxArgument: TypeAlias = onnxruntime.NodeArg  # an input or output of a session
    OnnxReader: TypeAlias = CalibrationDataReader  # of calibration rows
else:
    KerasModel = KerasLayer = KerasNode = KerasTensor = KerasVariable = KerasCallback = KerasLoss = Any
    TfTensor = TfVariable = TfSpec = TfDataset = TfFunction = TfliteConverter = Any
    OnnxModel = OnnxGraph = OnnxFunction = OnnxNode = OnnxTensor = OnnxValue = OnnxArgument = OnnxReader = Any


class TfliteDetail(TypedDict):
    """What LiteRT's interpreter reports on a tensor, as far as it is read here."""

    name: str
    index: int
    shape: npt.NDArray[np.int32]
    shape_signature: NotRequired[npt.NDArray[np.int32]]  # -1: any length
    dtype: type[np.generic]
    quantization: tuple[float, int]  # scale, zero point; a scale of 0: not quantized


OpenModel: TypeAlias = KerasModel | OnnxModel
"""A model of either kind, opened: for code that leaves the difference to pipeline/compress/formats."""
Nested: TypeAlias = KerasTensor | list[KerasTensor] | dict[str, KerasTensor]
"""The inputs or outputs of a model, as it is called."""
LayerConfig: TypeAlias = dict[str, Any]
"""What `get_config` of a Keras layer returns, and `from_config` takes."""
NodeConfig: TypeAlias = Any
"""One call of a layer in a model's configuration, as JSON: lists and dicts, in the form of Keras 2."""
Logs: TypeAlias = dict[str, float] | None
"""What Keras passes to a callback."""
Constraint: TypeAlias = Callable[[TfTensor], TfTensor]
"""What Keras applies to a weight after each step."""
