"""Files with several inputs and outputs in the whole child: given, converted from ONNX, as a baseline, and without a runtime."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline import frameworks
from pipeline.convert import conversion
from pipeline.convert.request import Request
from pipeline.records import Column, Data, Model, Rows, TensorSpec
from pipeline.store import Store
from tests.support.conversions import silent

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def rows_of(store, **columns):
    """`constant_...`: of one row, without its axis."""
    found = []
    for name, values in columns.items():
        constant = name == "rate"
        array = np.asarray(values)[None] if constant else np.asarray(values)
        (artifact,) = frameworks.stored([array], store)
        found.append(Column(name, artifact, array.shape[1:], array.dtype.name, constant))
    return Rows(tuple(found), None, len(next(iter(columns.values()))))


def onnx_file(path, outputs=("scores", "best"), opset=17):
    """Two inputs of open length, and the rank-0 `rate`; `scores` in floating point, and which is the largest."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    info = helper.make_tensor_value_info
    generator = np.random.default_rng(5)
    weights = [
        numpy_helper.from_array(generator.normal(size=(6, 5)).astype(np.float32), "w"),
        numpy_helper.from_array(generator.normal(size=(5, 4)).astype(np.float32), "v"),
    ]
    nodes = [
        helper.make_node("Sub", ["zulu", "alpha"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["s"]),
        helper.make_node("Cast", ["rate"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "f"], [outputs[0]]),
        helper.make_node("ArgMax", [outputs[0]], [outputs[1]], axis=-1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [info("zulu", TensorProto.FLOAT, ["N", "T", 6]), info("alpha", TensorProto.FLOAT, ["N", "T", 6]), info("rate", TensorProto.INT64, [])],
        [info(outputs[0], TensorProto.FLOAT, ["N", "T", 4]), info(outputs[1], TensorProto.INT64, ["N", "T"])], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.save(model, path)
    return path.read_bytes()


@pytest.fixture
def loaded(store, tmp_path):
    """The request for a file that is given, with what `load` would have found out."""
    artifact = store.put_bytes(onnx_file(tmp_path / "m.onnx"), "onnx")
    fixed = {"zulu": (1, 3, 6), "alpha": (1, 3, 6), "rate": ()}
    runner = frameworks.Onnx(store.path(artifact), "m")
    inputs = tuple(msgspec.structs.replace(each, fixed=fixed[each.name]) for each in runner.inputs)
    generator = np.random.default_rng(0)
    sets = [
        rows_of(
            store,
            zulu=generator.normal(size=(60, 3, 6)).astype(np.float32),
            alpha=2 * generator.normal(size=(60, 3, 6)).astype(np.float32),
            rate=np.int64(3),
        )
        for _ in range(2)
    ]
    feeds = frameworks.feeds_of(sets[1], inputs, store.path)
    answers = runner.answers(feeds, tmp_path / "answers", silent)
    model = Model(
        name="m", artifact=artifact, inputs=inputs, outputs=runner.outputs, parameters=None,
        answers=frameworks.stored(answers, store),
    )  # fmt: skip
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Request(
        root=str(store.root), scratch=str(scratch), variant="original", format="onnx", name="", model=model,
        data=Data(calibration=sets[0], evaluation=sets[1]), seed=0, folder=str(tmp_path),
    )  # fmt: skip


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["onnx", "onnx-fp32", "onnx-int8"])
def test_an_onnx_file_with_a_constant_and_open_axes(loaded, store, name):
    made = conversion.work(msgspec.structs.replace(loaded, format=name), silent)
    assert [(each.name, each.tensor, each.fixed) for each in made.inputs] == [
        ("zulu", "zulu", (1, 3, 6)), ("alpha", "alpha", (1, 3, 6)), ("rate", "rate", ())
    ]  # fmt: skip
    assert [(each.name, each.dtype) for each in made.outputs] == [("scores", "float32"), ("best", "int64")]
    scores, best = frameworks.arrays_of(made.answers, store.path)
    assert (scores.shape, best.shape) == ((60, 3, 4), (60, 3))
    if name == "onnx-int8":
        assert made.agreement.error_rms > 0
        assert made.other_answers
        exact = frameworks.arrays_of(loaded.model.answers, store.path)
        assert np.abs(scores - exact[0]).max() < 0.1 * np.abs(exact[0]).max()
        assert np.mean(best == exact[1]) > 0.9
    else:
        assert made.agreement.largest_error == 0
        assert made.artifact == loaded.model.artifact


@pytest.mark.frameworks
def test_an_old_opset_with_several_inputs(loaded, store, tmp_path):
    artifact = store.put_bytes(onnx_file(tmp_path / "old.onnx", opset=11), "onnx")
    model = msgspec.structs.replace(loaded.model, artifact=artifact)
    made = conversion.work(msgspec.structs.replace(loaded, model=model, format="onnx-int8"), silent)
    assert any("raised from opset 11" in note for note in made.notes)


@pytest.mark.frameworks
def test_a_baseline_with_other_names_of_outputs(loaded, store, tmp_path):
    artifact = store.put_bytes(onnx_file(tmp_path / "b.onnx", outputs=("o1", "o2")), "onnx")
    model = msgspec.structs.replace(loaded.model, name="baseline", artifact=artifact)
    request = msgspec.structs.replace(loaded, variant="baseline", model=model, name="b.onnx")
    made = conversion.work(request, silent)
    assert [(each.name, each.tensor) for each in made.outputs] == [("scores", "o1"), ("best", "o2")]
    assert made.agreement.largest_error == 0
    assert "'o1' is 'scores', 'o2' is 'best'" in made.notes[0]


@pytest.mark.frameworks
def test_a_given_file_stays_as_it_is_byte_for_byte(loaded, store):
    data = (MODELS / "sums.tflite").read_bytes() + b"metadata that nothing reads"
    artifact = store.put_bytes(data, "tflite")
    request = msgspec.structs.replace(loaded, format="tflite", data=Data(), model=Model("m", artifact, (), (), None))
    made = conversion.work(request, silent)
    assert store.path(made.artifact).read_bytes() == data
    assert made.inputs
    assert made.outputs


@pytest.mark.frameworks
def test_a_host_without_a_runtime_still_names_the_tensors(loaded, store, monkeypatch):
    artifact = store.put_bytes((MODELS / "sums.tflite").read_bytes(), "tflite")
    request = msgspec.structs.replace(loaded, format="tflite", data=Data(), model=Model("m", artifact, (), (), None))
    with_runtime = conversion.work(request, silent)
    monkeypatch.setattr(frameworks, "available", lambda extra: False)
    without = conversion.work(request, silent)
    assert [(each.name, each.tensor) for each in without.inputs] == [
        (each.name, each.tensor) for each in with_runtime.inputs
    ]
    assert [each.name for each in without.outputs] == [each.name for each in with_runtime.outputs]
    model = Model("m", loaded.model.artifact, (TensorSpec("x", (1,), "float32"),), (), None)
    onnx = conversion.work(msgspec.structs.replace(request, format="onnx", model=model), silent)
    assert onnx.inputs == ()


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["tflite-fp32", "onnx-fp32"])
def test_a_model_of_16_bits_is_held_against_itself_in_32(loaded, store, tmp_path, name):
    import keras
    from keras import layers

    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        image = keras.Input((8, 8, 3), name="image")
        h = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(image))
        model = keras.Model(image, layers.Dense(4, activation="softmax", dtype="float32", name="scores")(h))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    artifact = store.put_bytes(frameworks.save_keras(model), "keras")
    runner = frameworks.KerasRunner(model, "m")
    inputs = tuple(msgspec.structs.replace(each, fixed=(1, 8, 8, 3)) for each in runner.inputs)
    rows = rows_of(store, image=np.random.default_rng(0).uniform(size=(30, 8, 8, 3)).astype(np.float32))
    answers = runner.answers(frameworks.feeds_of(rows, inputs, store.path), tmp_path / "answers", silent)
    record = Model(
        name="m", artifact=artifact, inputs=inputs, outputs=runner.outputs, parameters=None,
        answers=frameworks.stored(answers, store),
    )  # fmt: skip
    made = conversion.work(
        msgspec.structs.replace(loaded, format=name, model=record, data=Data(evaluation=rows)), silent
    )
    assert 0 < made.agreement.largest_error < 1e-2
    assert any("16 bits (mixed precision), and this file in 32" in note for note in made.notes)
