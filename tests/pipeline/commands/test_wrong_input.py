"""A plan, a model or data that are wrong: one sentence, a hint and an exit code, and no trace."""

import numpy as np
import pytest

from tests.support.commands import edgepress, no_trace, refused, write
from tests.support.plans import MODEL


@pytest.mark.parametrize(
    ("plan", "parts"),
    [
        ("[modle]\n", ("unknown key `modle`", "model, data, compress")),
        ("", ("missing key `model`",)),
        ("[model]\npath = 3\n", ("model.path", "expected `str`")),
        (MODEL + "[measure]\nthreads = 0\n", ("measure.threads", ">= 1")),
        (MODEL + "[measure]\ntreads = 1\n", ("measure", "unknown key `treads`", "threads, cpus, runtimes")),
        *(
            (MODEL + f"[limits]\n{key} = {value}\n", (f"limits.{key}", "expected `float`"))
            for key in ("latency_regression", "latency_margin", "latency_tail")
            for value in ("inf", "nan")
        ),
        (MODEL + "[[compress]]\nsparsity = 0.5\n", ("compress[0].pass", "missing key", "prune_weights")),
        (MODEL + '[[compress]]\npass = "prune_wieghts"\n', ("no pass 'prune_wieghts'",)),
        (MODEL + '[[compress]]\npass = "prune_weights"\nsparsity = 1.5\n', ("compress[0].sparsity",)),
        (MODEL + '[convert]\nformats = ["tflite-int9"]\n', ("no format 'tflite-int9'", "tflite-int8")),
        (
            MODEL + '[convert]\nformats = ["tflite-fp32"]\n[board]\nname = "pi9"\n',
            ("no board called", "local, virtual"),
        ),
        (
            MODEL + '[convert]\nformats = ["tflite-fp32"]\n[measure]\nruntimes = ["tensorrt"]\n',
            ("no runtime called tensorrt", "onnxruntime"),
        ),
        (MODEL + '[convert]\nformats = ["tflite-fp32"]\n[limits]\napplies_to = ["onnx-fp32"]\n', ("applies_to",)),
        ("[model\n", ("not valid TOML",)),
        ('[model]\npath = "a\\u0000b.keras"\n', ("model.path",)),
        (f'[model]\npath = "{"a" * 5000}.keras"\n', ("model.path",)),
        ('[model]\npath = ""\n', ("model.path",)),
        ('[model]\npath = "/dev/zero"\n', ("is not a regular file",)),
        ('[model]\npath = "m.pkl"\n[convert]\nformats = ["tflite-fp32"]\n', ("m.pkl", "no loader knows")),
        (
            MODEL + '[convert]\nformats = ["tflite-fp32"]\n[measure]\nruntimes = ["onnxruntime"]\n',
            ("no runtime for .tflite files", "ai_edge_litert"),
        ),
        ("\xff", ("not valid TOML",)),
    ],
)
def test_a_wrong_plan(tmp_path, plan, parts):
    path = write(tmp_path, "", m_keras=b"PK", m_pkl=b"x")
    path.write_bytes(plan.encode("latin-1"))
    refused(edgepress("run", path), 2, "edge.toml", *parts)
    assert not (tmp_path / ".edgepress").exists()


@pytest.mark.parametrize("name", ["nowhere.toml", "folder"])
def test_no_plan(tmp_path, name):
    (tmp_path / "folder").mkdir()
    refused(edgepress("run", tmp_path / name), 2, "cannot be read")


def test_model_missing(tmp_path):
    path = write(tmp_path, MODEL + '[convert]\nformats = ["tflite-fp32"]\n')
    refused(edgepress("run", path), 2, "m.keras")
    no_trace(tmp_path)


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("content", "says"),
    [(b"not a model at all", "not a Keras model"), (b"", "m.keras"), (b"PK\x03\x04 torn", "m.keras")],
    ids=["text", "empty", "torn"],
)
def test_not_a_model(tmp_path, content, says):
    path = write(tmp_path, MODEL + '[convert]\nformats = ["tflite-fp32"]\n', m_keras=content)
    refused(edgepress("run", path), 5, says)
    no_trace(tmp_path)


@pytest.mark.frameworks
def test_a_truncated_model(tmp_path, tiny_folder):
    whole = (tiny_folder / "tiny.keras").read_bytes()
    path = write(tmp_path, MODEL + '[convert]\nformats = ["tflite-fp32"]\n', m_keras=whole[: len(whole) // 2])
    refused(edgepress("run", path), 5, "m.keras")
    no_trace(tmp_path)


@pytest.mark.frameworks
def test_weights_that_are_not_numbers(tmp_path, tiny_folder):
    import keras

    model = keras.models.load_model(tiny_folder / "tiny.keras", compile=False)
    kernel = model.get_layer("pointwise").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    model.save(tmp_path / "m.keras")
    path = write(tmp_path, MODEL + '[convert]\nformats = ["tflite-fp32"]\n')
    refused(edgepress("run", path), 5, "NaN", "pointwise")
    no_trace(tmp_path)


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("x", "y", "parts"),
    [
        (np.zeros((9, 8, 8), np.float32), np.zeros(9, int), ("shape (8, 8)", "(8, 8, 1)", "channels")),
        (np.zeros((9, 8, 8, 1), np.uint8), np.zeros(9, int), ("uint8", "float32")),
        (np.zeros((9, 8, 8, 1), np.float32), np.full(9, 4), ("4",)),
        (np.zeros((9, 8, 8, 1), np.float32), np.zeros(8, int), ("8", "9")),
        (np.full((9, 8, 8, 1), np.nan, np.float32), np.zeros(9, int), ("NaN",)),
    ],
    ids=["shape", "dtype", "label", "count", "nan"],
)
def test_data_that_does_not_fit(tmp_path, tiny_folder, x, y, parts):
    np.savez(tmp_path / "e.npz", x=x, y=y)
    content = (tiny_folder / "tiny.keras").read_bytes()
    plan = MODEL + '[convert]\nformats = ["tflite-fp32"]\n[data]\nevaluation = "e.npz"\n'
    refused(edgepress("run", write(tmp_path, plan, m_keras=content)), 2, *parts)
    no_trace(tmp_path)
