"""Small ONNX graphs with random weights, built node by node: what exporters write, and what they should not."""

import numpy as np


class Build:
    """Adds nodes behind each other; every method returns the name of its output."""

    def __init__(self, shape=(1, 3, 8, 8), seed=0, batch=1):
        from onnx import TensorProto, helper

        self.draw = np.random.default_rng(seed)
        self.nodes, self.constants, self.channels = [], [], {"x": shape[1]}
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape[1:]])
        self.row = shape[1:]

    def constant(self, values, name=None):
        from onnx import numpy_helper

        name = name or f"c{len(self.constants)}"
        values = np.asarray(values)
        self.constants.append(
            numpy_helper.from_array(values.astype(np.float32) if values.dtype == np.float64 else values, name)
        )
        return name

    def node(self, kind, *inputs, channels=None, **attributes):
        from onnx import helper

        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [f"{name}_out"], name=name, **attributes))
        self.channels[f"{name}_out"] = channels or self.channels.get(inputs[0])
        return f"{name}_out"

    def weights(self, *shape):
        return self.constant(self.draw.normal(0, 1 / np.sqrt(np.prod(shape[1:]) + 1), shape))

    def conv(self, x, out, kernel=3, group=1, bias=True):
        inputs = [x, self.weights(out, self.channels[x] // group, kernel, kernel)]
        inputs += [self.weights(out)] if bias else []
        pads = [kernel // 2] * 4
        return self.node("Conv", *inputs, channels=out, group=group, pads=pads, kernel_shape=[kernel, kernel])

    def depthwise(self, x, times=1):
        return self.conv(x, self.channels[x] * times, group=self.channels[x])

    def relu(self, x):
        return self.node("Relu", x)

    def norm(self, x):
        size = self.channels[x]
        scale, shift, mean = (self.constant(self.draw.normal(1, 0.3, size)) for _ in range(3))
        return self.node("BatchNormalization", x, scale, shift, mean, self.constant(self.draw.uniform(0.5, 2, size)))

    def pool(self, x):
        return self.node("GlobalAveragePool", x)

    def gemm(self, x, inputs, out):
        return self.node("Gemm", x, self.weights(inputs, out), self.weights(out), channels=out)

    def model(self, output, opset=17):
        import onnx
        from onnx import TensorProto, helper

        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "graph", [self.input], [result], self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        made.graph.output[0].CopyFrom(onnx.shape_inference.infer_shapes(made).graph.output[0])
        onnx.checker.check_model(made)
        return made

    def rows(self, count=4, seed=5):
        return np.random.default_rng(seed).normal(0, 1, (count, *self.row)).astype(np.float32)


def plain(b):
    x = b.relu(b.conv("x", 16))
    return b.conv(x, 4)


def residual(b):
    x = b.relu(b.conv("x", 16))
    y = b.conv(b.relu(b.conv(x, 8)), 16)
    return b.conv(b.relu(b.node("Add", x, y)), 4)


def depthwise(b):
    x = b.relu(b.conv("x", 8))
    return b.conv(b.relu(b.depthwise(x, times=2)), 4)


def concat(b):
    x = b.relu(b.conv("x", 8))
    y = b.node("Concat", x, b.conv(x, 16), channels=24, axis=1)
    return b.conv(b.norm(y), 4)


def flatten_gemm(b):
    x = b.node("MaxPool", b.relu(b.conv("x", 8)), kernel_shape=[2, 2], strides=[2, 2])
    x = b.relu(b.gemm(b.node("Flatten", x), 8 * 16, 16))
    return b.node("Softmax", b.gemm(x, 16, 4))


def squeeze_and_excite(b):
    x = b.conv("x", 16)
    gate = b.node("Sigmoid", b.conv(b.relu(b.conv(b.pool(x), 8, kernel=1)), 16, kernel=1))
    return b.conv(b.node("Mul", x, gate), 4)


def normalised_first(b):
    """As in DenseNet: batch normalisation that stands before its convolution cannot be folded."""
    x = b.conv("x", 16)
    return b.conv(b.node("Add", b.conv(b.relu(b.norm(x)), 16), x), 4)


def channels_last(b):
    """As tf2onnx writes it: Transpose, Reshape, and matrix products with the bias beside them."""
    x = b.node("Transpose", b.relu(b.conv("x", 8)), perm=[0, 2, 3, 1])
    x = b.node("MatMul", x, b.weights(8, 16))
    x = b.relu(b.node("Add", x, b.weights(16)))
    x = b.node("Reshape", x, b.constant(np.array([-1, 8 * 8 * 16])))
    return b.gemm(x, 8 * 8 * 16, 4)


def generator(b):
    """Dense, reshape, transposed convolution."""
    x = b.relu(b.gemm(b.node("Flatten", "x"), int(np.prod(b.row)), 16 * 4))
    x = b.node("Reshape", x, b.constant(np.array([1, 16, 2, 2])), channels=16)
    x = b.node("ConvTranspose", x, b.weights(16, 8, 2, 2), b.weights(8), channels=8, strides=[2, 2])
    return b.node("Tanh", b.conv(b.relu(b.norm(x)), 3))


def computed_shape(b):
    """As PyTorch writes `x.view(x.size(0), -1)` for a batch of any size."""
    x = b.relu(b.conv("x", 8))
    batch = b.node("Gather", b.node("Shape", x), b.constant(np.array(0)), axis=0)
    batch = b.node("Unsqueeze", batch, b.constant(np.array([0])))
    shape = b.node("Concat", batch, b.constant(np.array([-1])), axis=0)
    return b.gemm(b.node("Reshape", x, shape), 8 * 64, 4)


def many_activations(b):
    x = b.node("PRelu", b.conv("x", 8), b.weights(8, 1, 1))
    x = b.node("Clip", b.conv(x, 16, bias=False), b.constant(np.float32(0)), b.constant(np.float32(6)))
    x = b.node("Pad", x, b.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])))
    x = b.node("Resize", x, "", b.constant(np.array([1, 1, 2, 2], np.float32)), mode="nearest")
    x = b.node("HardSwish", b.node("Mul", x, b.weights(1, 16, 1, 1)))
    return b.gemm(b.node("ReduceMean", x, axes=[2, 3], keepdims=0), 16, 4)


GRAPHS = {
    function.__name__: function
    for function in (
        plain, residual, depthwise, concat, flatten_gemm, squeeze_and_excite, normalised_first, channels_last, generator,
        computed_shape, many_activations,
    )
}  # fmt: skip


def made(name, seed=0):
    """A graph and the builder that made it."""
    build = Build(seed=seed, batch="n" if name == "computed_shape" else 1)
    return build.model(GRAPHS[name](build)), build
