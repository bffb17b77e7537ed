"""What a .tflite file says of itself, against what LiteRT says of the same file; and files that are damaged."""

import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.frameworks import tflite_description, tflite_names, tflite_operators, tflite_schema
from tests.support.models import SELFTEST

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["two_signatures", "state", "dense_int8"])
def test_litert_says_the_same(tflite_files, name):
    from ai_edge_litert.interpreter import Interpreter

    file = tflite_schema.read(tflite_files[name], name)
    interpreter = Interpreter(model_content=tflite_files[name])
    signatures = interpreter.get_signature_list()
    assert {each.key for each in file.signatures} == set(signatures)
    for each in file.signatures:
        assert sorted(each.inputs) == sorted(signatures[each.key]["inputs"])
        assert sorted(each.outputs) == sorted(signatures[each.key]["outputs"])
        runner = interpreter.get_signature_runner(each.key)
        for found, ends in ((runner.get_input_details(), each.inputs), (runner.get_output_details(), each.outputs)):
            for port, detail in found.items():
                _is_same(file.subgraphs[each.subgraph].tensors[ends[port]], detail)
    operators = Counter(each.name for each in file.subgraphs[0].operators)
    assert operators == Counter(
        each["op_name"] for each in interpreter._get_ops_details() if each["op_name"] != "DELEGATE"
    )


def _is_same(tensor, detail):
    assert (tensor.tensor_index, tensor.name) == (detail["index"], detail["name"])
    assert [-1 if size is None else size for size in tensor.open_shape] == list(detail["shape_signature"])
    assert tensor.dtype == np.dtype(detail["dtype"]).name
    parameters = detail["quantization_parameters"]
    scales = tensor.quantization.scales if tensor.quantization else ()
    assert np.array_equal(np.float32(scales), parameters["scales"])
    assert list(tensor.quantization.zero_points if tensor.quantization else ()) == list(parameters["zero_points"])
    if len(scales) > 1:
        assert tensor.quantization.axis == parameters["quantized_dimension"]


@pytest.mark.frameworks
def test_numbers_of_operators_and_types_are_those_of_the_schema():
    from ai_edge_litert import schema_py_generated as schema

    operators = {number: name for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    assert operators == dict(enumerate(tflite_operators.OPERATORS))
    types = {number: name.lower() for name, number in vars(schema.TensorType).items() if not name.startswith("_")}
    assert types == dict(enumerate(tflite_operators.TYPES))


@pytest.mark.frameworks
def test_scales_of_channels(tflite_files):
    file = tflite_schema.read(tflite_files["dense_int8"], "m")
    (weights,) = [each for each in file.subgraphs[0].tensors if each.shape == (3, 6)]
    assert (len(weights.quantization.scales), weights.quantization.axis, weights.dtype) == (3, 0, "int8")


@pytest.mark.frameworks
def test_state_is_found(tflite_files):
    """A variable that is only set when the file is opened is a constant: `factor` is none."""
    state = tflite_schema.read(tflite_files["state"], "m").state
    assert state == (tflite_schema.State("total", tflite_schema.RESOURCE, (1, 1), "float32"),)
    assert tflite_schema.read(tflite_files["two_signatures"], "m").state == ()


def test_state_in_a_tensor():
    state = tflite_schema.read((MODELS / "rnn_float.tflite").read_bytes(), "m").state
    assert state == (tflite_schema.State("state", tflite_schema.VARIABLE, (1, 1), "float32"),)


def test_metadata_and_versions():
    file = tflite_schema.read(SELFTEST.read_bytes(), "m")
    assert ("min_runtime_version", 16) in file.metadata
    assert file.lowest_runtime == "1.14.0"
    assert file.operators["CONV_2D", 3] >= 1
    assert file.custom_operators == ()


@pytest.mark.frameworks
def test_custom_operators(tflite_files):
    assert tflite_schema.read(tflite_files["flex"], "m").custom_operators == ("FlexAsString", "FlexStringLength")


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x08\0\0\0TFL4" + bytes(50), b"\x08\0\0\0TFL3" + bytes(50)])
def test_what_is_no_model(data):
    with pytest.raises(ModelError, match=r"m\.tflite is damaged: ") as caught:
        tflite_schema.read(data, "m.tflite")
    assert "Copy it again" in caught.value.hint


def test_damaged_files_give_one_kind_of_error(share):
    """Bytes are changed and cut off at random: each file is read or refused, and none takes long."""
    sources = [SELFTEST.read_bytes(), *(path.read_bytes() for path in sorted(MODELS.glob("*.tflite")))]
    generator, outcome = random.Random(12), Counter()
    for _ in range(share(3_000, 100_000)):
        data, began = _mutated(generator.choice(sources), generator), time.process_time()
        try:
            file = tflite_schema.read(data, "m")
            tflite_description.sentences(file, tflite_names.interface(file, "m"), data)
            outcome["read"] += 1
        except ModelError:
            outcome["refused"] += 1
        assert time.process_time() - began < 20
    assert min(outcome["read"], outcome["refused"]) > 100


def _mutated(source, generator):
    data = bytearray(source)
    if generator.random() < 0.2:
        del data[generator.randrange(len(data)) :]
        return bytes(data)
    for _ in range(generator.choice([1, 1, 4, 64])):
        at = generator.randrange(len(data) if generator.random() < 0.5 else min(len(data), 4000))
        data[at] = generator.choice([0, 255, 127, 128, generator.randrange(256)])
    return bytes(data)
