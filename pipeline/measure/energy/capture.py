"""The meters that watch a run: which launches are theirs, what this machine reads during them, and how the clocks differ."""

import time
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from device_agent import wire
from pipeline.measure.energy.reading import Sync, doubts_about_energy, least_window_s, reading_of, without_number
from pipeline.measure.energy.trace import Curve, NoEnergyError, correlation
from pipeline.plan import Plan
from pipeline.records import DeployedMeter, Doubt, Energy, EnergyReading
from targets import Session, meters

ROUND_TRIPS = 5
FOUND = 0.8  # correlation with the pattern of load from which on its place is accepted
SEARCH_S = 2.0  # around the place by the round trips
STEP_S = 0.005
MOST_STEPS = 200_000  # of a search: 1000 s of a file whose clock is not known


class Watch:
    """The meters of a run while one job runs: a context manager around that job."""

    def __init__(self, session: Session, plan: Plan, chosen: Sequence[DeployedMeter]) -> None:
        self.session, self.chosen = session, chosen
        self.uses = tuple(use_of(meter) for meter in chosen if meter.on_board)
        self.host = tuple(meters.open_meter(use_of(meter)) for meter in chosen if not meter.on_board)
        table = plan.tables.measure
        least = max((least_window_s(meter.period_s, accumulates=meter.accumulates) for meter in chosen), default=0.0)
        self.window_s = table.energy_seconds or least
        self.idle_s = table.energy_idle_seconds
        self.pattern_s = meters.pattern_s([meter.info for meter in self.host])
        self.traces: tuple[wire.PowerTrace, ...] = ()
        self.offsets: list[tuple[int, float]] = []

    def launch_of(self, launch: wire.Launch) -> wire.Launch:
        """Return the launch of the same file for the meters."""
        extra_s = self.window_s + 2 * self.idle_s + 7 * self.pattern_s + 10
        changes = {
            "mode": "energy",
            "meters": self.uses,
            "idle_ns": round(self.idle_s * 1e9),
            "pattern_ns": round(self.pattern_s * 1e9),
            "timed_min_ns": round(self.window_s * 1e9),
            "timeout_ns": launch.timeout_ns + round(extra_s * 1e9),
        }
        return wire.Launch(**{**vars(launch), **changes})

    def __enter__(self) -> Self:
        if self.host:
            self.offsets.append(offset_of(self.session.observe))
            for meter in self.host:
                meter.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.traces = tuple(meter.stop() for meter in self.host)

    def ended(self) -> None:
        """Read the board's clock again, when the job is done and the board is still connected."""
        if self.host:
            self.offsets.append(offset_of(self.session.observe))

    def energy_of(self, answer: wire.Launched) -> tuple[Energy, list[Doubt]]:
        """Return what each meter says about its launch."""
        ran = answer.energy
        if ran is None:
            return Energy(readings=(), note="the agent sent no times of it"), []
        readings = [reading_of(trace, ran) for trace in answer.power]
        readings += [
            self._of_host(trace, ran, own_clock=meter.own_clock)
            for meter, trace in zip(self.host, self.traces, strict=True)
        ]
        return Energy(readings=tuple(readings), note=""), doubts_about_energy(readings, answer)

    def _of_host(self, trace: wire.PowerTrace, ran: wire.EnergyWindow, *, own_clock: bool) -> EnergyReading:
        """Synchronize by the pattern of load where it is found; else by the round trips, if the clock is this machine's."""
        try:
            sync = found_by_pattern(trace, ran, None if own_clock else self.by_round_trips())
        except NoEnergyError as error:
            return without_number(trace, ran, str(error))
        return reading_of(trace, ran, sync)

    def by_round_trips(self) -> Sync:
        """Return the mean offset of before and after. It is uncertain by half a round trip and half the drift. NoEnergyError where the clocks
        drifted too far apart.
        """
        offsets = [offset for offset, _ in self.offsets]
        half_s = max(half for _, half in self.offsets)
        drift_s = (max(offsets) - min(offsets)) / 1e9
        if drift_s > half_s * 2 + 0.1:
            raise NoEnergyError(f"the board's clock and this machine's came {drift_s:.3g} s apart during the run")
        return Sync(offset_ns=round(sum(offsets) / len(offsets)), uncertainty_s=half_s + drift_s / 2)


def use_of(meter: DeployedMeter) -> wire.MeterUse:
    return wire.MeterUse(meter.name, meter.settings)


def offset_of(observe: Callable[[], wire.Conditions]) -> tuple[int, float]:
    """Return (board's monotonic clock less this machine's in ns, half of the shortest round trip in s)."""
    best: tuple[int, int] | None = None
    for _ in range(ROUND_TRIPS):
        before_ns = time.monotonic_ns()
        board_ns = observe().t_ns
        after_ns = time.monotonic_ns()
        if best is None or after_ns - before_ns < best[0]:
            best = after_ns - before_ns, board_ns - (before_ns + after_ns) // 2
    assert best is not None
    return best[1], best[0] / 2e9


def found_by_pattern(trace: wire.PowerTrace, ran: wire.EnergyWindow, guess: Sync | None) -> Sync:
    """Find the offset of the meter's clock, by the three times that the board was busy.

    The search is around `guess`, which is returned where no pattern is visible there; without a guess it is over the whole trace, with
    NoEnergyError where no pattern is visible.
    """
    if not ran.busy:
        if guess is None:
            raise NoEnergyError("its clock is not known, and there was no pattern of load to find it by")
        return guess
    begin_ns = ran.busy[0][0]
    half_s = (ran.busy[0][1] - begin_ns) / 1e9
    curve = Curve(trace, begin_ns, guess.offset_ns if guess else 0)
    step_s = max(STEP_S, curve.period_s / 4)
    end_s = (ran.busy[-1][1] - begin_ns) / 1e9 + half_s
    grid = _steps(-half_s, end_s, step_s, "the agent's times of the pattern of load are impossible")
    busy = np.zeros(len(grid))
    for start_ns, end_ns in ran.busy:
        busy[(grid >= (start_ns - begin_ns) / 1e9) & (grid < (end_ns - begin_ns) / 1e9)] = 1.0
    if guess:
        lags = np.arange(-SEARCH_S, SEARCH_S, step_s)
    else:
        first_s = float(curve.t_s[0] - grid[0])
        last_s = max(float(curve.t_s[-1] - grid[-1]), first_s + step_s)
        lags = _steps(first_s, last_s, step_s, "the file is too long to look for the pattern of load in it")
    watts = _watts(curve)
    scores = np.array([correlation(np.interp(grid + lag, *watts), busy) for lag in lags])
    best = int(scores.argmax())
    if scores[best] < FOUND:
        if guess is None:
            raise NoEnergyError(f"the pattern of load is not visible in it (correlation {scores[best]:.2f})")
        return guess
    # grid + lag is the meter's time of the board's grid: the meter's clock is `lag` ahead
    offset_ns = (guess.offset_ns if guess else 0) - round(float(lags[best]) * 1e9)
    return Sync(offset_ns=offset_ns, uncertainty_s=step_s + curve.period_s / 2)


def _steps(start_s: float, end_s: float, step_s: float, why_not: str) -> npt.NDArray[np.float64]:
    """Return the steps. NoEnergyError before they take too much memory: the times come from a board, or from a file."""
    if not 0 < (end_s - start_s) / step_s <= MOST_STEPS:
        raise NoEnergyError(why_not)
    return np.arange(start_s, end_s, step_s)


def _watts(curve: Curve) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (times, power): of a counter, the mean power between two readings, in the middle of them."""
    if not curve.accumulates:
        return curve.t_s, curve.values
    return (curve.t_s[1:] + curve.t_s[:-1]) / 2, np.diff(curve.values) / np.diff(curve.t_s)
