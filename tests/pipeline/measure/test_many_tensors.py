"""Files with several inputs and outputs, of every type and shape, with state: deployed and measured on this machine, with the real agent."""

import msgspec
import numpy as np
import pytest

from pipeline.errors import StageError
from pipeline.records import Task
from tests.support.given_files import Given, kept

pytestmark = pytest.mark.frameworks


def numbers(*shape, dtype="float32"):
    return np.random.default_rng(3).uniform(-1, 1, shape).astype(dtype)


def doubts(found):
    (one,) = found.measurements
    return [f"{doubt.what}: {doubt.evidence}" for doubt in one.doubts if doubt.what != "not a board"]


def judged(found):
    """What is doubted of the answers, and not of a busy machine."""
    wanted = ("golden", "answers", "accuracy", "another file")
    return [each for each in doubts(found) if any(word in each for word in wanted)]


@pytest.fixture
def sums(tmp_path):
    extra = np.arange(24, dtype="int32").reshape(12, 2)
    return Given(tmp_path, "sums.tflite", {"extra": extra, "x": numbers(12, 4)})


def test_every_input_is_fed_by_name_and_every_output_is_judged(sums):
    found = sums.measured()
    assert not found.failures
    assert judged(found) == []
    (one,) = found.measurements
    assert one.accuracy.rows == 12
    assert one.accuracy.error_rms < 1e-5
    assert one.accuracy.output in {"total", "each", "count"}
    assert len(sums.deployment.evaluation) == 2
    assert len(one.golden) == 4 * (1 + 4 + 2)  # rows, and the values of three outputs


def test_the_output_that_is_wrong_is_named(sums):
    names = [each.name for each in sums.converted.outputs]
    answers = list(sums.converted.answers)
    for name, differs in (("count", "100.00 % of its values differ over 12 rows"), ("each", "apart over 12 rows")):
        place = names.index(name)
        changed = 1 + 2 * np.load(sums.store.path(answers[place]))
        now = [*answers[:place], kept(sums.store, changed), *answers[place + 1 :]]
        sums.answered(answers=tuple(now))
        said = judged(sums.measured())
        assert len(said) == 1, said
        assert f"the output '{name}', " in said[0]
        assert differs in said[0]


def test_a_metric_that_cannot_be_computed_is_doubted_and_ends_nothing(sums):
    """Labels of another size, as those that a board's own number of answers would make of them."""
    task = Task(kind="regression", metric="mae", title="mean absolute error", higher_is_better=False, ratio=False)
    rows = msgspec.structs.replace(sums.data.evaluation, targets=kept(sums.store, numbers(12, 99)))
    sums.data = msgspec.structs.replace(sums.data, evaluation=rows, tasks=(task,))
    found = sums.measured()
    (one,) = found.measurements
    assert one.accuracy.qualities == ()
    assert [each for each in doubts(found) if "the task's metric cannot be computed" in each]


def test_open_axes_constants_scalars_and_other_types(tmp_path):
    rows = {"scale": np.arange(1, 6, dtype="float64"), "x": numbers(5, 7, dtype="float16")}
    fixed = {"x": (1, 7)}
    given = Given(tmp_path, "open.onnx", rows, constants={"keep": np.array([True])}, fixed=fixed)
    found = given.measured()
    assert not found.failures
    assert judged(found) == []
    assert len(given.deployment.evaluation) == 3


def test_a_state_begins_again_with_each_sequence(tmp_path):
    given = Given(tmp_path, "state.onnx", {"x": numbers(5, 6, 2)}, state=(("h", "hn"),), sequences=True)
    found = given.measured()
    assert not found.failures
    assert judged(found) == []
    (one,) = found.measurements
    assert len(one.golden) == 4 * 4  # of the first step, y and hn
    turned = np.load(given.store.path(given.converted.answers[0]))[:, ::-1]
    given.answered(answers=(kept(given.store, turned), given.converted.answers[1]))
    assert "the output 'y', " in judged(given.measured())[0]


def test_a_state_inside_the_file_begins_again_with_each_sequence(tmp_path):
    given = Given(tmp_path, "counter.tflite", {"x": np.ones((6, 3, 1), "float32")}, sequences=True)
    assert judged(given.measured()) == []
    assert np.load(given.store.path(given.converted.answers[0])).reshape(6, 3)[0].tolist() == [1, 2, 3]


def test_without_rows_it_runs_on_zeros(tmp_path):
    given = Given(tmp_path, "sums.tflite", {})
    (one,) = given.measured().measurements
    assert one.accuracy is None
    assert given.deployment.evaluation == ()


def test_a_state_without_rows_is_timed(tmp_path):
    given = Given(tmp_path, "state.onnx", {}, state=(("h", "hn"),))
    given.answered(sequences=True)
    assert len(given.measured().measurements) == 1


def test_a_file_that_this_host_cannot_read_takes_one_input_and_no_more(sums, tmp_path):
    sums.answered(inputs=(), outputs=(), answers=())
    with pytest.raises(StageError, match="cannot read which of its inputs is which") as caught:
        sums.measured()
    assert "edgepress[tensorflow]" in caught.value.hint
    one = Given(tmp_path, "dense.onnx", {"x": numbers(5, 4)})
    one.answered(inputs=(), outputs=(), answers=())
    (measurement,) = one.measured().measurements
    assert measurement.accuracy is None
    assert len(measurement.golden) == 4 * 3


# --- what answers cost


def test_as_many_rows_are_answered_as_the_plan_allows_bytes(sums):
    found = sums.measured("answer_bytes = 200\n")  # a row: 4 numbers, 2 and 1, of 4 bytes
    assert judged(found) == []
    (one,) = found.measurements
    assert one.accuracy.rows == 7
    indices = np.load(sums.store.path(sums.deployment.evaluation_indices))
    for column, deployed in zip(sums.data.evaluation.inputs, sums.deployment.evaluation, strict=True):
        whole, there = (np.load(sums.store.path(each.artifact)) for each in (column, deployed))
        np.testing.assert_array_equal(there, whole[indices])
    (said,) = sums.progress.sentences
    assert said.startswith(
        "the board answers 7 evaluation rows of 12, drawn by the seed: a file's answers to all are 336 B, "
    )
    assert said.endswith("to these 196 B ([measure] answer_bytes)")


def test_answers_in_half_of_the_bytes(sums):
    found = sums.measured('answers = "float16"\n')
    assert judged(found) == []
    (one,) = found.measurements
    assert 1e-5 < one.accuracy.error_rms < 1e-2
    large = Given(sums.folder, "dense.onnx", {"x": numbers(5, 4) * np.float32(1e6)})
    assert (
        "the answers to row 0 do not fit float16: take them whole" in judged(large.measured('answers = "float16"\n'))[0]
    )


def test_answers_that_are_not_numbers_are_said_of_their_output(tmp_path):
    rows = {"scale": np.array([1.0, np.inf, 2.0]), "x": numbers(3, 4, dtype="float16")}
    given = Given(tmp_path, "open.onnx", rows, constants={"keep": np.array([True])}, fixed={"x": (1, 4)})
    assert judged(given.measured()) == []  # as on this host
    given.answered(
        answers=tuple(
            kept(given.store, np.nan_to_num(np.load(given.store.path(each)))) for each in given.converted.answers
        )
    )
    said = judged(given.measured())
    assert any("NaN or infinity for 1 of 3 rows in the output 'scaled'" in each for each in said), said


def test_classes_are_counted_at_the_output_that_has_them(sums):
    place = [each.name for each in sums.converted.outputs].index("each")
    sums.answered(classes=True, scored=place)
    y = kept(sums.store, np.zeros(12, "int64"))
    sums.data = msgspec.structs.replace(sums.data, evaluation=msgspec.structs.replace(sums.data.evaluation, y=y))
    (one,) = sums.measured().measurements
    each = np.load(sums.store.path(sums.converted.answers[place]))
    assert one.accuracy.accuracy_ratio == np.mean(each.argmax(1) == 0)
    assert one.accuracy.differs_from_host_ratio == 0
