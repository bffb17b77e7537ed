"""Run the launches and pairs of a job, each in a fresh process (bench/runner_process.py), and spool the results: raw nanoseconds."""

import contextlib
import os
import tempfile
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

from device_agent import wire
from device_agent.bench.cooldown import Band
from device_agent.bench.runner_process import Failed, RunnerProcess
from device_agent.bench.spool import Spool
from device_agent.board import conditions, memory, procfs
from device_agent.files.layout import Layout
from device_agent.files.verified import VerifiedBlobs
from device_agent.meters._sampler import Sampler


def run(layout: Layout, work: str, spool: Spool, request: wire.Submit) -> None:
    """Run all launches and pairs, and spool their events and results. One that fails does not stop the job. OutOfTime."""
    deadline_ns = time.monotonic_ns() + request.timeout_ns
    blobs = VerifiedBlobs(layout)
    damaged = _look(blobs, spool, request)
    band = Band(request.band_mc, request.cool_ns, request.band_from_mc)
    items: Tuple[Union[wire.Launch, wire.Pair], ...] = (*request.launches, *request.pairs)
    for index, item in enumerate(items):
        with tempfile.TemporaryDirectory(prefix="launch-", dir=work) as folder:
            runs = _Item(blobs, spool, folder, index, damaged, band, deadline_ns)
            spool.send(runs.paired(item) if isinstance(item, wire.Pair) else runs.launched(item))


def _look(blobs: VerifiedBlobs, spool: Spool, request: wire.Submit) -> "set[str]":
    """Open the job's blobs, and return the damaged sites. What is damaged is removed: the host will send it again."""
    from device_agent.files.wheels import is_sound  # here: zipfile would delay the answer to Submit

    launches = [*request.launches, *(launch for pair in request.pairs for launch in (pair.a, pair.b))]
    wanted = {sha256 for launch in launches for sha256 in _blobs(launch) if sha256}
    for sha256 in sorted(wanted):
        with spool.cancellable():
            blobs.open(sha256)
    damaged = set()
    for site in sorted({site for launch in launches for site in launch.sites}):
        with contextlib.suppress(FileNotFoundError), spool.cancellable():
            if not is_sound(blobs.layout.site(site)):
                damaged.add(site)
    return damaged


class _Item:
    """One launch, or one pair of them."""

    def __init__(
        self,
        blobs: VerifiedBlobs,
        spool: Spool,
        folder: str,
        index: int,
        damaged: "set[str]",
        band: Band,
        job_deadline_ns: int,
    ) -> None:
        self.blobs, self.spool, self.folder, self.index = blobs, spool, folder, index
        self.damaged, self.band, self.job_deadline_ns = damaged, band, job_deadline_ns

    def launched(self, launch: wire.Launch) -> Any:
        """Run a launch. Returns wire.Launched or wire.LaunchFailed."""
        sampler = Sampler(launch.meters)

        def report(phase: str, done: int, of: int) -> None:
            sampler.enter(phase)
            self._report(phase, done, of)

        try:
            self._is_there(launch)
            cpus = chosen_cpus(launch)
            in_band = None if launch.mode not in ("time", "end_to_end") else self.band.enter(self.spool, self._report)
            before = conditions.observe()
            with self._child("", launch, cpus, report) as child:
                report("started", 0, 1)
                done = child.answer("done")
        except Failed as failed:
            return wire.LaunchFailed(0, self.index, failed.phase, failed.error, failed.message)
        finally:
            sampler.stop()
        return self._result(launch, done, cpus, in_band, before, sampler.traces())

    def paired(self, pair: wire.Pair) -> Any:
        """Run a pair. Returns wire.Paired or wire.LaunchFailed."""
        done, blocks, idle, sampler = {}, [], [], Sampler(pair.a.meters)
        with contextlib.ExitStack() as stack:
            stack.callback(sampler.stop)
            try:
                for side in "AB":
                    self._is_there(pair.a if side == "A" else pair.b)
                cpus = chosen_cpus(pair.a)
                in_band = self.band.enter(self.spool, self._report)
                before = conditions.observe()
                children = {}
                for side in pair.starts:
                    launch = pair.a if side == "A" else pair.b
                    child = stack.enter_context(self._child(side, launch, cpus, self._report))
                    child.answer("ready")
                    children[side] = child
                sampler.enter("idle")
                idle.append(self._idle(pair.a.idle_ns))
                for cycle, sides in enumerate(pair.cycles):
                    self._report("timed", cycle, len(pair.cycles))
                    for side in sides:
                        children[side].order(f"{pair.block_min_ns} {pair.block_min_runs} {pair.block_max_runs}")
                        block = children[side].answer("block")
                        blocks.append(wire.Block(cycle=cycle, side=side, **conditions.sample(cpus), **block))
                idle.append(self._idle(pair.a.idle_ns))
                for side in "AB":
                    children[side].order("end")
                    done[side] = children[side].answer("done")
            except Failed as failed:
                what = f"{'candidate' if side == 'B' else 'baseline'} of a pair: {failed.message}"
                return wire.LaunchFailed(0, self.index, failed.phase, failed.error, what)
        a, b = (
            self._result(launch, done[side], cpus, in_band, before, ())
            for side, launch in (("A", pair.a), ("B", pair.b))
        )
        return wire.Paired(0, self.index, a, b, tuple(blocks), tuple(idle), sampler.traces())

    def _idle(self, idle_ns: int) -> Tuple[int, int]:
        """Sleep, while both sides wait for an order. Returns (start_ns, end_ns)."""
        start_ns = time.monotonic_ns()
        with self.spool.cancellable():
            time.sleep(idle_ns / 1e9)
        return start_ns, time.monotonic_ns()

    def _report(self, phase: str, done: int, of: int) -> None:
        self.spool.send(wire.Event(0, self.index, phase, done, of))

    def _child(
        self, name: str, launch: wire.Launch, cpus: Sequence[int], report: Callable[[str, int, int], None]
    ) -> RunnerProcess:
        folder = os.path.join(self.folder, name)
        os.makedirs(folder, exist_ok=True)
        files = [self.blobs.descriptor(blob) if blob else None for blob in _blobs(launch)]
        return RunnerProcess(
            self.blobs.layout.root, folder, cpus, launch, files, self.spool, report, self.job_deadline_ns
        )

    def _is_there(self, launch: wire.Launch) -> None:
        """Failed if something that the launch needs is missing or damaged."""
        for index, sha256 in enumerate(_blobs(launch)):
            if sha256:
                with self.spool.cancellable():
                    sound = self.blobs.is_sound(sha256)
                _require(_kind(launch, index), sha256, sound)
        for site in launch.sites:
            there = True if os.path.exists(self.blobs.layout.site(site)) else None
            _require("unpacked wheel", site, False if site in self.damaged else there)

    def _result(
        self,
        launch: wire.Launch,
        done: Dict[str, Any],
        cpus: Sequence[int],
        in_band: Optional[bool],
        before: wire.Conditions,
        power: Tuple[wire.PowerTrace, ...],
    ) -> wire.Launched:
        done["memory"] = tuple(wire.MemoryStep(**step) for step in done["memory"])
        done["operators"] = tuple(wire.Operator(**one) for one in done["operators"])
        done["energy"] = wire.EnergyWindow(**done["energy"]) if done["energy"] else None
        with self.spool.cancellable():
            model, *others = (self.blobs.found(blob) if blob else "" for blob in _blobs(launch))
        inputs, own = others[: len(launch.inputs)], others[len(launch.inputs) :]
        done["end_to_end"] = _end_to_end(done["end_to_end"], own)
        return wire.Launched(
            seq=0,
            index=self.index,
            before=before,
            after=conditions.observe(),
            cpus=tuple(cpus),
            in_band=in_band,
            power=power,
            model_sha256=model,
            inputs_sha256=tuple(inputs),
            job_peak_bytes=memory.job_peak_bytes(),
            **done,
        )


def _blobs(launch: wire.Launch) -> List[str]:
    """Return the hashes of the model, of each input ("": zeros), and of what is timed with the model."""
    asked = launch.end_to_end
    functions = [each for each in (asked.preprocess, asked.postprocess) if each] if asked else []
    rows = [each.sha256 for each in asked.rows] if asked else []
    inputs = [each.sha256 for each in launch.inputs]
    return [launch.model_sha256, *inputs, *rows, *(each.sha256 for each in functions)]


def _end_to_end(done: Optional[Dict[str, Any]], files: Sequence[str]) -> Optional[wire.EndToEndTimed]:
    if done is None:
        return None
    done["gives"] = tuple(wire.Given(each["name"], tuple(each["shape"])) for each in done["gives"])
    return wire.EndToEndTimed(files_sha256=tuple(files), **done)


def _kind(launch: wire.Launch, index: int) -> str:
    """Return what the file at this place of _blobs is."""
    if index > len(launch.inputs):
        return "file for end_to_end"
    return "inputs" if index else "model"


def _require(what: str, sha256: str, sound: Optional[bool]) -> None:
    """Failed unless `sound`. None: it is missing."""
    if sound is None:
        raise Failed("started", "not_found", f"the {what} {sha256} is not on the board")
    if not sound:
        why = f"the {what} {sha256} was damaged on the board's disk and has been removed there"
        raise Failed("started", "damaged", why)


def chosen_cpus(launch: wire.Launch) -> Tuple[int, ...]:
    """Return the CPUs that the launch names, else `threads` of the fastest that this process may use; the last of them, since
    interrupts go to the first by default. (): this system cannot bind a process, or it has fewer.

    The kernel's `cpu_capacity` distinguishes big cores from little ones (Documentation/admin-guide/pm and arm/cpus binding).
    """
    if launch.cpus:
        return launch.cpus
    if not hasattr(os, "sched_getaffinity"):
        return ()
    allowed = sorted(
        os.sched_getaffinity(0),
        key=lambda cpu: (procfs.number(f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity") or 0, cpu),
    )
    return tuple(sorted(allowed[-launch.threads :])) if launch.threads <= len(allowed) else ()
