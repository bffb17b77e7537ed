"""The whole way: real model, real conversions, a real agent, real runtimes, and the command a user types."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline.handover import Manifest
from pipeline.records import Outcome, RunRecord
from pipeline.store import Store
from targets.folders import cache_folder
from tests.support.commands import edgepress, without_extras
from tests.support.damage import flip
from tests.support.processes import eventually, leftovers, processes_with
from tests.support.tiny_model import PLAN, QUICK

pytestmark = pytest.mark.frameworks


@pytest.fixture(scope="module")
def done(tiny_folder, tmp_path_factory):
    """One whole run, for the tests that only look at what it left."""
    folder = tmp_path_factory.mktemp("run") / "plan"
    shutil.copytree(tiny_folder, folder)
    path = folder / "edge.toml"
    limits = (
        '[limits]\naccuracy_drop_points = 100.0\nsize_bytes = 1_000_000\napplies_to = ["tflite-int8@ai_edge_litert"]\n'
    )
    path.write_text(PLAN + QUICK + 'runtimes = "all"\n[board]\nname = "virtual"\n' + limits)
    return path, edgepress("run", path, env=os.environ | {"TMPDIR": str(folder)})


def record_of(path):
    return msgspec.json.decode(Store(path.parent / ".edgepress").latest_run(), type=RunRecord)


def test_the_whole_way_over_ssh(done):
    path, said = done
    assert said.returncode == 0, said.stderr
    record = record_of(path)
    assert record.deployment.target == "virtual"
    assert "1 core" in record.deployment.note  # what holds a virtual board to its shape
    assert not record.deployment.board.is_board
    labels = {each.label for each in record.measured.measurements}
    families = {"tflite_runtime": "tflite", "ai_edge_litert": "tflite", "onnxruntime": "onnx"}
    runtimes = [each.name for each in record.deployment.runtimes]
    for runtime in runtimes:
        family = families[runtime]
        assert {f"original {family}-fp32 @ {runtime}", f"compressed {family}-fp32 @ {runtime}",
                f"compressed {family}-int8 @ {runtime}"} <= labels  # fmt: skip
    assert {"ai_edge_litert", "onnxruntime"} <= set(runtimes)
    assert "tflite_runtime" in runtimes or sys.version_info >= (3, 12)  # it has no wheels for later Pythons


def test_every_measurement_is_whole(done):
    for each in record_of(done[0]).measured.measurements:
        assert each.latency.launches == 6
        assert each.latency.runs >= 6 * 20
        assert 0 < each.latency.min_s <= each.latency.median_s < 1
        assert each.import_s > 0 < each.load_s
        assert each.first_inference_s > 0
        steps = [step.step for step in each.memory.steps if step.step != "allocated"]  # a step of TFLite's alone
        assert steps == ["python", "runtime_imported", "model_loaded", "inputs_ready", "first_inference", "end"]
        assert all(step.resident_bytes >= 0.95 * (step.anonymous_bytes + step.file_bytes) for step in each.memory.steps)
        assert each.memory.peak_bytes >= max(step.resident_bytes for step in each.memory.steps[1:]) * 0.9
        assert (each.energy.readings, each.energy.best) == ((), None)
        assert "no power meter" in each.energy.note
        assert each.accuracy.rows == 100
        assert each.accuracy.differs_from_host_ratio <= 0.05


def test_what_it_prints_ends_in_the_outcome_the_files_and_the_page(done):
    said = done[1]
    lines = said.stdout.strip().splitlines()
    assert lines[-1].startswith("page: ")
    assert Path(lines[-1].removeprefix("page: ")).exists()
    files = lines.index(f"files in {done[0].parent / 'out'}:")
    assert any(line.startswith("PASS") for line in lines[files - 4 : files]), said.stdout
    assert any(line.split()[0] == "tiny-tflite-int8.tflite" for line in lines[files + 1 :])
    for stage in ("load", "compress", "convert", "deploy", "measure", "compare", "report"):
        assert f"{stage:<9} done in" in said.stderr
    assert "\x1b" not in said.stdout + said.stderr


def test_the_product_is_handed_over_with_what_it_was_made_from(done):
    path, record = done[0], record_of(done[0])
    out = path.parent / "out"
    manifest = msgspec.json.decode((out / "manifest.json").read_bytes(), type=Manifest)
    assert {file.name for file in manifest.files} == {each.name for each in out.iterdir()} - {"manifest.json"}
    for file in manifest.files:
        assert hashlib.sha256((out / file.name).read_bytes()).hexdigest() == file.sha256
    made = {(each.variant, each.format): each.artifact.sha256 for each in record.converted}
    for file in manifest.files:
        if (file.variant, file.format) in made:
            assert made[file.variant, file.format] == file.sha256
    assert {"tiny-tflite-int8.tflite", "tiny-onnx-int8.onnx", "tiny-compressed.keras", "report.html"} <= {
        file.name for file in manifest.files
    }
    assert manifest.model.sha256 == hashlib.sha256((path.parent / "tiny.keras").read_bytes()).hexdigest()
    assert (manifest.run_id, manifest.verdict) == (record.run_id, "PASS")


def test_one_bit_of_what_is_stored_is_never_used(done, tmp_path):
    """A model, its rows, its labels, the answers of stages: each is made again from its source, and said."""
    folder = tmp_path / "damaged"
    shutil.copytree(done[0].parent, folder)
    path, state = folder / "edge.toml", folder / ".edgepress"
    record = record_of(path)
    before = {each.artifact.sha256 for each in record.converted}
    wanted = [
        record.loaded.model.artifact,
        record.loaded.data.calibration.inputs[0].artifact,
        record.loaded.data.evaluation.y,
    ]
    wanted += [record.compressed.model.artifact, record.converted[0].artifact]
    for artifact in dict.fromkeys(wanted):
        flip(state / "store" / artifact.sha256)
    flip(next((state / "answers").glob("load-*")))
    said = edgepress("convert", path, "--json")
    assert said.returncode == 0, said.stderr
    assert said.stderr.count("was damaged") >= len(set(wanted)) + 1
    assert {each["artifact"]["sha256"] for each in msgspec.json.decode(said.stdout)} == before
    for artifact in wanted:
        assert hashlib.sha256((state / "store" / artifact.sha256).read_bytes()).hexdigest() == artifact.sha256
    judged = next(
        each for each in record.measured.measurements if each.label == "compressed tflite-int8 @ ai_edge_litert"
    )
    flip(state / "store" / judged.accuracy.answers.sha256)
    said = edgepress("compare", path)
    assert said.returncode == 5
    assert "damaged" in said.stderr
    assert "edgepress run" in said.stderr


def test_the_board_is_clean_and_no_process_is_left(done):
    assert eventually(lambda: not leftovers(cache_folder() / "virtual-board"))
    assert not list((done[0].parent / ".edgepress" / "tmp").iterdir())
    assert not processes_with(str(done[0].parent))  # its virtual sshd among them


def test_a_second_run_takes_what_is_unchanged_from_the_cache(done):
    path, _ = done
    said = edgepress("deploy", path)
    assert said.returncode == 0
    for stage in ("load", "compress", "convert", "deploy"):
        assert f"{stage:<9} unchanged, from the cache" in said.stderr


def test_limits_are_judged_again_without_a_board(done, tmp_path):
    path, _ = done
    folder = tmp_path / "again"
    shutil.copytree(path.parent, folder)
    again = folder / "edge.toml"
    again.write_text(path.read_text().replace("size_bytes = 1_000_000", "size_bytes = 1"))
    said = edgepress("compare", again)
    assert said.returncode == 1
    assert "REGRESSED  size_bytes" in said.stdout
    assert record_of(again).outcome is Outcome.REGRESSED
    assert edgepress("report", again).returncode == 0


def test_json_is_the_record(done):
    said = edgepress("report", done[0], "--json")
    assert msgspec.json.decode(said.stdout.encode(), type=RunRecord) == record_of(done[0])


def test_a_deployable_file_against_the_one_in_use(done, tmp_path):
    """What a small CI machine does: no passes, no conversion, two files side by side."""
    path, _ = done
    record, store = record_of(path), Store(path.parent / ".edgepress")
    for each in record.converted:
        if each.format in {"tflite-fp32", "tflite-int8"}:
            shutil.copy(store.path(each.artifact), tmp_path / f"{each.variant}-{each.format}.tflite")
    plan = tmp_path / "edge.toml"
    plan.write_text(
        '[model]\npath = "compressed-tflite-int8.tflite"\n[compare]\nbaseline = "original-tflite-fp32.tflite"\n'
        '[limits]\nlatency_regression = "1000 %"\n[board]\nname = "local"\n[measure]\nruntimes = ["ai_edge_litert"]\n'
        "timed_seconds = 0.02\n"
    )
    said = edgepress("run", plan)
    assert said.returncode == 0, said.stderr
    found = record_of(plan)
    new = "compressed-tflite-int8.tflite (candidate) @ ai_edge_litert"
    old = "original-tflite-fp32.tflite (baseline) @ ai_edge_litert"
    assert [each.label for each in found.measured.measurements] == [new, old]
    assert [(each.kind, each.role) for each in found.converted] == [("int8", "candidate"), ("float32", "baseline")]
    assert "compressed-tflite-int8.tflite (candidate) is int8 and " in said.stdout.replace("\n  ", " ")
    assert " original tflite" not in said.stdout
    (comparison,) = found.compared.comparisons
    assert (comparison.subject.label, comparison.baseline_subject.label) == (new, old)
    (paired,) = found.measured.paired
    assert (paired.subject, paired.baseline_subject) == (comparison.subject, comparison.baseline_subject)
    assert comparison.pairs == len(paired.log_ratios) == 10  # the first look: nothing is 10 times slower
    verdict = next(each for each in found.compared.verdicts if each.metric == "latency_regression")
    assert verdict.outcome is Outcome.PASS
    assert verdict.low < verdict.change < verdict.high < 1000


def test_a_file_that_the_board_can_not_run_is_no_number(done, tmp_path):
    """On a host without the extras nobody has looked into the file before the board does."""
    path, _ = done
    record, store = record_of(path), Store(path.parent / ".edgepress")
    good = store.path(next(each.artifact for each in record.converted if each.format == "tflite-fp32"))
    data = bytearray(good.read_bytes())
    data[64 : len(data) // 2] = bytes(byte ^ 0xFF for byte in data[64 : len(data) // 2])
    (tmp_path / "bad.tflite").write_bytes(data)
    plan = tmp_path / "edge.toml"
    plan.write_text('[model]\npath = "bad.tflite"\n[limits]\nsize_bytes = 1_000_000\n[board]\nname = "local"\n')
    said = edgepress("run", plan, env=without_extras(tmp_path))
    assert said.returncode == 6, said.stderr
    assert "INVALID  size_bytes of bad.tflite" in said.stdout
    assert record_of(plan).measured.failures


def test_a_base_installation_measures_a_file_as_it_is(done, tmp_path):
    path, _ = done
    record, store = record_of(path), Store(path.parent / ".edgepress")
    for family in ("tflite", "onnx"):
        artifact = next(each.artifact for each in record.converted if each.format == f"{family}-fp32")
        shutil.copy(store.path(artifact), tmp_path / f"m.{family}")
        plan = tmp_path / f"{family}.toml"
        plan.write_text(f'[model]\npath = "m.{family}"\n[board]\nname = "local"\n[measure]\ntimed_seconds = 0.02\n')
        said = edgepress("run", plan, env=without_extras(tmp_path))
        assert said.returncode == 0, said.stderr
        assert f"m.{family} on local" in said.stdout


def test_labels_out_of_range_are_found_also_without_the_extras(done, tmp_path):
    record, store = record_of(done[0]), Store(done[0].parent / ".edgepress")
    artifact = next(each.artifact for each in record.converted if each.format == "onnx-fp32")
    shutil.copy(store.path(artifact), tmp_path / "m.onnx")
    np.savez(tmp_path / "e.npz", x=np.zeros((9, 8, 8, 1), np.float32), y=np.full(9, 77))
    plan = tmp_path / "edge.toml"
    plan.write_text(
        '[model]\npath = "m.onnx"\n[data]\nevaluation = "e.npz"\n[board]\nname = "local"\n[measure]\nlaunches = 1\n'
    )
    said = edgepress("run", plan, env=without_extras(tmp_path))
    assert said.returncode == 2
    assert "77" in said.stderr
    assert "Traceback" not in said.stderr


def test_the_rows_that_the_board_answers_are_the_rows_it_is_judged_by(done):
    """evaluation_rows draws 100 of them: an index out of step would be chance, 25 %, not the model's accuracy."""
    for each in record_of(done[0]).measured.measurements:
        assert each.accuracy.accuracy_ratio > 0.8
        assert (
            each.accuracy.differs_from_host_ratio == 0.0
        )  # this host answers with the same kernels, whichever these are


def test_every_launch_answers_the_golden_rows_as_the_one_that_answered_all(done):
    record = record_of(done[0])
    assert not [
        doubt for each in record.measured.measurements for doubt in each.doubts if doubt.what == "golden differs"
    ]
    int8 = [each for each in record.converted if each.format.endswith("-int8")]
    assert all(each.other_answers and each.source_answers for each in int8)
    assert all(each.other_answers == () for each in record.converted if each.format.endswith("-fp32"))
    for each in record.measured.measurements:
        assert len(each.golden) == 4 * 4  # rows and scores


def test_how_onnx_int8_was_made_is_said(done):
    path, _ = done
    (note,) = {each.notes[0] for each in record_of(path).converted if each.format == "onnx-int8"}
    assert "activations for" in note
    assert "(this machine)" in note
    (report,) = (path.parent / ".edgepress" / "reports").glob("*/report.md")
    assert note.replace("_", "\\_") in report.read_text()  # as Markdown has it


def test_a_changed_plan_is_not_judged_by_an_old_run(done, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(done[0].parent, folder)
    plan = folder / "edge.toml"
    plan.write_text(plan.read_text().replace("sparsity = 0.5", "sparsity = 0.6"))
    said = edgepress("compare", plan)
    assert said.returncode == 2
    assert "has changed in more than [limits]" in said.stderr
