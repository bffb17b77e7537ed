"""Made the models beside this file, once: y = x @ W + b, of which tests know the answer. Needs tensorflow and onnx.

W[i, j] = ((i + 2 j) % 5 - 2) / 4, of shape (4, 3);  b = (0.5, -0.25, 0)
"""

from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper
from tensorflow.lite.python import schema_py_generated as schema

HERE = Path(__file__).parent
W = np.array([[((i + 2 * j) % 5 - 2) / 4 for j in range(3)] for i in range(4)], "float32")
B = np.array([0.5, -0.25, 0], "float32")


def tflite(name: str, model: tf.keras.Model, samples=None) -> None:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if samples is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    (HERE / name).write_bytes(converter.convert())


def dense() -> tf.keras.Model:
    source = tf.keras.Input((4,), batch_size=1)
    layer = tf.keras.layers.Dense(3)
    model = tf.keras.Model(source, layer(source))
    layer.set_weights([W, B])
    return model


def rnn(name: str) -> None:
    """state = relu(x + state), answered: without a reset it adds up from row to row. Keras makes no such op any more."""
    tensors = {"x": (1, 1), "w": (1, 1), "r": (1, 1), "b": (1,), "state": (1, 1), "y": (1, 1)}
    data = {"w": 1.0, "r": 1.0, "b": 0.0}
    model, graph, op = schema.ModelT(), schema.SubGraphT(), schema.OperatorT()
    model.version, model.buffers, graph.tensors = 3, [schema.BufferT()], []
    for tensor_name, shape in tensors.items():
        tensor, buffer = schema.TensorT(), schema.BufferT()
        if tensor_name in data:
            buffer.data = np.frombuffer(np.float32(data[tensor_name]).tobytes(), "uint8")
        tensor.name, tensor.shape, tensor.type = tensor_name, list(shape), schema.TensorType.FLOAT32
        tensor.isVariable, tensor.buffer = tensor_name == "state", len(model.buffers)
        model.buffers.append(buffer)
        graph.tensors.append(tensor)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RNN
    code.version = 1
    op.inputs, op.outputs, op.opcodeIndex = [0, 1, 2, 3, 4], [5], 0
    op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.RNNOptions, schema.RNNOptionsT()
    op.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU
    graph.operators, graph.inputs, graph.outputs = [op], [0], [5]
    model.operatorCodes, model.subgraphs = [code], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (HERE / name).write_bytes(bytes(builder.Output()))


class Sums(tf.Module):
    """Two inputs of unequal size and two outputs, under names whose order is not that of the arguments."""

    @tf.function(
        input_signature=[tf.TensorSpec((1, 4), tf.float32, name="x"), tf.TensorSpec((1, 2), tf.int32, name="extra")]
    )
    def both(self, x, extra):
        whole = tf.reduce_sum(x, axis=1, keepdims=True)
        return {"total": whole + tf.reduce_sum(tf.cast(extra, tf.float32)), "each": x * 2, "count": extra + 1}


class Counter(tf.Module):
    """Adds up what it is given, in a resource variable: reset_all_variables leaves it."""

    def __init__(self) -> None:
        super().__init__()
        self.total = tf.Variable(tf.zeros((1, 1)))

    @tf.function(input_signature=[tf.TensorSpec((1, 1), tf.float32, name="x")])
    def add(self, x):
        self.total.assign_add(x)
        return {"total": self.total.read_value()}


def tflite_of(name: str, module: tf.Module, function) -> None:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module)
    converter.experimental_enable_resource_variables = True
    (HERE / name).write_bytes(converter.convert())


def onnx_state(name: str) -> None:
    """y = x + h, and hn = y: the state is an input and an output."""
    values = [helper.make_tensor_value_info(each, TensorProto.FLOAT, [1, 2]) for each in ("x", "h", "y", "hn")]
    nodes = [helper.make_node("Add", ["x", "h"], ["y"]), helper.make_node("Identity", ["y"], ["hn"])]
    graph = helper.make_graph(nodes, "state", values[:2], values[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), HERE / name)


def onnx_open(name: str) -> None:
    """Every kind of shape: an open axis, a scalar, truth values in, integers and truth values out."""
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["batch", "length"]),
        helper.make_tensor_value_info("scale", TensorProto.DOUBLE, []),
        helper.make_tensor_value_info("keep", TensorProto.BOOL, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info("scaled", TensorProto.DOUBLE, ["batch", "length"]),
        helper.make_tensor_value_info("size", TensorProto.INT64, [2]),
        helper.make_tensor_value_info("dropped", TensorProto.BOOL, [1]),
    ]
    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["wide", "scale"], ["scaled"]),
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("Not", ["keep"], ["dropped"]),
    ]
    graph = helper.make_graph(nodes, "open", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), HERE / name)


def onnx_dense(name: str, batch) -> None:
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(W, "w"), numpy_helper.from_array(B, "b")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), HERE / name)


def onnx_two_inputs(name: str) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "abc"]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "add", values[:2], values[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), HERE / name)


if __name__ == "__main__":
    tflite("dense_float.tflite", dense())
    tflite("dense_int8.tflite", dense(), np.random.default_rng(0).uniform(-1, 1, (200, 4)).astype("float32"))
    rnn("rnn_float.tflite")
    onnx_dense("dense.onnx", "batch")
    onnx_two_inputs("two_inputs.onnx")
    sums, counter = Sums(), Counter()
    tflite_of("sums.tflite", sums, sums.both)
    tflite_of("counter.tflite", counter, counter.add)
    onnx_state("state.onnx")
    onnx_open("open.onnx")
