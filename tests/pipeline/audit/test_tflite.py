"""Files that TensorFlow's converter wrote: what computes how, what is said of names that lie, and of runtimes."""

import random
import shutil

import pytest

from pipeline.audit import audit
from pipeline.errors import ModelError
from tests.support.models import SELFTEST

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize(
    ("name", "kind", "stored"),
    [
        ("float32", "float", {""}),
        ("float16", "float", {"float16"}),
        ("int8", "int8", {""}),
        ("int16", "int16", {""}),
    ],
)
def test_each_form_is_what_it_is_called(converted, network_macs, name, kind, stored):
    found = audit(converted[name])
    assert found.macs == network_macs
    assert {each: share.macs_ratio for each, share in found.shares.items() if share.macs} == {kind: 1.0}
    assert {each.stored for each in found.operators if each.macs} == stored
    assert found.is_what_it_claims is True
    assert found.islands == ()
    assert [each.can for each in found.runs if each.runtime == "ai-edge-litert"] == [True]


def test_a_dynamic_range_file(converted):
    """tf.lite leaves small weights and transposed convolutions in floating point, and says so by nothing."""
    found = audit(converted["dynamic"])
    hybrid = [each for each in found.operators if each.arithmetic == "hybrid"]
    assert hybrid
    assert {each.stored for each in hybrid} == {"int8"}
    assert "int8" not in found.shares
    assert found.is_what_it_claims is True


@pytest.mark.parametrize(
    ("made", "called", "said"),
    [
        ("dynamic", "net_int8", "operators with weights do not compute in int8: "),
        ("int8", "net-fp32", "its weights are not all float32: "),
        ("dynamic", "float32", "its weights are not all float32: "),
        ("float16", "net_float32", "its weights are not all float32: "),
        ("float32", "net.fp16", "none of its weights are float16: "),
        ("float32", "net_dynamic_range_int8", "no operator quantizes its activations: "),
        ("int8", "net_16x8", "do not compute in int16: "),
        ("int8", "net-4bit", "no weights are stored in 4 bits"),
        ("float32", "quant-int8", "do not compute in int8: "),
    ],
)
def test_names_that_lie(converted, tmp_path, made, called, said):
    path = tmp_path / f"{called}.tflite"
    shutil.copyfile(converted[made], path)
    found = audit(path)
    assert found.is_what_it_claims is False
    assert any(said in each for each in found.findings)


@pytest.mark.parametrize("called", ["net", "int8_and_float32", "quantized"])
def test_names_that_claim_nothing(converted, tmp_path, called):
    path = tmp_path / f"{called}.tflite"
    shutil.copyfile(converted["int8"], path)
    assert audit(path).is_what_it_claims is None


def test_borders_and_memory(converted):
    found = audit(converted["int8"])
    (given,), (made,) = found.inputs, found.outputs
    assert (given.dtype, given.shape, made.dtype, made.shape) == ("int8", (None, 8, 8, 4), "int8", (None, 300))
    assert given.scale == pytest.approx(0.03, abs=0.02)
    # the depthwise convolution: (8, 8, 32) goes in, (6, 6, 32) comes out
    assert found.activation_bytes == 8 * 8 * 32 + 6 * 6 * 32
    assert audit(converted["float32"]).activation_bytes == 4 * found.activation_bytes


def test_litert_agrees_on_the_types(converted):
    """Every tensor that an operator makes has the type that LiteRT reports."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    for path in converted.values():
        runner = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        types = {each["index"]: each["dtype"].__name__ for each in runner.get_tensor_details()}
        made = [types[each["outputs"][0]] for each in runner._get_ops_details()]
        assert [each.dtype for each in audit(path).operators] == made


def test_an_island_is_named_by_what_makes_it(network, tmp_path):
    import tensorflow as tf

    _, rows = network

    class Net(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 4], tf.float32)])
        def f(self, x):
            y = tf.nn.conv2d(x, tf.ones([3, 3, 4, 4]) * 0.1, 1, "SAME")
            y = tf.math.negative(y)
            return tf.nn.conv2d(y, tf.ones([3, 3, 4, 4]) * 0.1, 1, "SAME")

    net = Net()
    made = tf.lite.TFLiteConverter.from_concrete_functions([net.f.get_concrete_function()], net)
    made.optimizations = [tf.lite.Optimize.DEFAULT]
    made.representative_dataset = lambda: ([row] for row in rows)
    path = tmp_path / "negative_int8.tflite"
    path.write_bytes(made.convert())
    found = audit(path)
    (island,) = found.islands
    assert (island.maker, island.operators, island.macs) == ("NEG", 1, 0)
    assert any("1 operator stays floating point among integers, from NEG" in each for each in found.findings)
    assert found.shares["int8"].macs_ratio == 1.0
    assert found.shares["border"].operators >= 2


def test_damaged_files_are_refused_or_read(tmp_path):
    """Bits flipped and ends cut off: nothing but an answer or a ModelError, and in short."""
    whole, draw = SELFTEST.read_bytes(), random.Random(3)
    path = tmp_path / "damaged.tflite"
    outcomes = set()
    for _ in range(400):
        data = bytearray(whole[: draw.randrange(8, len(whole))] if draw.random() < 0.2 else whole)
        for _ in range(draw.randrange(1, 6)):
            data[draw.randrange(min(len(data), 4000) if draw.random() < 0.5 else len(data))] = draw.randrange(256)
        path.write_bytes(data)
        try:
            outcomes.add(type(audit(path)).__name__)
        except ModelError:
            outcomes.add("refused")
    assert outcomes == {"Audit", "refused"}


@pytest.mark.parametrize("name", ["model.keras", "model", "model.pb"])
def test_other_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=r"is neither a \.tflite nor an \.onnx file"):
        audit(tmp_path / name)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read .*No such file"):
        audit(tmp_path / "none.tflite")
    (tmp_path / "folder.tflite").mkdir()
    with pytest.raises(ModelError, match="is not a file"):
        audit(tmp_path / "folder.tflite")
