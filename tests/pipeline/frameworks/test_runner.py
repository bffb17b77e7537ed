"""Files with several inputs and outputs, states and open axes in the runtimes of this host: what they answer, by name."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import frameworks
from pipeline.errors import DataError, ModelError, PlanError, StageError
from pipeline.frameworks import runner as running
from pipeline.records import TensorSpec

pytestmark = pytest.mark.frameworks
MODELS = Path(__file__).parents[2] / "models"


def opened(name):
    return frameworks.open_file(MODELS / name, name.rpartition(".")[2], name)


def answers(runner, columns, tmp_path, *, constants=(), sequences=False, state=()):
    feeds = frameworks.Feeds(runner.inputs, columns, constants, sequences=sequences)
    found = runner.answers(feeds, tmp_path, lambda _done, _of: None, state)
    return {spec.name: np.array(each) for spec, each in zip(runner.outputs, found, strict=True)}


def test_tensors_go_by_name_and_not_by_their_order(tmp_path):
    x, extra = np.arange(12, dtype=np.float32).reshape(3, 4), np.arange(6, dtype=np.int32).reshape(3, 2)
    found = answers(opened("sums.tflite"), {"x": x, "extra": extra}, tmp_path)
    assert found["each"].dtype == np.float32
    assert found["count"].dtype == np.int32, "integers stay what they are"
    assert found["total"].shape == (3, 1), "the axis of rows is left out"
    again = answers(opened("sums.tflite"), {"extra": extra, "x": x}, tmp_path)
    assert all(np.array_equal(found[name], again[name]) for name in found)


def test_a_row_may_be_the_whole_tensor(tmp_path):
    x, extra = np.ones((3, 4), np.float32), np.ones((3, 2), np.int32)
    short = answers(opened("sums.tflite"), {"x": x, "extra": extra}, tmp_path)
    whole = answers(opened("sums.tflite"), {"x": x[:, None], "extra": extra}, tmp_path)
    assert all(np.array_equal(short[name], whole[name]) for name in short)


@pytest.mark.parametrize("length", [1, 7])
def test_open_axes_are_as_long_as_the_rows(length, tmp_path):
    """And a scalar, a truth value and float16: floating point is brought to the type of the input."""
    columns = {
        "x": np.full((2, 3, length), 2, np.float32), "scale": np.array([0.5, 2], np.float32), "keep": np.ones((1, 1), bool),
    }  # fmt: skip
    found = answers(opened("open.onnx"), columns, tmp_path, constants=("keep",))
    assert found["scaled"].dtype == np.float32
    np.testing.assert_allclose(found["scaled"], np.stack([np.full((3, length), 1), np.full((3, length), 4)]))
    assert found["size"].tolist() == [[3, length]] * 2
    assert found["size"].dtype == np.int64


def test_integers_of_another_type_are_refused(tmp_path):
    with pytest.raises(DataError, match="the input 'extra' takes int32, and the rows are int64"):
        answers(opened("sums.tflite"), {"x": np.ones((1, 4), np.float32), "extra": np.ones((1, 2), np.int64)}, tmp_path)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_state_ends_with_its_row(rows, tmp_path):
    """The order of rows means nothing: in resource variables, which only opening the file again resets."""
    runner = opened("counter.tflite")
    steps = np.arange(1, 1 + rows * 4, dtype=np.float32).reshape(rows, 4, 1, 1)
    found = answers(runner, {"x": steps}, tmp_path, sequences=True)["total"]
    np.testing.assert_allclose(found[..., 0], steps[..., 0, 0].cumsum(axis=1))
    alone = answers(runner, {"x": steps[:, 0]}, tmp_path)["total"]
    np.testing.assert_allclose(alone, steps[:, 0, :, 0])


def test_a_state_that_is_passed_on(tmp_path):
    runner, x = opened("state.onnx"), np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    found = answers(runner, {"x": x}, tmp_path, sequences=True, state=[("h", "hn")])
    h = np.zeros((2, 2), np.float32)
    for step in range(3):
        one = answers(runner, {"x": x[:, step], "h": h}, tmp_path)
        np.testing.assert_allclose(found["y"][:, step], one["y"])
        h = one["hn"]


def test_answers_of_another_shape_are_named(tmp_path):
    """A model whose answers depend on the row in their number."""
    spec = TensorSpec(name="boxes", shape=(None, 4), dtype="float32", axes=("kept", ""))
    found = running.Answers(tmp_path, 2, (spec,), "m.onnx")
    found.add(0, [np.zeros((3, 4), np.float32)])
    said = r"the output 'boxes' of m.onnx differs in shape from row to row, in its axis 'kept': \(3, 4\) for row 0, \(2, 4\) for row 1"
    with pytest.raises(ModelError, match=said):
        found.add(1, [np.zeros((2, 4), np.float32)])


@given(rows=st.integers(1, 40), width=st.integers(1, 5), chunk=st.integers(1, 100))
def test_the_error_does_not_depend_on_the_pieces(rows, width, chunk):
    rng = np.random.default_rng(rows * 100 + width)
    source = (rng.normal(size=(rows, width)) + 1000).astype(np.float32)
    other = source + rng.normal(size=source.shape).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.frameworks.differences.CHUNK_BYTES", chunk)
        error, spread = frameworks.error_of(other, source)
    wide = source.astype(np.float64)
    np.testing.assert_allclose(error, np.sqrt(np.mean((other - wide) ** 2)), rtol=1e-6)
    np.testing.assert_allclose(spread, np.sqrt(wide.var(axis=0).mean()), rtol=1e-6, atol=1e-9)


class Growing(frameworks.Runner):
    """Its output is as long as the steps that it has seen."""

    name = "growing.onnx"
    inputs = (TensorSpec(name="x", shape=(1, 1), dtype="float32"), TensorSpec(name="h", shape=(1, None), dtype="float32", fixed=(1, 1)))  # fmt: skip
    outputs = (TensorSpec(name="hn", shape=(1, None), dtype="float32"),)

    def run(self, feed):
        return [np.concatenate([feed["h"], feed["x"]], axis=1)]

    def reset(self):
        pass

    def in_other_kernels(self):
        pass


def test_an_output_that_grows_from_step_to_step_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"the output 'hn' of growing.onnx differs in shape from step to step"):
        answers(Growing(), {"x": np.ones((2, 3, 1), np.float32)}, tmp_path, sequences=True, state=(("h", "hn"),))


class Adding(Growing):
    """Its file leaves the length of its state open."""

    inputs = (Growing.inputs[0], TensorSpec(name="h", shape=(1, None), dtype="float32"))

    def run(self, feed):
        return [feed["h"] + feed["x"]]


def test_an_open_state_is_as_long_as_the_model_of_the_plan_says(tmp_path):
    """A file that a pass has changed is opened again, and says no more than the first."""
    x = np.ones((2, 3, 1), np.float32)
    with pytest.raises(PlanError, match=r"the input 'h' of growing\.onnx is \(1, any\)") as caught:
        answers(Adding(), {"x": x}, tmp_path, sequences=True, state=(("h", "hn"),))
    assert 'shape = { "h" = [1, ...] }' in caught.value.hint
    feeds = frameworks.Feeds(Growing.inputs, {"x": x}, sequences=True)
    (found,) = Adding().answers(feeds, tmp_path, lambda _done, _of: None, (("h", "hn"),))
    assert found[..., 0].tolist() == [[1, 2, 3]] * 2


def test_answers_that_the_disk_has_no_room_for(tmp_path):
    wide = np.broadcast_to(np.float32(0), (1, 2**40))
    with pytest.raises(StageError, match=r"the answers of m to 1,000,000 rows have .*, and the disk has"):
        running.Answers(tmp_path, 10**6, Growing.outputs, "m").add(0, [wide[0]])
    assert not list(tmp_path.iterdir())


def test_a_row_of_zeros_that_no_memory_holds():
    with pytest.raises(ModelError, match="one row of the input 'x' has"):
        frameworks.blank([TensorSpec(name="x", shape=(None, 2**62), dtype="float32")])
