"""The examples of the kinds of tasks, run as a user runs them: the smallest each time, the others with the slow tests."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.commands import edgepress

pytestmark = pytest.mark.frameworks

EXAMPLES = Path(__file__).parents[1] / "examples"
# a metric that the trained model reaches on its evaluation rows, better or worse
REACHES = {
    "regression": (1.0, 1.3),
    "anomaly": (0.9, 1),
    "segmentation": (0.8, 1),
    "detection": (0.6, 1),
    "keyword_stream": (0.9, 1),
}
NAMES = [name if name == "regression" else pytest.param(name, marks=pytest.mark.whole) for name in REACHES]


def test_every_example_is_tried():
    assert {each.parent.name for each in EXAMPLES.glob("*/edge.toml")} == {
        *REACHES,
        "fashion_mnist",
    }  # make demo runs that one
    for model in EXAMPLES.glob("*/model.keras"):
        assert model.stat().st_size < 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_the_metric_and_its_limit(name, tmp_path):
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("out", ".edgepress", "__pycache__"))
    said = edgepress("run", folder / "edge.toml", "--json", "-q")
    assert said.returncode == 0, said.stderr
    record = json.loads(said.stdout)
    low, high = REACHES[name]
    assert low < record["loaded"]["model"]["qualities"][0]["value"] < high
    verdicts = [each for each in record["compared"]["verdicts"] if each["metric"] == "metric_drop"]
    assert {each["subject"]["format"] for each in verdicts} == {"tflite-int8", "onnx-int8"}
    assert {each["outcome"] for each in verdicts} == {"PASS"}
    measured = [each for each in record["measured"]["measurements"] if each["format"].endswith("int8")]
    for each in measured:  # the board answers what this host answers
        assert each["accuracy"]["qualities"][0]["value"] == pytest.approx(
            next(
                one["agreement"]["qualities"][0]["value"]
                for one in record["converted"]
                if (one["variant"], one["format"]) == (each["variant"], each["format"])
            ),
            abs=0.02,
        )
