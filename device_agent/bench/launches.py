"""Run the launches and pairs of a job, each process a fresh one (bench/runner_process.py), and spool what comes out: raw nanoseconds."""

import contextlib
import os
import tempfile
import time
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Union

from device_agent import wire
from device_agent.bench.cooldown import Band
from device_agent.bench.runner_process import Child, Failed
from device_agent.bench.spool import Spool
from device_agent.board import conditions, memory, procfs
from device_agent.files.layout import Place
from device_agent.files.verified import Contents
from device_agent.meters._sampler import Sampler


def run(place: Place, work: str, spool: Spool, request: wire.Submit) -> None:
    """Spool the events and results of all launches and pairs. One that fails does not stop the job. OutOfTime."""
    deadline_ns = time.monotonic_ns() + request.timeout_ns
    contents = Contents(place)
    damaged = _look(contents, spool, request)
    band = Band(request.band_mc, request.cool_ns, request.band_from_mc)
    items: Tuple[Union[wire.Launch, wire.Pair], ...] = (*request.launches, *request.pairs)
    for index, item in enumerate(items):
        with tempfile.TemporaryDirectory(prefix="launch-", dir=work) as folder:
            runs = _Item(contents, spool, folder, index, damaged, band, deadline_ns)
            spool.send(runs.paired(item) if isinstance(item, wire.Pair) else runs.launched(item))


def _look(contents: Contents, spool: Spool, request: wire.Submit) -> "set[str]":
    """Open the job's blobs; the sites that have another content than they had. What is damaged is removed: the host will send it again."""
    from device_agent.files.wheels import is_sound  # here: zipfile would delay the answer to Submit

    launches = [*request.launches, *(launch for pair in request.pairs for launch in (pair.a, pair.b))]
    wanted = {sha256 for launch in launches for sha256 in (launch.model_sha256, launch.inputs_sha256) if sha256}
    for sha256 in sorted(wanted):
        with spool.cancellable():
            contents.open(sha256)
    damaged = set()
    for site in sorted({site for launch in launches for site in launch.sites}):
        with contextlib.suppress(FileNotFoundError), spool.cancellable():
            if not is_sound(contents.place.site(site)):
                damaged.add(site)
    return damaged


class _Item:
    """One launch, or one pair of them."""

    def __init__(
        self,
        contents: Contents,
        spool: Spool,
        folder: str,
        index: int,
        damaged: "set[str]",
        band: Band,
        job_deadline_ns: int,
    ) -> None:
        self.contents, self.spool, self.folder, self.index = contents, spool, folder, index
        self.damaged, self.band, self.job_deadline_ns = damaged, band, job_deadline_ns

    def launched(self, launch: wire.Launch) -> Any:
        """wire.Launched or wire.LaunchFailed."""
        sampler = Sampler(launch.meters)

        def tell(phase: str, done: int, of: int) -> None:
            sampler.enter(phase)
            self._tell(phase, done, of)

        try:
            self._is_there(launch)
            cpus = chosen_cpus(launch)
            in_band = None if launch.mode != "time" else self.band.enter(self.spool, self._tell)
            before = conditions.observe()
            with self._child("", launch, cpus, tell) as child:
                tell("started", 0, 1)
                done = child.answer("done")
        except Failed as failed:
            return wire.LaunchFailed(0, self.index, failed.phase, failed.error, failed.message)
        finally:
            sampler.stop()
        return self._result(launch, done, cpus, in_band, before, sampler.traces())

    def paired(self, pair: wire.Pair) -> Any:
        """wire.Paired or wire.LaunchFailed."""
        done, blocks, idle, sampler = {}, [], [], Sampler(pair.a.meters)
        with contextlib.ExitStack() as stack:
            stack.callback(sampler.stop)
            try:
                for side in "AB":
                    self._is_there(pair.a if side == "A" else pair.b)
                cpus = chosen_cpus(pair.a)
                in_band = self.band.enter(self.spool, self._tell)
                before = conditions.observe()
                children = {}
                for side in pair.starts:
                    launch = pair.a if side == "A" else pair.b
                    child = stack.enter_context(self._child(side, launch, cpus, self._tell))
                    child.answer("ready")
                    children[side] = child
                sampler.enter("idle")
                idle.append(self._idle(pair.a.idle_ns))
                for cycle, sides in enumerate(pair.cycles):
                    self._tell("timed", cycle, len(pair.cycles))
                    for side in sides:
                        children[side].order(f"{pair.block_min_ns} {pair.block_min_runs} {pair.block_max_runs}")
                        block = children[side].answer("block")
                        blocks.append(wire.Block(cycle=cycle, side=side, **conditions.glance(cpus), **block))
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
        """Both sides wait for an order meanwhile."""
        start_ns = time.monotonic_ns()
        with self.spool.cancellable():
            time.sleep(idle_ns / 1e9)
        return start_ns, time.monotonic_ns()

    def _tell(self, phase: str, done: int, of: int) -> None:
        self.spool.send(wire.Event(0, self.index, phase, done, of))

    def _child(
        self, name: str, launch: wire.Launch, cpus: Sequence[int], tell: Callable[[str, int, int], None]
    ) -> Child:
        folder = os.path.join(self.folder, name)
        os.makedirs(folder, exist_ok=True)
        files = [
            self.contents.descriptor(blob) if blob else None for blob in (launch.model_sha256, launch.inputs_sha256)
        ]
        return Child(self.contents.place.root, folder, cpus, launch, files, self.spool, tell, self.job_deadline_ns)

    def _is_there(self, launch: wire.Launch) -> None:
        """Failed, where something that the launch needs is not there or not sound."""
        for what, sha256 in (("model", launch.model_sha256), ("inputs", launch.inputs_sha256)):
            if sha256:
                with self.spool.cancellable():
                    sound = self.contents.is_sound(sha256)
                _require(what, sha256, sound)
        for site in launch.sites:
            there = True if os.path.exists(self.contents.place.site(site)) else None
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
            model, inputs = (
                self.contents.found(blob) if blob else "" for blob in (launch.model_sha256, launch.inputs_sha256)
            )
        return wire.Launched(
            seq=0,
            index=self.index,
            before=before,
            after=conditions.observe(),
            cpus=tuple(cpus),
            in_band=in_band,
            power=power,
            model_sha256=model,
            inputs_sha256=inputs,
            job_peak_bytes=memory.job_peak_bytes(),
            **done,
        )


def _require(what: str, sha256: str, sound: Optional[bool]) -> None:
    """`sound` None: it is not there."""
    if sound is None:
        raise Failed("started", "not_found", f"the {what} {sha256} is not on the board")
    if not sound:
        why = f"the {what} {sha256} was damaged on the board's disk and is removed there"
        raise Failed("started", "damaged", why)


def chosen_cpus(launch: wire.Launch) -> Tuple[int, ...]:
    """Those that the launch names, else `threads` of the fastest that this process may use; the last of them, since interrupts
    go to the first by default. (): this system can not bind a process, or it has fewer.

    The kernel's `cpu_capacity` tells big cores from little ones (Documentation/admin-guide/pm and arm/cpus binding).
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
