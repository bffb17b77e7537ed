"""What a session does not take from a board: damaged blobs, gaps, lines without end, blobs of another size, other answers."""

import hashlib
import os
import sys

import pytest

from device_agent import wire as w
from device_agent.board import machine
from device_agent.record import replace
from targets import bundle, errors
from targets.conversation import BOOT_MARK, Conversation
from targets.local import LocalLink
from targets.session import Session
from tests.support.processes import eventually
from tests.support.sessions import MODEL, SHA, launch

DATA = os.urandom(1000)
DATA_SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def board(tmp_path):
    with Session(lambda _: LocalLink(), sys.executable, str(tmp_path / "board")) as session:
        yield session


def changed(monkeypatch, change):
    """Each record of the board, as `change` makes it; None: it is not heard."""
    hear = Conversation.record

    def record(self, *limits):
        while (said := change(hear(self, *limits))) is None:
            pass
        return said

    monkeypatch.setattr(Conversation, "record", record)


def test_a_blob_that_came_damaged(board, monkeypatch):
    board.put(DATA, DATA_SHA)
    assert board.get(DATA_SHA, len(DATA)) == DATA
    monkeypatch.setattr(Conversation, "receive_exactly", lambda self, size, wait: bytes([DATA[0] ^ 1]) + DATA[1:])
    with pytest.raises(errors.ConnectionLost, match="arrived damaged"):
        board.get(DATA_SHA, len(DATA))


def test_a_blob_of_another_size_is_not_received(board, monkeypatch):
    board.put(DATA, DATA_SHA)
    monkeypatch.setattr(Conversation, "receive_exactly", lambda self, size, wait: pytest.fail("it was received"))
    with pytest.raises(errors.Implausible, match=r"Blob\.size_bytes = 1000: the requested file has 999 at most"):
        board.get(DATA_SHA, len(DATA) - 1)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_gap_in_the_records_of_a_job(board, monkeypatch, lost):
    heard = []

    def without_one(record):
        if isinstance(record, (w.Event, w.Launched)):
            heard.append(record)
            return None if len(heard) == lost + 1 else record
        return record

    board.put(MODEL, SHA)
    job_id = board.submit((launch(),), "test")
    changed(monkeypatch, without_one)
    with pytest.raises(errors.NotTheAgent, match=f"sent record {lost + 2} after {lost}"):
        list(board.follow(job_id))


def test_a_job_whose_results_can_not_be_is_not_found_again(board, monkeypatch, tmp_path):
    def backwards(record):
        return replace(record, after=replace(record.before, t_ns=0)) if isinstance(record, w.Launched) else record

    board.put(MODEL, SHA)
    job_id = board.submit((launch(),), "test")
    assert [job.job_id for job in board.jobs()] == [job_id]
    with monkeypatch.context() as patch:
        changed(patch, backwards)
        with pytest.raises(errors.Implausible, match=r"this machine reports after\.t_ns = 0 in launch 1"):
            list(board.follow(job_id))
    board.close()
    assert eventually(lambda: not list((tmp_path / "board" / "jobs").iterdir()))


def test_more_results_than_a_job_has_launches(board, monkeypatch):
    changed(monkeypatch, lambda record: replace(record, jobs=tuple(replace(job, done=job.launches + 1) for job in record.jobs)) if isinstance(record, w.JobList) else record)  # fmt: skip
    board.put(MODEL, SHA)
    job_id = board.submit((launch(),), "test")
    list(board.follow(job_id))
    with pytest.raises(errors.Implausible, match="done = 2 for the job"):
        board.jobs()


def test_more_of_a_file_than_there_is(board, monkeypatch):
    changed(monkeypatch, lambda record: replace(record, offset_bytes=1001) if isinstance(record, w.Ready) else record)
    with pytest.raises(errors.NotTheAgent, match="asks for the bytes from 1001 on, of 1000"):
        board.put(DATA, DATA_SHA)


def test_meters_that_were_not_asked_for(board, monkeypatch):
    uses = (w.MeterUse("rapl", ()),)
    assert [meter.name for meter in board.meters(uses)] == ["rapl"]
    changed(monkeypatch, lambda record: w.MeterList((replace(record.meters[0], name="other"),)))
    with pytest.raises(errors.Implausible, match="other"):
        board.meters(uses)


class Fake(LocalLink):
    """A program in place of the agent: it says that the agent is there, then `said`, `pieces` times."""

    def __init__(self, said, pieces=1):
        self.said, self.pieces = said, pieces

    def start(self, argv):
        begin = b"\n" + BOOT_MARK + b" HAVE\n" + w.MARK + b"\n"
        program = (
            f"import sys; out = sys.stdout.buffer; out.write({begin!r}); piece = {self.said!r}\n"
            f"for _ in range({self.pieces}): out.write(piece)\n"
            "out.flush(); sys.stdin.read()"
        )
        return super().start([sys.executable, "-c", program])


def hello():
    return w.Hello(w.PROTOCOL, bundle.bundle()[1], machine.describe())


def talk(link):
    return Session(lambda _: link, sys.executable, "/nowhere")


def test_a_line_without_end_is_not_waited_for():
    """It ends a little later, but that is not seen."""
    piece = b"1" * 65_536
    with pytest.raises(errors.NotTheAgent, match="a line of more than"):
        talk(Fake(piece, 8 + w.MAX_LINE_BYTES // len(piece)))


def test_a_board_that_can_not_be():
    line = w.encode(replace(hello(), machine=replace(hello().machine, cpu_count=-5)))
    with pytest.raises(errors.Implausible, match=r"this machine reports Machine\.cpu_count = -5, not 1 to 65536"):
        talk(Fake(line))


@pytest.mark.parametrize("kind", ["message", "hint"])
def test_a_message_of_a_board_is_shortened_where_an_error_is_made(kind):
    said = "the cause: " + "A" * 20_000_000 + " the last words"
    error = errors.AgentFailed(**{"message": "m", "hint": "h", kind: said})
    assert len(getattr(error, kind)) <= 800
    assert getattr(error, kind).startswith("the cause: A")
    assert getattr(error, kind).endswith("A the last words")
    assert len(str(error)) <= 800


def test_a_failure_at_the_start_is_shortened():
    class Failing(LocalLink):
        def start(self, argv):
            said = b"\n" + BOOT_MARK + b' FAIL {"error": "internal", "message": "'
            program = f"import sys; sys.stdout.buffer.write({said!r} + b'A' * 900_000 + b'\"}}\\n'); sys.stdout.flush(); sys.stdin.read()"
            return super().start([sys.executable, "-c", program])

    with pytest.raises(errors.AgentFailed, match=r"the agent on this machine failed \(internal\): AAA") as failed:
        talk(Failing())
    assert len(failed.value.message) <= 800
