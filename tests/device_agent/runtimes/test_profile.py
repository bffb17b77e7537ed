"""Times of kernels, by the runtimes' own profiles: the kernels are those of the file, and a runtime that cannot tell says so."""

import io

import pytest

from device_agent import wire
from device_agent.record import replace
from device_agent.runtimes._profile import Limits, averaged, repeat, shapes_text
from tests.support.agent_process import LAUNCH, sleep_model
from tests.support.fed import fed
from tests.support.models import MODELS, runtime_or_skip

PROFILE = replace(LAUNCH, mode="profile", timed_min_ns=1, timed_min_runs=50, timed_max_runs=50)


def profiled(agent, runtime: str, file: str, rows=None) -> wire.Launched:
    runtime_or_skip(runtime)
    path = MODELS / file
    inputs = ""
    if rows is not None:
        buffer = io.BytesIO()
        pytest.importorskip("numpy").save(buffer, rows)
        inputs = agent.store(buffer.getvalue())
    launch = replace(
        PROFILE,
        runtime=runtime,
        model_format=path.suffix[1:],
        model_sha256=agent.store(path.read_bytes()),
        inputs=fed(inputs),
    )
    launched, _ = agent.run(launch)
    assert isinstance(launched, wire.Launched), launched
    return launched


def test_onnxruntime_names_its_kernels_with_their_shapes(agent):
    np = pytest.importorskip("numpy")
    launched = profiled(agent, "onnxruntime", "dense.onnx", np.ones((3, 4), "float32"))
    assert {one.kind for one in launched.operators} & {"Gemm", "MatMul", "FusedMatMul"}
    for one in launched.operators:
        assert one.runs == 50
        assert 0 <= one.mean_ns < 1_000_000
    (dense,) = (one for one in launched.operators if "em" in one.kind or "atMul" in one.kind)
    assert dense.shapes.startswith("1x4")
    assert dense.shapes.endswith("-> 1x3")
    assert "own profile" in launched.operators_note
    assert (launched.latency_ns, launched.outputs_sha256) == ((), ())


@pytest.mark.parametrize("file", ["dense_float.tflite", "dense_int8.tflite"])
def test_litert_names_its_kernels_with_their_shapes(agent, file):
    np = pytest.importorskip("numpy")
    launched = profiled(agent, "ai_edge_litert", file, np.ones((3, 4), "float32"))
    assert launched.operators, launched.operators_note
    (dense,) = (one for one in launched.operators if one.kind.startswith("Fully Connected"))
    assert dense.runs == 50
    assert dense.shapes == "1x4, 3x4, 3 -> 1x3"


def test_another_litert_than_those_that_were_tried_is_not_called(monkeypatch):
    runtime_or_skip("ai_edge_litert")
    from device_agent.runtimes import _litert_profile

    monkeypatch.setattr(_litert_profile, "_Library", None)  # a call would fail
    found, note = _litert_profile.profile("", "3.0.0", None, "model.tflite", [], Limits(1, 1, 1))
    assert found == []
    assert "3.0.0" in note


def test_a_runtime_without_a_profile_says_so(agent):
    launch = replace(PROFILE, model_sha256=agent.store(sleep_model(latency_us=1)))
    launched, _ = agent.run(launch)
    assert (launched.operators, launched.operators_note) == ((), "sleep cannot report how long its operators take")
    assert launched.cold_start_ns == 0  # nothing answered: it is no cold start


def test_a_profile_that_fails_is_a_failed_launch_and_nothing_more(agent):
    launch = replace(PROFILE, runtime="onnxruntime", model_format="onnx", model_sha256=agent.store(b"no model"))
    runtime_or_skip("onnxruntime")
    failed, launched, _ = agent.run(launch, replace(LAUNCH, model_sha256=agent.store(sleep_model())))
    assert isinstance(failed, wire.LaunchFailed)
    assert isinstance(launched, wire.Launched)


def test_the_number_of_profiled_runs_is_bounded():
    calls = []
    assert repeat(lambda: calls.append(1), Limits(10**12, 3, 7)) == 7
    assert repeat(lambda: calls.append(1), Limits(0, 3, 7)) == 3
    assert len(calls) == 10


def test_an_average_and_its_shapes():
    one = averaged("a", "Conv", shapes_text([[1, 28, 28, 1], []], [[1, 3]]), [1000, 2000, 4000])
    assert (one.mean_ns, one.runs, one.shapes) == (2333, 3, "1x28x28x1, scalar -> 1x3")


def test_a_run_without_the_cpu_does_not_count():
    assert averaged("a", "Conv", "", [1000] * 9 + [25_000_000]).mean_ns == 1000


def test_shapes_are_told_only_where_the_kernels_are_as_many_as_the_operators():
    runtime_or_skip("ai_edge_litert")
    from device_agent.runtimes._litert_profile import DELEGATED, OPERATOR, _shapes

    class Interpreter:
        def get_tensor_details(self):
            return [{"index": k, "shape": [1, k]} for k in range(6)]

        def _get_ops_details(self):
            names = ["CONV_2D", "FULLY_CONNECTED", "ADD", "SOFTMAX", "DELEGATE"]
            return [{"index": k, "op_name": name, "inputs": [k], "outputs": [k + 1]} for k, name in enumerate(names)]

    convolution, dense, added = (
        (DELEGATED, 0, "Convolution (NHWC, F32) IGEMM"),
        (DELEGATED, 1, "Fully Connected (NC) GEMM"),
        (DELEGATED, 2, "Add (ND)"),
    )
    softmax, copy = (OPERATOR, 3, "SOFTMAX"), (DELEGATED, 4, "Copy (NC, X8)")
    keys = [convolution, dense, added, (DELEGATED, 5, "Add (ND)"), copy, softmax]
    shapes = _shapes(keys, Interpreter())
    assert [shapes[key] for key in keys] == ["1x0 -> 1x1", "1x1 -> 1x2", "", "", "", "1x3 -> 1x4"]


def test_the_profile_file_is_gone_afterwards(tmp_path):
    runtime = runtime_or_skip("onnxruntime")
    runtime.profile(str(MODELS / "dense.onnx"), LAUNCH, [], str(tmp_path), Limits(0, 3, 3))
    assert list(tmp_path.iterdir()) == []
