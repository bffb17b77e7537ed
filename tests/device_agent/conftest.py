import pytest

from tests.device_agent.agent_process import Agent


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
