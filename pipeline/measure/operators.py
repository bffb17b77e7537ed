"""What a runtime reported on its kernels, in the launch that asked for it."""

from device_agent import wire
from pipeline.measure.remedies import evidence
from pipeline.records import Operator


def operators_of(answer: wire.Launched | wire.LaunchFailed | None) -> tuple[tuple[Operator, ...], str]:
    """(operators, note). None: nobody asked. A launch that failed costs the table and nothing else."""
    if answer is None:
        return (), ""
    if isinstance(answer, wire.LaunchFailed):
        return (), f"the launch that asked for them failed: {evidence(answer)}"
    found = tuple(
        Operator(name=one.name, kind=one.kind, shapes=one.shapes, mean_s=one.mean_ns / 1e9, runs=one.runs)
        for one in answer.operators
    )
    return found, answer.operators_note
