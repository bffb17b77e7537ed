"""Are a board's answers right? Other kernels' rounding is no fault, a fault is: pipeline/measure/golden.py."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from device_agent import wire
from pipeline.measure import first_rows, golden
from pipeline.records import Converted
from pipeline.store import Store
from tests.support.experiments import experiment_of

RNG = np.random.default_rng(5)
EVERY = np.arange(300)


def scores(rows=300, classes=10):
    drawn = np.exp(3 * np.random.default_rng(1).normal(size=(rows, classes)))
    return (drawn / drawn.sum(1, keepdims=True)).astype("float32")


def rounded(answers, seed):
    """Of an int8 file: in steps of 1/256, some of them one step off."""
    steps = np.rint(answers * 256) + np.random.default_rng(seed).integers(-1, 2, answers.shape)
    return (np.clip(steps, 0, 255) / 256).astype("float32")


RIGHT = scores()
FILE = golden.Reference(rounded(RIGHT, 2), (RIGHT, rounded(RIGHT, 3)), EVERY)


def doubt(board, reference=FILE):
    found = golden.doubt_of(board.astype("float32"), reference)
    return found and found.evidence


def changed(column, value):
    board = FILE.answers.copy()
    board[:, column] = value
    return board


@pytest.mark.parametrize("board", [FILE.answers, FILE.answers + 1e-6, *(rounded(RIGHT, seed) for seed in (4, 5, 6, 7))])
def test_other_roundings_are_no_fault(board):
    assert doubt(board) is None
    assert golden.doubt_of_classes(board, FILE) is None


@pytest.mark.parametrize(
    ("board", "said"),
    [
        (np.roll(FILE.answers, 1, axis=1), "apart over 300 rows"),
        (np.roll(FILE.answers, 1, axis=0), "apart over 300 rows"),
        (np.zeros_like(FILE.answers), "100.00 % apart"),
        (FILE.answers * 1.3, "apart over 300 rows"),
        (FILE.answers[:, :9], "it answers (9,) for a row, and (10,)"),
    ],
    ids=["columns permuted", "rows shifted", "nothing", "another scale", "another shape"],
)
def test_what_is_computed_otherwise_is_a_fault(board, said):
    assert said in doubt(board)


def test_without_other_answers_little_may_differ():
    """A float file: nothing of it is rounded."""
    float_file = golden.Reference(RIGHT, (), EVERY)
    assert doubt(RIGHT * 1.001, float_file) is None
    assert "apart" in doubt(RIGHT * 1.02, float_file)


def test_a_dead_score_beside_pixel_coordinates_does_not_hide():
    coordinates = 150 + 40 * RNG.normal(size=(300, 4))
    answers = np.concatenate([coordinates, RNG.uniform(size=(300, 1))], axis=1).astype("float32")
    near = (answers + np.array([0.3] * 4 + [0.01]) * RNG.normal(size=answers.shape)).astype("float32")
    detector = golden.Reference(answers, (near,), EVERY)
    assert doubt(near, detector) is None
    dead = answers.copy()
    dead[:, 4] = 0
    assert doubt(dead, detector).startswith("this file answers differently on the board and on this host, with the same kernels: 1 column of its answers (4)")  # fmt: skip
    dead[:, 4] = 0.5  # the mean of what it should be
    assert "column" in doubt(dead, detector)
    dead[:, :4] = coordinates.mean(0)
    assert golden.compared(dead, detector).columns == (0, 1, 2, 3, 4)


def test_of_few_rows_a_column_is_not_judged_alone():
    few = FILE._replace(rows=EVERY[:8])
    assert doubt(FILE.answers[:8], few) is None
    assert golden.compared(changed(3, 0)[:8], few).columns == ()


def test_only_the_rows_that_the_board_answered_count():
    some = FILE._replace(rows=EVERY[10:200:3])
    assert doubt(FILE.answers[10:200:3], some) is None
    assert doubt(FILE.answers[11:201:3], some) is not None


def test_pictures_are_compared_piece_by_piece(monkeypatch):
    monkeypatch.setattr(golden, "CHUNK_ROWS", 7)
    pictures = RNG.uniform(size=(40, 8, 8, 2)).astype("float32")
    reference = golden.Reference(pictures, (pictures + np.float32(0.01),), EVERY[:40])
    assert golden.compared(pictures, reference).distance == 0
    found = golden.compared(pictures + np.float32(0.015), reference)
    assert found.distance == pytest.approx(0.015, rel=1e-4)
    assert found.within == pytest.approx(0.02, rel=1e-4)
    assert doubt(pictures + np.float32(0.03), reference) is not None


def test_classes_differ_more_than_between_right_answers():
    board = np.eye(10, dtype="float32")[FILE.answers.argmax(1)]
    reference = golden.Reference(board.copy(), (), EVERY)
    for wrong, doubted in ((3, False), (5, False), (12, True)):  # of 300: 1 % may, and chance is allowed for
        board[:wrong] = np.roll(reference.answers[:wrong], 1, axis=1)
        assert (golden.doubt_of_classes(board, reference) is not None) == doubted
    other = reference.answers.copy()
    other[:15] = np.roll(other[:15], 1, axis=1)  # a kernel here differs as much: then that is the file's
    assert golden.doubt_of_classes(board, reference._replace(others=(other,))) is None
    assert golden.classes_that_differ(board, reference) == (0.04, 0.0)


# --- what is compared with what


@pytest.fixture
def kept(tmp_path):
    store = Store(tmp_path / "store")

    def put(array):
        np.save(tmp_path / "array.npy", array)
        return store.put_bytes((tmp_path / "array.npy").read_bytes(), "npy")

    answers = {
        "answers": np.full((6, 2), 1.0),
        "other_answers": np.full((6, 2), 2.0),
        "source_answers": np.full((6, 2), 3.0),
    }
    artifacts = {name: (put(array.astype("float32")),) for name, array in answers.items()}
    file = Converted(
        variant="original", format="tflite-int8", artifact=artifacts["answers"][0], agreement=None, **artifacts
    )
    return store, file, put(np.array([5, 0, 1, 2, 3]))


@pytest.mark.parametrize(
    ("runtime", "delegates", "first"),
    [
        ("tflite_runtime", (), 2.0),
        ("ai_edge_litert", (), 2.0),
        ("tflite_runtime", ("XNNPACK",), 1.0),
        ("ai_edge_litert", ("XNNPACK",), 1.0),
        ("onnxruntime", ("CPUExecutionProvider",), 1.0),
    ],
)
def test_the_reference_is_of_the_kernels_that_ran(kept, runtime, delegates, first):
    store, file, indices = kept
    (found,) = golden.references_of(file, runtime, delegates, indices, store)
    assert found.answers[0, 0] == first
    assert sorted(other[0, 0] for other in found.others) == sorted({1.0, 2.0, 3.0} - {first})
    assert found.rows.tolist() == [5, 0, 1, 2, 3]


def test_a_host_without_the_runtime_knows_no_better(kept):
    store, file, indices = kept
    nothing = Converted(variant="original", format="onnx", artifact=file.artifact, agreement=None)
    assert golden.references_of(nothing, "onnxruntime", (), indices, store) == ()
    assert golden.references_of(file, "onnxruntime", (), None, store) == ()


def test_launches_are_held_against_the_one_that_answered_all_rows(kept):
    """That one was held against the host; without it each is, within what the file's own error allows."""
    store, file, indices = kept
    deployment = SimpleNamespace(runtimes=(), evaluation=(), evaluation_indices=indices)
    candidate = SimpleNamespace(converted=file, runtime="tflite_runtime", label="x")
    launch = SimpleNamespace(delegates=())
    experiment = experiment_of(deployment=deployment, store=store)
    own = experiment.expected_of(candidate, [launch], (0.25, 0.5))
    assert (own.golden, own.golden_by) == ((0.25, 0.5), "the launch that answered all rows")
    assert [each.within for each in own.golden_outputs] == [0.01]
    of_host = experiment.expected_of(candidate, [launch], None)
    assert of_host.golden == (2.0,) * 2 * wire.GOLDEN_ROWS
    (output,) = of_host.golden_outputs
    assert output.within == pytest.approx(golden.TIMES_OWN_ERROR * 0.5)  # the others are 1 away from 2


# --- several outputs, integers, sequences


def test_integers_are_right_or_wrong():
    """A class of 999 in place of 1000 is another class, and not one nearby."""
    right = RNG.integers(0, 1000, (300, 4))
    reference = golden.Reference(right, (), EVERY)
    for wrong, doubted in ((0, False), (12, False), (40, True)):  # of 1,200: 1 % may, and chance is allowed for
        board = right.copy()
        board.ravel()[:wrong] -= 1
        found = golden.doubt_of(board, reference)
        assert (found is not None) == doubted
    assert "3.33 % of its values differ over 300 rows, where 1.00 % may" in found.evidence
    rounded = right.copy()
    rounded.ravel()[:30] += 1
    assert golden.doubt_of(board, reference._replace(others=(rounded,))) is None  # a kernel here differs as much


def test_truth_values_are_right_or_wrong():
    right = RNG.uniform(size=(300, 2)) < 0.5
    reference = golden.Reference(right, (), EVERY)
    assert golden.doubt_of(right, reference) is None
    assert "100.00 % of its values differ" in golden.doubt_of(~right, reference).evidence


def test_the_output_of_a_doubt_is_named_and_shortened():
    reference = FILE._replace(output="x" * 5000)
    found = golden.doubt_of(np.zeros_like(FILE.answers), reference)
    assert "the output 'xxx" in found.evidence
    assert len(found.evidence) < 500


def test_the_steps_of_sequences_count_as_rows():
    """A dead value of a step is seen in few sequences, too: each has many steps."""
    steps = RNG.normal(size=(4, 50, 3)).astype("float32") * np.float32([100, 1, 100])
    near = steps + np.float32(0.1) * RNG.normal(size=steps.shape).astype("float32")
    reference = golden.Reference(steps, (near,), EVERY[:4], sequences=True)
    assert golden.doubt_of(steps, reference) is None
    dead = steps.copy()
    dead[..., 1] = 0
    assert "1 column of its answers (1)" in golden.doubt_of(dead, reference).evidence


@pytest.mark.parametrize("shape", [(), (1,), (3, 0), (2, 3, 4)])
def test_answers_of_every_shape(shape):
    answers = RNG.normal(size=(20, *shape)).astype("float32")
    reference = golden.Reference(answers, (answers,), EVERY[:20])
    assert golden.doubt_of(answers, reference) is None
    if answers.size:
        assert golden.doubt_of(answers + 10, reference) is not None
    first = first_rows.of_host([reference])
    (output,) = first_rows.outputs_of([reference], of_host=True)
    assert output.values == min(64, int(np.prod(shape)))
    assert len(first) == wire.GOLDEN_ROWS * min(64, int(np.prod(shape)))


def test_integers_that_come_as_floating_point_are_not_compared_as_such():
    """By its size a class of 999 would be near to 1000."""
    right = RNG.integers(500, 1000, (300, 1))
    reference = golden.Reference(right, (), EVERY)
    wrong = (right + 1).astype("float32")
    assert "it answers float32, and int64 on this host" in golden.doubt_of(wrong, reference).evidence
    other = golden.Reference(FILE.answers, (), EVERY)
    assert "it answers int64, and float32" in golden.doubt_of(np.ones(FILE.answers.shape, "int64"), other).evidence


def test_masks_of_millions_of_values_are_judged_in_no_time():
    """The exact test would take 9 seconds."""
    masks = np.zeros((8, 1024, 1024), "uint8")
    reference = golden.Reference(masks, (), EVERY[:8])
    board = masks.copy()
    board[:, :512] = 1
    began = time.process_time()
    assert "50.00 % of its values differ" in golden.doubt_of(board, reference).evidence
    assert time.process_time() - began < 5
    board[:] = 0
    board[:, :10] = 1  # less than 1 %
    assert golden.doubt_of(board, reference) is None
