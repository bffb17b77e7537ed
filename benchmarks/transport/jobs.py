"""How soon does a job start, how soon is it followed again after a cut, and how soon do twenty hosts know which one has the board?

    .venv/bin/python benchmarks/transport/jobs.py

Over a real sshd on the loopback. A proxy cuts the link, which returns at once or after a second. The twenty hosts are threads of this
process; each has a connection of its own, and all submit a job at the same moment.
"""

import concurrent.futures
import hashlib
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support import command
from benchmarks._support.launches import LAUNCH
from benchmarks._support.loopback import loopback_board
from benchmarks._support.machine import describe
from benchmarks._support.results import results
from device_agent import wire
from device_agent.record import replace
from targets import open_session
from targets.errors import Busy
from targets.virtual.proxy import Proxy

RUNS = 15
HOSTS = 20
ROUNDS = 10
MODEL = json.dumps({"latency_us": 1000}).encode()
SHA256 = hashlib.sha256(MODEL).hexdigest()


def launch(seconds: float, number: int) -> wire.Launch:
    """Return a launch of that many seconds; another `number` makes another job, whereas the agent would find the same job again."""
    return replace(
        LAUNCH,
        model_sha256=SHA256,
        model_format="sleep",
        runtime="sleep",
        warmup_min_ns=0,
        warmup_max_ns=10**8,
        timed_min_ns=int(seconds * 1e9),
        timed_min_runs=1,
        timed_max_runs=900_000 + number,
        timeout_ns=60 * 10**9,
    )


def keep(add, what: str, times: list[float]) -> None:
    print(
        f"{what}: median {1000 * statistics.median(times):.0f} ms, max {1000 * max(times):.0f} ms of {len(times)}, "
        f"load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    longest = f"longest of {len(times)}: {1000 * max(times):.0f} ms"
    add(what, round(1000 * statistics.median(times)), "ms", note=longest)


def starting(add, target) -> None:
    accepted, first = [], []
    with open_session(target) as session:
        session.put(MODEL, SHA256)
        for number in range(RUNS):
            began = time.perf_counter()
            job = session.submit((launch(0.01, number),), "benchmark")
            accepted.append(time.perf_counter() - began)
            records = session.follow(job)
            next(records)
            first.append(time.perf_counter() - began)
            list(records)
            session.forget(job)
    keep(add, "from submit to accepted", accepted)
    keep(add, "from submit to the first event", first)


def reattaching(add, target) -> None:
    known = Path(target.known_hosts)
    with Proxy(target.port) as proxy:
        through = known.with_name("known_hosts-proxy")
        through.write_text(known.read_text().replace(f":{target.port}", f":{proxy.port}"))
        board = msgspec.structs.replace(target, port=proxy.port, known_hosts=str(through))
        for gone_s in (0.0, 1.0):
            returned: list[float] = []
            took = []

            def cut(gone_s=gone_s, returned=returned):
                proxy.refuse()
                proxy.cut()
                time.sleep(gone_s)
                proxy.resume()
                returned.append(time.perf_counter())

            def on_message(text, took=took, returned=returned):
                if text.endswith("is reachable again"):
                    took.append(time.perf_counter() - returned[-1])

            for number in range(RUNS):
                with open_session(board, on_message) as session:
                    job = session.submit((launch(1.5, number),), "benchmark")
                    timer = threading.Timer(0.5, cut)
                    timer.start()
                    list(session.follow(job))
                    timer.join()
                    session.forget(job)
            keep(add, f"followed again after the link's return (gone for {gone_s:g} s)", took)


def racing(add, target) -> None:
    won, lost, free = [], [], []
    with concurrent.futures.ThreadPoolExecutor(HOSTS) as pool:
        sessions = [open_session(target) for _ in range(HOSTS)]
        entered = [session.__enter__() for session in sessions]
        for number in range(ROUNDS):
            start = threading.Barrier(HOSTS)

            def submit(host, number=number, start=start):
                start.wait()
                began = time.perf_counter()
                try:
                    job = entered[host].submit((launch(60, number),), f"host {host}")
                except Busy:
                    return None, time.perf_counter() - began
                return job, time.perf_counter() - began

            answers = list(pool.map(submit, range(HOSTS)))
            ((winner, job),) = [(host, job) for host, (job, _) in enumerate(answers) if job]
            won += [took for job, took in answers if job]
            lost += [took for job, took in answers if not job]
            began = time.perf_counter()
            entered[winner].cancel(job)
            free.append(time.perf_counter() - began)
            entered[winner].forget(job)
        for session in sessions:
            session.__exit__(None, None, None)
    keep(add, f"{HOSTS} hosts race: the winner has its answer", won)
    keep(add, "20 hosts race: the losers have their answers", lost)
    keep(add, "20 hosts race: cancelled, and the board is free", free)


def main() -> None:
    command.parser(__doc__).parse_args()
    print(describe())
    with results(__file__) as add, loopback_board() as board:
        starting(add, board)
        reattaching(add, board)
        racing(add, board)


if __name__ == "__main__":
    main()
