"""A network whose answers are NaN and infinite where they should be, the whole way."""

import msgspec
import numpy as np
import pytest

from pipeline.records import RunRecord
from pipeline.store import Store
from tests.support.commands import edgepress

pytestmark = pytest.mark.frameworks

X = np.linspace(-1, 1, 20, dtype=np.float32).reshape(10, 2)  # no row has a 0
PLAN = """[model]
path = "logarithm.keras"
[data]
evaluation = "rows.npz"
calibration = "calibration.npz"
nonfinite = {nonfinite}
[convert]
formats = {formats}
[measure]
launches = 1
timed_seconds = 0.01
meters = []
operators = false
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import keras

    folder = tmp_path_factory.mktemp("logarithm")
    x = keras.Input((2,), name="x")
    keras.Model(x, keras.ops.log(keras.ops.maximum(x, 0))).save(folder / "logarithm.keras")
    np.savez(folder / "rows.npz", x=X)
    np.savez(folder / "calibration.npz", x=X + np.float32(0.01))
    return folder


def run(folder, formats, nonfinite="true"):
    (folder / "edge.toml").write_text(PLAN.format(formats=formats, nonfinite=nonfinite))
    return edgepress("run", folder / "edge.toml", "-q")


def test_infinity_is_compared_with_infinity(folder):
    said = run(folder, '["tflite-fp32", "onnx-fp32"]')
    assert said.returncode == 0, said.stderr
    record = msgspec.json.decode(Store(folder / ".edgepress").latest_run(), type=RunRecord)
    assert len(record.measured.measurements) == 2
    for one in record.measured.measurements:
        assert one.accuracy.error_rms < 1e-6
        assert 0 < one.accuracy.spread < 10
        assert not [each for each in one.doubts if "answers" in each.what or "golden" in each.what]
    for each in record.converted:
        assert 0 <= each.agreement.error_rms < 1e-6


def test_without_the_key_they_are_refused_and_it_is_named(folder):
    said = run(folder, '["tflite-fp32"]', "false")
    assert said.returncode == 5, said.stderr
    assert "logarithm answers NaN or infinity for 5 of 10 rows" in said.stderr
    assert "[data] nonfinite = true" in said.stderr
