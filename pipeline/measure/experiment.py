"""What one measurement is made of: the board, the plan, the files and the store, and what follows from them."""

import dataclasses
import gzip
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from device_agent import wire
from pipeline.measure import first_rows, golden
from pipeline.measure.candidate import (
    MAX_RUNS,
    MAX_RUNS_PER_S,
    PROFILED_MAX_RUNS,
    PROFILED_MIN_RUNS,
    PROFILED_NS,
    ROTATED_ROWS,
    SLOWEST_S,
    START_TIMEOUT_S,
    TIMED_MIN_RUNS,
    WARMUP_MAX_NS,
    WARMUP_MIN_NS,
    Answer,
    Candidate,
)
from pipeline.measure.inputs import DeployedColumn, inputs_of, state_of
from pipeline.measure.validity import Expected
from pipeline.plan import Plan
from pipeline.progress import Progress
from pipeline.records import VARIANTS, Artifact, Converted, Data, Deployment, Measurement
from pipeline.store import Store
from targets import Session, provision
from targets.session import Cooling

OTHER_FILE = "the file of its model or of its inputs was written to during the launch"


Kept = wire.Launched | wire.LaunchFailed | wire.Paired | wire.PowerTrace


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """All that the parts of the stage share. `converted`: every file, also those of the ledger."""

    session: Session
    plan: Plan
    data: Data
    deployment: Deployment
    converted: Sequence[Converted]
    store: Store
    progress: Progress

    @cached_property
    def candidates(self) -> list[Candidate]:
        """Each file in each runtime; where the plan has several numbers of threads, with each, but not the files of the ledger."""
        first, *others = self.plan.tables.measure.thread_counts
        return [
            Candidate(
                converted=each, runtime=runtime.name, sites=runtime.sites, threads=threads, swept=threads != first
            )
            for each in self.converted
            for runtime in self.deployment.runtimes
            if each.artifact.format in provision.RUNTIMES[runtime.name].formats
            for threads in (first, *(others if each.variant in VARIANTS else ()))
        ]

    def candidate_of(self, one: Measurement) -> Candidate:
        return next(each for each in self.candidates if each.subject == one.subject)

    @cached_property
    def columns(self) -> dict[str, DeployedColumn]:
        """The rows on the board, by the name of their input."""
        rows = self.data.evaluation.inputs if self.data.evaluation else ()
        pairs = zip(rows, self.deployment.evaluation, strict=True)
        return {column.name: DeployedColumn(column, file.artifact.sha256) for column, file in pairs}

    def has_rows(self, candidate: Candidate) -> bool:
        """Return whether the board has rows for this file, and not only constants: else it runs on zeros."""
        return any(each.sha256 and not each.constant for each in inputs_of(candidate.converted, self.columns))

    @cached_property
    def answered(self) -> npt.NDArray[np.int64]:
        """Which rows of the evaluation set the board answers."""
        indices = self.deployment.evaluation_indices
        if indices is None:
            return np.zeros(0, np.int64)
        found: npt.NDArray[np.int64] = np.load(self.store.path(indices), allow_pickle=False)
        return found

    @property
    def cooling(self) -> Cooling:
        table = self.plan.tables.measure
        return Cooling(round(table.temperature_band_c * 1e3), round(table.cool_seconds * 1e9))

    def launch_of(self, mode: str, candidate: Candidate) -> wire.Launch:
        table = self.plan.tables.measure
        profile = mode == "profile"
        most = min(MAX_RUNS, max(TIMED_MIN_RUNS, round(table.timed_seconds * MAX_RUNS_PER_S)))
        converted = candidate.converted
        sequences = converted.sequences and self.has_rows(candidate)
        steps = (
            max((each.column.shape[0] for each in self.columns.values() if each.moves), default=1) if sequences else 1
        )
        inferences = len(self.answered) * steps if mode == "evaluate" else TIMED_MIN_RUNS
        return wire.Launch(
            mode=mode,
            model_sha256=converted.artifact.sha256,
            model_format=converted.artifact.format,
            runtime=candidate.runtime,
            sites=candidate.sites,
            inputs=inputs_of(converted, self.columns),
            outputs=tuple(each.tensor for each in converted.outputs),
            state=state_of(converted),
            sequences=sequences,
            half=table.answers == "float16",
            rotated_rows=ROTATED_ROWS,
            threads=candidate.threads,
            cpus=table.cpus,
            warmup_min_ns=WARMUP_MIN_NS,
            warmup_max_ns=WARMUP_MAX_NS,
            timed_min_ns=PROFILED_NS if profile else round(table.timed_seconds * 1e9),
            timed_min_runs=PROFILED_MIN_RUNS if profile else TIMED_MIN_RUNS,
            timed_max_runs=PROFILED_MAX_RUNS if profile else most,
            timeout_ns=round((START_TIMEOUT_S + table.timed_seconds + inferences * SLOWEST_S) * 1e9),
            meters=(),
            idle_ns=0,
            pattern_ns=0,
            end_to_end=None,
        )

    def expected_of(
        self, candidate: Candidate, launches: Sequence[wire.Launched], answered: tuple[float, ...] | None
    ) -> Expected:
        """What the rules of validity hold `launches` against: the files, the runtime and its version, and the right answers to the
        golden rows. `answered`: what a launch on the board answered whose answers to all rows were held against the host's; where
        there was none, the host's own answers are taken.
        """
        sent = next((each.packages for each in self.deployment.runtimes if each.name == candidate.runtime), ())
        return Expected(
            runtime=candidate.runtime,
            runtime_version=provision.version_of(candidate.runtime, sent),
            model_sha256=candidate.converted.artifact.sha256,
            inputs_sha256=self._inputs_sha256(candidate),
            **self._golden(candidate, launches[0].delegates if launches else (), answered),
        )

    def _golden(
        self, candidate: Candidate, delegates: tuple[str, ...], answered: tuple[float, ...] | None
    ) -> dict[str, Any]:
        references = self.references_of(candidate, delegates)
        outputs = first_rows.outputs_of(references, of_host=answered is None)
        if answered is not None:
            return {
                "golden": answered,
                "golden_outputs": outputs,
                "golden_by": "the launch that answered all rows",
            }
        return {"golden": first_rows.of_host(references), "golden_outputs": outputs} if references else {}

    def references_of(self, candidate: Candidate, delegates: tuple[str, ...]) -> tuple[golden.Reference, ...]:
        """The host's answers of each output of this file. (): this host has no runtime for it, or there are no rows."""
        return golden.references_of(
            candidate.converted, candidate.runtime, delegates, self.deployment.evaluation_indices, self.store
        )

    def as_expected(self, answer: Answer | None, candidate: Candidate) -> Answer | None:
        """Return the answer of a launch that is not timed; one that has read another file than it was asked to has failed."""
        if not isinstance(answer, wire.Launched):
            return answer
        wanted = candidate.converted.artifact.sha256, self._inputs_sha256(candidate)
        if (answer.model_sha256, answer.inputs_sha256) == wanted:
            return answer
        return wire.LaunchFailed(answer.seq, answer.index, "end", "another file", OTHER_FILE)

    def _inputs_sha256(self, candidate: Candidate) -> tuple[str, ...]:
        return tuple(each.sha256 for each in inputs_of(candidate.converted, self.columns))

    def keep(self, records: Iterable[Kept], *, packed: bool = False) -> Artifact:
        """Write what the board sent into the store, one line a record; `packed`: with gzip."""
        raw = b"".join(map(wire.encode, records))
        return (
            self.store.put_bytes(gzip.compress(raw, mtime=0), "jsonl.gz")
            if packed
            else self.store.put_bytes(raw, "jsonl")
        )
