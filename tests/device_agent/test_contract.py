"""What every runtime and meter must be, and what the agent as a whole must stay."""

import ast
import importlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.meters import METERS
from device_agent.record import replace
from device_agent.runtimes import RUNTIMES
from device_agent.runtimes._model import Tensor, fitted
from tests.support.agent_process import LAUNCH, PACKAGE, bundle, pythons, sha256, sleep_model, wheel
from tests.support.fed import fed
from tests.support.models import DENSE, GPU, MODELS, runtime_or_skip

TFLITE = ["tflite_runtime", "ai_edge_litert"]
FILES = sorted(PACKAGE.rglob("*.py"))


def dense(rows):
    """What the dense models answer (tests/models/make.py), by numpy."""
    np = pytest.importorskip("numpy")
    weights = np.array([[((i + 2 * j) % 5 - 2) / 4 for j in range(3)] for i in range(4)], "float32")
    return rows @ weights + np.array([0.5, -0.25, 0], "float32")


def rows_of(count: int):
    np = pytest.importorskip("numpy")
    return np.random.default_rng(7).uniform(-1, 1, (count, 4)).astype("float32")


DELEGATES = {
    "onnxruntime": ("CPUExecutionProvider",),
    "tflite_runtime": ("XNNPACK",),
    "ai_edge_litert": ("XNNPACK",),
}


# --- runtimes


@pytest.mark.parametrize("name", RUNTIMES)
def test_runtime_contract(name, tmp_path):
    np = pytest.importorskip("numpy")
    runtime = runtime_or_skip(name)
    path = tmp_path / "model.sleep"
    path.write_bytes(sleep_model(latency_us=1, outputs=[1, 2, 3]))
    model = runtime.open_model(str(MODELS / DENSE[name] if name in DENSE else path), LAUNCH)
    if model.allocate is not None:
        model.allocate()
    assert runtime.version()
    assert isinstance(runtime.version(), str)
    assert model.delegates == DELEGATES.get(name, ())
    (tensor,) = model.inputs
    assert (tensor.shape, tensor.dtype) == ((1, 4), "float32")

    model.feed(model.fitted([None]), fresh=True)
    model.invoke()
    zeros = model.outputs()[0]
    assert (zeros.shape, zeros.dtype) == ((1, 3), np.float32)
    row = rows_of(1)[0]
    model.feed(model.fitted([row]), fresh=True)
    model.invoke()
    model.invoke()  # answers do not depend on how often it is asked
    if name in DENSE:
        np.testing.assert_allclose(zeros, [[0.5, -0.25, 0]], atol=1e-6)
        np.testing.assert_allclose(model.outputs()[0], [dense(row)], atol=1e-5)
    for wrong in (np.zeros(5, "float32"), np.zeros((2, 4), "float32"), np.zeros(4, "int8")):
        with pytest.raises(ValueError, match="takes"):
            model.feed(model.fitted([wrong]), fresh=True)


@pytest.mark.parametrize("name", DENSE)
def test_runtime_in_the_agent(name, agent):
    """The same through the whole agent: the right answers for every row, and times."""
    np = pytest.importorskip("numpy")
    runtime = runtime_or_skip(name)
    buffer = io.BytesIO()
    np.save(buffer, rows_of(20))
    file = MODELS / DENSE[name]
    launch = replace(
        LAUNCH,
        runtime=name,
        model_format=file.suffix[1:],
        model_sha256=agent.store(file.read_bytes()),
        inputs=fed(agent.store(buffer.getvalue())),
    )
    timed, evaluated, _ = agent.run(launch, replace(launch, mode="evaluate"))
    assert isinstance(timed, wire.Launched), timed
    assert timed.runtime_version == runtime.version()
    assert 0 < min(timed.latency_ns) < 1_000_000
    assert timed.import_ns > 1_000_000  # the library is imported where it is measured
    outputs = np.load(io.BytesIO(agent.get(evaluated.outputs_sha256[0])))
    np.testing.assert_allclose(outputs, dense(rows_of(20)), atol=1e-5)


@pytest.mark.parametrize("name", TFLITE)
def test_int8_models_take_and_give_floats(name):
    np = pytest.importorskip("numpy")
    model = runtime_or_skip(name).open_model(str(MODELS / "dense_int8.tflite"), LAUNCH)
    model.allocate()
    assert model.inputs[0].dtype == "int8"
    for row in rows_of(20):
        model.feed(model.fitted([row]), fresh=True)
        model.invoke()
        np.testing.assert_allclose(model.outputs()[0], [dense(row)], atol=0.03)  # 3 steps of the output's scale
    model.feed(model.fitted([None]), fresh=True)
    model.invoke()
    np.testing.assert_allclose(model.outputs()[0], [[0.5, -0.25, 0]], atol=0.01)


@pytest.mark.parametrize("name", TFLITE)
def test_state_does_not_leak_from_row_to_row(name):
    np = pytest.importorskip("numpy")
    model = runtime_or_skip(name).open_model(str(MODELS / "rnn_float.tflite"), LAUNCH)
    model.allocate()
    for _ in range(3):
        model.feed(model.fitted([np.ones(1, "float32")]), fresh=True)
        model.invoke()
        assert model.outputs()[0].tolist() == [[1.0]]


@pytest.mark.parametrize("name", GPU)
def test_a_gpu_that_is_not_there_is_no_cpu(name, agent):
    """The real library, which has no such provider and by itself would warn and take the CPU."""
    library = pytest.importorskip("onnxruntime")
    if GPU[name] in library.get_available_providers():
        pytest.skip("it has that provider")
    model = agent.store((MODELS / "dense.onnx").read_bytes())
    failed, _ = agent.run(replace(LAUNCH, runtime=name, model_format="onnx", model_sha256=model))
    assert (failed.phase, failed.error) == ("load", "OtherProvider")
    assert f"this onnxruntime has no {GPU[name]}" in failed.message


def test_a_provider_that_leaves_the_model_to_the_cpu_is_refused():
    """The real library again: its provider for Azure starts, takes no part of this model, and is listed as the one in use."""
    library = pytest.importorskip("onnxruntime")
    if "AzureExecutionProvider" not in library.get_available_providers():
        pytest.skip("this onnxruntime has no provider that runs nothing")
    model = str(MODELS / "dense.onnx")
    assert library.InferenceSession(model, providers=["AzureExecutionProvider"]).get_providers()[0].startswith("Azure")
    with pytest.raises(Exception, match="fallback to CPU EP has been explicitly disabled"):
        importlib.import_module("device_agent.runtimes._onnxruntime").OnnxModel(model, LAUNCH, "AzureExecutionProvider")


STAND_IN = """
import numpy
__version__ = "stand-in"
class SessionOptions:
    def __init__(self): self.entries = {}
    def add_session_config_entry(self, key, value): self.entries[key] = value
class Tensor:
    name, shape, type = "x", [1, 4], "tensor(float)"
class InferenceSession:
    def __init__(self, path, options, providers, enable_fallback):
        assert enable_fallback == 0 and options.entries == {"session.disable_cpu_ep_fallback": "1"}
        self.providers = providers
    def disable_fallback(self): pass
    def get_providers(self): return (FALLS_BACK or self.providers) + ["CPUExecutionProvider"]
    def get_inputs(self): return [Tensor]
    def get_outputs(self): return [Tensor]
    def run(self, names, feed): return [numpy.float32([[1, 2, 3]])]
def get_available_providers(): return ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
"""


@pytest.mark.parametrize("falls_back", [False, True])
@pytest.mark.parametrize("name", GPU)
def test_gpu_runtimes_with_a_stand_in_for_onnxruntime(name, agent, falls_back):
    """No GPU was at hand: the provider is asked for alone, and one that is not the one in use is refused."""
    other = ["CUDAExecutionProvider" if name == "onnxruntime_tensorrt" else "CPUExecutionProvider"]
    code = f"FALLS_BACK = {other if falls_back else None}" + STAND_IN
    site = agent.store(wheel({"onnxruntime.py": code.encode()}))
    assert isinstance(agent.ask(wire.Unpack("onnxruntime.whl", site)), wire.Unpacked)
    model = agent.store(b"a model")
    launch = replace(LAUNCH, runtime=name, model_format="onnx", model_sha256=model, sites=(site,))
    answer, _ = agent.run(launch)
    if falls_back:
        assert (answer.phase, answer.error) == ("load", "OtherProvider"), answer
        assert f"{GPU[name]} did not start, the model would run in {other[0]}" in answer.message
    else:
        assert isinstance(answer, wire.Launched), answer
        assert answer.runtime_version == "stand-in"


def test_quantization_rounds_half_to_even_and_clips():
    np = pytest.importorskip("numpy")
    row = np.array([0.25, 0.75, 1.25, -0.25, -0.75, 100, -100], "float32")
    got = fitted(row, Tensor("x", (1, 7), "int8", 0.5, 10))
    assert got.dtype == np.int8
    assert got.tolist() == [[10, 12, 12, 10, 8, 127, -128]]
    assert fitted(row, Tensor("x", (1, 7), "uint8", 0.5, 10)).tolist() == [[10, 12, 12, 10, 8, 210, 0]]
    assert fitted(None, Tensor("x", (1, 3), "int8", 0.5, 10)).tolist() == [[10, 10, 10]]
    assert fitted(got[0], Tensor("x", (1, 7), "int8", 0.5, 10)).tolist() == got.tolist()  # already the model's own type
    with pytest.raises(ValueError, match="takes int64"):
        fitted(row, Tensor("x", (1, 7), "int64", 0.0, 0))


def test_sleep_times_without_numpy(start, tmp_path):
    bare = [
        path for path in pythons().values() if not list(Path(path).parents[1].glob("lib/python3*/site-packages/numpy"))
    ]
    if not bare:
        pytest.skip("every Python here has numpy")
    agent = start(python=bare[0])
    launched, _ = agent.run(replace(LAUNCH, model_sha256=agent.store(sleep_model())))
    assert isinstance(launched, wire.Launched), launched


# --- meters


@pytest.mark.parametrize("name", METERS)
def test_meter_contract(name):
    """What the table promises of each file; what each reads is in meters/test_meters.py."""
    meter = importlib.import_module(METERS[name])
    assert type(meter.AUTO) is bool
    for word in ("Rail", "Rate", "ccuracy"):
        assert re.search(word, meter.__doc__, re.IGNORECASE), word
    with pytest.raises((OSError, ValueError)):
        meter.open_meter({"no such setting": "1"})


def test_the_tables_name_the_files():
    for table, folder in ((RUNTIMES, "runtimes"), (METERS, "meters")):
        files = {path.stem for path in (PACKAGE / folder).glob("*.py") if not path.stem.startswith("_")}
        assert set(table) == files
        assert table == {name: f"device_agent.{folder}.{name}" for name in files}


# --- the whole


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])
def test_standard_library_only_and_old_syntax(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    allowed = set(sys.stdlib_module_names) | {"device_agent"}
    if path.parent.name in ("runtimes", "meters") or path.name in (
        "runner.py",
        "evaluate.py",
        "feeds.py",
        "end_to_end.py",
    ):
        allowed |= {"numpy", path.stem.lstrip("_")}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("version", pythons())
def test_every_module_can_be_imported_by_every_python(version):
    """But those of runtimes, whose libraries are not in all of them: targets/test_provision.py runs these."""
    modules = [
        f"device_agent.{path.relative_to(PACKAGE).with_suffix('').as_posix().replace('/', '.')}"
        for path in FILES
        if path.parent.name != "runtimes" and path.stem not in ("__init__", "bootstrap")
    ]
    code = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import {', '.join(modules)}"
    subprocess.run([pythons()[version], "-I", "-S", "-W", "error", "-c", code], check=True)


def test_the_agent_itself_imports_no_library(agent):
    maps = Path(f"/proc/{agent.process.pid}/maps").read_text()
    for name in ("numpy", "onnxruntime", "litert"):
        assert name not in maps


def test_sizes():
    """The agent stays small."""
    lines = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in FILES}
    assert {name for name, count in lines.items() if count > 300} == {"wire.py"}  # every record, to be read together
    assert sum(lines.values()) <= 6700
    assert len(bundle()) <= 120_000


def test_the_agent_is_told_apart_by_its_content(agent):
    assert agent.hello.agent_sha256 == sha256(bundle())
    assert json.loads(wire.encode(agent.hello))["protocol"] == wire.PROTOCOL
