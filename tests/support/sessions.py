"""A launch of a model that sleeps, for a session with any board."""

import hashlib
import json

from device_agent import wire as w

MODEL = json.dumps({"latency_us": 300, "outputs": [0.1, 0.9]}).encode()


SHA = hashlib.sha256(MODEL).hexdigest()


def launch(sha=SHA, **changes):
    fields = {
        "mode": "time", "model_sha256": sha, "model_format": "sleep", "runtime": "sleep", "sites": (), "inputs": (), "outputs": (), "state": (), "sequences": False, "half": False,
        "threads": 1, "warmup_min_ns": 1, "warmup_max_ns": 10**8, "timed_min_ns": 10**7, "timed_min_runs": 5, "timed_max_runs": 500,
        "timeout_ns": 30 * 10**9, "rotated_rows": 1, "cpus": (), "meters": (), "idle_ns": 0, "pattern_ns": 0, "end_to_end": None,
    }  # fmt: skip
    return w.Launch(**{**fields, **changes})


LONG = {"timed_min_ns": 20 * 10**9, "timed_max_runs": 10**6}


def until_timed(session, job_id):
    for record in session.follow(job_id):
        if isinstance(record, w.Event) and record.phase == "timed":
            return
