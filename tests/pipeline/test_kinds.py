"""What is said of a file and of its answers follows from what they are: kinds of files, classes and numbers, rows that fit."""

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from pipeline import frameworks, load, units
from pipeline.commands import convert as convert_command
from pipeline.compare import compare
from pipeline.errors import DataError
from pipeline.measure.accuracy import accuracy_of
from pipeline.plan import read
from pipeline.plan_tables import CompareTable
from pipeline.progress import Silent
from pipeline.records import Agreement, BoardAccuracy, Converted, Measured, TensorSpec
from pipeline.report.compose import view_of
from pipeline.store import Store
from tests.support.compared import plan as plan_of
from tests.support.experiments import experiment_of
from tests.support.sample_run import artifact, measurement, run_of

SOFTMAX = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])


# --- classes and numbers


@pytest.mark.parametrize(
    ("answers", "labels", "quantized", "classes"),
    [
        (SOFTMAX, None, False, True),
        (SOFTMAX * 0.99, None, False, False),
        (SOFTMAX * 0.995, None, True, True),  # rounded to 1/256 each
        (SOFTMAX + np.array([[0, 0, 0], [0.1, 0, -0.1]]), None, False, False),  # sums to 1, and is below 0
        (np.array([[2.0, -1.0]]), None, False, False),  # logits, or metres and degrees
        (np.array([[2.0, -1.0]]), np.array([0]), False, True),
        (np.array([[1.0]]), None, False, False),
        (np.ones((1, 1)), np.array([0]), False, False),
        (np.full((2, 4, 4, 1), 1 / 16), None, False, False),
        (np.empty((0, 3)), None, False, False),
    ],
)
def test_answers_are_classes_only_where_labels_or_they_themselves_say_so(answers, labels, quantized, classes):
    assert frameworks.are_classes(answers, labels, quantized=quantized) is classes


def test_an_error_stands_beside_the_spread_of_what_it_is_an_error_of():
    source = np.array([[0.0, 100.0], [2.0, 102.0]])
    rms, spread = frameworks.error_of(source + np.array([[0.1, -0.1], [0.1, 0.1]]), source)
    assert (rms, spread) == pytest.approx((0.1, 1.0))  # how far 0 is from 100 does not make it smaller
    assert units.error(rms, spread) == "0.1 (rms), 10.00 % of the answers' spread"
    assert units.error(0.5, 0.0) == "0.5 (rms)"
    assert units.error(None, None) == units.UNKNOWN


@pytest.mark.parametrize(
    ("same", "accuracy", "said"),
    [
        (None, None, "largest error 0.3, error 0.1 (rms), 5.00 % of the answers' spread"),
        (0.99, None, "largest error 0.3, same class 99.00 %"),
        (0.99, 0.9, "largest error 0.3, same class 99.00 %, accuracy 90.00 % (source 91.00 %)"),
    ],
)
def test_convert_says_classes_only_of_classes(same, accuracy, said):
    told = Agreement(
        rows=9, largest_error=0.3, error_rms=0.1, spread=2.0, top1_agreement_ratio=same, accuracy_ratio=accuracy,
        source_accuracy_ratio=0.91,
    )  # fmt: skip
    assert convert_command._told(told) == said


class Board:
    """Has the answers of each output."""

    def __init__(self, *outputs):
        self.data = {str(place): b"".join(frameworks.array_parts(each)) for place, each in enumerate(outputs)}

    def get(self, sha256, most_bytes):
        assert len(self.data[sha256]) <= most_bytes
        return self.data[sha256]


ON_HOST = np.array([[-1.0, 5.0], [1.0, 7.0], [1.0, 7.0], [-1.0, 5.0]], np.float32)


def judged(folder, on_host, on_board, **about):
    """What is found out about the outputs of a file, by their answers on the host and on the board."""
    store = Store(folder)

    def put(array):
        return store.put_parts(lambda: frameworks.array_parts(array), "npy")

    rows = len(on_host[0])
    names = ["scores", "boxes", "counts"][: len(on_host)]
    converted = Converted(
        variant="original", format="tflite", artifact=artifact("m"), agreement=None, answers=tuple(map(put, on_host)),
        outputs=tuple(TensorSpec(name=name, shape=(1, None), dtype="float32") for name in names), **about,
    )  # fmt: skip
    deployment = SimpleNamespace(evaluation_indices=put(np.arange(rows)))
    data = SimpleNamespace(evaluation=SimpleNamespace(y=None, targets=None), tasks=())
    candidate = SimpleNamespace(converted=converted, runtime="x", label="m.tflite @ x")
    answer = SimpleNamespace(outputs_sha256=tuple(map(str, range(len(on_board)))), delegates=())
    experiment = experiment_of(session=Board(*on_board), data=data, deployment=deployment, store=store)
    return accuracy_of(experiment, candidate, answer)


@pytest.mark.parametrize(("off", "doubted"), [(0.0, False), (0.04, False), (0.08, True)])
def test_numbers_of_the_board_are_compared_with_the_hosts_as_numbers(tmp_path, off, doubted):
    found, doubts, _ = judged(tmp_path, [ON_HOST], [(ON_HOST + off).astype(np.float32)])
    assert (found.accuracy_ratio, found.differs_from_host_ratio, found.answers) == (None, None, None)
    assert (found.error_rms, found.spread, found.output) == pytest.approx((off, 1.0, ""), abs=1e-6)
    assert bool(doubts) is doubted
    assert not any("class" in doubt.evidence for doubt in doubts)


def test_of_several_outputs_the_worst_is_what_the_error_is_of(tmp_path):
    """As a share of its spread: 0.02 of 1 is more than 0.04 of 10."""
    on_host = [ON_HOST, 10 * ON_HOST[:, :1], np.arange(4, dtype=np.int32)]
    on_board = [ON_HOST + np.float32(0.02), 10 * ON_HOST[:, :1] + np.float32(0.04), on_host[2]]
    found, doubts, _ = judged(tmp_path, on_host, on_board)
    assert (found.rows, found.output) == (4, "scores")
    assert (found.error_rms, found.spread) == pytest.approx((0.02, 1.0), abs=1e-6)
    assert not doubts
    on_board[1] = on_board[1] + np.float32(1.0)
    found, doubts, _ = judged(tmp_path, on_host, on_board)
    assert found.output == "boxes"
    assert "boxes" in doubts[0].evidence


def test_a_report_on_numbers_has_no_word_of_classes():
    numbers = BoardAccuracy(
        rows=50, accuracy_ratio=None, differs_from_host_ratio=None, answers=None, error_rms=0.02, spread=2.0
    )
    one = msgspec.structs.replace(measurement(), accuracy=numbers)
    sentences = [each.text for each in view_of(run_of((one,))).findings]
    (told,) = [text for text in sentences if "on the host" in text]
    assert "by 0.02 (rms), 1.00 % of the answers' spread" in told
    assert not [text for text in sentences if "class" in text]
    same = msgspec.structs.replace(one, accuracy=msgspec.structs.replace(numbers, error_rms=0.0))
    assert any("it gave the same answers" in each.text for each in view_of(run_of((same,))).findings)


# --- kinds of files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One net in every kind of file."""
    import keras
    import onnx
    import tensorflow as tf
    from onnxruntime import quantization as q

    from tests.support.onnx_graphs import Build

    folder = tmp_path_factory.mktemp("kinds")
    keras.utils.set_random_seed(0)
    x = keras.Input((32,), batch_size=1)
    model = keras.Model(x, keras.layers.Dense(8)(keras.layers.Dense(64, activation="relu")(x)))
    rows = np.random.default_rng(0).normal(size=(20, 32)).astype(np.float32)

    def tflite(name, change):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        change(converter)
        (folder / name).write_bytes(converter.convert())

    def dynamic(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    def half(converter):
        dynamic(converter)
        converter.target_spec.supported_types = [tf.float16]

    def whole(converter):
        dynamic(converter)
        converter.representative_dataset = lambda: ([rows[i : i + 1]] for i in range(20))

    for name, change in (("float32", lambda _: None), ("dynamic", dynamic), ("float16", half), ("int8", whole)):
        tflite(f"{name}.tflite", change)
    build = Build(shape=(1, 3, 8, 8))
    onnx.save(build.model(build.conv(build.relu(build.conv("x", 8)), 8)), folder / "float32.onnx")
    q.quantize_dynamic(folder / "float32.onnx", folder / "dynamic.onnx")
    images = build.rows(8)

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self.feeds = iter([{"x": images[i : i + 1]} for i in range(8)])

        def get_next(self):
            return next(self.feeds, None)

    q.quantize_static(folder / "float32.onnx", folder / "int8.onnx", Reader())
    return folder


KINDS = {
    "float32.tflite": "float32", "dynamic.tflite": "float with int8 weights", "float16.tflite": "float with float16 weights",
    "int8.tflite": "int8", "float32.onnx": "float32", "int8.onnx": "int8",
}  # fmt: skip


@pytest.mark.frameworks
def test_a_file_is_what_its_tensors_are(files):
    assert {name: frameworks.kind_of_file(files / name, name.rpartition(".")[2], name) for name in KINDS} == KINDS
    assert frameworks.kind_of_file(files / "dynamic.onnx", "onnx", "d").startswith("float with ")
    (files / "damaged.tflite").write_bytes((files / "int8.tflite").read_bytes()[:500])
    assert frameworks.kind_of_file(files / "damaged.tflite", "tflite", "d") == ""


@pytest.mark.parametrize(
    ("baseline", "candidate", "notes"),
    [
        ("float32", "float32", 1),
        ("float with int8 weights", "float32", 2),
        ("int8", "int8", 1),
        ("float32", "int8", 2),
        ("", "int8", 0),  # nobody could look into it
    ],
)
def test_what_the_baseline_is_is_said(tmp_path, baseline, candidate, notes):
    old, new = (
        msgspec.structs.replace(measurement(variant, "tflite"), name=name, role=role, kind=kind)
        for variant, name, role, kind in (
            ("baseline", "old.tflite", "baseline", baseline), ("original", "new.tflite", "candidate", candidate),
        )
    )  # fmt: skip
    run = run_of((new, old))
    plan = plan_of(passes=(), size_bytes=10**9)
    plan = msgspec.structs.replace(
        plan, tables=msgspec.structs.replace(plan.tables, compare=CompareTable(baseline="old.tflite"))
    )
    found = compare(Measured(measurements=(new, old)), plan, run.loaded.data, run.deployment, Store(tmp_path))
    assert len(found.notes) == notes
    if notes:
        assert found.notes[0].startswith(f"What is judged against is {baseline}")
        assert ("not a float32 file" in found.notes[0]) is (baseline != "float32")
    if notes == 2:
        assert f"new.tflite (candidate) is {candidate} and old.tflite (baseline) is {baseline}" in found.notes[1]
    (verdict,) = found.verdicts
    assert verdict.subject.label == "new.tflite (candidate) @ ai_edge_litert"
    shown = view_of(msgspec.structs.replace(run, compared=found))
    assert [each.text for each in shown.findings if each.text in found.notes] == list(found.notes)


# --- rows that fit one of two files


@pytest.mark.frameworks
@pytest.mark.parametrize(("model", "baseline"), [("float32", "uint8"), ("uint8", "float32")])
def test_rows_that_fit_one_of_two_files_are_refused_while_loading(tmp_path, model, baseline):
    import onnx
    from onnx import TensorProto, helper

    for name, dtype in (("float32", TensorProto.FLOAT), ("uint8", TensorProto.UINT8)):
        x = helper.make_tensor_value_info("x", dtype, [1, 4])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
        node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
        graph = helper.make_graph([node], "g", [x], [y])
        made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
        onnx.save(made, tmp_path / f"{name}.onnx")
    np.savez(tmp_path / "rows.npz", x=np.zeros((3, 4), np.dtype(model)))
    (tmp_path / "edge.toml").write_text(
        f'[model]\npath = "{model}.onnx"\n[data]\nevaluation = "rows.npz"\n[compare]\nbaseline = "{baseline}.onnx"\n'
    )
    why = rf"data\.evaluation are {model}, but {baseline}\.onnx's input 'x' takes {baseline}"
    with pytest.raises(DataError, match=why) as caught:
        load.load(read(tmp_path / "edge.toml"), Store(tmp_path / ".edgepress"), Silent())
    assert caught.value.exit_code == 2
