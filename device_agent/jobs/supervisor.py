"""The process of one job: it holds the locks of the root and the machine, runs the launches, spools records, and records how it ended.

argv: the agent's folder (for sys.path, see requests.START), the root, the job's folder, the descriptors of the locks ("3,5"). It has
its own session and keeps nothing of the connection.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import NoReturn

from device_agent import wire
from device_agent.bench import launches
from device_agent.bench.runner_process import OutOfTime
from device_agent.bench.spool import Spool
from device_agent.files.layout import Layout, hold, write_durably
from device_agent.jobs.job import Job, this_process

BEAT_S = 1.0


class CancelRequested(Exception):
    pass


class Heartbeat:
    """Shows that this process is alive, from its own thread: one sync of a full SD card can take a minute."""

    def __init__(self, folder: str) -> None:
        self.file = os.open(os.path.join(folder, "heartbeat"), os.O_WRONLY | os.O_CREAT, 0o600)
        self._beat()
        threading.Thread(target=self._beat_forever, daemon=True).start()

    def _beat_forever(self) -> None:
        while True:
            time.sleep(BEAT_S)
            with contextlib.suppress(OSError):  # a disk that is full now
                self._beat()

    def _beat(self) -> None:
        os.pwrite(self.file, str(time.monotonic_ns()).encode(), 0)


def main() -> None:
    _, agent, root, folder, locks = sys.argv
    hold(agent)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # also in the threads
    layout, job, spool = Layout(root), Job(folder), Spool(folder)
    signal.signal(signal.SIGTERM, _cancel)
    state, evidence = _run(layout, job, spool)
    for lock in locks.split(","):
        os.close(int(lock))  # a host that reads Ended must find the board free
    spool.send(wire.Ended(0, job.job_id, state, evidence))
    os._exit(0)  # the heartbeat and threads of meters may still run


def _run(layout: Layout, job: Job, spool: Spool) -> "tuple[str, str]":
    """Run the job. Returns its state and evidence."""
    try:
        request = job.submitted()
        Heartbeat(job.folder)
        process = this_process(request.timeout_ns)
        write_durably(os.path.join(job.folder, "process.json"), json.dumps(process._asdict()).encode())
        with layout.workspace() as work:
            launches.run(layout, work, spool, request)
    except CancelRequested:
        return wire.CANCELLED, "it was cancelled"
    except OutOfTime as error:
        return wire.TIMEOUT, str(error)
    except Exception as error:
        with contextlib.suppress(OSError):  # the log is on the same full disk
            traceback.print_exc()
        return wire.FAILED, f"{type(error).__name__}: {error}"
    return wire.FINISHED, ""


def _cancel(number: int, _: object) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the cleanup
    raise CancelRequested
