"""Launches: what is measured, and what is said of one that hangs, crashes or misses something."""

import collections
import io
import os
import signal
import statistics
import subprocess
import sys
import time

import pytest

from device_agent import wire
from device_agent.bench import runner
from device_agent.board.scheduling import Delays
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, children_of, is_alive, sleep_model, wait_until, wheel
from tests.support.fed import fed

STEPS = ["python", "runtime_imported", "model_loaded", "inputs_ready", "first_inference", "end"]


def launch(model: str, **changes) -> wire.Launch:
    return replace(LAUNCH, model_sha256=model, **changes)


def npy(array) -> bytes:
    numpy = pytest.importorskip("numpy")
    buffer = io.BytesIO()
    numpy.save(buffer, array)
    return buffer.getvalue()


@pytest.fixture
def hanging(agent):
    """An agent in the middle of a launch that does not end, and the process of that launch."""
    agent.start(launch(agent.store(sleep_model(hang=True)), timeout_ns=10**12))
    while agent.receive().phase != "golden":
        pass
    (child,) = children_of(agent.supervisor())
    yield agent, child
    if is_alive(child):
        os.kill(agent.supervisor(), signal.SIGKILL)


# --- what is measured


def test_a_launch_of_known_speed(agent):
    model = agent.store(sleep_model(latency_us=2000))
    launched, _ = agent.run(launch(model, timed_min_ns=100_000_000))
    assert 2_000_000 <= statistics.median(launched.latency_ns) < 2_400_000
    assert 2_000_000 <= launched.first_ns < 40_000_000
    assert min(launched.warmup_ns) >= 2_000_000
    assert len(launched.warmup_ns) >= 20
    assert len(launched.latency_ns) >= 20
    assert sum(launched.latency_ns) >= 90_000_000
    assert launched.runtime_version == "1"
    assert launched.import_ns > 0
    assert launched.load_ns > 0
    assert launched.cold_start_ns > launched.import_ns + launched.load_ns + launched.first_ns
    assert launched.cold_start_ns < 20_000_000_000
    assert (launched.operators, launched.operators_note) == ((), "")
    assert [step.step for step in launched.memory] == STEPS
    for step in launched.memory:  # the kernel adds up its counters one after another: they can differ by some pages
        assert step.resident_bytes + (1 << 20) >= step.anonymous_bytes + step.file_bytes > 1_000_000
    assert launched.peak_bytes >= launched.memory[-1].resident_bytes * 0.99
    assert launched.run_delay_ns is None or launched.run_delay_ns >= 0
    assert launched.before.t_ns < launched.after.t_ns
    assert (launched.power, launched.energy) == ((), None)
    assert launched.outputs_sha256 == ()


def test_the_number_of_runs_is_bounded_on_both_sides(agent):
    model = agent.store(sleep_model(latency_us=100))
    few = launch(model, timed_min_ns=10**10, timed_min_runs=5, timed_max_runs=7)
    many = launch(model, timed_min_ns=0, timed_min_runs=300)
    first, second, _ = agent.run(few, many)
    assert len(first.latency_ns) == 7
    assert len(second.latency_ns) == 300


def test_the_warm_up_has_a_minimum_and_a_maximum(agent):
    calm, shaky = agent.store(sleep_model(latency_us=200)), agent.store(sleep_model(latency_us=200, jitter_us=4000))
    at_least = launch(calm, warmup_min_ns=150_000_000, warmup_max_ns=10**9)
    at_most = launch(shaky, warmup_min_ns=0, warmup_max_ns=30_000_000)
    first, second, _ = agent.run(at_least, at_most)
    assert first.steady
    assert sum(first.warmup_ns) >= 100_000_000
    assert not second.steady
    assert len(second.warmup_ns) < 40


@pytest.mark.parametrize(
    ("last", "steady"),
    [
        ([100] * 19, False),
        ([100] * 20, True),
        ([100] * 10 + [102] * 10, True),
        ([100] * 10 + [103] * 10, False),
        ([103] * 10 + [100] * 10, False),
        ([100] * 10 + [100] * 6 + [900] * 4, True),  # single slow ones do not matter
    ],
)
def test_steady(last, steady):
    assert runner._is_steady(collections.deque(last, maxlen=20)) is steady


def test_events_come_in_order_and_not_too_often(agent):
    agent.start(
        launch(
            agent.store(sleep_model()),
            warmup_min_ns=700_000_000,
            warmup_max_ns=10**9,
            timed_min_ns=10**9,
            timed_max_runs=10**5,
        )
    )
    events = []
    while isinstance(record := agent.receive(), (wire.Event, wire.Working)):
        if isinstance(record, wire.Event):
            events.append(record)
    assert isinstance(record, wire.Launched), record
    phases = [event.phase for event in events]
    assert list(dict.fromkeys(phases)) == ["started", "load", "golden", "warmup", "timed"]
    assert 5 <= len(events) <= 9
    assert all(0 <= event.done <= event.of for event in events)


def test_evaluate_answers_every_row(agent):
    numpy = pytest.importorskip("numpy")
    inputs = agent.store(npy(numpy.zeros((7, 4), "float32")))
    model = agent.store(sleep_model(latency_us=1, outputs=[0.25, -1, 3]))
    launched, _ = agent.run(launch(model, mode="evaluate", inputs=fed(inputs)))
    assert isinstance(launched, wire.Launched), launched
    outputs = numpy.load(io.BytesIO(agent.get(launched.outputs_sha256[0])))
    assert outputs.dtype == "float32"
    assert outputs.tolist() == [[0.25, -1, 3]] * 7
    assert (launched.latency_ns, launched.warmup_ns) == ((), ())
    assert [step.step for step in launched.memory] == STEPS


def test_inputs_that_do_not_fit(agent):
    numpy = pytest.importorskip("numpy")
    model = agent.store(sleep_model())
    for data, words in (
        (npy(numpy.zeros((7, 5), "float32")), "(5,)"),
        (npy(numpy.zeros((7, 4), "int8")), "int8"),
        (npy(numpy.zeros((0, 4), "float32")), "one row"),
        (npy(numpy.float32(1)), "one row"),
        (npy(numpy.array([{"a": 1}], dtype=object)), "Python objects"),
        (b"junk", ""),
    ):
        failed, _ = agent.run(launch(model, inputs=fed(agent.store(data))))
        assert isinstance(failed, wire.LaunchFailed)
        assert failed.phase == "load"
        assert words in failed.message, failed


# --- what goes wrong


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT", "SIGBUS", "SIGTERM"])
def test_a_crash_is_told_and_the_job_goes_on(agent, name):
    crashing, good = agent.store(sleep_model(crash=name, prints="last words\n")), agent.store(sleep_model())
    failed, launched, finished = agent.run(launch(crashing), launch(good))
    assert (failed.index, failed.phase, failed.error) == (0, "golden", name)
    assert "last words" in failed.message
    assert (launched.index, finished.state) == (1, wire.FINISHED)


def test_a_hang_becomes_a_timeout(agent):
    hang, good = agent.store(sleep_model(hang=True)), agent.store(sleep_model())
    began = time.monotonic()
    failed, launched, _ = agent.run(launch(hang, timeout_ns=700_000_000), launch(good))
    assert (failed.phase, failed.error) == ("golden", "timeout")
    assert time.monotonic() - began < 5
    assert isinstance(launched, wire.Launched)
    wait_until(lambda: not is_alive(agent.supervisor()))


def test_what_native_code_prints_does_not_reach_the_wire(agent):
    noise = '{"kind":"Ended","seq":1}\n--edgepress-agent-1--\n' * 2000  # more than a pipe holds
    launched, finished = agent.run(launch(agent.store(sleep_model(prints=noise))))
    assert isinstance(launched, wire.Launched)
    assert finished.state == wire.FINISHED


def test_what_is_missing_is_named(agent):
    model = agent.store(sleep_model())
    records = agent.run(launch("a" * 64), launch(model, inputs=fed("b" * 64)), launch(model, sites=("c" * 64,)))
    assert [record.error for record in records[:3]] == ["not_found"] * 3
    for record, word in zip(records, ("model a", "inputs b", "unpacked wheel c"), strict=False):
        assert word in record.message


def test_a_runtime_that_is_not_installed(agent):
    if (
        subprocess.run([sys.executable, "-c", "import tflite_runtime"], capture_output=True, check=False).returncode
        == 0
    ):
        pytest.skip("tflite_runtime is here")
    failed, _ = agent.run(launch(agent.store(b"model"), runtime="tflite_runtime", model_format="tflite"))
    assert (failed.phase, failed.error) == ("load", "ModuleNotFoundError")


def test_a_model_that_was_damaged_on_the_disk_is_not_measured(agent):
    model = agent.store(sleep_model())
    (agent.root / "blobs" / model).write_bytes(sleep_model(latency_us=1))
    failed, _ = agent.run(launch(model))
    assert (failed.phase, failed.error) == ("started", "damaged")
    assert agent.ask(wire.Have((model,), ())) == wire.Present((), ())


def test_the_runner_imports_from_the_site_and_its_last_words_are_kept(agent):
    """A numpy that ends the process, as a native library can; first on sys.path, also where there is a real one."""
    code = b"import os\nos.write(1, b'first words')\nos.write(2, b' last words')\nos._exit(3)\n"
    package = agent.store(wheel({"numpy.py": code}))
    assert agent.ask(wire.Unpack("numpy.whl", package)) == wire.Unpacked(package)
    model, inputs = agent.store(sleep_model()), agent.store(b"inputs")
    failed, _ = agent.run(launch(model, inputs=fed(inputs), sites=(package,)))
    assert (failed.phase, failed.error) == ("load", "exit")
    assert failed.message == "the runner ended with exit code 3 and no result; it said last: first words last words"


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "guess"}, {"runtime": "os"}, {"model_format": "../x"}, {"meters": (wire.MeterUse("crystal ball", ()),)}, {"threads": 0},
        {"timed_min_runs": 0}, {"timed_max_runs": 10**9}, {"timeout_ns": 0}, {"warmup_min_ns": -1}, {"mode": "evaluate"},
        {"model_sha256": ""}, {"sites": ("../../evil",)}, {"cpus": (4095,)},
    ],
)  # fmt: skip
def test_a_job_that_makes_no_sense_is_refused_whole(agent, changes):
    good = launch(agent.store(sleep_model()))
    (failure,) = agent.run(good, replace(good, **changes))
    assert failure.error == "bad_request"
    assert isinstance(agent.ask(wire.Observe()), wire.Conditions)


def test_a_delay_that_went_back_with_a_thread_that_ended_is_not_told():
    """Of the threads that are there: a negative time would be refused by the host, and with it the whole job."""
    before = Delays(involuntary_switches=3, major_faults=1, run_delay_ns=5_000_000)
    now = Delays(involuntary_switches=4, major_faults=1, run_delay_ns=2_000_000)
    assert now.since(before) == {"involuntary_switches": 1, "major_faults": 0, "run_delay_ns": None}
    assert before._replace(run_delay_ns=6_000_000).since(before)["run_delay_ns"] == 1_000_000
