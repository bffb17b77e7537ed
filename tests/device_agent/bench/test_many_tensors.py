"""Models of several inputs and outputs, of every type and shape, and with state, through the whole agent."""

import io
import weakref

import pytest

from device_agent import wire
from device_agent.record import replace
from device_agent.runtimes._tflite import TfliteModel
from tests.support.agent_process import LAUNCH
from tests.support.models import MODELS, runtime_or_skip

np = pytest.importorskip("numpy")


def stored(agent, array) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return agent.store(buffer.getvalue())


def inputs_of(
    agent, arrays: dict[str, object], constants: dict[str, object] | None = None, shapes=None
) -> tuple[wire.Input, ...]:
    given = [(name, array, False) for name, array in arrays.items()]
    given += [(name, np.asarray(array)[None], True) for name, array in (constants or {}).items()]
    return tuple(
        wire.Input(name, (shapes or {}).get(name, ()), stored(agent, array), constant)
        for name, array, constant in given
    )


def launch(agent, file: str, **fields) -> wire.Launch:
    path = MODELS / file
    runtime = {".onnx": "onnxruntime", ".tflite": "ai_edge_litert"}[path.suffix]
    runtime_or_skip(runtime)
    return replace(
        LAUNCH, runtime=runtime, model_format=path.suffix[1:], model_sha256=agent.store(path.read_bytes()), **fields
    )


def evaluated(agent, one: wire.Launch) -> list:
    answer, _ = agent.run(replace(one, mode="evaluate"))
    assert isinstance(answer, wire.Launched), answer
    return [np.load(io.BytesIO(agent.get(sha256))) for sha256 in answer.outputs_sha256]


def numbers(*shape, dtype="float32"):
    return np.random.default_rng(3).uniform(-1, 1, shape).astype(dtype)


def test_two_inputs_are_fed_by_name(agent):
    a, b = numbers(5, 4), 10 * numbers(5, 4)
    (sums,) = evaluated(agent, launch(agent, "two_inputs.onnx", inputs=inputs_of(agent, {"b": b, "a": a})))
    np.testing.assert_allclose(sums, a + b, rtol=1e-6)


def tensors_of(file: str, way: str) -> dict[str, str]:
    """The names of a TFLite file's signature -> the indices that the agent knows them by."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(MODELS / file))
    details = {each["name"]: str(each["index"]) for each in getattr(interpreter, f"get_{way}_details")()}
    ((_, signature),) = interpreter.get_signature_list().items()
    assert len(details) == len(signature[f"{way}s"])
    runner = interpreter.get_signature_runner()
    return {name: str(each["index"]) for name, each in getattr(runner, f"get_{way}_details")().items()}


def test_a_tflite_file_of_two_inputs_and_three_outputs(agent):
    x, extra = numbers(6, 4), np.arange(12, dtype="int32").reshape(6, 2)
    into, out = tensors_of("sums.tflite", "input"), tensors_of("sums.tflite", "output")
    named = inputs_of(agent, {into["x"]: x, into["extra"]: extra})
    wanted = (out["count"], out["total"], out["each"])
    count, total, each = evaluated(agent, launch(agent, "sums.tflite", inputs=named, outputs=wanted))
    assert (count.dtype, count.tolist()) == (np.int32, (extra + 1).tolist())
    np.testing.assert_allclose(each, x * 2, rtol=1e-6)
    np.testing.assert_allclose(total, (x.sum(axis=1) + extra.sum(axis=1))[:, None], rtol=1e-5)


def test_the_golden_rows_tell_of_every_output(agent):
    into, out = tensors_of("sums.tflite", "input"), tensors_of("sums.tflite", "output")
    x, extra = numbers(6, 4), np.arange(12, dtype="int32").reshape(6, 2)
    named = inputs_of(agent, {into["x"]: x, into["extra"]: extra})
    one = launch(agent, "sums.tflite", inputs=named, outputs=(out["count"], out["each"]))
    timed, _ = agent.run(one)
    rows = [[*(extra[row] + 1).tolist(), *(x[row] * 2).tolist()] for row in range(wire.GOLDEN_ROWS)]
    np.testing.assert_allclose(timed.golden, np.concatenate(rows), rtol=1e-6)


@pytest.mark.parametrize("length", [3, 8])
def test_open_axes_scalars_and_every_type(agent, length):
    x, scales = numbers(4, length, dtype="float16"), np.array([1.0, 2.0, 3.0, 4.0])
    rows = {"x": x, "scale": scales}
    shapes = {"x": (1, length)}
    named = inputs_of(agent, rows, {"keep": np.array([True])}, shapes)
    scaled, size, dropped = evaluated(agent, launch(agent, "open.onnx", inputs=named))
    np.testing.assert_allclose(scaled, x.astype("float64") * scales[:, None], rtol=1e-3)
    assert (size.dtype, size.tolist()) == (np.int64, [[1, length]] * 4)
    assert (dropped.dtype, dropped.tolist()) == (np.bool_, [False] * 4)


def test_an_open_axis_is_never_found_out_on_the_board(agent):
    failed, _ = agent.run(launch(agent, "open.onnx"))
    assert isinstance(failed, wire.LaunchFailed)
    assert "open shape" in failed.message


def test_inputs_without_rows_are_zeros(agent):
    a = numbers(3, 4)
    (sums,) = evaluated(agent, launch(agent, "two_inputs.onnx", inputs=inputs_of(agent, {"a": a})))
    np.testing.assert_allclose(sums, a, rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"a": np.zeros((3, 4), "float32"), "b": np.zeros((2, 4), "float32")}, "2 and 3 rows"),
        ({"a": np.zeros((3, 4), "float32"), "z": np.zeros((3, 4), "float32")}, "no input 'z', only a, b"),
        ({"": np.zeros((3, 4), "float32")}, "no input '', only a, b"),
        ({"a": np.zeros((3, 5), "float32")}, "the input a takes (1, 4), a row has (5,)"),
        ({"a": np.zeros((3, 4), "int64")}, "the input a takes float32, the rows are int64"),
    ],
)
def test_rows_that_do_not_fit_are_named(agent, rows, words):
    failed, _ = agent.run(launch(agent, "two_inputs.onnx", inputs=inputs_of(agent, rows)))
    assert isinstance(failed, wire.LaunchFailed), failed
    assert words in failed.message


# --- state


def test_state_of_an_onnx_file_begins_again_with_each_row(agent):
    x = np.arange(1, 9, dtype="float32").reshape(2, 4, 1).repeat(2, axis=2)  # 2 sequences of 4 steps
    one = launch(
        agent, "state.onnx", inputs=inputs_of(agent, {"x": x}), outputs=("y",), state=(("h", "hn"),), sequences=True
    )
    (answers,) = evaluated(agent, one)
    np.testing.assert_allclose(answers, np.cumsum(x, axis=1))


def test_rows_that_are_no_sequences_do_not_see_each_other(agent):
    x = numbers(3, 2)
    one = launch(agent, "state.onnx", inputs=inputs_of(agent, {"x": x}), outputs=("y",), state=(("h", "hn"),))
    np.testing.assert_allclose(evaluated(agent, one)[0], x)


def test_a_resource_variable_does_not_leak_from_row_to_row(agent):
    """LiteRT's reset_all_variables leaves it; 1, 2, 3 became 1, 3, 6."""
    x = np.array([[1.0], [2.0], [3.0]], "float32")
    (answers,) = evaluated(agent, launch(agent, "counter.tflite", inputs=inputs_of(agent, {"": x})))
    assert answers.ravel().tolist() == [1, 2, 3]


def test_a_resource_variable_is_kept_along_a_sequence(agent):
    x = np.ones((2, 3, 1), "float32")
    (answers,) = evaluated(agent, launch(agent, "counter.tflite", inputs=inputs_of(agent, {"": x}), sequences=True))
    assert answers.reshape(2, 3).tolist() == [[1, 2, 3], [1, 2, 3]]


def test_sequences_are_timed_step_by_step(agent):
    x = numbers(2, 5, 2)
    one = launch(
        agent, "state.onnx", inputs=inputs_of(agent, {"x": x}), state=(("h", "hn"),), sequences=True, timed_min_runs=20
    )
    timed, _ = agent.run(one)
    assert isinstance(timed, wire.Launched), timed
    assert len(timed.latency_ns) >= 20


def test_a_state_that_does_not_exist_is_named(agent):
    failed, _ = agent.run(launch(agent, "state.onnx", state=(("h", "nothing"),)))
    assert isinstance(failed, wire.LaunchFailed)
    assert "no output 'nothing', only y, hn" in failed.message


def test_a_state_whose_shape_is_given_is_kept(agent):
    """Its open axes need lengths; the zeros that stand for its rows must not overwrite it."""
    x = np.ones((2, 4, 2), "float32")
    named = (*inputs_of(agent, {"x": x}), wire.Input("h", (1, 2), "", False))
    one = launch(agent, "state.onnx", inputs=named, outputs=("y",), state=(("h", "hn"),), sequences=True)
    (answers,) = evaluated(agent, one)
    np.testing.assert_allclose(answers, np.cumsum(x, axis=1))


# --- what answers take


def test_floating_point_is_kept_in_half_of_the_bytes(agent):
    into, out = tensors_of("sums.tflite", "input"), tensors_of("sums.tflite", "output")
    x, extra = numbers(6, 4), np.arange(12, dtype="int32").reshape(6, 2)
    named = inputs_of(agent, {into["x"]: x, into["extra"]: extra})
    count, each = evaluated(
        agent, launch(agent, "sums.tflite", inputs=named, outputs=(out["count"], out["each"]), half=True)
    )
    assert (count.dtype, each.dtype) == (np.int32, np.float16)
    np.testing.assert_allclose(each, x * 2, rtol=1e-3)


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_answers_that_do_not_fit_float16_are_refused(agent, factor):
    named = inputs_of(agent, {"a": numbers(3, 4) * np.float32(factor)})
    failed, _ = agent.run(launch(agent, "two_inputs.onnx", inputs=named, half=True, mode="evaluate"))
    assert isinstance(failed, wire.LaunchFailed)
    assert failed.message == "the answers to row 0 do not fit float16: take them whole"


def test_zeros_and_infinity_fit_float16(agent):
    a = np.array([[0, 0, 0, 0], [1, np.inf, 0, 0]], "float32")
    (sums,) = evaluated(agent, launch(agent, "two_inputs.onnx", inputs=inputs_of(agent, {"a": a}), half=True))
    np.testing.assert_array_equal(sums, a)


def test_a_file_that_is_opened_again_is_never_in_memory_twice():
    """The peak of the process is measured: it was twice that of the model."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    alive: weakref.WeakSet[object] = weakref.WeakSet()

    class Counted(interpreter):
        def __init__(self, **settings) -> None:
            assert not alive
            super().__init__(**settings)
            alive.add(self)

    model = TfliteModel(Counted, str(MODELS / "counter.tflite"), replace(LAUNCH, model_format="tflite"))
    model.allocate()
    for _ in range(3):
        model.reset()
        model.feed(model.fitted([np.ones((1, 1), "float32")]), fresh=True)
        model.invoke()
        assert model.outputs()[0].ravel().tolist() == [1]
