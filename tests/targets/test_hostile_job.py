"""A board that lies in the midst of a job, or of a file: it is refused in its time, and nothing is kept for it without bound."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from device_agent import wire as w
from pipeline.measure.pairs.run import BlockLengths, Pairing
from targets import connection, deadlines, errors, job_records, session
from targets.job_records import ExpectedRecords
from targets.session import Session
from tests.support import hostile_host
from tests.support.hostile_host import HostileLink
from tests.support.sessions import MODEL, SHA, launch

MOST_MB = 300
BLOB = os.urandom(200_000)


@pytest.fixture
def board(tmp_path, monkeypatch):
    """board(scenario): a session with a hostile board on which a model lies."""
    monkeypatch.setattr(deadlines, "FINISH_S", 0.2)
    monkeypatch.setattr(session, "GOODBYE_S", 1.0)
    monkeypatch.setattr(connection, "ROUNDS", 1)
    monkeypatch.setattr(session, "ROUNDS", 1)
    stack = contextlib.ExitStack()

    def open_board(scenario):
        opened = Session(lambda _: HostileLink(scenario), sys.executable, str(tmp_path / "root"))
        return stack.enter_context(opened)

    with stack:
        yield open_board


def run_job(board, *launches, paired=()):
    board.put(MODEL, SHA)
    job_id = board.submit(launches or (launch(), launch()), "hostile", paired)
    return [record for record in board.follow(job_id) if not isinstance(record, w.Event)]


def test_a_sound_board_in_between_is_sound(board):
    """Else the others would show nothing."""
    shape = BlockLengths(cycles=2, min_ns=0, min_runs=1, max_runs=2)
    pairing = Pairing(baseline=launch(), candidate=launch(), shape=shape, rules=(), seed=0, label="")
    done = run_job(board("none"), launch(), paired=pairing.pairs(1, random.Random(0)))
    assert [type(each) for each in done] == [w.Launched, w.Paired]


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("twice:Hello", "answered out of turn: Hello"),
        ("twice:Ready", "answered out of turn: Ready"),
        ("twice:Accepted", "answered out of turn: Accepted"),
        ("twice:Event", "sent record 1 after 1"),
        ("twice:Launched", r"sent record (\d+) after \1"),
        ("launch_index_below_0", "launch 0 where launch 1 runs|index = -1"),
        ("launch_index_not_asked", "launch 6 where launch 1 runs|index = 5"),
        ("results_flood", "launch"),
        ("ready_behind_the_end", "1099511627776"),
        ("ready_below_0", "-1"),
    ],
)
def test_what_was_not_asked_for_is_refused(board, scenario, said):
    with pytest.raises(errors.NotTheAgent, match=said):
        run_job(board(scenario))


def test_a_flood_of_events_is_refused(board, monkeypatch):
    monkeypatch.setattr(job_records, "EVENTS_PER_S", 0)
    with pytest.raises(errors.NotTheAgent, match="more than 1000 events of one launch"):
        run_job(board("events_flood"))


def test_an_agent_that_only_works_is_no_answer(board, monkeypatch):
    monkeypatch.setattr(job_records, "QUIET_S", 1.0)
    with pytest.raises(
        errors.NoAnswer, match=r"was to answer launch 1 of 2 of the job \(.*\), but did not within 1 s: it reported"
    ):
        run_job(board("working_in_a_job"), launch(timed_min_ns=10**7), launch())


def test_a_launch_has_a_whole_deadline(board, monkeypatch):
    """Its own limit, and some slack: events do not put it off."""
    monkeypatch.setattr(job_records, "SLACK_S", 1.0)
    slow = launch(timed_min_ns=20 * 10**9, timed_max_runs=10**6, timeout_ns=25 * 10**9)
    expected = ExpectedRecords("x", session.submission((slow,), "hostile"))
    assert 20 < expected.left_s() <= 26
    monkeypatch.setattr(job_records, "_timeout_s", lambda _: 0.0)
    with pytest.raises(errors.NoAnswer, match="was to answer launch 1 of 1"):
        run_job(board("none"), slow)


@pytest.mark.parametrize("kind", ["Accepted", "Launched", pytest.param("Ended", marks=pytest.mark.whole)])
def test_a_board_that_stops_in_the_middle_is_given_up(board, kind, monkeypatch):
    monkeypatch.setattr(deadlines, "ANSWER_S", 2.0)
    monkeypatch.setattr(session, "SILENT_S", 1.0)
    with pytest.raises((errors.NoAnswer, errors.ConnectionLost), match=r"was to|has not answered for 1 s"):
        run_job(board(f"silence_at:{kind}"))


@pytest.mark.parametrize(
    "kind",
    ["Ready", "Launched", *(pytest.param(each, marks=pytest.mark.whole) for each in ("Accepted", "Event", "Ended"))],
)
def test_a_board_that_dies_in_the_middle_again_and_again_is_given_up(board, kind):
    with pytest.raises(errors.ConnectionLost):
        run_job(board(f"exit_at:{kind}"))


@pytest.mark.parametrize("scenario", ["blob_huge", "blob_below_0"])
def test_a_file_that_is_not_the_one(board, scenario, monkeypatch):
    monkeypatch.setattr(deadlines, "ANSWER_S", 2.0)
    monkeypatch.setattr(session, "SLOWEST_BYTES_S", 1 << 40)
    sha = hashlib.sha256(BLOB).hexdigest()
    opened = board(scenario)
    opened.put(BLOB, sha)
    with pytest.raises((errors.NotTheAgent, errors.NoAnswer, errors.ConnectionLost)):
        opened.get(sha, 1 << 20)


def test_an_upload_has_time_by_its_size_and_no_more(board, monkeypatch):
    """A board that takes nothing more: a whole deadline, which a longer file puts off."""
    from targets.upload import limit_s

    assert limit_s(57_000_000) > 57_000_000 * 8 / 1e6  # seconds at one megabit a second
    monkeypatch.setattr("targets.upload.limit_s", lambda _: 1.0)
    monkeypatch.setattr("targets.session.limit_s", lambda _: 1.0)
    opened = board("silence_at:Ready")
    with pytest.raises(errors.NoAnswer, match=r"was to take a file of 0\.2 MB, but did not within 1 s"):
        opened.put(BLOB, hashlib.sha256(BLOB).hexdigest())


@contextlib.contextmanager
def a_job_that_runs(scenario, root):
    command = [sys.executable, "-m", "tests.support.hostile_host", "job", scenario, str(root)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": hostile_host.ROOT}
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        try:
            assert process.stdout.readline() == "it runs\n", process.stderr.read()
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            end_jobs(root)


def end_jobs(root):
    """On the board, which the host could not do."""
    with Session(lambda _: HostileLink("none"), sys.executable, str(root)) as board:
        for job in board.jobs():
            board.cancel(job.job_id)


@pytest.mark.parametrize("kind", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.whole)])
def test_the_first_ctrl_c_ends_in_time_whatever_the_board_does(kind, tmp_path):
    with a_job_that_runs("cancel_is_ignored", tmp_path / "root") as process:
        began = time.monotonic()
        process.send_signal(kind)
        out, said = process.communicate(timeout=30)
        assert time.monotonic() - began < 5.5
        assert process.returncode == 128 + kind
        assert "may still run on this machine: `edgepress jobs` shows and cancels it" in out
        assert "Traceback" not in said


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    with a_job_that_runs("cancel_is_ignored", tmp_path / "root") as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert time.monotonic() - began < 1.5
        assert process.returncode == 130
        assert "Stopped at once." in said
        assert "may still run on this machine" in said


def test_ctrl_c_ends_the_job_of_a_sound_board(tmp_path):
    with a_job_that_runs("none", tmp_path / "root") as process:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "may go on" not in out
    with Session(lambda _: HostileLink("none"), sys.executable, str(tmp_path / "root")) as board:
        assert [job.state for job in board.jobs()] == [w.CANCELLED]


@pytest.mark.parametrize(("what", "scenario"), [("job", "results_flood"), ("job", "events_flood")])
def test_a_flood_takes_no_memory(what, scenario, tmp_path):
    command = [sys.executable, "-m", "tests.support.hostile_host", what, scenario, str(tmp_path / "root")]
    code, out, err, memory_mb = hostile_host.run(command, 100)
    end_jobs(tmp_path / "root")
    assert (code, err) == (4, b""), out[-300:]
    assert memory_mb < MOST_MB
