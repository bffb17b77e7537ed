"""Jobs that hang, and processes in their place."""

import os
import signal
import subprocess

import pytest

from device_agent import wire
from tests.device_agent.jobs.lasting import launch
from tests.support.agent_process import children_of, is_alive, sleep_model


@pytest.fixture
def hanging(agent):
    """An agent whose job has a launch that does not end, and the process of that launch."""
    agent.start(launch(agent.store(sleep_model(hang=True)), timeout_ns=10**12))
    while not isinstance(record := agent.receive(), wire.Event) or record.phase != "golden":
        pass
    (child,) = children_of(agent.supervisor())
    yield agent, child
    if is_alive(child):
        os.kill(agent.supervisor(), signal.SIGKILL)


@pytest.fixture
def process():
    """One that ends at SIGTERM."""
    with subprocess.Popen(["sleep", "20"]) as started:
        yield started
        started.kill()
