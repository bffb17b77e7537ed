"""Jobs that last, and their ends."""

from device_agent import wire
from device_agent.record import replace
from tests.support.agent_process import LAUNCH, is_alive, sleep_model, wait_until


def launch(model: str, **changes) -> wire.Launch:
    return replace(LAUNCH, model_sha256=model, **changes)


def lasting(agent, seconds: float, count: int = 1) -> list[wire.Launch]:
    model = agent.store(sleep_model(latency_us=1000))
    return [launch(model, timed_min_ns=round(seconds * 1e9), timed_max_runs=10**6)] * count


def end_of(agent, job_id: str) -> wire.Ended:
    return agent.follow(job_id)[-1]


def nothing_runs(agent, child: int) -> None:
    wait_until(lambda: not is_alive(child) and not is_alive(agent.supervisor()), 5)
