"""The requests that edgepress makes to a board. A broken link is reopened, and the request is sent again.

Every request may be sent twice: blobs and sites are named by their content, an upload resumes where it was cut off, and a job
is named by its content and owner, keeps running without a connection, and numbers its records.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, Self, TypeVar

from device_agent import wire
from targets import deadlines, failures, plausible
from targets.busy_retry import BusyRetry
from targets.connection import ROUNDS, Connection
from targets.conversation import Conversation
from targets.deadlines import SLOWEST_BYTES_S, Say, Wait
from targets.errors import (
    AgentFailed,
    Busy,
    ConnectionLost,
    DamagedOnBoard,
    DiskFull,
    Implausible,
    NotTheAgent,
    RootUnusable,
)
from targets.job_records import ExpectedRecords, JobRecord
from targets.link import Channel, Link
from targets.submission import NO_COOLING as NO_COOLING  # noqa: PLC0414 - callers import these from here
from targets.submission import Cooling as Cooling  # noqa: PLC0414
from targets.submission import submission
from targets.upload import limit_s, send_blob, send_rest

SUBMIT_TRIES_S = 2.0  # for the agent of a broken link to start the job that was submitted over it
SILENT_S = 45.0  # an agent that follows a job sends Working at least every 5 s
# To cancel the job and end the agent; in a hurry after Ctrl-C, which must end within 5 s. The job gets a share of it.
GOODBYE_S, HURRY_S, CANCEL_SHARE = 10.0, 3.0, 0.7
OLD_RESULT_S = 3600.0  # of results left on the board by a killed run; older ones are measured again
LACKING = ("damaged", "not_found")  # errors of a launch whose files are no longer on the board

R = TypeVar("R", bound=wire.Record)

RUNNING: dict[str, str] = {}  # jobs that this process has started and that have not ended: number -> address


class Session:
    """A context manager: leaving it ends the agent, and cancels a job that is still running."""

    def __init__(
        self, connect: Callable[[float], Link], python: str, root: str, say: Say | None = None, name: str = "the board"
    ) -> None:
        """Start the agent under `root` on the board with the interpreter `python`. `connect` opens a link, with a limit in
        seconds; `say` is called with news for the user; `name` is for messages.
        """
        self._say = say or (lambda _: None)
        self.busy_retry = BusyRetry(self._say)  # for a busy board; does not wait unless it is given seconds
        self._job_id: str | None = None
        self._submitted: dict[str, wire.Submit] = {}
        self._began_s: dict[str, float] = {}  # when these began, by plausible.now_s()
        self._spoiled: str | None = None  # a job with impossible results, which must not be found again
        self._fetched: list[str] = []
        self._noted: set[str] = set()
        self.note = ""  # of a virtual board: what enforces its shape
        began = time.monotonic()
        self._board = Connection(connect, python, root, self._say, name)
        self.first_answer_s = time.monotonic() - self._board.connected_s
        self.connect_s = self._board.connected_s - began
        talk = self._board.talk
        self.agent_sent_bytes, self.agent_sha256 = talk.agent_sent_bytes, talk.agent_sha256
        self.machine = talk.hello.machine

    @property
    def address(self) -> str:
        return self._board.link.address

    # --- requests

    def have(self, blobs: tuple[str, ...], sites: tuple[str, ...]) -> wire.Present:
        return self._ask(wire.Have(blobs, sites), wire.Present)

    def put(self, data: bytes | memoryview, sha256: str, sent: Callable[[int], None] | None = None) -> None:
        """Send a blob; it is complete and durable on the board when this returns. `sent` is called with the bytes so far."""
        first = self._board.talk

        def put_once() -> None:
            with self._board.wait(f"take a file of {len(data) / 1e6:.1f} MB", limit_s(len(data))) as wait:
                self._board.again(
                    wait, lambda talk: (send_blob if talk is first else send_rest)(talk, data, sha256, sent, wait)
                )

        self.busy_retry.until_free(put_once)

    def unpack(self, name: str, sha256: str) -> None:
        """Unpack a wheel that was put there as a blob into a site; returns at once if the site exists."""
        self._ask(wire.Unpack(name, sha256), wire.Unpacked, deadlines.UNPACK_S)

    def observe(self) -> wire.Conditions:
        told = self._ask(wire.Observe(), wire.Conditions)
        plausible.conditions(self.address, self.machine, told)
        return told

    def tune(self, lease_s: float, *, while_used: bool = False) -> wire.Tuned:
        """Fix governor and clocks as far as the board's user may, until the lease ends, or (`while_used`) a minute after its last job; 0: restore them."""
        return self._ask(wire.Tune(round(lease_s * 1e9), while_used), wire.Tuned)

    def meters(self, uses: tuple[wire.MeterUse, ...] = ()) -> tuple[wire.MeterInfo, ...]:
        """Return whether the board can read these meters; without `uses`, those that it has and that need no settings."""
        meters = self._ask(wire.Meters(uses), wire.MeterList).meters
        plausible.meters(self.address, meters, uses)
        return meters

    def get(self, sha256: str, most_bytes: int) -> bytes:
        """Fetch a blob; its hash is checked. Implausible for more than `most_bytes`, before any of it is received."""

        def fetch(talk: Conversation) -> bytes:
            size = talk.ask(wire.Get(sha256), wire.Blob, wait).size_bytes
            plausible.size(self.address, size, most_bytes)
            wait.news(f"send a file of {size / 1e6:.1f} MB", deadlines.ANSWER_S + size / SLOWEST_BYTES_S)
            return talk.receive_exactly(size, wait)

        with self._board.wait("send a file", deadlines.ANSWER_S) as wait:
            data = self._board.again(wait, fetch)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ConnectionLost(f"the file {sha256[:12]} arrived damaged from {self.address}", hint="Run again.")
        return data

    # --- jobs

    def submit(
        self,
        launches: tuple[wire.Launch, ...],
        label: str,
        pairs: tuple[wire.Pair, ...] = (),
        cooling: Cooling = NO_COOLING,
    ) -> str:
        """Start a job and return its number; or find it, if a killed run had started the same. Its results stay on the board until
        forget(). `label` shows others who has the board. Busy names the present user.
        """
        request = submission(launches, label, pairs, cooling, self.agent_sha256)
        self._submitted[request.job_id] = request
        try:
            accepted = self.busy_retry.until_free(lambda: self._accepted(request))
            if accepted.state == wire.FINISHED and accepted.age_ns / 1e9 > OLD_RESULT_S:
                self.forget(request.job_id)
                accepted = self._ask(request, wire.Accepted)
            plausible.accepted(self.address, request, accepted, OLD_RESULT_S)
        except (AgentFailed, Busy, DiskFull, RootUnusable):
            self._done_with(request.job_id)  # it was not started
            raise
        self._began_s[request.job_id] = plausible.now_s() - accepted.age_ns / 1e9
        if accepted.note and accepted.note not in self._noted:
            self._noted.add(accepted.note)
            self._say(f"{self.address}: {accepted.note}")
        if accepted.age_ns:
            self._say(f"{self.address} has had this job for {accepted.age_ns / 1e9:.0f} s: continuing with it")
        return request.job_id

    def _accepted(self, request: wire.Submit) -> wire.Accepted:
        deadline = time.monotonic() + SUBMIT_TRIES_S
        while True:
            try:
                # Ctrl-C may come before the answer
                self._job_id, RUNNING[request.job_id] = request.job_id, self.address
                return self._ask(request, wire.Accepted)
            except Busy as busy:  # with this job itself: the agent of a broken link is starting it
                self._done_with(request.job_id)
                if request.job_id not in busy.message or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def follow(self, job_id: str, count: int | None = None) -> Iterator[JobRecord]:
        """Yield the records of a job, from its start to its end: each once, however often the link breaks. `count`: its launches
        and pairs, if another run submitted it.

        JobEnded if it ended without results; DamagedOnBoard if a file that it needs is damaged or missing on the board; Implausible
        for an impossible result.
        """
        results = plausible.Results(
            self.address, self.machine, self._submitted.get(job_id), self._began_s.get(job_id, 0.0)
        )
        expected, seen, rounds = ExpectedRecords(self.address, self._submitted.get(job_id), count), 0, 0
        with self._board.wait(expected.doing(), expected.left_s()) as wait:
            while True:
                try:
                    self._board.talk.write(wire.Follow(job_id, seen), wait)
                    while not isinstance(record := self._record(wait, expected), wire.Ended):
                        if record.seq != seen + 1:
                            raise NotTheAgent(
                                f"{self.address} sent record {record.seq} after {seen}", hint="Run again."
                            )
                        expected.check(record)
                        if isinstance(record, wire.LaunchFailed) and record.error in LACKING and job_id == self._job_id:
                            self._lacking(job_id, record)
                        results.check(record)
                        seen, rounds = record.seq, 0
                        wait.hold()
                        yield record
                        wait.news(expected.doing(), expected.left_s())
                except Implausible:
                    self._spoiled = job_id
                    raise
                except ConnectionLost as lost:
                    rounds += 1
                    if rounds > ROUNDS or wait.is_over():
                        raise
                    self._board.reopen(wait, lost)
                else:
                    break
        plausible.answer(self.address, wire.Follow(job_id, seen), record)
        expected.check_end(record)
        self._done_with(job_id)
        if record.state != wire.FINISHED:
            raise failures.of_job(self.address, record)
        self._fetched.append(job_id)

    def _record(self, wait: Wait, expected: ExpectedRecords) -> JobRecord | wire.Ended:
        record = self._board.talk.record(wait, expected.line_bytes, SILENT_S)
        if isinstance(record, JobRecord | wire.Ended):
            return record
        raise self._board.talk.unexpected(record)

    def _done_with(self, job_id: str) -> None:
        self._job_id = None if self._job_id == job_id else self._job_id
        RUNNING.pop(job_id, None)

    def _lacking(self, job_id: str, failed: wire.LaunchFailed) -> NoReturn:
        """End the job, so that the missing file can be sent: the rest of the job would lack it, too."""
        self._cancel(self._board.talk, job_id, deadlines.ANSWER_S)
        self._done_with(job_id)
        self.forget(job_id)
        raise DamagedOnBoard(f"{self.address}: {failed.message}", hint="Run again: it is sent again.")

    def cancel(self, job_id: str) -> str:
        """End a job and return its state. AgentFailed if there is no such job."""
        return self._ask(wire.Cancel(job_id), wire.Cancelled).state

    def give_up(self, job_id: str) -> None:
        """End a job whose records are not wanted any more, also while they arrive, and remove it."""
        self._spoiled = None
        self._cancel(self._board.talk, job_id, deadlines.ANSWER_S)
        self._done_with(job_id)
        self.forget(job_id)

    def forget(self, job_id: str) -> None:
        """Remove a job that has ended, with its results."""
        self._ask(wire.Forget(job_id), wire.Forgotten)

    def forget_fetched(self) -> None:
        """Remove the jobs whose results were fetched, once these are stored."""
        while self._fetched:
            self.forget(self._fetched.pop())

    def clean(self, unused_s: float, keep_bytes: int = 0, *, dry_run: bool = False) -> wire.Cleaned:
        """Remove what was unused for `unused_s`, except `keep_bytes` of it. Busy: another edgepress works there."""
        return self._ask(wire.Clean(round(unused_s * 1e9), keep_bytes, dry_run), wire.Cleaned, deadlines.UNPACK_S)

    def uninstall(self, *, dry_run: bool = False) -> wire.Uninstalled:
        """Remove all of edgepress from the board, with the agent: no request may follow. Busy: a job runs there."""
        with self._board.wait(deadlines.DOING[wire.Uninstall], deadlines.UNPACK_S) as wait:
            return self._board.talk.ask(wire.Uninstall(dry_run), wire.Uninstalled, wait)

    def jobs(self) -> tuple[wire.JobInfo, ...]:
        found = self._ask(wire.Jobs(), wire.JobList).jobs
        plausible.jobs(self.address, found)
        return found

    def start_python(self, code: str) -> Channel:
        return self._board.start_python(code)

    def close(self, *, hurry: bool = False) -> None:
        """Cancel a running job, and end the agent."""
        limit_s = HURRY_S if hurry else GOODBYE_S
        job_id, self._job_id = self._job_id, None
        if job_id is None:
            self._board.close(limit_s)
        elif self._board.close(limit_s, lambda talk: self._cancel(talk, job_id, CANCEL_SHARE * limit_s)):
            RUNNING.pop(job_id, None)
        elif not hurry:  # after Ctrl-C the command reports it, by RUNNING
            self._say(
                f"{self.address} did not confirm that the job {job_id} was cancelled: it may still be running there"
            )

    def _cancel(self, talk: Conversation, job_id: str, limit_s: float) -> None:
        """Cancel a job while its records are arriving."""
        with self._board.wait("cancel the job", limit_s) as wait:
            talk.write(wire.Cancel(job_id), wait)
            talk.pass_over(wait, wire.Cancelled, wire.Failure)
            if job_id == self._spoiled:
                talk.write(wire.Forget(job_id), wait)  # its answer makes no difference

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(hurry=kind is not None and not issubclass(kind, Exception))

    def _ask(self, request: wire.Record, kind: type[R], limit_s: float | None = None) -> R:
        with self._board.wait(deadlines.DOING[type(request)], limit_s or deadlines.ANSWER_S) as wait:
            return self._board.again(wait, lambda talk: talk.ask(request, kind, wait))
