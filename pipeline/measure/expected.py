"""What was asked of the board, for the rules that hold it against what the board did."""

from collections.abc import Sequence
from typing import Any

from device_agent import wire
from pipeline.measure import golden
from pipeline.measure.schedule import Candidate
from pipeline.measure.validity import Asked
from pipeline.records import Deployment
from pipeline.store import Store
from targets import provision

OTHER_FILE = "the file of its model or of its inputs was written to meanwhile"


def asked_of(
    candidate: Candidate, deployment: Deployment, store: Store, launches: Sequence[wire.Launched],
    answered: tuple[float, ...] | None,
) -> Asked:  # fmt: skip
    """The files, the runtime and its version, and the right answers to the golden rows: `answered`, what a launch on the board answered
    whose answers to all rows were held against the host's; where there was none, the host's own.
    """
    sent = next((each.packages for each in deployment.runtimes if each.name == candidate.runtime), ())
    return Asked(
        runtime=candidate.runtime,
        runtime_version=provision.version_of(candidate.runtime, sent),
        model_sha256=candidate.converted.artifact.sha256,
        inputs_sha256=_inputs(deployment),
        **_golden(candidate, deployment, store, launches[0].delegates if launches else (), answered),
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


def _golden(
    candidate: Candidate,
    deployment: Deployment,
    store: Store,
    delegates: tuple[str, ...],
    answered: tuple[float, ...] | None,
) -> dict[str, Any]:
    if answered is not None:
        return {"golden": answered, "golden_by": "the launch that answered all rows"}
    reference = golden.reference_of(
        candidate.converted, candidate.runtime, delegates, deployment.evaluation_indices, store
    )
    if reference is None:
        return {}
    first, within = golden.first_of_host(reference)
    return {"golden": first, "golden_within": within}
