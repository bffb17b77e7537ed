"""Which runtimes a plan asks for, and in which versions: what is refused before the board is reached, and why."""

import re
import zipfile
from types import SimpleNamespace

import pytest

from pipeline import plan
from pipeline.deploy import runtimes
from pipeline.errors import PlanError

HEAD = '[model]\npath = "m.onnx"\n'


def read(folder, text):
    (folder / "edge.toml").write_text(HEAD + text)
    return plan.read(folder / "edge.toml")


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ('[measure]\nruntimes = ["onnxruntime==1.20.1"]', "gives a version, too", 'Write "onnxruntime" here'),
        ('[measure]\nruntimes = ["onnxruntime==1.20.1"]', "gives a version, too", "[board] runtimes = { onnxruntime"),
        ('[measure]\nruntimes = ["tflite-runtime>=2.13"]', "gives a version, too", 'Write "tflite_runtime" here'),
        ('[measure]\nruntimes = ["tflite"]', "no runtime called tflite", "Did you mean tflite_runtime?"),
        ('[measure]\nruntimes = "onnxruntime"', '"onnxruntime" is not a list', 'Write ["onnxruntime"], or "all"'),
        ('[board]\nruntimes = { ai-edge-litert = "2.1.0" }', "no runtime called ai-edge-litert", "ai_edge_litert"),
        ('[board]\nruntimes = { onnxruntime_cuda = "1.20" }', "no runtime called onnxruntime_cuda", "onnxruntime"),
        ('[board]\nruntimes = { onnxruntime = "==1.20.1" }', '"==1.20.1" is not a version', "Write one version"),
        ('[board]\nruntimes = { onnxruntime = "newest" }', '"newest" is not a version', "or the path of a wheel"),
        ('[board]\nruntimes = { onnxruntime = "it.whl" }', "it.whl does not have the name of a wheel", "says what it is"),
        ('[board]\nruntimes = { onnxruntime = "x/numpy-2.4.6-cp311-cp311-linux_x86_64.whl" }', "is a wheel of numpy", "onnxruntime"),
        ('[board]\nruntimes = { onnxruntime = "onnxruntime-1.20.1-cp311-cp311-linux_x86_64.whl" }', "there is no file", "relative to the plan"),
        ('[board]\nruntimes = { onnxruntime = "1.20.1" }\n[measure]\nruntimes = ["ai_edge_litert"]', "leaves it out", "Name onnxruntime in measure.runtimes"),
    ],
)  # fmt: skip
def test_refusals_name_the_key_and_what_to_write(tmp_path, text, said, hint):
    with pytest.raises(PlanError, match=re.escape(said)) as caught:
        runtimes.check(read(tmp_path, text))
    assert hint in caught.value.hint


def test_versions_and_files_are_taken_as_they_are_named(tmp_path):
    wheel = tmp_path / "wheels" / "onnxruntime-1.20.1-cp311-cp311-linux_x86_64.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("onnxruntime-1.20.1.dist-info/RECORD", "")
    asked = read(tmp_path, f'[board]\nruntimes = {{ onnxruntime = "wheels/{wheel.name}", tflite_runtime = "2.13.0" }}')
    runtimes.check(asked)
    assert runtimes.chosen(asked) == {"onnxruntime": wheel.resolve(), "tflite_runtime": "2.13.0"}


@pytest.mark.parametrize("what", ["no zip", "an empty file", "no list of its files"])
def test_a_wheel_that_is_damaged_is_the_plan_s(tmp_path, what):
    """Not the board's, and not mended by sending it again."""
    wheel = tmp_path / "onnxruntime-1.20.1-cp311-cp311-linux_x86_64.whl"
    if what == "no list of its files":
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("onnxruntime/__init__.py", "")
    else:
        wheel.write_bytes(b"PK" if what == "no zip" else b"")
    with pytest.raises(PlanError, match=r"is not a valid wheel: it cannot be read as one") as caught:
        runtimes.check(read(tmp_path, f'[board]\nruntimes = {{ onnxruntime = "{wheel.name}" }}'))
    assert caught.value.hint == "Download or build it again."


def test_a_runtime_that_is_named_twice_is_measured_once(tmp_path):
    asked = read(tmp_path, '[measure]\nruntimes = ["onnxruntime", "ai_edge_litert", "onnxruntime"]')
    assert runtimes.runtimes_of(asked) == ("onnxruntime", "ai_edge_litert")


def test_what_a_plan_may_measure(tmp_path):
    """Known before the board is: of a plan that names none, every one that may turn out to be the best."""
    cpu = {"ai_edge_litert", "tflite_runtime", "onnxruntime"}
    gpu = {"onnxruntime_cuda", "onnxruntime_tensorrt"}
    assert set(runtimes.runtimes_of(read(tmp_path, ""))) == cpu
    assert set(runtimes.runtimes_of(read(tmp_path, '[measure]\nruntimes = "all"'))) == cpu | gpu
    assert runtimes.runtimes_of(read(tmp_path, '[measure]\nruntimes = ["tflite_runtime"]')) == ("tflite_runtime",)
    judged = read(tmp_path, '[limits]\nsize_bytes = 1\napplies_to = ["onnx-int8@onnxruntime_cuda"]')
    assert set(runtimes.runtimes_of(judged)) == cpu | {"onnxruntime_cuda"}


def deployed(target="pi5", **packages):
    return SimpleNamespace(
        target=target, runtimes=[SimpleNamespace(name=name, packages=each) for name, each in packages.items()]
    )


def test_other_versions_than_in_the_run_before_are_said():
    """Two runs whose times differ by their runtimes are not two models that differ."""
    numpy = "numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl"
    old, new = (f"onnxruntime-{version}-cp311-cp311-manylinux_2_28_x86_64.whl" for version in ("1.20.1", "1.32.0"))
    before = deployed(onnxruntime=(old, numpy))
    said = runtimes.other_versions(deployed(onnxruntime=(new, numpy), ai_edge_litert=("x",)), before)
    assert "onnxruntime with onnxruntime 1.32.0, before with onnxruntime 1.20.1" in said
    assert runtimes.other_versions(deployed(onnxruntime=(numpy, old)), before) == ""
    assert runtimes.other_versions(deployed("orin", onnxruntime=(new, numpy)), before) == ""
