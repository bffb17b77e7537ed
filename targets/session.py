"""What the rest of edgepress asks of a board. A link that breaks is opened again, and what was asked is asked again.

Every request may be asked twice: blobs and sites are named by their content, an upload goes on where it was cut off, and a job
is named by its content and owner, runs on while nobody is connected, and tells its records by number.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, Self, TypeVar

from device_agent import wire
from targets import failures, plausible, waiting
from targets.connection import ROUNDS, Connection
from targets.conversation import Conversation
from targets.errors import (
    AgentFailed,
    Busy,
    ConnectionLost,
    DiskFull,
    Implausible,
    NotTheAgent,
    RootUnusable,
    SentAgain,
)
from targets.following import Following, Said
from targets.link import Channel, Link
from targets.patience import Patience
from targets.submission import NO_COOLING as NO_COOLING  # noqa: PLC0414 - who asks for a job finds it here
from targets.submission import Cooling as Cooling  # noqa: PLC0414
from targets.submission import submission
from targets.upload import limit_s, send_blob, send_rest
from targets.waiting import SLOWEST_BYTES_S, Wait

SUBMIT_TRIES_S = 2.0  # for the agent of a link that has just broken to start the job that was submitted over it
SILENT_S = 45.0  # an agent that follows a job says at least every 5 s that it is at it
# To cancel the job and end the agent; in a hurry at Ctrl-C, which shall end within 5 s. The job has a share of it.
GOODBYE_S, HURRY_S, CANCEL_SHARE = 10.0, 3.0, 0.7
OLD_RESULT_S = 3600.0  # results that were left on the board by a run that was killed; older ones are measured anew
LACKING = ("damaged", "not_found")  # of a launch: the board no longer has what was put there for it

R = TypeVar("R", bound=wire.Record)

RUNNING: dict[str, str] = {}
"""Jobs that this process has started and that have not ended: number -> address."""


class Session:
    """Use as a context manager: leaving it ends the agent; a job that still runs then is cancelled."""

    def __init__(
        self, connect: Callable[[float], Link], python: str, root: str, say: Callable[[str], None] | None = None,
        name: str = "the board",
    ) -> None:  # fmt: skip
        """Start the agent under `root` on the board with the interpreter `python`. `connect` opens a link, with a limit in
        seconds; `say` is told what a person should know meanwhile; `name` is for messages.
        """
        self._say = say or (lambda _: None)
        self.patience = Patience(self._say)  # with a board that is busy; none, unless somebody gives it seconds
        self._job_id: str | None = None
        self._submitted: dict[str, wire.Submit] = {}
        self._began_s: dict[str, float] = {}  # of those, as plausible.now_s() tells the time
        self._spoiled: str | None = None  # a job whose results cannot be: nobody shall find them again
        self._fetched: list[str] = []
        self._noted: set[str] = set()
        self.note = ""  # of a virtual board: what holds it to its shape
        began = time.monotonic()
        self._board = Connection(connect, python, root, self._say, name)
        self.first_answer_s = time.monotonic() - self._board.connected_s
        self.connect_s = self._board.connected_s - began
        talk = self._board.talk
        self.agent_sent_bytes, self.agent_sha256, self.machine = (
            talk.agent_sent_bytes,
            talk.agent_sha256,
            talk.hello.machine,
        )

    @property
    def address(self) -> str:
        return self._board.link.address

    # --- requests

    def have(self, blobs: tuple[str, ...], sites: tuple[str, ...]) -> wire.Present:
        return self._ask(wire.Have(blobs, sites), wire.Present)

    def put(self, data: bytes | memoryview, sha256: str, sent: Callable[[int], None] | None = None) -> None:
        """Send a blob; it is complete and durable on the board when this returns. `sent` is told the bytes so far."""
        first = self._board.talk

        def put_once() -> None:
            with self._board.wait(f"take a file of {len(data) / 1e6:.1f} MB", limit_s(len(data))) as wait:
                self._board.again(
                    wait, lambda talk: (send_blob if talk is first else send_rest)(talk, data, sha256, sent, wait)
                )

        self.patience.until_free(put_once)

    def unpack(self, name: str, sha256: str) -> None:
        """Make a site of the wheel that was put there as a blob; done at once where it exists."""
        self._ask(wire.Unpack(name, sha256), wire.Unpacked, waiting.UNPACK_S)

    def observe(self) -> wire.Conditions:
        told = self._ask(wire.Observe(), wire.Conditions)
        plausible.conditions(self.address, self.machine, told)
        return told

    def tune(self, lease_s: float, *, while_used: bool = False) -> wire.Tuned:
        """Fix governor and clocks where the board's user may; 0: put back what was there. The board does that by itself when the
        lease is over, or if `while_used` a minute after its last job.
        """
        return self._ask(wire.Tune(round(lease_s * 1e9), while_used), wire.Tuned)

    def meters(self, uses: tuple[wire.MeterUse, ...] = ()) -> tuple[wire.MeterInfo, ...]:
        """Whether the board can read these meters; without `uses`, which it has that need no settings."""
        meters = self._ask(wire.Meters(uses), wire.MeterList).meters
        plausible.meters(self.address, meters, uses)
        return meters

    def get(self, sha256: str, most_bytes: int) -> bytes:
        """Fetch a blob; its hash is checked. Implausible for more than `most_bytes`, before any of it is received."""

        def fetch(talk: Conversation) -> bytes:
            size = talk.ask(wire.Get(sha256), wire.Blob, wait).size_bytes
            plausible.size(self.address, size, most_bytes)
            wait.news(f"send a file of {size / 1e6:.1f} MB", waiting.ANSWER_S + size / SLOWEST_BYTES_S)
            return talk.receive_exactly(size, wait)

        with self._board.wait("send a file", waiting.ANSWER_S) as wait:
            data = self._board.again(wait, fetch)
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
        request = submission(launches, label, pairs, cooling, self.agent_sha256)
        self._submitted[request.job_id] = request
        try:
            accepted = self.patience.until_free(lambda: self._accepted(request))
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
            self._say(f"{self.address} has had this job for {accepted.age_ns / 1e9:.0f} s: going on with it")
        return request.job_id

    def _accepted(self, request: wire.Submit) -> wire.Accepted:
        deadline = time.monotonic() + SUBMIT_TRIES_S
        while True:
            try:
                self._job_id, RUNNING[request.job_id] = (
                    request.job_id,
                    self.address,
                )  # Ctrl-C may come before the answer
                return self._ask(request, wire.Accepted)
            except Busy as busy:  # with this very job: the agent of a link that has just broken is starting it
                self._done_with(request.job_id)
                if request.job_id not in busy.message or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def follow(self, job_id: str, count: int | None = None) -> Iterator[Said]:
        """What a job says, from its beginning to its end: each record once, however often the link breaks meanwhile. `count`: its
        launches and pairs, where another run has submitted it.

        JobEnded where it ended without results; SentAgain where something that it needs is damaged or gone on the board; Implausible
        for a result that cannot be.
        """
        results = plausible.Results(
            self.address, self.machine, self._submitted.get(job_id), self._began_s.get(job_id, 0.0)
        )
        expected, seen, rounds = Following(self.address, self._submitted.get(job_id), count), 0, 0
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

    def _record(self, wait: Wait, expected: Following) -> Said | wire.Ended:
        record = self._board.talk.record(wait, expected.line_bytes, SILENT_S)
        if isinstance(record, Said | wire.Ended):
            return record
        raise self._board.talk.unexpected(record)

    def _done_with(self, job_id: str) -> None:
        self._job_id = None if self._job_id == job_id else self._job_id
        RUNNING.pop(job_id, None)

    def _lacking(self, job_id: str, failed: wire.LaunchFailed) -> NoReturn:
        """The rest of the job would lack it, too: end it, so that what is missing can be sent."""
        self._cancel(self._board.talk, job_id, waiting.ANSWER_S)
        self._done_with(job_id)
        self.forget(job_id)
        raise SentAgain(f"{self.address}: {failed.message}", hint="Run again: it is sent again.")

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

    def clean(self, unused_s: float, keep_bytes: int = 0, *, dry_run: bool = False) -> wire.Cleaned:
        """Remove what nobody needs and nobody has used for so long; `keep_bytes` of it stays. Busy: another one works there."""
        return self._ask(wire.Clean(round(unused_s * 1e9), keep_bytes, dry_run), wire.Cleaned, waiting.UNPACK_S)

    def uninstall(self, *, dry_run: bool = False) -> wire.Uninstalled:
        """Remove all of edgepress from the board, and the agent with it: ask nothing more. Busy: a job runs there."""
        with self._board.wait(waiting.DOING[wire.Uninstall], waiting.UNPACK_S) as wait:
            return self._board.talk.ask(wire.Uninstall(dry_run), wire.Uninstalled, wait)

    def jobs(self) -> tuple[wire.JobInfo, ...]:
        found = self._ask(wire.Jobs(), wire.JobList).jobs
        plausible.jobs(self.address, found)
        return found

    def start_python(self, code: str) -> Channel:
        return self._board.start_python(code)

    def close(self, *, hurry: bool = False) -> None:
        """Cancel what still runs, and end the agent."""
        limit_s = HURRY_S if hurry else GOODBYE_S
        job_id, self._job_id = self._job_id, None
        if job_id is None:
            self._board.close(limit_s)
        elif self._board.close(limit_s, lambda talk: self._cancel(talk, job_id, CANCEL_SHARE * limit_s)):
            RUNNING.pop(job_id, None)
        elif not hurry:  # at Ctrl-C the command says it: RUNNING
            self._say(f"{self.address} did not say that it has cancelled the job {job_id}: it may go on there")

    def _cancel(self, talk: Conversation, job_id: str, limit_s: float) -> None:
        """In the midst of what the job says."""
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
        with self._board.wait(waiting.DOING[type(request)], limit_s or waiting.ANSWER_S) as wait:
            return self._board.again(wait, lambda talk: talk.ask(request, kind, wait))
