"""Check a board's results against the request, against each other and against this machine's clock.

Measured values are believed, impossible ones are not: times longer than their launch, inferences that were not requested, more
memory than the board has. Ranges of single fields are in ranges.py.
"""

import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NoReturn

from device_agent import wire
from targets.errors import Implausible

Result = wire.Launched | wire.Paired | wire.LaunchFailed

# The board's clock may run a little faster than ours; a job that is found again reports its age by another clock.
CLOCK_FACTOR, CLOCK_SLACK_S = 1.05, 60.0
# A container's limit does not bound what its processes share with others; the kernel counts resident pages per CPU
MEMORY_FACTOR, MEMORY_SLACK_BYTES = 2, 1 << 30
PEAK_RATIO, PEAK_SLACK_BYTES = 0.95, 64 << 20

# Kernel counters are read one after another, and in ticks; a page or a fault takes longer than a nanosecond.
COUNTER_FACTOR, COUNTER_SLACK_US = 2, 10_000_000
OF_ALL_CPUS = ("busy_us", "steal_us", "own_us")
OF_THE_TIME = ("cpu_stalled_us", "memory_stalled_us", "io_stalled_us")
ONE_BY_ONE = ("swapped_in_pages",)
REPEATED = ("sha256", "job_id")  # what an answer repeats from its request
# For a job, after its own limit: device_agent/jobs/job.py, SLACK_NS, and the reading of two clocks.
STARTED_AGO_SLACK_S = 120.0

AGAIN = "Run again; report it if it happens twice."


def now_s() -> float:
    """Return the time of a clock that runs while this machine sleeps, as the board's may: an hour of a job may be a second of ours."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def meters(address: str, found: Sequence[wire.MeterInfo], asked: Sequence[wire.MeterUse]) -> None:
    names = [meter.name for meter in found]
    if asked and names != [use.name for use in asked]:
        raise Implausible(f"{address} reports the meters {names}, which were not requested", hint="Run again.")


def answer(address: str, asked: wire.Record, told: wire.Record) -> None:
    """Implausible unless the answer is about the request."""
    for name in REPEATED:
        wanted, found = getattr(asked, name, None), getattr(told, name, None)
        if wanted is not None and found is not None and found != wanted:
            raise Implausible(
                f"{address} reports {type(told).__name__}.{name} = {found[:12]}..., not the requested {wanted[:12]}...",
                hint=AGAIN,
            )
    if isinstance(asked, wire.Have) and isinstance(told, wire.Present):
        others = {*told.blobs, *told.sites} - {*asked.blobs, *asked.sites}
        if others:
            raise Implausible(
                f"{address} reports that it has {min(others)[:12]}..., which was not requested", hint=AGAIN
            )


def accepted(address: str, request: wire.Submit, told: wire.Accepted, old_s: float) -> None:
    """Implausible if a job is older than its own limit, or its results are older than `old_s`."""
    if told.state not in {wire.RUNNING, wire.FINISHED}:
        raise Implausible(f"{address} reports that a job that it has just accepted is {told.state}", hint=AGAIN)
    most_s = old_s if told.state == wire.FINISHED else request.timeout_ns / 1e9
    if told.age_ns / 1e9 > most_s + STARTED_AGO_SLACK_S:
        raise Implausible(
            f"{address} reports Accepted.age_ns = {told.age_ns} for a job that is {told.state}: it can be {most_s:.0f} s at most",
            hint=AGAIN,
        )


def conditions(address: str, machine: wire.Machine, told: wire.Conditions) -> None:
    most, free = _most_memory(machine), told.available_bytes or 0
    if free > most:
        raise Implausible(
            f"{address} reports Conditions.available_bytes = {free}, but has {machine.memory_bytes} bytes of memory",
            hint=AGAIN,
        )


def _most_memory(machine: wire.Machine) -> int:
    return machine.memory_bytes * MEMORY_FACTOR + MEMORY_SLACK_BYTES if machine.memory_bytes else 1 << 62


def size(address: str, size_bytes: int, most_bytes: int) -> None:
    if size_bytes > most_bytes:
        raise Implausible(
            f"{address} reports Blob.size_bytes = {size_bytes}: the requested file has {most_bytes} at most", hint=AGAIN
        )


def jobs(address: str, found: Iterable[wire.JobInfo]) -> None:
    for job in found:
        if job.done > job.launches:
            raise Implausible(
                f"{address} reports done = {job.done} for the job {job.job_id}, which has {job.launches} launches",
                hint=AGAIN,
            )


class Results:
    """Checks the results of one job; job_records.py has checked their order. Implausible names the launch, the field, its value
    and its possible range.
    """

    def __init__(self, address: str, machine: wire.Machine, request: wire.Submit | None, began_s: float) -> None:
        """`request` None: the job of another run, so each result is only checked against itself."""
        self.address, self.machine, self.began_s, self.request = address, machine, began_s, request
        self.last_ns = 0

    def check(self, record: wire.Event | Result) -> None:
        self.item = f"launch {record.index + 1}"
        asked = (*self.request.launches, *self.request.pairs)[record.index] if self.request else None
        if isinstance(record, wire.Paired):
            self._pair(record, asked if isinstance(asked, wire.Pair) else None)
        elif isinstance(record, wire.Launched):
            launch = asked if isinstance(asked, wire.Launch) else None
            self._launched(record, launch)
            self._power(record.power, launch.meters if launch else None, record.before.t_ns, record.after.t_ns)
            self._of_its_mode(record, launch)
            self._follows(record, record)

    # --- one launch

    def _launched(self, it: wire.Launched, asked: wire.Launch | None) -> None:
        """Check a launch or a side of a pair, whose times are those of the whole pair."""
        if it.after.t_ns < it.before.t_ns:
            self._wrong("after.t_ns", it.after.t_ns, f"before.t_ns is {it.before.t_ns}: its clock went back")
        whole_ns = it.after.t_ns - it.before.t_ns
        if it.cold_start_ns or (asked is not None and asked.mode != "profile"):
            self._bounds("cold_start_ns", it.cold_start_ns, it.import_ns + it.load_ns + it.first_ns, whole_ns)
            if not it.cold_start_ns:
                self._wrong("cold_start_ns", 0, "a process was started")
        self._bounds("import_ns", it.import_ns, 0, whole_ns)
        run_ns = sum(it.warmup_ns) + sum(it.latency_ns)
        self._bounds("the sum of warmup_ns and latency_ns", run_ns, 0, whole_ns - it.cold_start_ns)
        self._bounds("counted_ns", it.counted_ns, 0, whole_ns)
        self._memory(it)
        self._counters(it, whole_ns)
        if it.energy is not None:
            self._energy(it.energy, it.before.t_ns, it.after.t_ns)
        if asked is not None and len(it.inputs_sha256) != len(asked.inputs):
            self._wrong(
                "inputs_sha256", f"{len(it.inputs_sha256)} hashes", f"{len(asked.inputs)} inputs were requested"
            )
        if asked is not None and asked.cpus and it.cpus != asked.cpus:
            self._wrong("cpus", list(it.cpus), f"{list(asked.cpus)} were requested")

    def _of_its_mode(self, it: wire.Launched, asked: wire.Launch | None) -> None:
        """Check a single launch: the number of its times, and the fields of its mode."""
        if asked is None:
            return
        least = min(asked.timed_min_runs, asked.timed_max_runs) if asked.mode in ("time", "end_to_end") else 0
        self._bounds("the number of latency_ns", len(it.latency_ns), least, asked.timed_max_runs if least else 0)
        for operator in it.operators:  # several run at the same time, so their times do not add up
            self._bounds(
                "mean_ns * runs of an operator", operator.mean_ns * operator.runs, 0, it.after.t_ns - it.before.t_ns
            )
        if asked.mode != "profile" and it.operators:
            self._wrong("operators", len(it.operators), "they were not requested")
        if bool(it.outputs_sha256) != (asked.mode == "evaluate"):
            self._wrong("outputs_sha256", f"{len(it.outputs_sha256)} hashes", f"the mode is {asked.mode}")
        if it.outputs_sha256 and asked.outputs and len(it.outputs_sha256) != len(asked.outputs):
            self._wrong(
                "outputs_sha256", f"{len(it.outputs_sha256)} hashes", f"{len(asked.outputs)} outputs were requested"
            )
        if (it.energy is not None) != (asked.mode == "energy"):
            self._wrong("energy", "there" if it.energy else "missing", f"the mode is {asked.mode}")
        if (it.end_to_end is not None) != (asked.mode == "end_to_end"):
            self._wrong("end_to_end", "there" if it.end_to_end else "missing", f"the mode is {asked.mode}")
        if it.end_to_end is not None:
            self._end_to_end(it, it.end_to_end, asked)

    def _end_to_end(self, it: wire.Launched, parts: wire.EndToEndTimed, asked: wire.Launch) -> None:
        for name in ("preprocess_ns", "inference_ns"):
            self._bounds(f"the number of {name}", len(getattr(parts, name)), len(it.latency_ns), len(it.latency_ns))
        for whole_ns, *of_it in zip(it.latency_ns, parts.preprocess_ns, parts.inference_ns, strict=True):
            self._bounds("preprocess_ns + inference_ns", sum(of_it), 0, whole_ns)
        own = asked.end_to_end
        files = (
            0 if own is None else len(own.rows) + sum(each is not None for each in (own.preprocess, own.postprocess))
        )
        if len(parts.files_sha256) != files:
            self._wrong("files_sha256", f"{len(parts.files_sha256)} hashes", f"{files} files were sent for it")

    def _memory(self, it: wire.Launched) -> None:
        most = _most_memory(self.machine)
        for step in it.memory:
            self._bounds("memory.resident_bytes", step.resident_bytes or 0, 0, most)
            for name in ("anonymous_bytes", "file_bytes", "private_dirty_bytes"):  # parts of it, read a moment later
                whole = most if step.resident_bytes is None else min(most, step.resident_bytes + PEAK_SLACK_BYTES)
                self._bounds(f"memory.{name}", getattr(step, name) or 0, 0, whole)
        resident = max((step.resident_bytes or 0 for step in it.memory), default=0)
        if it.peak_bytes is not None:
            self._bounds("peak_bytes", it.peak_bytes, int(resident * PEAK_RATIO) - PEAK_SLACK_BYTES, most)
        self._bounds("job_peak_bytes", it.job_peak_bytes or 0, 0, most)

    def _counters(self, it: wire.Launched, whole_ns: int) -> None:
        """Check the growth of the kernel's counters during the launch. A decreasing one is not a reason to doubt the board."""
        time_us = whole_ns // 1000 * COUNTER_FACTOR + COUNTER_SLACK_US
        cpus = self.machine.cpu_count
        self._bounds("after.busiest_us", it.after.busiest_us, 0, time_us * cpus)
        for names, most in ((OF_ALL_CPUS, time_us * cpus), (OF_THE_TIME, time_us), (ONE_BY_ONE, whole_ns)):
            for name in names:
                grown = (getattr(it.after, name) or 0) - (getattr(it.before, name) or 0)
                if getattr(it.before, name) is not None and grown > most:
                    self._wrong(f"after.{name} - before.{name}", grown, f"it can be {most} at most")
        for name in ("major_faults", "involuntary_switches"):
            self._bounds(name, getattr(it, name), 0, max(whole_ns, it.counted_ns))

    # --- a pair

    def _pair(self, it: wire.Paired, asked: wire.Pair | None) -> None:
        sides = (("A", it.a, asked.a if asked else None), ("B", it.b, asked.b if asked else None))
        for side, launched, launch in sides:
            self.item = f"pair {it.index + 1}, side {side}"
            self._launched(launched, launch)
            blocks = [block for block in it.blocks if block.side == side]
            runs = sum(block.runs for block in blocks)
            kept = runs if launch is None else min(runs, launch.timed_max_runs)
            self._bounds("the number of latency_ns", len(launched.latency_ns), kept, kept)
            taken = 0
            for block in blocks:
                times = launched.latency_ns[taken : taken + block.runs]
                taken += block.runs
                self._bounds("the sum of latency_ns of a block", sum(times), 0, max(0, block.end_ns - block.start_ns))
        self.item = f"pair {it.index + 1}"
        if asked is not None:
            self._blocks(it, asked)
        begin_ns, end_ns = it.a.before.t_ns, max(it.a.after.t_ns, it.b.after.t_ns)
        self._in_order("blocks", [(block.start_ns, block.end_ns) for block in it.blocks], begin_ns, end_ns)
        self._in_order("idle", it.idle, begin_ns, end_ns)
        self._power(it.power, asked.a.meters if asked else None, begin_ns, end_ns)
        self._follows(it.a, it.b)

    def _blocks(self, it: wire.Paired, asked: wire.Pair) -> None:
        turns = [(cycle, side) for cycle, sides in enumerate(asked.cycles) for side in sides]
        if [(block.cycle, block.side) for block in it.blocks] != turns:
            sides = "".join(block.side for block in it.blocks)
            self._wrong("blocks", wire.shortened(sides, 100), f"{''.join(asked.cycles)} were requested")
        least = min(asked.block_min_runs, asked.block_max_runs)
        for block in it.blocks:
            self._bounds("the runs of a block", block.runs, least, asked.block_max_runs)

    # --- meters

    def _power(
        self, traces: tuple[wire.PowerTrace, ...], asked: tuple[wire.MeterUse, ...] | None, begin_ns: int, end_ns: int
    ) -> None:
        meters = [trace.meter for trace in traces]
        if asked is not None and meters != [use.name for use in asked]:
            wanted = ", ".join(use.name for use in asked)
            self._wrong("power", ", ".join(meters) or "nothing", f"{wanted or 'no meter'} was requested")
        for trace in traces:
            name = f"power of {trace.meter}"
            values = trace.energy_uj or trace.power_uw
            if len(values) != len(trace.t_ns) or (trace.power_uw and trace.energy_uj):
                self._wrong(name, f"{len(values)} values", f"it has {len(trace.t_ns)} times")
            for before_ns, t_ns in pairwise((begin_ns, *trace.t_ns)):
                self._bounds(f"{name}, t_ns", t_ns, before_ns, end_ns)

    def _energy(self, it: wire.EnergyWindow, begin_ns: int, end_ns: int) -> None:
        self._bounds("energy.runs", it.runs, 1, 2**40)
        self._in_order("energy.idle", [*it.idle[:1], (it.start_ns, it.end_ns), *it.idle[1:]], begin_ns, end_ns)
        self._in_order("energy.busy", it.busy, begin_ns, it.start_ns)

    # --- what all share

    def _follows(self, first: wire.Launched, last: wire.Launched) -> None:
        """Check that it follows the previous launch, and fits into the time that has passed on this machine."""
        self._bounds("before.t_ns", first.before.t_ns, self.last_ns, 2**63)
        self.last_ns = max(first.after.t_ns, last.after.t_ns)
        if self.request is not None:
            passed_s = now_s() - self.began_s
            most_ns = round((passed_s * CLOCK_FACTOR + CLOCK_SLACK_S) * 1e9)
            self._bounds("after.t_ns - before.t_ns", self.last_ns - first.before.t_ns, 0, most_ns)

    def _in_order(self, name: str, spans: Iterable[tuple[int, int]], begin_ns: int, end_ns: int) -> None:
        """Check that each ends after it begins, and before the next begins."""
        for start_ns, stop_ns in spans:
            self._bounds(f"{name}, start", start_ns, begin_ns, end_ns)
            self._bounds(f"{name}, end", stop_ns, start_ns, end_ns)
            begin_ns = stop_ns

    def _bounds(self, name: str, value: int, least: int, most: int) -> None:
        if not least <= value <= most:
            self._wrong(
                name, value, f"it must be {least}" if least == most else f"it must lie between {least} and {most}"
            )

    def _wrong(self, name: str, value: object, why: str) -> NoReturn:
        raise Implausible(
            f"{self.address} reports {name} = {value} in {self.item}: {why}",
            hint="The results of this job were discarded. Restart the board and measure again; report it if it happens twice.",
        )
