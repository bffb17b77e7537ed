"""What the rest of edgepress asks of a board. A link that breaks is opened again, and what was asked is asked again.

Every request may be asked twice: blobs and sites are named by their content, an upload goes on where it was cut off, and a job
is named by its content and owner, runs on while nobody is connected, and tells its records by number.
"""

import getpass
import hashlib
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self, TypeVar

from device_agent import wire
from targets.conversation import Conversation
from targets.errors import AgentFailed, Busy, ConnectionLost, DiskFull, JobEnded, NotTheAgent, Unreachable
from targets.link import Link
from targets.upload import send_blob, send_rest

GET_LIMIT_BYTES = 1 << 30
FIRST_TRY_S, NEXT_TRY_S = 15.0, 2.0  # limits on opening a connection: the board should be there; it was there
QUICK_TRIES = 5  # a board that is busy measuring may need longer to log us in
PAUSE_S = 0.5  # between two tries
RETURN_S = 60.0  # how long a board that was lost is waited for
ROUNDS = 5  # how often one request is asked again
FOLLOW_TIMEOUT_S = 45.0  # an agent that follows a job says at least every 5 s that it is at it
OLD_RESULT_S = 3600.0  # results that were left on the board by a run that was killed; older ones are measured anew

R = TypeVar("R")
Said = wire.Event | wire.Launched | wire.Paired | wire.LaunchFailed


class Cooling(NamedTuple):
    """Before each launch and pair the board cools down to the temperature at the job's beginning."""

    band_mc: int  # so much above it is cool enough
    limit_ns: int  # of all waiting in one job; 0: it does not wait
    from_mc: int | None = None  # the temperature to begin at instead, of an earlier job


NO_COOLING = Cooling(0, 0)


class Session:
    """Use as a context manager: leaving it ends the agent; a job that still runs then is cancelled."""

    def __init__(
        self, connect: Callable[[float], Link], python: str, root: str, say: Callable[[str], None] | None = None
    ) -> None:
        """Start the agent under `root` on the board with the interpreter `python`. `connect` opens a link, with a limit in
        seconds; `say` is told what a person should know meanwhile.
        """
        self._connect, self._python, self._root = connect, python, root
        self._say = say or (lambda _: None)
        self._job_id: str | None = None
        self._fetched: list[str] = []
        self.note = ""  # of a virtual board: what holds it to its shape
        began = time.monotonic()
        self._open(FIRST_TRY_S)
        self.first_answer_s = time.monotonic() - self._connected
        self.connect_s = self._connected - began
        self.agent_sent_bytes = self._talk.agent_sent_bytes
        self.agent_sha256 = self._talk.agent_sha256
        self.machine = self._talk.hello.machine

    @property
    def address(self) -> str:
        return self._link.address

    # --- requests

    def have(self, blobs: tuple[str, ...], sites: tuple[str, ...]) -> wire.Present:
        return self._ask(wire.Have(blobs, sites), wire.Present)

    def put(self, data: bytes | memoryview, sha256: str, sent: Callable[[int], None] | None = None) -> None:
        """Send a blob; it is complete and durable on the board when this returns. `sent` is told the bytes so far."""
        first = self._talk
        self._again(lambda talk: (send_blob if talk is first else send_rest)(talk, data, sha256, sent))

    def unpack(self, name: str, sha256: str) -> None:
        """Make a site of the wheel that was put there as a blob; done at once where it exists."""
        self._ask(wire.Unpack(name, sha256), wire.Unpacked)

    def observe(self) -> wire.Conditions:
        return self._ask(wire.Observe(), wire.Conditions)

    def tune(self, lease_s: float, *, while_used: bool = False) -> wire.Tuned:
        """Fix governor and clocks where the board's user may; 0: put back what was there. The board does that by itself when the
        lease is over, or if `while_used` a minute after its last job.
        """
        return self._ask(wire.Tune(round(lease_s * 1e9), while_used), wire.Tuned)

    def meters(self, uses: tuple[wire.MeterUse, ...] = ()) -> tuple[wire.MeterInfo, ...]:
        """Whether the board can read these meters; without `uses`, which it has that need no settings."""
        return self._ask(wire.Meters(uses), wire.MeterList).meters

    def get(self, sha256: str) -> bytes:
        """Fetch a blob; its hash is checked. NotTheAgent for more than GET_LIMIT_BYTES."""

        def fetch(talk: Conversation) -> bytes:
            size = talk.ask(wire.Get(sha256), wire.Blob).size_bytes
            if not 0 <= size <= GET_LIMIT_BYTES:
                raise NotTheAgent(f"{self.address} wants to send {size} bytes", hint="Answer fewer evaluation rows.")
            return talk.receive_exactly(size)

        data = self._again(fetch)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ConnectionLost(f"the file {sha256[:12]} came damaged from {self.address}", hint="Run again.")
        return data

    # --- jobs

    def submit(
        self,
        launches: tuple[wire.Launch, ...],
        label: str,
        pairs: tuple[wire.Pair, ...] = (),
        cooling: Cooling = NO_COOLING,
    ) -> str:
        """Start a job and return its number; or find it, where a run that was killed had started the same. Its results stay on
        the board until forget(). `label` tells others who has the board. Busy names who has it now.
        """
        request = submission(launches, label, pairs, cooling)
        self._job_id = request.job_id  # from here on: Ctrl-C may come before the answer
        try:
            accepted = self._accepted(request)
            if accepted.state == wire.FINISHED and accepted.age_ns / 1e9 > OLD_RESULT_S:
                self.forget(request.job_id)
                accepted = self._ask(request, wire.Accepted)
        except (AgentFailed, Busy, DiskFull):
            self._job_id = None  # it was not started
            raise
        if accepted.age_ns:
            self._say(f"{self.address} has had this job for {accepted.age_ns / 1e9:.0f} s: going on with it")
        return request.job_id

    def _accepted(self, request: wire.Submit) -> wire.Accepted:
        deadline = time.monotonic() + NEXT_TRY_S
        while True:
            try:
                return self._ask(request, wire.Accepted)
            except Busy as busy:  # with this very job: the agent of a link that has just broken is starting it
                if request.job_id not in busy.message or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def follow(self, job_id: str) -> Iterator[Said]:
        """What a job says, from its beginning to its end: each record once, however often the link breaks meanwhile.

        JobEnded where it ended without results.
        """
        seen, rounds = 0, 0
        while True:
            try:
                self._talk.write(wire.Follow(job_id, seen))
                while not isinstance(record := self._talk.record(FOLLOW_TIMEOUT_S), wire.Ended):
                    if not isinstance(record, Said):
                        raise self._talk.unexpected(record)
                    if record.seq != seen + 1:
                        raise NotTheAgent(f"{self.address} sent record {record.seq} after {seen}", hint="Run again.")
                    seen, rounds = record.seq, 0
                    yield record
            except ConnectionLost as lost:
                rounds += 1
                if rounds > ROUNDS:
                    raise
                self._return(lost)
                continue
            self._job_id = None if self._job_id == job_id else self._job_id
            if record.state != wire.FINISHED:
                raise _ended(self.address, record)
            self._fetched.append(job_id)
            return

    def cancel(self, job_id: str) -> str:
        """End a job; the state in which it is then. AgentFailed where there is none of this number."""
        return self._ask(wire.Cancel(job_id), wire.Cancelled).state

    def forget(self, job_id: str) -> None:
        """Remove a job that has ended, with its results."""
        self._ask(wire.Forget(job_id), wire.Forgotten)

    def forget_fetched(self) -> None:
        """Remove the jobs whose results have come here, once they are safe."""
        while self._fetched:
            self.forget(self._fetched.pop())

    def jobs(self) -> tuple[wire.JobInfo, ...]:
        return self._ask(wire.Jobs(), wire.JobList).jobs

    # --- the link

    def close(self) -> None:
        if self._job_id is not None:
            self._cancel_quickly(self._job_id)
        self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: wire.Record, kind: type[R]) -> R:
        return self._again(lambda talk: talk.ask(request, kind))

    def _again(self, act: Callable[[Conversation], R]) -> R:
        for _ in range(ROUNDS):
            try:
                return act(self._talk)
            except ConnectionLost as lost:
                self._return(lost)
        return act(self._talk)

    def _open(self, limit_s: float) -> None:
        self._link = self._connect(limit_s)
        self._connected = time.monotonic()
        try:
            self._talk = Conversation(self._link, self._python, self._root)
        except BaseException:
            self._link.close()
            raise

    def _drop(self) -> None:
        self._talk.close()
        self._link.close()

    def _return(self, lost: ConnectionLost) -> None:
        """Open the link again, as soon as the board can be reached. `lost` again, if it does not come back in RETURN_S."""
        self._drop()
        self._say(f"{lost.message}; trying for {RETURN_S:.0f} s to reach it again")
        deadline = time.monotonic() + RETURN_S
        for tries in itertools.count():
            try:
                self._open(NEXT_TRY_S if tries < QUICK_TRIES else FIRST_TRY_S)
            except (ConnectionLost, Unreachable):
                if time.monotonic() > deadline:
                    raise lost from None
                time.sleep(PAUSE_S)
            else:
                self._say(f"{self.address} is there again")
                return

    def _cancel_quickly(self, job_id: str) -> None:
        """The board is no longer wanted. Where it can not be told, the job ends by itself, and its results wait there."""
        self._job_id = None
        try:
            self._talk.write(wire.Cancel(job_id))
            while not isinstance(self._talk.record(FOLLOW_TIMEOUT_S), (wire.Cancelled, wire.Failure)):
                pass
        except (ConnectionLost, NotTheAgent):
            self._say(f"{self.address} can not be told to stop: if the job {job_id} was started, it goes on there")


def submission(
    launches: tuple[wire.Launch, ...], label: str, pairs: tuple[wire.Pair, ...] = (), cooling: Cooling = NO_COOLING
) -> wire.Submit:
    """The job of these launches and pairs. The same job of the same owner has the same number: asking twice does not start it
    twice.
    """
    owner = f"{_user()}@{socket.gethostname()}, {label}"
    timeout_ns = cooling.limit_ns + sum(launch.timeout_ns for launch in launches)
    timeout_ns += sum(pair.a.timeout_ns + pair.b.timeout_ns for pair in pairs)
    unnamed = wire.Submit("0" * 32, owner, timeout_ns, launches, pairs, *cooling)
    job_id = hashlib.sha256(wire.encode(unnamed)).hexdigest()[:32]
    return wire.Submit(job_id, owner, timeout_ns, launches, pairs, *cooling)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return str(os.getuid())


def _ended(address: str, ended: wire.Ended) -> JobEnded:
    hints = {
        wire.LOST: "Did the board lose power, or did its watchdog reset it? Run again.",
        wire.KILLED: "Is there enough memory on the board for this model and runtime? Run again.",
        wire.TIMEOUT: "A model or runtime hangs on this board: try another runtime, or measure fewer files at once.",
        wire.CANCELLED: "Somebody has cancelled it on the board (`edgepress jobs`). Run again.",
    }
    return JobEnded(
        f"the job on {address} ended as {ended.state} and has no results: {ended.evidence}",
        hint=hints.get(ended.state, "Is there room on the board's disk? Run again; report it if it happens twice."),
        state=ended.state,
    )
