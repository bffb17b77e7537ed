"""Conversions with the real converters, judged by the answers of the files that they make."""

import shutil
import threading

import numpy as np
import pytest

from pipeline import child, convert, frameworks, load
from pipeline.convert import onnx_fp32, tflite_int8
from pipeline.convert.request import shapes_of
from pipeline.convert.table import load_converter
from pipeline.errors import ChildError, DataError, ModelError, StageError
from pipeline.progress import Silent
from pipeline.records import TensorSpec
from tests.support.conversions import job, largest_error, model_of, silent
from tests.support.tiny_model import FORMATS, through

# --- the files


@pytest.mark.frameworks
def test_all_formats_agree_with_their_source(whole, sets):
    made = {(file.variant, file.format): file for file in whole.converted}
    assert list(made) == [
        *(("compressed", name) for name in FORMATS),
        ("original", "tflite-fp32"),
        ("original", "onnx-fp32"),
        ("original", "tflite-int8"),
        ("original", "onnx-int8"),
    ]
    for (variant, name), file in made.items():
        model = whole.loaded.model if variant == "original" else whole.compressed.model
        agreement = file.agreement
        assert agreement.rows == 300
        assert agreement.source_accuracy_ratio == model.accuracy_ratio
        if name.endswith("fp32"):
            assert agreement.largest_error < 1e-5
            assert agreement.top1_agreement_ratio == 1
        else:
            assert agreement.largest_error < 0.15
            assert agreement.top1_agreement_ratio > 0.97
        (outputs,) = frameworks.arrays_of(file.answers, whole.project.store.path)
        assert agreement.accuracy_ratio == np.mean(outputs.argmax(-1) == sets.evaluation[1])


@pytest.mark.frameworks
def test_files_take_one_row_under_the_name_of_the_models_input(whole):
    for file in whole.converted:
        runner = frameworks.open_file(whole.project.store.path(file.artifact), file.artifact.format, file.format)
        (spec,) = runner.inputs
        assert (spec.name, spec.shape) == ("image", (1, 8, 8, 1))
        (known,) = file.inputs
        assert (known.name, known.fixed, known.tensor) == ("image", (1, 8, 8, 1), spec.tensor)
        assert [each.name for each in file.outputs] == ["scores"]


@pytest.mark.frameworks
def test_int8_files_are_of_integers(whole):
    import onnx

    made = {
        file.format: whole.project.store.path(file.artifact) for file in whole.converted if file.variant == "compressed"
    }
    runner = frameworks.Tflite(made["tflite-int8"], "int8", plain=True)
    assert [spec.dtype for spec in (*runner.inputs, *runner.outputs)] == ["int8", "int8"]
    assert runner.float_operators() == []
    assert len(runner.interpreter._get_ops_details()) > 3
    graph = onnx.load(made["onnx-int8"]).graph
    kinds = [node.op_type for node in graph.node]
    assert "QuantizeLinear" in kinds
    assert "BatchNormalization" not in kinds
    weights = {
        item.name for item in graph.initializer if item.data_type == onnx.TensorProto.INT8 and len(item.dims) > 1
    }
    assert len(weights) >= 4


@pytest.mark.frameworks
def test_the_audit_finds_what_is_still_floating_point(whole):
    (path,) = (
        whole.project.store.path(file.artifact)
        for file in whole.converted
        if (file.variant, file.format) == ("compressed", "tflite-fp32")
    )
    with pytest.raises(StageError, match="still computes in floating point") as caught:
        tflite_int8.audit(path)
    assert "CONV_2D" in caught.value.message


@pytest.mark.frameworks
def test_pruned_zeros_are_still_there_in_the_file(whole):
    (path,) = (
        whole.project.store.path(file.artifact)
        for file in whole.converted
        if (file.variant, file.format) == ("compressed", "tflite-fp32")
    )
    runner = frameworks.Tflite(path, "fp32", plain=True)
    shares = [
        np.mean(runner.interpreter.get_tensor(detail["index"]) == 0)
        for detail in runner.interpreter.get_tensor_details()
        if list(detail["shape"]) in ([12, 256], [16, 1, 1, 8])
    ]
    assert shares == [0.5, 0.5]


@pytest.mark.frameworks
def test_a_second_call_converts_nothing(whole):
    again = through(whole.project)
    assert again.cached == (True, True, True)
    assert again.converted == whole.converted


def test_quantization_rounds_half_to_even_and_clips():
    detail = {"dtype": np.int8, "quantization": (0.5, 3)}
    x = np.array([0.25, 0.75, -0.25, 1000, -1000], np.float32)
    assert frameworks.quantize(x, detail).tolist() == [3, 5, 3, 127, -128]
    assert frameworks.dequantize(np.array([3, 5, -128], np.int8), detail).tolist() == [0.0, 1.0, -65.5]
    tokens = np.array([7], np.int32)
    assert frameworks.quantize(tokens, {"dtype": np.int32, "quantization": (0.0, 0)}).tolist() == [7]


# --- models that have broken converters


@pytest.mark.frameworks
@pytest.mark.parametrize("kind", ["sequential", "gelu", "lstm", "unknown length"])
@pytest.mark.parametrize("name", ["tflite-fp32", "onnx-fp32"])
def test_models_that_converters_stumble_over(kind, name, tmp_path):
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    shape = (None, 4) if kind == "unknown length" else (6, 4)
    body = {
        "sequential": [layers.Flatten(), layers.Dense(5, activation="relu")],
        "gelu": [layers.Dense(5, activation="gelu"), layers.GlobalAveragePooling1D()],
        "lstm": [layers.LSTM(5)],
        "unknown length": [layers.Conv1D(5, 3), layers.GlobalMaxPooling1D()],
    }[kind]
    if kind == "gelu":
        body[0] = layers.Dense(5, activation=None)
        body.insert(1, layers.Activation("gelu"))
    model = keras.Sequential([keras.Input(shape), *body, layers.Dense(3, activation="softmax")])
    the_job = job(model, tmp_path, shapes={model.inputs[0].name: (1, 6, 4)})
    x = np.random.default_rng(0).normal(size=(8, 6, 4)).astype(np.float32)
    data = load_converter(name).convert(the_job, silent)
    assert largest_error(model, data, load_converter(name).FILE, tmp_path, x) < 1e-5


@pytest.mark.frameworks
def test_exact_gelu_has_no_erfc_in_onnx(tmp_path):
    import keras
    import onnx

    image = keras.Input((4,))
    model = keras.Model(image, keras.ops.gelu(keras.layers.Dense(3)(image), approximate=False))
    data = onnx_fp32.convert(job(model, tmp_path), silent)
    assert "Erfc" not in {node.op_type for node in onnx.load_from_string(data).graph.node}
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    assert largest_error(model, data, "onnx", tmp_path, x) < 1e-5


@pytest.mark.frameworks
def test_an_operator_that_tflite_does_not_have(tmp_path):
    import keras

    image = keras.Input((4,))
    model = keras.Model(image, keras.ops.erf(keras.layers.Dense(3)(image)))
    rows = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    with pytest.raises(StageError, match=r"TensorFlow's converter refuses this model: no form of tf\.Erf") as caught:
        load_converter("tflite-int8").convert(job(model, tmp_path, rows), silent)
    assert "Try the ONNX formats" in caught.value.hint  # it is in no format of TFLite


@pytest.mark.frameworks
def test_a_converter_that_crashes_is_an_error_and_leaves_nothing(empty):
    """Int8 calibration of a while loop dies with SIGSEGV inside TensorFlow (seen with TensorFlow 2.21, tf2onnx 1.17, ONNX Runtime 1.32)."""
    import keras

    keras.Sequential([keras.Input((6, 4)), keras.layers.LSTM(5), keras.layers.Dense(3)]).save(empty.folder / "m.keras")
    np.savez(empty.folder / "c.npz", x=np.random.default_rng(0).normal(size=(8, 6, 4)).astype(np.float32))
    text = '[model]\npath = "m.keras"\n[data]\ncalibration = "c.npz"\n[convert]\nformats = ["tflite-int8"]\n'
    with pytest.raises(
        (ChildError, StageError), match=r"converting the original model to tflite-int8 failed|refuses"
    ) as caught:
        through(empty, text)
    assert caught.value.exit_code == 5
    assert not list(empty.store.tmp.iterdir())


@pytest.mark.frameworks
def test_a_killed_conversion(whole, tiny):
    the_plan, told = tiny.plan(), threading.Event()
    for path in (whole.project.store.root / "answers").glob("convert-*"):
        path.rename(path.with_name(f"aside-{path.name}"))

    class Kill(Silent):
        def step(self, done, of, note):
            if not told.is_set():
                told.set()
                threading.Timer(1.0, child.kill_all).start()

    try:
        with pytest.raises(ChildError, match=r"converting the compressed model to [\w-]+ failed: .* SIGKILL"):
            convert.convert(whole.loaded, whole.compressed, the_plan, whole.project.store, Kill())
        assert not list(whole.project.store.tmp.iterdir())
        assert not list((whole.project.store.root / "answers").glob("convert-*"))
    finally:
        for path in (whole.project.store.root / "answers").glob("aside-convert-*"):
            path.rename(path.with_name(path.name.removeprefix("aside-")))


# --- files that stay as they are


@pytest.mark.frameworks
def test_deployable_files_as_they_are_and_a_baseline(whole, tiny):
    for file in whole.converted:
        if file.variant == "compressed":
            source = whole.project.store.path(file.artifact)
            (tiny.folder / f"{file.format}.{file.artifact.format}").write_bytes(source.read_bytes())
    made = through(
        tiny,
        '[model]\npath = "tflite-int8.tflite"\n[data]\nevaluation = "evaluation.npz"\n[compare]\nbaseline = "tflite-fp32.tflite"\n',
    )
    assert made.loaded.model.inputs[0].dtype == "int8"
    original, baseline = made.converted
    assert (original.variant, original.format) == ("original", "tflite")
    assert original.artifact == made.loaded.model.artifact
    assert original.agreement.largest_error == 0
    assert original.agreement.accuracy_ratio == made.loaded.model.accuracy_ratio > 0.9
    assert (baseline.variant, baseline.format) == ("baseline", "tflite")
    assert 0 < baseline.agreement.largest_error < 0.2
    assert baseline.agreement.accuracy_ratio > 0.9


@pytest.mark.frameworks
def test_an_onnx_model(whole, tiny):
    (source,) = (file for file in whole.converted if (file.variant, file.format) == ("original", "onnx-fp32"))
    (tiny.folder / "m.onnx").write_bytes(whole.project.store.path(source.artifact).read_bytes())
    made = through(
        tiny,
        '[model]\npath = "m.onnx"\n[data]\ncalibration = "calibration.npz"\nevaluation = "evaluation.npz"\n'
        '[convert]\nformats = ["onnx-int8"]\n',
    )
    int8, fp32 = made.converted
    assert fp32.artifact == made.loaded.model.artifact
    assert (int8.variant, fp32.variant) == ("original", "original")
    assert int8.agreement.top1_agreement_ratio > 0.97
    assert made.loaded.model.accuracy_ratio == whole.loaded.model.accuracy_ratio


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["m.tflite", "m.onnx"])
def test_damaged_files_are_refused_by_the_runtime(whole, tiny, name):
    (file,) = (
        each
        for each in whole.converted
        if (each.variant, each.format) == ("original", f"{name.partition('.')[2]}-fp32")
    )
    content = bytearray(whole.project.store.path(file.artifact).read_bytes())
    content[60:400] = bytes(340)
    (tiny.folder / name).write_bytes(content)
    with pytest.raises((ModelError, ChildError)) as caught:
        load.load(tiny.plan(f'[model]\npath = "{name}"\n'), tiny.store, Silent())
    assert caught.value.exit_code == 5


def test_an_axis_of_unknown_length_needs_data():
    inputs = TensorSpec("i", (None, 4), "float32"), TensorSpec("j", (None, None), "float32", fixed=(1, 7))
    model = model_of("keras", inputs=inputs[:1])
    with pytest.raises(DataError, match="an axis has no fixed length, and there is no data to take it from"):
        shapes_of(model)
    with pytest.raises(DataError, match="the model's input 'i' has shape"):
        shapes_of(model_of("keras", inputs=inputs))
    assert shapes_of(model_of("keras", inputs=inputs[1:])) == {"j": (1, 7)}


@pytest.mark.frameworks
def test_the_same_model_gives_the_same_files(whole, tiny):
    """Byte for byte, in another store: otherwise every fresh clone would push every file again."""
    shutil.copytree(
        whole.project.folder / ".edgepress" / "store", tiny.folder / ".edgepress" / "store", dirs_exist_ok=True
    )
    again, cached = convert.convert(whole.loaded, whole.compressed, tiny.plan(), tiny.store, Silent())
    assert not cached
    assert [each.artifact for each in whole.converted] == [each.artifact for each in again]
