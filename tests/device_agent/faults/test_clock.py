"""The board's clock jumps by ten years while a job runs: a board without a battery starts in 1970 and asks for the time later."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from device_agent import wire
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, names, sleep_model
from tests.support.clock import SHIM

pytestmark = pytest.mark.faults

TEN_YEARS_S = 10 * 365 * 24 * 3600


@pytest.fixture
def clock(tmp_path):
    """What makes a process see another time of day: its environment, and a function that moves it."""
    if shutil.which("cc") is None:
        pytest.skip("the clock of single processes is moved by a preloaded library, which needs a C compiler")
    source, library, moved = (tmp_path / name for name in ("shim.c", "shim.so", "moved"))
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    moved.write_text("0")
    return {"LD_PRELOAD": str(library), "CLOCK_MOVED": str(moved)}, lambda seconds: moved.write_text(str(seconds))


@pytest.mark.parametrize("jump_s", [TEN_YEARS_S, -TEN_YEARS_S])
def test_while_a_job_runs(start, clock, jump_s, share):
    environment, jump = clock
    jump(jump_s)
    seen = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"], env=environment, check=True, capture_output=True
    )
    assert abs(float(seen.stdout) - time.time() - jump_s) < 60
    jump(0)
    agent = start(env=environment)
    model = agent.store(sleep_model(latency_us=1000))
    launch = replace(LAUNCH, model_sha256=model, timed_min_ns=600_000_000, timed_max_runs=10**6)
    for _ in range(share(1, 10)):
        jump(0)
        began = time.monotonic()
        agent.start(launch, launch)
        agent.until(wire.Event)
        jump(jump_s)
        first, second, ended = [agent.until(wire.Launched, wire.LaunchFailed, wire.Ended) for _ in range(3)]
        assert ended.state == wire.FINISHED
        assert time.monotonic() - began < 30
        for launched in (first, second):
            assert 300 <= len(launched.latency_ns) <= 600
            assert 1_000_000 <= min(launched.latency_ns) <= max(launched.latency_ns) < 10**9
        other = start(env=environment)
        (job,) = other.ask(wire.Jobs()).jobs
        assert (job.state, job.done) == (wire.FINISHED, 2)
        assert 1e9 < job.age_ns < 60e9
        assert other.ask(wire.Have((model,), ())).blobs == (model,)
        other.ask(wire.Forget(agent.last_job))
        other.end()


def test_jobs_are_collected_in_the_order_in_which_they_ran(agent):
    """The clock went back ten years after some jobs: the files of the newest job look the oldest."""
    for _ in range(8):
        agent.run()
        os.utime(agent.root / "jobs" / agent.last_job, (time.time() + TEN_YEARS_S,) * 2)
    oldest = agent.ask(wire.Jobs()).jobs[0].job_id
    agent.run()
    newest = agent.last_job
    agent.run()
    kept = names(agent.root / "jobs")
    assert newest in kept
    assert oldest not in kept
    assert agent.ask(wire.Jobs()).jobs[-1].job_id == agent.last_job
