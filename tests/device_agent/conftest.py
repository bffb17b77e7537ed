import os
import threading

import pytest

from device_agent.files.layout import Layout
from tests.support.agent_inside import Host
from tests.support.agent_process import Agent


@pytest.fixture
def start(tmp_path):
    """Start agents; none is left behind."""
    started = []

    def start_one(root=None, **options) -> Agent:
        started.append(Agent(root or tmp_path / "edge", **options))
        return started[-1]

    yield start_one
    for agent in started:
        agent.kill()


@pytest.fixture
def agent(start):
    return start()


@pytest.fixture
def host():
    host, before = Host(), set(threading.enumerate())
    yield host
    host.close()
    assert not set(threading.enumerate()) - before  # no writer is left behind


@pytest.fixture
def place(tmp_path):
    place = Layout(str(tmp_path / "edge"))
    yield place
    if place._used >= 0:
        os.close(place._used)
