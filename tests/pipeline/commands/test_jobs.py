"""`edgepress jobs`: what a host that was killed has left running on its board."""

import hashlib
import json
import signal
import subprocess
import sys

import pytest

from tests.support.commands import edgepress

MODEL = b'{"latency_us": 1000}'
HOST = """
import pathlib, sys
from device_agent import wire
from targets import inventory, open_session
sha256, model, seconds = sys.argv[1], sys.argv[2].encode(), float(sys.argv[3])
launch = wire.Launch(
    mode="time", model_sha256=sha256, model_format="sleep", runtime="sleep", sites=(), inputs=(), outputs=(), state=(), sequences=False, half=False, rotated_rows=1, threads=1,
    cpus=(), warmup_min_ns=1, warmup_max_ns=10**8, timed_min_ns=round(seconds * 1e9), timed_min_runs=5, timed_max_runs=10**6,
    timeout_ns=60 * 10**9, meters=(), idle_ns=0, pattern_ns=0, end_to_end=None,
)
with open_session(inventory.find("pi", pathlib.Path())) as session:
    session.put(model, sha256)
    job_id = session.submit((launch,), "the host that was killed")
    for record in session.follow(job_id):
        print(job_id, flush=True)
"""


@pytest.fixture
def left_behind(tmp_path, sshd_target):
    """Starts a job on the board `pi` for so many seconds and kills the host; the job's number."""
    (tmp_path / "boards.toml").write_text(
        f'[pi]\nhost = "127.0.0.1"\nport = {sshd_target.port}\nuser = "{sshd_target.user}"\nkey = "{sshd_target.key}"\n'
        f'known_hosts = "{sshd_target.known_hosts}"\nroot = "{tmp_path / "board"}"\npython = "{sshd_target.python}"\n'
    )

    def leave(seconds):
        host = subprocess.Popen(
            [sys.executable, "-c", HOST, hashlib.sha256(MODEL).hexdigest(), MODEL, str(seconds)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        job_id = host.stdout.readline().strip()
        host.send_signal(signal.SIGKILL)
        host.wait()
        host.stdout.close()
        return job_id

    return leave


def test_a_job_without_a_host_is_listed_followed_and_removed(left_behind, tmp_path):
    job_id = left_behind(8)
    listed = edgepress("jobs", "pi", cwd=tmp_path)
    assert (listed.returncode, listed.stdout.split()[:5]) == (0, [job_id[:12], "RUNNING", "0", "of", "1"])
    assert "the host that was killed" in listed.stdout
    followed = edgepress("jobs", "pi", "--follow", job_id[:6], cwd=tmp_path)
    assert followed.returncode == 0
    assert "launch 1 of 1 is done" in followed.stdout
    (info,) = json.loads(edgepress("jobs", "pi", "--json", cwd=tmp_path).stdout)
    assert (info["job_id"], info["state"], info["done"]) == (job_id, "FINISHED", 1)
    assert edgepress("jobs", "pi", "--forget", job_id, cwd=tmp_path).returncode == 0
    assert "has no job" in edgepress("jobs", "pi", cwd=tmp_path).stdout


def test_a_job_without_a_host_is_cancelled(left_behind, tmp_path):
    job_id = left_behind(50)
    cancelled = edgepress("jobs", "pi", "--cancel", job_id, cwd=tmp_path)
    assert (cancelled.returncode, cancelled.stdout) == (0, f"{job_id[:12]} is CANCELLED\n")
    followed = edgepress("jobs", "pi", "--follow", job_id, cwd=tmp_path)
    assert (followed.returncode, "ended as CANCELLED" in followed.stderr) == (4, True)


def test_records_of_a_job_as_json(left_behind, tmp_path):
    job_id = left_behind(0.2)
    records = [
        json.loads(line)
        for line in edgepress("jobs", "pi", "--follow", job_id, "--json", cwd=tmp_path).stdout.splitlines()
    ]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert records[-1]["latency_ns"]


def test_what_is_wrong_is_said(left_behind, tmp_path):
    left_behind(0.1)
    for arguments, words in (
        (("--follow", "x"), "no jobs on pi have a number that begins with 'x'"),
        (("--follow", "a", "--cancel", "a"), "only one of"),
        (("--cancel", ""), "no jobs on pi"),
    ):
        done = edgepress("jobs", "pi", *arguments, cwd=tmp_path)
        assert (done.returncode, words in done.stderr) == (2, True)
