"""Pairs of launches of models that sleep, for the agent itself."""

from device_agent import wire
from device_agent.record import replace
from tests.support.agent_process import LAUNCH

CYCLES = ("ABBA", "BAAB", "ABBA")


def side(model: str, **changes) -> wire.Launch:
    return replace(LAUNCH, model_sha256=model, mode="turns", timed_max_runs=1000, **changes)


def pair(a: wire.Launch, b: wire.Launch, **changes) -> wire.Pair:
    fields = {"starts": "BA", "cycles": CYCLES, "block_min_ns": 3_000_000, "block_min_runs": 3, "block_max_runs": 20}
    return wire.Pair(a=a, b=b, **{**fields, **changes})
