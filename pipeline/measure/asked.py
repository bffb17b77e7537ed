"""What was asked of the board, for the rules that hold it against what the board did."""

import numpy as np

from device_agent import wire
from pipeline.measure.schedule import Candidate
from pipeline.measure.validity import Asked
from pipeline.records import Deployment
from pipeline.store import Store
from targets import provision

OTHER_FILE = "the file of its model or of its inputs was written to meanwhile"


def asked_of(candidate: Candidate, deployment: Deployment, store: Store) -> Asked:
    """The files, the runtime and its version, and what the host's runtime answered for the golden rows, where it has one."""
    sent = next((each.packages for each in deployment.runtimes if each.name == candidate.runtime), ())
    return Asked(
        runtime=candidate.runtime,
        runtime_version=provision.version_of(candidate.runtime, sent),
        model_sha256=candidate.converted.artifact.sha256,
        inputs_sha256=_inputs(deployment),
        golden=_golden(candidate, deployment, store),
    )


def as_asked(
    answer: wire.Launched | wire.LaunchFailed | None, candidate: Candidate, deployment: Deployment
) -> wire.Launched | wire.LaunchFailed | None:
    """Of a launch that is not timed: one that has read another file than it was asked to is one that failed."""
    if not isinstance(answer, wire.Launched):
        return answer
    wanted = candidate.converted.artifact.sha256, _inputs(deployment)
    if (answer.model_sha256, answer.inputs_sha256) == wanted:
        return answer
    return wire.LaunchFailed(answer.seq, answer.index, "end", "another file", OTHER_FILE)


def _inputs(deployment: Deployment) -> str:
    return deployment.evaluation.artifact.sha256 if deployment.evaluation else ""


def _golden(candidate: Candidate, deployment: Deployment, store: Store) -> tuple[float, ...] | None:
    outputs = candidate.converted.outputs
    if outputs is None or deployment.evaluation_indices is None:
        return None
    rows = np.load(store.path(deployment.evaluation_indices), allow_pickle=False)[: wire.GOLDEN_ROWS]
    answers = np.load(store.path(outputs), mmap_mode="r", allow_pickle=False)[rows]
    return tuple(float(value) for answer in answers for value in answer.ravel()[: wire.GOLDEN_VALUES])
