"""One file in one runtime, and how long its launches last."""

import msgspec

from device_agent import wire
from pipeline.measure.remedies import remedy
from pipeline.records import VARIANTS, Converted, NotMeasured, Subject, subject_of

# Warm-up until steady, but at least 0.2 s: clocks need as long to rise. The steadiness test decides, and a
# launch is repeated six times. A model of 100 ms gets its 20 runs for that test within the limit of 10 s.
WARMUP_MIN_NS, WARMUP_MAX_NS = 200_000_000, 10_000_000_000
TIMED_MIN_RUNS = 20
MAX_RUNS_PER_S, MAX_RUNS = 200_000, 1_000_000  # the runner keeps room for this many times: 8 bytes each
# A profile is an average over whole microseconds: many runs, but ONNX Runtime writes 0.5 kB for each kernel and run
PROFILED_NS, PROFILED_MIN_RUNS, PROFILED_MAX_RUNS = 300_000_000, 3, 300
START_TIMEOUT_S = 300  # to import, load and warm up on a slow board
SLOWEST_S = 10  # one inference: anything slower than this hangs
ROTATED_ROWS = 8  # real rows, in rotation: zeros, or always the same row, can be faster


Answer = wire.Launched | wire.LaunchFailed


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One file in one runtime, with a number of threads."""

    converted: Converted
    runtime: str
    sites: tuple[str, ...]
    threads: int
    swept: bool  # not the number of threads that limits judge

    @property
    def subject(self) -> Subject:
        return subject_of(self.converted, self.runtime, self._swept_threads)

    @property
    def label(self) -> str:
        return self.subject.label

    @property
    def in_full(self) -> bool:
        """Return whether it answers all rows and is profiled: not the ledger's files, and each file once."""
        return self.converted.variant in VARIANTS and not self.swept

    @property
    def _swept_threads(self) -> int | None:
        return self.threads if self.swept else None

    def not_measured(self, why: str, failed: wire.LaunchFailed) -> NotMeasured:
        """Return the record of a file without a number; the remedy is that for `failed`."""
        return NotMeasured(
            variant=self.converted.variant,
            format=self.converted.format,
            runtime=self.runtime,
            threads=self._swept_threads,
            name=self.converted.name,
            role=self.converted.role,
            step=self.converted.step,
            evidence=why,
            remedy=remedy(failed),
        )
