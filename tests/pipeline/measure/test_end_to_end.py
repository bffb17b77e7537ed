"""What becomes of the launches in which the user's own functions are timed, whatever the board or these functions do."""

import io
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from device_agent import wire
from device_agent.record import replace
from pipeline.measure.end_to_end import with_end_to_end
from pipeline.records import (
    Column,
    Converted,
    Data,
    DeployedFile,
    DeployedRuntime,
    EndToEndFunctions,
    OwnFunction,
    Rows,
    RowsBefore,
    TensorSpec,
)
from pipeline.store import Store
from targets.errors import ConnectionLost, JobEnded
from tests.support.compared import plan as plan_of
from tests.support.experiments import experiment_of
from tests.support.launched import CLEAN, LATER
from tests.support.sample_run import measurement, run_of

ROWS = np.random.default_rng(1).normal(size=(9, 4)).astype("float32")
INDICES = np.array([1, 3, 4, 6, 8])
GOLDEN = tuple(map(float, ROWS[INDICES[:4]].ravel()))
TIMED = wire.EndToEndTimed(
    preprocess_ns=(20_000,) * 50, inference_ns=(70_000,) * 50, golden=GOLDEN, gives=(wire.Given("boxes", (10, 4)),),
    files_sha256=(),
)  # fmt: skip


class Board:
    """A session that answers each job by what `answer` says of its launches, one after the other; and the jobs that it was given."""

    def __init__(self, answer):
        self.answer, self.jobs, self.given_up = answer, [], []

    def submit(self, launches, label, cooling):
        self.jobs.append((label, launches))
        return str(len(self.jobs))

    def follow(self, job_id):
        for index, launch in enumerate(self.jobs[int(job_id) - 1][1]):
            found = self.answer(launch)
            if isinstance(found, Exception):
                raise found
            yield replace(found, index=index)

    def give_up(self, job_id):
        self.given_up.append(job_id)


@pytest.fixture
def timed(tmp_path):
    store = Store(tmp_path / "state")

    def put(array):
        file = io.BytesIO()
        np.save(file, array)
        return store.put_bytes(file.getvalue(), "npy")

    rows, indices, code = put(ROWS), put(INDICES), store.put_bytes(b"def f(x): pass\n", "py")
    column = Column(name="x", artifact=rows, shape=(4,), dtype="float32")
    before = RowsBefore(
        columns=(msgspec.structs.replace(column, name="picture", artifact=put(ROWS[INDICES] * 255)),),
        indices=indices,
        rows=5,
    )
    asked = EndToEndFunctions(
        preprocess=OwnFunction(module="judging", name="scaled", file=code),
        postprocess=OwnFunction(module="judging", name="boxes", file=code),
        before=before, fed={"x": "pixels"}, outputs=("y",), gives={"boxes": (10, 4)},
    )  # fmt: skip
    converted = Converted(
        variant="original", format="onnx-fp32", artifact=store.put_bytes(b"model", "onnx"), agreement=None,
        inputs=(TensorSpec(name="x", shape=(1, 4), dtype="float32", tensor="t/x"),),
        outputs=(TensorSpec(name="y", shape=(1, 2), dtype="float32", tensor="t/y"),),
    )  # fmt: skip
    one = measurement("original", "onnx-fp32", "onnxruntime")
    deployment = msgspec.structs.replace(
        run_of((one,)).deployment,
        runtimes=(DeployedRuntime(name="onnxruntime", sites=(), packages=(), sent_bytes=0),),
        evaluation=(DeployedFile(artifact=rows, sent_bytes=0),),
        evaluation_indices=put(np.arange(9)),
    )
    files = (before.columns[0].artifact.sha256, code.sha256, code.sha256)
    good = replace(
        CLEAN, model_sha256=converted.artifact.sha256, inputs_sha256=(rows.sha256,), end_to_end=replace(TIMED, files_sha256=files),
        latency_ns=(99_000, 101_000) * 25, delegates=("CPUExecutionProvider",), runtime_version="1.23.2", after=LATER,
    )  # fmt: skip

    def of(answer=lambda _: good, **changes):
        board = Board(answer)
        data = Data(
            evaluation=Rows(inputs=(column,), y=None, rows=9),
            end_to_end=msgspec.structs.replace(asked, **changes),
        )
        experiment = experiment_of(
            session=board, plan=plan_of(latency_regression=0.03), deployment=deployment, store=store, data=data,
            converted=(converted,), progress=SimpleNamespace(step=lambda *_: None),
        )  # fmt: skip
        (found,) = with_end_to_end(experiment, [one])
        return found, board

    of.good = good
    return of


def evidence(found):
    (doubt,) = (each for each in found.end_to_end.doubts if each.what in ("no end-to-end latency", "functions differ"))
    assert doubt.invalid
    return doubt.evidence


def test_a_file_is_timed_in_launches_of_its_own(timed):
    found, board = timed()
    (first, one), (again, others) = board.jobs
    assert first.endswith(", end to end, first")
    assert again.endswith(", end to end")
    assert (len(one), len(others)) == (1, 5)
    asked = one[0].end_to_end
    assert (one[0].mode, asked.fed, asked.outputs) == ("end_to_end", (("pixels", "float32"),), ("y",))
    it = found.end_to_end
    assert (it.latency.launches, it.latency.median_s, it.rows) == (6, pytest.approx(1e-4), 5)
    assert (it.preprocess_s, it.inference_s, it.postprocess_s) == pytest.approx((2e-5, 7e-5, 1e-5))
    assert it.shares == pytest.approx((0.2, 0.7, 0.1))
    assert {each.what for each in it.doubts} <= {"another runtime"}
    assert found.doubts == measurement().doubts


def test_it_is_doubted_by_the_rules_for_a_latency(timed):
    hot = replace(timed.good, after=replace(LATER, cooling_states=1))
    found, _ = timed(lambda _: hot)
    assert "throttled" in {each.what for each in found.end_to_end.doubts if each.invalid}
    busy = replace(timed.good, run_delay_ns=4_000_000)
    found, _ = timed(lambda _: busy)
    assert "contended" in {each.what for each in found.end_to_end.doubts}
    assert not found.doubts


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        (("preprocess", "FunctionFailed", "task.preprocess: judging:scaled raised KeyError: 'a' (judging.py, line 3)"), "on the board, task.preprocess: judging:scaled raised KeyError: 'a' (judging.py, line 3)"),
        (("postprocess", "exit", "it ended"), "on the board, task.postprocess: exit in phase postprocess: it ended"),
        (("timed", "timeout", "it hangs"), "on the board, task.preprocess or task.postprocess: timeout in phase timed: it hangs"),
        (("load", "SIGKILL", "no memory"), "the launch for it failed on the board: SIGKILL in phase load: no memory"),
    ],
)  # fmt: skip
def test_a_launch_that_failed_is_said_by_its_function_and_not_run_again(timed, failed, words):
    found, board = timed(lambda _: wire.LaunchFailed(1, 0, *failed))
    assert found.end_to_end.latency is None
    assert evidence(found) == words
    assert len(board.jobs) == 1
    assert found.end_to_end.doubts[0].remedy.endswith("The numbers of the model itself are valid.")


def test_a_job_that_ends_otherwise_costs_these_numbers_alone(timed):
    found, board = timed(lambda _: JobEnded("the board was restarted", hint="Look at it."))
    assert (
        evidence(found)
        == "the job in which task.preprocess and task.postprocess ran did not end as it should: the board was restarted"
    )
    assert board.given_up == ["1"]
    answers = [timed.good, ConnectionLost("the link broke", hint="Run again.")]
    found, board = timed(lambda _: answers.pop(0))
    assert "the link broke" in evidence(found)
    assert found.end_to_end.latency is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"golden": tuple(value * 1.1 for value in GOLDEN)}, "task.preprocess gives other rows on the board than on this host: 10.00 % apart"),
        ({"golden": GOLDEN[:3]}, "task.preprocess gives other rows on the board than on this host: not to be compared"),
        ({"gives": (wire.Given("boxes", (10, 5)),)}, "task.postprocess gives 'boxes' (10, 5) for a row on the board, and 'boxes' (10, 4) on this host"),
        ({"gives": ()}, "task.postprocess gives nothing for a row on the board, and 'boxes' (10, 4) on this host"),
        ({"files_sha256": ("b" * 64,) * 3}, "on the board, task.preprocess or task.postprocess: another file in phase end: the file of its model or of its inputs was written to during the launch"),
    ],
)  # fmt: skip
def test_what_a_function_does_otherwise_on_the_board_is_invalid(timed, changes, words):
    other = replace(timed.good, end_to_end=replace(timed.good.end_to_end, **changes))
    found, _ = timed(lambda _: other)
    assert evidence(found) == words


def test_one_function_is_enough(timed):
    part = timed.good.end_to_end
    answer = replace(timed.good, end_to_end=replace(part, files_sha256=part.files_sha256[:2], golden=()))
    found, _ = timed(lambda _: answer, preprocess=None)
    assert found.end_to_end.latency is not None
    assert {each.what for each in found.end_to_end.doubts} <= {"another runtime"}
