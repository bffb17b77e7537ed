"""Memory by step: what is really held is seen where it was taken, and split as the kernel splits it."""

import io
import os
import re
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.board import memory
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, sleep_model, wait_until
from tests.support.fed import fed
from tests.support.models import DENSE, MODELS, runtime_or_skip

HELD = 8 << 20
STATUS = "VmHWM:\t    9000 kB\nVmRSS:\t    8000 kB\nRssAnon:\t    3000 kB\nRssFile:\t    5000 kB\n"
ROLLUP = "Rss:                8000 kB\nPrivate_Dirty:      3100 kB\nAnonymous:          3200 kB\n"


@pytest.fixture
def proc(tmp_path, monkeypatch):
    """A root of which /proc/self holds what a test writes."""
    folder = tmp_path / "proc/self"
    folder.mkdir(parents=True)
    monkeypatch.setenv("EDGEPRESS_FS_ROOT", str(tmp_path))
    return folder


def growth(launched: wire.Launched, name: str, start: str = "runtime_imported", end: str = "end") -> int:
    steps = {step.step: getattr(step, name) for step in launched.memory}
    return steps[end] - steps[start]


def test_memory_that_a_model_holds_is_its_own_growth(agent):
    light, heavy = (agent.store(sleep_model(hold_bytes=held)) for held in (0, HELD))
    small, large, _ = agent.run(*(replace(LAUNCH, model_sha256=model) for model in (light, heavy)))
    for name in ("anonymous_bytes", "private_dirty_bytes", "resident_bytes"):
        assert HELD <= growth(large, name) - growth(small, name) + (64 << 10) < HELD + (512 << 10), name
        assert growth(large, name, end="model_loaded") >= HELD - (64 << 10), name
    assert abs(growth(large, "file_bytes") - growth(small, "file_bytes")) < 1 << 20
    assert large.peak_bytes - small.peak_bytes > HELD - (1 << 20)
    assert all(step.available_bytes > 0 for step in large.memory)


@pytest.mark.parametrize("name", DENSE)
def test_a_runtime_has_the_step_that_it_can_separate(name, agent):
    runtime_or_skip(name)
    file = MODELS / DENSE[name]
    launch = replace(LAUNCH, runtime=name, model_format=file.suffix[1:], model_sha256=agent.store(file.read_bytes()))
    launched, _ = agent.run(launch)
    allocated = ["allocated"] if file.suffix == ".tflite" else []
    assert [step.step for step in launched.memory] == [
        "python", "runtime_imported", "model_loaded", *allocated, "inputs_ready", "first_inference", "end",
    ]  # fmt: skip
    assert launched.cold_start_ns > launched.import_ns + launched.load_ns + launched.first_ns


def test_pages_that_the_kernel_counts_are_preferred_to_its_counters(proc):
    (proc / "status").write_text(STATUS)
    (proc / "smaps_rollup").write_text(ROLLUP)
    (proc.parent / "meminfo").write_text("MemTotal:  4000000 kB\nMemAvailable:  2000000 kB\n")
    kib = 1024
    assert memory.snapshot("end") == wire.MemoryStep(
        "end", 8000 * kib, 3200 * kib, 5000 * kib, 3100 * kib, 2000000 * kib
    )
    assert memory.peak_bytes() == 9000 * kib


def test_a_kernel_before_smaps_rollup(proc):
    (proc / "status").write_text(STATUS)
    step = memory.snapshot("end")
    assert (step.anonymous_bytes, step.private_dirty_bytes, step.available_bytes) == (3000 * 1024, None, None)


def test_cold_start_is_told_of_answers_too(agent):
    np = pytest.importorskip("numpy")
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 4), "float32"))
    model = agent.store(sleep_model(latency_us=50_000))
    launch = replace(LAUNCH, mode="evaluate", model_sha256=model, inputs=fed(agent.store(buffer.getvalue())))
    launched, _ = agent.run(launch)
    assert 50_000_000 <= launched.first_ns < launched.cold_start_ns


# --- the peak of a job

SCOPE = "user.slice/user-1000.slice/user@1000.service/app.slice/edgepress-" + "ab" * 16 + ".scope"


@pytest.mark.parametrize(
    ("groups", "file", "expected"),
    [
        (f"0::/{SCOPE}\n", f"{SCOPE}/memory.peak", 7340032),
        (f"0::/{SCOPE}\n", "another/memory.peak", None),  # before Linux 5.19
        (f"4:cpuset,memory:/{SCOPE}\n0::/{SCOPE}\n", f"memory/{SCOPE}/memory.max_usage_in_bytes", 7340032),
        # others are in it
        (f"4:memory:/user.slice\n0::/{SCOPE}\n", "memory/user.slice/memory.max_usage_in_bytes", None),
        ("0::/user.slice/session-3.scope\n", "user.slice/session-3.scope/memory.peak", None),
        (f"0::/{SCOPE}/inner\n", f"{SCOPE}/inner/memory.peak", None),
        ("0::/edgepress-tune.scope\n", "edgepress-tune.scope/memory.peak", None),
        ("", "memory.peak", None),
    ],
)
def test_only_a_group_that_is_the_jobs_own_is_believed(proc, tmp_path, groups, file, expected):
    (proc / "cgroup").write_text(groups)
    path = tmp_path / "sys/fs/cgroup" / file
    path.parent.mkdir(parents=True)
    path.write_text("7340032\n")
    assert memory.job_peak_bytes() == expected


SYSTEMD_RUN = """#!/bin/sh
unit=
while :; do case "$1" in --unit) unit=$2; shift 2;; --*) shift;; *) break;; esac; done
[ -z "$unit" ] || { mkdir "$GROUP/$unit.scope" && echo $$ > "$GROUP/$unit.scope/cgroup.procs"; }
exec "$@"
"""


@pytest.fixture
def own_group(tmp_path):
    """Of version 1: a folder in this process's control group of memory, in which there may be others."""
    groups = Path("/proc/self/cgroup").read_text()
    found = re.search(r"^\d+:memory:/(.*)$", groups, re.MULTILINE)
    group = Path("/sys/fs/cgroup/memory", found.group(1) if found else "", f"edgepress-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group of version 1 can be made here: {error}")
    yield group
    wait_until(lambda: all(not (path / "cgroup.procs").read_text() for path in group.glob("*.scope")))
    for path in (*group.glob("*.scope"), group):
        path.rmdir()


def test_the_peak_of_a_job_in_a_control_group_of_its_own(start, tmp_path, own_group):
    """A real one; a stand-in for systemd-run makes it."""
    for name in ("proc", "sys"):
        (tmp_path / name).symlink_to(f"/{name}")
    lingers, program = tmp_path / "var/lib/systemd/linger/tester", tmp_path / "bin/systemd-run"
    for path in (lingers, program):
        path.parent.mkdir(parents=True)
        path.write_text(SYSTEMD_RUN)
    program.chmod(0o755)
    agent = start(
        env={
            "PATH": f"{program.parent}:{os.environ['PATH']}", "EDGEPRESS_FS_ROOT": str(tmp_path), "USER": "tester",
            "GROUP": str(own_group),
        }
    )  # fmt: skip
    light, heavy = (replace(LAUNCH, model_sha256=agent.store(sleep_model(hold_bytes=held))) for held in (0, 4 * HELD))
    first, second, third, _ = agent.run(light, heavy, light)
    told = int((own_group / f"edgepress-{agent.last_job}.scope/memory.max_usage_in_bytes").read_text())
    assert first.job_peak_bytes > first.memory[-1].anonymous_bytes
    assert 4 * HELD - (1 << 20) < second.job_peak_bytes - first.job_peak_bytes < 4 * HELD + (4 << 20)
    # the job's, not a launch's
    assert second.job_peak_bytes <= third.job_peak_bytes < second.job_peak_bytes + (4 << 20)
    assert third.job_peak_bytes <= told


def test_a_job_without_a_control_group_of_its_own_tells_no_peak(agent):
    launched, _ = agent.run(replace(LAUNCH, model_sha256=agent.store(sleep_model())))
    assert launched.job_peak_bytes is None
