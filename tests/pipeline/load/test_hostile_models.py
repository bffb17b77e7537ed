"""Model files that are damaged, made up, too large when unpacked, or without an end: one sentence each, in bounded time and memory."""

import os
import signal
import subprocess
import time
import zipfile

import numpy as np
import pytest

from pipeline import bounds, frameworks, load
from pipeline.errors import ChildError, DataError, ModelError, PlanError
from pipeline.frameworks import keras_archive, rows
from pipeline.frameworks.causes import cause_of
from pipeline.progress import Silent
from pipeline.records import Artifact, Column, TensorSpec
from tests.support.commands import EDGEPRESS
from tests.support.hostile_files import hdf5, keras_file

pytestmark = pytest.mark.frameworks


ZEROS = {"shape": (300, 2**20), "dtype": "u1", "chunks": (1, 2**20)}


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("m.keras", {"w": ZEROS}),  # of which nothing is stored
        ("m.h5", {"w": ZEROS}),
        ("m.h5", {"w": {"shape": (10**9, 10**9), "dtype": "f4", "chunks": (1024, 1024)}}),  # beyond 64 bits
    ],
)
def test_weights_that_are_small_only_when_packed(tmp_path, name, weights):
    path = tmp_path / name
    keras_file(path, hdf5(**weights)) if name == "m.keras" else path.write_bytes(hdf5(**weights))
    with pytest.raises(ModelError, match=rf"{name} unpacks (from|to) .* (more than 100 times its size|the most)"):
        keras_archive.check(path, name)
    with pytest.raises(ModelError, match=f"{name} unpacks"):
        frameworks.open_keras(path)


def test_an_archive_that_is_small_only_when_packed(tmp_path):
    path = keras_file(tmp_path / "m.keras", bytes(260 << 20), zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="more than 100 times its size"):
        frameworks.open_keras(path)


def test_weights_that_lie_in_another_file(tmp_path):
    path = tmp_path / "m.h5"
    path.write_bytes(hdf5(w={"shape": (3,), "dtype": "u1", "external": [("/etc/hostname", 0, 3)]}))
    with pytest.raises(ModelError, match="its weights 'w' lie in another file"):
        frameworks.open_keras(path)


def test_a_sound_model_is_let_through(tiny_folder):
    keras_archive.check(tiny_folder / "tiny.keras", "tiny.keras")


def test_a_file_that_is_larger_than_the_memory(empty):
    with (empty.folder / "m.tflite").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ModelError, match=r"m\.tflite has 1024 GiB, and .* is the most that is read"):
        empty.load('[model]\npath = "m.tflite"\n')
    with pytest.raises(ModelError, match=r"m\.tflite has 1024 GiB, and 512 GiB is the most"):
        empty.load('[model]\npath = "m.tflite"\n[host]\nmemory_bytes = "2048 GiB"\n')


def test_what_the_machine_has():
    assert (
        0 < bounds.default_bytes() < bounds.machine_bytes() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    )


# --- ONNX


def onnx_file(path, nodes, *, inputs=("x",), opset=17, shape=("N", 4), constants=(), external=False):
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], list(constants),
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.save(model, path, save_as_external_data=external, location="second.data", size_threshold=0)
    return path


def loop(times):
    """y = x, so many times: each round does nothing."""
    from onnx import TensorProto, helper, numpy_helper

    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["go_on"]), helper.make_node("Identity", ["a"], ["b"])], "body",
        [info("i", TensorProto.INT64, []), info("on", TensorProto.BOOL, []), info("a", TensorProto.FLOAT, None)],
        [info("go_on", TensorProto.BOOL, []), info("b", TensorProto.FLOAT, None)],
    )  # fmt: skip
    constants = [numpy_helper.from_array(np.array(times), "times"), numpy_helper.from_array(np.array(True), "always")]
    return [helper.make_node("Loop", ["times", "always", "x"], ["y"], body=body)], constants


ENDLESS = '[model]\npath = "m.onnx"\n[data]\nevaluation = "e.npz"\n[host]\nminutes = 0.1\n'


def test_a_loop_without_an_end_is_ended(empty):
    nodes, constants = loop(2**62)
    onnx_file(empty.folder / "m.onnx", nodes, constants=constants)
    np.savez(empty.folder / "e.npz", x=np.ones((2, 4), np.float32))
    with pytest.raises(ChildError, match=r"loading m\.onnx was ended: it took longer than 6 s") as caught:
        load.load(empty.plan(ENDLESS), empty.store, Silent())
    assert "raise minutes in [host]" in caught.value.hint


HANGS = "import time\n\ndef rows():\n    time.sleep(600)\n"


def test_the_first_interrupt_ends_a_data_function_that_hangs(tmp_path):
    """Within 5 s, and nothing of it runs on."""
    (tmp_path / "mine.py").write_text(
        HANGS.replace("    time", "    open('pid', 'w').write(str(__import__('os').getpid()))\n    time")
    )
    (tmp_path / "m.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(200))
    (tmp_path / "edge.toml").write_text('[model]\npath = "m.tflite"\n[data]\nevaluation = "mine:rows"\n')
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    try:
        run = subprocess.Popen([EDGEPRESS, "load", "edge.toml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert run.poll() is None
        time.sleep(0.05)
    began = time.monotonic()
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert time.monotonic() - began < 5
    assert run.returncode == 128 + signal.SIGINT
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_weights_in_a_second_file(empty):
    """They are taken into the model, and refused where that file is gone."""
    from onnx import helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
    onnx_file(
        empty.folder / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], constants=[weights], external=True
    )
    loaded, _ = empty.load('[model]\npath = "m.onnx"\n')
    assert loaded.model.parameters == 8
    (empty.folder / "second.data").unlink()
    with pytest.raises(
        ModelError, match=r"m\.onnx keeps its weights \('w'\) in 'second\.data', and there is no such file"
    ) as caught:
        empty.load('[model]\npath = "m.onnx"\n')
    assert "Copy the model's files together" in caught.value.hint


def answer(runner, x, folder):
    feeds = frameworks.Feeds(runner.inputs, {runner.inputs[0].name: x})
    return runner.answers(feeds, folder / "answers", lambda *_: None)


def test_a_number_of_answers_that_differs_from_row_to_row(tmp_path):
    from onnx import helper, numpy_helper

    zero = numpy_helper.from_array(np.float32(0), "zero")
    nodes = [helper.make_node("Greater", ["x", "zero"], ["on"]), helper.make_node("Compress", ["x", "on_"], ["y"])]
    nodes.insert(1, helper.make_node("Flatten", ["on"], ["flat"], axis=0))
    nodes.insert(2, helper.make_node("Squeeze", ["flat"], ["on_"]))
    runner = frameworks.Onnx(onnx_file(tmp_path / "m.onnx", nodes, constants=[zero]), "m.onnx")
    with pytest.raises(
        ModelError,
        match=r"the output 'y' of m\.onnx differs in shape from row to row, in its axis .*: \(2,\) for row 0, \(3,\) for row 1",
    ):
        answer(runner, np.array([[1, 1, -1, -1], [1, 1, 1, -1]], np.float32), tmp_path)


def test_what_a_runtime_says_while_it_runs(tmp_path):
    from onnx import helper, numpy_helper

    wrong = numpy_helper.from_array(np.array([7, 7]), "to")
    runner = frameworks.Onnx(
        onnx_file(tmp_path / "m.onnx", [helper.make_node("Reshape", ["x", "to"], ["y"])], constants=[wrong]), "m.onnx"
    )
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot run m\.onnx: .*") as caught:
        answer(runner, np.ones((1, 4), np.float32), tmp_path)
    assert len(caught.value.message) < 400


# --- words


@pytest.mark.parametrize(
    ("have", "want", "says", "hint"),
    [
        ((12, 10, 3), (3, 12, 10), r"are NHWC \(12, 10, 3\), but the model's input 'x' is NCHW \(3, 12, 10\)", "transpose(0, 3, 1, 2)"),
        ((3, 12, 10), (12, 10, 3), r"are NCHW .* is NHWC", "transpose(0, 2, 3, 1)"),
        ((12, 10, 3), (3, None, None), r"are NHWC .* is NCHW", "transpose(0, 3, 1, 2)"),
        ((5, 20), (20, 5), "has shape", "transpose(0, 2, 1)"),
        ((12, 10), (12, 10, 1), "has shape", "x[..., None]"),
        ((12, 12, 4), (3, 12, 12), "has shape", "prepared for training"),
    ],
)  # fmt: skip
def test_rows_whose_axes_stand_otherwise(have, want, says, hint):
    artifact = Artifact(sha256="0" * 64, format="npy", size_bytes=1)
    column = Column(name="x", artifact=artifact, shape=have, dtype="float32")
    with pytest.raises(DataError, match=says) as caught:
        rows.check_column(column, TensorSpec(name="x", shape=(None, *want), dtype="float32"), "data.evaluation", "onnx")
    assert hint in caught.value.hint


def test_the_cause_is_found_in_what_a_framework_says(tmp_path):
    long = "advice " * 100
    assert cause_of(ValueError(f"{long}\nException encountered: the shape is wrong\n{long}")) == "the shape is wrong"
    assert cause_of(ValueError(f"loc(x)\nfile:1: error: no such op\n{long}")) == "file:1: error: no such op"
    path = tmp_path / "store" / ("0" * 64)
    assert cause_of(OSError(f"Load model from {path} failed: it ended"), path) == "Load model from it failed: it ended"
    assert cause_of(KeyError()) == "KeyError"
    assert 290 < len(cause_of(ValueError("x" * 10**6))) <= 300


def test_a_data_function_is_called_where_edgepress_is(empty, monkeypatch):
    """Its relative paths are those of the caller, though other children work in their scratch folder."""
    (empty.folder / "mine.py").write_text("import numpy as np\n\ndef rows():\n    return np.load('here.npy')\n")
    elsewhere = empty.folder / "elsewhere"
    elsewhere.mkdir()
    np.save(elsewhere / "here.npy", np.ones((3, 2), np.float32))
    monkeypatch.chdir(elsewhere)
    plan = empty.plan('[model]\npath = "m.tflite"\n[data]\nevaluation = "mine:rows"\n')
    assert load.data.read(plan, empty.store, Silent()).evaluation.rows == 3


@pytest.mark.parametrize("kind", ["folder", "pipe", "endless"])
def test_data_files_that_are_no_files(empty, kind):
    path = empty.folder / "e.npz"
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "endless": lambda: path.symlink_to("/dev/zero")}[kind]()
    with pytest.raises(PlanError, match=r"data\.evaluation: .* is (a folder|not a regular file)"):
        load.data.read(empty.plan('[model]\npath = "m.tflite"\n[data]\nevaluation = "e.npz"\n'), empty.store, Silent())


def test_a_layer_whose_weights_lie_outside_the_file(tmp_path):
    """A TFSMLayer loads code and weights from a SavedModel beside the file."""
    import json

    import keras

    image = keras.Input((4,), name="image")
    keras.Model(image, keras.layers.Dense(2, name="tfsm")(image)).save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as old, zipfile.ZipFile(tmp_path / "t.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                (layer,) = (each for each in config["config"]["layers"] if each["name"] == "tfsm")
                layer["class_name"], layer["module"] = "TFSMLayer", "keras.layers"
                layer["config"] = {"name": "tfsm", "filepath": str(tmp_path / "elsewhere"), "call_endpoint": "serve"}
                content = json.dumps(config)
            new.writestr(name, content)
    with pytest.raises(
        ModelError, match=r"t\.keras holds a TFSMLayer: its weights lie in a SavedModel outside this file"
    ) as caught:
        frameworks.open_keras(tmp_path / "t.keras")
    assert "Lambda" not in caught.value.message + caught.value.hint
    assert "name its folder in [model] path" in caught.value.hint


def test_a_model_that_takes_text():
    import keras
    from keras import layers

    text = layers.TextVectorization(max_tokens=9, output_sequence_length=3, vocabulary=["on", "off"])
    words = keras.Input((1,), dtype="string", name="words")
    model = keras.Model(words, layers.Dense(2)(layers.Flatten()(layers.Embedding(9, 2)(text(words)))))
    with pytest.raises(ModelError, match="the input 'words' of m takes text") as caught:
        frameworks.keras_specs(model, "m")
    assert "Cut the model after its TextVectorization" in caught.value.hint
