"""The child process of one launch: open ONE model in ONE runtime, and time, evaluate or profile it. It sends raw numbers.

argv: the agent's folder (for sys.path, see runner_process.START), the root, a folder for temporary files, the descriptor for
messages, the agent's process number, the CPUs to bind to ("2,3"), the clock when it started this process, the files of the model and
of each of launch.inputs ("": none). Standard input has a line with the Launch; in mode "turns" then a line `min_ns min_runs max_runs` for each
block, and finally the line `end`.
"""

import array
import collections
import contextlib
import ctypes
import functools
import gc
import importlib
import itertools
import json
import os
import resource
import signal
import statistics
import sys
import time
import traceback
from typing import Any, Callable, Deque, Dict, Iterator, List, Sequence, Tuple

from device_agent import wire
from device_agent.bench import evaluate
from device_agent.bench.feeds import Feeds, finite, golden_values
from device_agent.bench.messages import Messages
from device_agent.board import memory
from device_agent.board.scheduling import DelayCounter
from device_agent.files.layout import Layout
from device_agent.record import from_fields, to_fields
from device_agent.runtimes import RUNTIMES, _profile

PR_SET_PDEATHSIG = 1  # linux/prctl.h
OOM_SCORE = "500"  # of 1000
STEADY_RUNS = 10  # measured: the 9th inference is within 1 % of the later ones (278 launches)
STEADY_WITHIN = 0.02
WARMUP_KEEP = 65_536  # raw warm-up times that are sent; a fast model has millions

clock = time.perf_counter_ns  # CLOCK_MONOTONIC


def main() -> None:
    _, root, folder, descriptor, agent, cpus, started_ns, *files = sys.argv[1:]
    _die_with(int(agent))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])  # the supervisor's mask is inherited
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not fill the board's disk
    _offer_to_the_oom_killer()
    if cpus:
        os.sched_setaffinity(0, map(int, cpus.split(",")))  # before a runtime starts its threads
    messages = Messages(int(descriptor))
    try:
        launch = from_fields(wire.Launch, json.loads(sys.stdin.readline()))
        done = Runner(Layout(root), folder, messages, launch, files, int(started_ns)).run()
    except Exception as error:
        traceback.print_exc()
        failed = {"phase": messages.phase, "error": type(error).__name__, "message": str(error)}
        messages.end({"failed": failed})
    else:
        messages.end({"done": done})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is sent; destructors of native runtimes have been seen to hang and crash


def _die_with(agent: int) -> None:
    """Make this process end with the agent, even after a SIGKILL."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError) as error:  # no such libc; the agent still kills us when it ends in any other way
        print(f"edgepress: the runner may outlive a killed agent: {error}", file=sys.stderr)
    if os.getppid() != agent:  # it died before the call above
        os._exit(1)


def _offer_to_the_oom_killer() -> None:
    """If memory runs out, make the kernel kill this process, not the supervisor, which reports it (proc(5), oom_score_adj)."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(OOM_SCORE)


class Runner:
    def __init__(
        self,
        layout: Layout,
        folder: str,
        messages: Messages,
        launch: wire.Launch,
        files: Sequence[str],
        started_ns: int,
    ) -> None:
        """`files`: the paths of the model and of each of launch.inputs; "": none."""
        self.layout, self.folder, self.messages, self.launch = layout, folder, messages, launch
        self.files, self.started_ns = files, started_ns
        # allocated before the first memory snapshot: they are not the model's
        self.samples = array.array("q", bytes(8 * launch.timed_max_runs))
        self.timed = 0  # number of `samples` that are filled
        self.rows: Iterator[Any] = iter(())  # in the model's form, in rotation
        self.warmup = array.array("q", bytes(8 * WARMUP_KEEP))
        self.memory: List[wire.MemoryStep] = []
        self.model: Any = None  # kept to the end, like its memory
        self.first_ns = self.cold_start_ns = 0

    def run(self) -> Dict[str, Any]:
        """Run the launch. Returns the fields of wire.Launched that are known here."""
        launch = self.launch
        self._snapshot("python")
        self.messages.enter("load", 1)
        sys.path[:0] = [self.layout.site(site) for site in launch.sites]
        start_ns = clock()
        runtime = importlib.import_module(RUNTIMES[launch.runtime])
        import_ns = clock() - start_ns
        self._snapshot("runtime_imported")
        done: Dict[str, Any] = {
            "runtime_version": runtime.version(), "delegates": [], "import_ns": import_ns, "load_ns": 0, "warmup_ns": (), "steady": True,
            "latency_ns": (), "golden": [], "involuntary_switches": 0, "major_faults": 0, "run_delay_ns": None, "counted_ns": 0, "outputs_sha256": (), "energy": None,
            "operators": [], "operators_note": "", "end_to_end": None,
        }  # fmt: skip
        feeds = Feeds(launch, self.files[1:])
        link = os.path.join(self.folder, "model." + launch.model_format)
        os.symlink(self.files[0], link)
        if launch.mode == "profile":
            self.messages.enter("timed", 1)
            done.update(_profile.profiled(launch, runtime, link, feeds.first_step(0), self.folder))
        else:
            done.update(self._measure(runtime, link, feeds))
        self._snapshot("end")
        done["first_ns"], done["cold_start_ns"] = self.first_ns, self.cold_start_ns
        done["peak_bytes"] = memory.peak_bytes()
        done["memory"] = [to_fields(step) for step in self.memory]
        return done

    def _measure(self, runtime: Any, path: str, feeds: Feeds) -> Dict[str, Any]:
        """Run any mode but "profile"."""
        launch, start_ns = self.launch, clock()
        self.model = model = runtime.open_model(path, launch)
        load_ns = clock() - start_ns
        self._snapshot("model_loaded")
        if model.allocate is not None:
            start_ns = clock()
            model.allocate()
            load_ns += clock() - start_ns
            self._snapshot("allocated")
        first_steps = [model.fitted(feeds.first_step(row)) for row in range(min(feeds.rows, wire.GOLDEN_ROWS))]
        timed = [model.fitted(step) for step in itertools.islice(feeds.all_steps(), launch.rotated_rows)]
        self.rows = itertools.cycle(timed)
        self._snapshot("inputs_ready")
        golden = self._golden(model, first_steps, feeds.has_rows)
        measure: Dict[str, Callable[[Any], Dict[str, Any]]] = {
            "time": self._time,
            "turns": self._run_blocks,
            "energy": self._energy,
            "evaluate": lambda model: evaluate.evaluate(model, feeds, self.messages, self.folder, self.layout),
            "end_to_end": lambda model: self._end_to_end(model, feeds),
        }
        return {"delegates": list(model.delegates), "load_ns": load_ns, "golden": golden, **measure[launch.mode](model)}

    def _golden(self, model: Any, rows: List[Any], has_rows: bool) -> List[float]:
        """Return this process's outputs for the first rows, which the host compares with the known ones; empty without rows. The
        first inference is made here.
        """
        answers: List[float] = []
        self.messages.enter("golden", len(rows))
        for row in rows:
            if self.first_ns:
                model.reset()
            model.feed(row, fresh=True)
            start_ns = clock()
            model.invoke()
            if not self.first_ns:
                end_ns = clock()
                self.first_ns, self.cold_start_ns = end_ns - start_ns, end_ns - self.started_ns
                self._snapshot("first_inference")
            if has_rows:
                answers += golden_values(model.outputs())
        return finite(answers)

    # --- modes "time" and "turns"

    def _time(self, model: Any) -> Dict[str, Any]:
        warmup_ns, steady = self._warm_up(model)
        self.messages.enter("timed", 1000)
        model.invoke()  # not counted: that message has just woken the agent, which may share our only core
        counting = DelayCounter()
        launch = self.launch
        self._timed(model, launch.timed_min_ns, launch.timed_min_runs, launch.timed_max_runs)
        counts = counting.fields()
        return {"warmup_ns": warmup_ns, "steady": steady, "latency_ns": self.samples[: self.timed].tolist(), **counts}

    def _run_blocks(self, model: Any) -> Dict[str, Any]:
        """Run a block at each order. The times are sent at the end, so that sending them disturbs no block."""
        warmup_ns, steady = self._warm_up(model)
        self.messages.be_silent()
        self.messages.answer("ready", True)
        whole = DelayCounter()
        while len(order := sys.stdin.readline().split()) == 3:
            runs, counting, start_ns = self.timed, DelayCounter(), clock()
            end_ns = self._timed(model, *map(int, order))
            block = {"start_ns": start_ns, "end_ns": end_ns, "runs": self.timed - runs, **counting.fields()}
            self.messages.answer("block", block)
        counts = whole.fields()
        return {"warmup_ns": warmup_ns, "steady": steady, "latency_ns": self.samples[: self.timed].tolist(), **counts}

    def _warm_up(self, model: Any) -> Tuple[List[int], bool]:
        """Run until steady: the median of the last 10 is within 2 % of that of the 10 before. At least warmup_min_ns."""
        launch = self.launch
        last: Deque[int] = collections.deque(maxlen=2 * STEADY_RUNS)
        self.messages.enter("warmup", launch.warmup_max_ns)
        gc.collect()
        if launch.mode != "end_to_end":  # what the functions leave is collected in their own program, too
            gc.disable()
        runs, start_ns = 0, clock()
        while True:
            elapsed_ns = clock() - start_ns
            if elapsed_ns >= launch.warmup_min_ns:
                steady = _is_steady(last)
                if steady or elapsed_ns >= launch.warmup_max_ns:
                    return self.warmup[: min(runs, WARMUP_KEEP)].tolist(), steady
            self.messages.report(elapsed_ns, launch.warmup_max_ns, start_ns + elapsed_ns)
            model.feed(next(self.rows), fresh=False)
            before_ns = clock()
            model.invoke()
            took_ns = clock() - before_ns
            last.append(took_ns)
            if runs < WARMUP_KEEP:
                self.warmup[runs] = took_ns
            runs += 1

    def _timed(self, model: Any, min_ns: int, min_runs: int, max_runs: int) -> int:
        """Append the times of one block to `samples`, as long as there is room. Returns when it ended. Progress is reported in
        thousandths.
        """
        samples, rows, feed, invoke, begin = self.samples, self.rows, model.feed, model.invoke, self.timed
        room = len(samples) - begin
        start_ns = after_ns = clock()
        for run in range(max_runs):
            feed(next(rows), False)
            before_ns = clock()
            invoke()
            after_ns = clock()
            if run < room:
                samples[begin + run] = after_ns - before_ns
            self.timed += 1
            if after_ns - start_ns >= min_ns and run + 1 >= min_runs:
                break
            if after_ns >= self.messages.next_ns:
                part = min((after_ns - start_ns) / max(min_ns, 1), (run + 1) / min_runs)
                self.messages.report(int(1000 * min(part, 1)), 1000, after_ns)
        return after_ns

    def _energy(self, model: Any) -> Dict[str, Any]:
        from device_agent.bench import energy

        warm_up = functools.partial(self._warm_up, model)
        return {"energy": energy.measure(model, self.rows, self.launch, self.messages.enter, warm_up)}

    def _end_to_end(self, model: Any, feeds: Feeds) -> Dict[str, Any]:
        from device_agent.bench import end_to_end

        self.messages.move_out_of_reach()
        files = self.files[1 + len(self.launch.inputs) :]
        chain = end_to_end.Chain(self.launch, model, feeds, files, self.folder, self.messages)
        found = chain.first_rows()
        self.rows = itertools.cycle(chain.rows)
        timed = self._time(chain)
        return {**timed, "end_to_end": {**found, **chain.last(self.timed)}}

    def _snapshot(self, step: str) -> None:
        self.memory.append(memory.snapshot(step))


def _is_steady(last: Deque[int]) -> bool:
    if len(last) < 2 * STEADY_RUNS:
        return False
    values = list(last)
    before, after = statistics.median(values[:STEADY_RUNS]), statistics.median(values[STEADY_RUNS:])
    return abs(after - before) <= STEADY_WITHIN * before
