"""What the rules look at: the records of one file, or of an interleaved baseline and candidate."""

from collections.abc import Iterator

import msgspec

from device_agent.wire import Conditions, Launched, Paired
from pipeline.measure.first_rows import FirstOutput
from pipeline.measure.memory import GPU_RUNTIMES
from pipeline.records import Latency


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of the board, to hold against what it did. None: nothing to hold it against."""

    runtime: str = ""
    runtime_version: str | None = None  # of the wheel that was sent
    model_sha256: str | None = None
    inputs_sha256: tuple[str, ...] | None = None  # of each input; "": zeros
    golden: tuple[float, ...] | None = None  # correct answers to the first rows, cut as wire.Launched.golden
    golden_outputs: tuple[FirstOutput, ...] = ()  # whose values these are in each row; (): unknown, all are one
    golden_within: float = 0.01  # how far from them, relative L2, an answer may be where the outputs are unknown
    golden_by: str = "on this host"  # who gave them


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One file in one runtime."""

    name: str  # for people
    launches: tuple[Launched, ...]
    expected: Expected


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    sides: tuple[Side, ...]
    pairs: tuple[Paired, ...] = ()  # whose launches are those of the two sides
    latency: Latency | None = None  # of a file that was measured alone

    @property
    def launches(self) -> tuple[Launched, ...]:
        return tuple(launch for side in self.sides for launch in side.launches)

    @property
    def uses_gpu(self) -> bool:
        return any(side.expected.runtime in GPU_RUNTIMES for side in self.sides)

    @property
    def windows(self) -> Iterator[tuple[Conditions, Conditions]]:
        """Before and after each launch."""
        return ((launch.before, launch.after) for launch in self.launches)


def alone(launches: tuple[Launched, ...], latency: Latency, expected: Expected) -> Observed:
    return Observed(sides=(Side(name="this file", launches=launches, expected=expected),), latency=latency)


def in_pairs(pairs: tuple[Paired, ...], baseline: Expected, candidate: Expected) -> Observed:
    return Observed(
        sides=(
            Side(name="the baseline", launches=tuple(pair.a for pair in pairs), expected=baseline),
            Side(name="the candidate", launches=tuple(pair.b for pair in pairs), expected=candidate),
        ),
        pairs=pairs,
    )
