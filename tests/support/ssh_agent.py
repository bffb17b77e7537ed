"""A real ssh-agent."""

import contextlib
import os
import subprocess


@contextlib.contextmanager
def agent(*keys):
    """A real ssh-agent that holds these keys."""
    said = subprocess.run(["ssh-agent", "-s"], check=True, capture_output=True, text=True).stdout
    values = dict(part.split("=", 1) for line in said.splitlines() for part in line.split(";")[:1] if "=" in part)
    before = os.environ.get("SSH_AUTH_SOCK")
    os.environ["SSH_AUTH_SOCK"] = values["SSH_AUTH_SOCK"]
    try:
        for key in keys:
            subprocess.run(["ssh-add", "-q", key], check=True, capture_output=True)
        yield values["SSH_AUTH_SOCK"]
    finally:
        os.environ.pop("SSH_AUTH_SOCK") if before is None else os.environ.__setitem__("SSH_AUTH_SOCK", before)
        os.kill(int(values["SSH_AGENT_PID"]), 15)
