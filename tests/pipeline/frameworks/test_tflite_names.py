"""What the inputs and outputs of a .tflite file are called, and what is said of the file."""

import io
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PlanError
from pipeline.frameworks import tflite_description, tflite_schema
from pipeline.frameworks.tflite_names import interface, unique_names

MODELS = Path(__file__).parents[2] / "models"


def read(data):
    return tflite_schema.read(data, "m.tflite")


@pytest.mark.frameworks
def test_names_come_from_the_signature(tflite_files):
    """TFLite sorts by key: the declared order was tokens, extra."""
    found = interface(read(tflite_files["two_signatures"]), "m.tflite", "score")
    assert {port.name: port.tensor.dtype for port in found.inputs} == {"tokens": "int32", "extra": "float32"}
    assert {port.name: port.tensor.shape for port in found.outputs} == {"score": (1,), "feat": (1, 4)}
    other = interface(read(tflite_files["two_signatures"]), "m.tflite", "embed")
    assert [(port.name, port.tensor.open_shape) for port in other.inputs] == [("x", (1, None))]
    assert {found.subgraph, other.subgraph} == {0, 1}


@pytest.mark.frameworks
def test_the_named_tensors_answer_as_the_signature_does(tflite_files):
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    data = tflite_files["state"]
    found, interpreter = interface(read(data), "m.tflite"), Interpreter(model_content=data)
    by_key = Interpreter(model_content=data).get_signature_runner("serve")(x=np.float32([[2]]))
    interpreter.allocate_tensors()
    interpreter.set_tensor(found.inputs[0].tensor.tensor_index, np.float32([[2]]))
    interpreter.invoke()
    assert (
        {port.name: interpreter.get_tensor(port.tensor.tensor_index) for port in found.outputs}
        == by_key
        == {"sum": [[6]]}
    )


@pytest.mark.frameworks
def test_which_signature_is_not_guessed(tflite_files):
    file = read(tflite_files["two_signatures"])
    with pytest.raises(PlanError, match=r"m\.tflite has 2 signatures, and the plan does not say") as caught:
        interface(file, "m.tflite")
    assert "embed" in caught.value.hint
    assert "score" in caught.value.hint
    with pytest.raises(PlanError, match=r"model\.signature: m\.tflite has no signature 'scores'") as caught:
        interface(file, "m.tflite", "scores")
    assert caught.value.hint.startswith("Did you mean score? It has: ")
    with pytest.raises(PlanError, match="has no signatures"):
        interface(read((MODELS / "rnn_float.tflite").read_bytes()), "m.tflite", "serve")


def test_the_default_signature_is_taken():
    found = interface(read((MODELS / "dense_float.tflite").read_bytes()), "m")
    assert (found.signature, [port.name for port in found.outputs]) == ("serving_default", ["output_0"])


def test_without_a_signature_tensors_give_the_names():
    found = interface(read((MODELS / "rnn_float.tflite").read_bytes()), "m")
    assert (found.signature, found.subgraph) == (None, 0)
    assert [port.name for port in (*found.inputs, *found.outputs)] == ["x", "y"]


@pytest.mark.parametrize(
    ("tensors", "names"),
    [
        (["serving_default_x:0", "serving_default_sr:0"], ["x", "sr"]),
        (["PartitionedCall:1", "PartitionedCall:0"], ["PartitionedCall_1", "PartitionedCall_0"]),
        (["StatefulPartitionedCall:0", "StatefulPartitionedCall_1:0"], ["StatefulPartitionedCall", "StatefulPartitionedCall_1"]),
        (["a:1", "a:0", "a_1"], ["a_1", "a_0", "a_1_2"]),
        (["x", "x", "x"], ["x", "x_2", "x_3"]),
        (["", ":0"], ["input", "input_0"]),
        (["a:b:0"], ["a:b"]),
        (["model/dense/BiasAdd;serve"], ["model/dense/BiasAdd;serve"]),
    ],
)  # fmt: skip
def test_names_of_tensors_are_made_readable(tensors, names):
    assert unique_names(tensors, "input") == names


@given(st.lists(st.text(alphabet="a_:01\n", max_size=4), max_size=12))
def test_names_are_all_different(tensors):
    found = unique_names(tensors, "input", ["a"])
    assert len(found) == len(tensors) == len({*found, "a"} - {"a"})
    assert all(found)


@pytest.mark.frameworks
def test_what_is_said_of_a_file(tflite_files):
    said = {
        name: " ".join(tflite_description.sentences(file, interface(file, name, key), data))
        for name, key, data, file in (
            (name, "score" if name == "two_signatures" else None, data, read(data))
            for name, data in tflite_files.items()
        )
    }
    assert "Its signature 'score' is run; it has others: embed." in said["two_signatures"]
    assert "It keeps a state between calls (total)" in said["state"]
    assert "reset this state only when they open the file again" in said["state"]
    assert "operators of TensorFlow itself, which small runtimes lack: FlexAsString, FlexStringLength" in said["flex"]
    assert "It has no signature" in said["flex"]
    assert "The input 'row' holds int8: real = " in said["dense_int8"]
    assert all("It carries metadata: min_runtime_version (16 B)" in text for text in said.values())


def test_attached_files_are_listed():
    """TFLite Metadata appends a zip archive to the model."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("labels.txt", "cat\ndog\n")
    data = (MODELS / "dense_float.tflite").read_bytes()
    assert tflite_description.attached_files(data) == ()
    assert tflite_description.attached_files(data + archive.getvalue()) == ("labels.txt",)
    assert tflite_description.attached_files(data + archive.getvalue()[:-10]) == ()


@pytest.mark.frameworks
def test_what_cannot_be_told_is_said(tflite_files):
    (said,) = tflite_description.of_file(tflite_files["two_signatures"], "m.tflite")
    assert "has 2 signatures, and the plan does not say which one to run. Add to [model]: signature = " in said
    assert tflite_description.ends(tflite_files["two_signatures"], "m.tflite") == []
    assert tflite_description.ends(tflite_files["two_signatures"], "m.tflite", "embed") == [
        ("input", "x: float32 (1, any)"),
        ("output", "e: float32 (1, any)"),
    ]
    (said,) = tflite_description.of_file(b"TFL3", "m.tflite")
    assert said.startswith("m.tflite is damaged: ")


def test_load_shows_what_the_file_carries(tmp_path, monkeypatch):
    """Also where no runtime is installed."""
    from pipeline import frameworks
    from pipeline.commands import cli

    monkeypatch.setattr(frameworks, "available", lambda _extra: False)
    (tmp_path / "m.tflite").write_bytes((MODELS / "dense_float.tflite").read_bytes())
    (tmp_path / "edge.toml").write_text('[model]\npath = "m.tflite"\n')
    said = CliRunner().invoke(cli, ["load", str(tmp_path / "edge.toml")])
    assert said.exit_code == 0, said.output
    assert "input        keras_tensor: float32 (1, 4)" in said.output
    assert "output       output_0: float32 (1, 3)" in said.output
    assert "note         It carries metadata: min_runtime_version (16 B), CONVERSION_METADATA" in said.output
