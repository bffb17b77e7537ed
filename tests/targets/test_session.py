"""The agent over a real SSH server, and everything that can go wrong on the way."""

import hashlib
import os
import socket
import subprocess
from pathlib import Path

import msgspec
import pytest

from device_agent import wire as w
from targets import connection, errors, open_session
from targets import session as session_module
from tests.support.processes import eventually, leftovers
from tests.support.sessions import LONG, MODEL, SHA, launch, until_timed


def test_agent_is_pushed_once_and_measures_over_ssh(sshd):
    with open_session(sshd) as first:
        assert first.agent_sent_bytes > 0
        first.put(MODEL, SHA)
        job_id = first.submit((launch(), launch()), "test")
        answers = [each for each in first.follow(job_id) if not isinstance(each, w.Event)]
        first.forget(job_id)
    assert [each.index for each in answers] == [0, 1]
    for each in answers:
        assert min(each.latency_ns) >= 300_000
        assert len(each.latency_ns) >= 5
    with open_session(sshd) as second:
        assert second.agent_sent_bytes == 0
        assert second.have((SHA,), ()).blobs == (SHA,)
    assert eventually(lambda: not leftovers(sshd.root))


def test_a_blob_comes_back_as_it_went(sshd):
    data = os.urandom(3_000_000)
    sha = hashlib.sha256(data).hexdigest()
    with open_session(sshd) as session:
        session.put(data, sha)
        assert session.get(sha, len(data)) == data


def test_host_key_unknown(sshd, tmp_path):
    with (
        pytest.raises(errors.HostKeyUnknown, match="unknown") as caught,
        open_session(msgspec.structs.replace(sshd, known_hosts=str(tmp_path / "none"))),
    ):
        pass
    assert "edgepress boards trust pi" in caught.value.hint
    assert not (tmp_path / "none").exists()


def test_host_key_changed_shows_both_fingerprints(sshd, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {(tmp_path / 'other.pub').read_text()}")
    before = known.read_text()
    with (
        pytest.raises(errors.HostKeyChanged) as caught,
        open_session(msgspec.structs.replace(sshd, known_hosts=str(known))),
    ):
        pass
    assert caught.value.message.count("SHA256:") == 2
    assert known.read_text() == before


def test_wrong_user_key(sshd, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    with (
        pytest.raises(errors.AuthenticationRefused, match="does not accept the key"),
        open_session(msgspec.structs.replace(sshd, key=str(tmp_path / "other"))),
    ):
        pass


@pytest.mark.parametrize("content", [None, "no key at all"])
def test_key_missing_or_not_a_key(sshd, tmp_path, content):
    key = tmp_path / "key"
    if content:
        key.write_text(content)
    with (
        pytest.raises(errors.AuthenticationRefused) as caught,
        open_session(msgspec.structs.replace(sshd, key=str(key))),
    ):
        pass
    assert str(key) in caught.value.message


def test_refused(sshd):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(errors.Unreachable, match="refused"), open_session(msgspec.structs.replace(sshd, port=port)):
        pass


def test_name_that_nobody_has(sshd):
    with (
        pytest.raises(errors.Unreachable, match="cannot be reached"),
        open_session(msgspec.structs.replace(sshd, host="board.invalid")),
    ):
        pass


def test_something_else_listens_there(sshd):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            near, _ = server.accept()
            near.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            near.close()

        import threading

        threading.Thread(target=answer, daemon=True).start()
        with (
            pytest.raises(errors.Unreachable, match="does not speak SSH"),
            open_session(msgspec.structs.replace(sshd, port=server.getsockname()[1])),
        ):
            pass


def test_no_python_there(sshd):
    with (
        pytest.raises(errors.NoPython, match="there is no python3-of-nobody") as caught,
        open_session(msgspec.structs.replace(sshd, python="python3-of-nobody")),
    ):
        pass
    assert "boards.toml" in caught.value.hint


def test_folder_that_can_not_be_written(sshd, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(errors.AgentFailed, match=r"cannot be written: .*Not a directory"),
        open_session(msgspec.structs.replace(sshd, root=str(tmp_path / "file" / "below"))),
    ):
        pass


def test_disk_full_there(sshd, need_mount):
    data = os.urandom(6_000_000)
    with open_session(msgspec.structs.replace(sshd, root=str(need_mount / "edgepress"))) as session:
        with pytest.raises(errors.DiskFull, match="is full"):
            session.put(data, hashlib.sha256(data).hexdigest())
        session.put(MODEL, SHA)  # the conversation goes on
    assert eventually(lambda: not leftovers(need_mount))


def test_disk_full_before_the_agent_is_there(sshd, need_mount):
    (need_mount / "ballast").write_bytes(b"x" * (8 * 2**20 - 30_000))
    with (
        pytest.raises(errors.DiskFull),
        open_session(msgspec.structs.replace(sshd, root=str(need_mount / "edgepress"))),
    ):
        pass
    assert eventually(lambda: not leftovers(need_mount / "edgepress"))
    assert not list((need_mount / "edgepress").glob("agents/*"))


def no_return(monkeypatch):
    """The board does not come back."""
    monkeypatch.setattr(connection, "RETURN_S", 0.0)
    monkeypatch.setattr(
        connection.Connection, "open", lambda self, limit_s: (_ for _ in ()).throw(errors.Unreachable("gone", hint=""))
    )


def test_cut_while_sending_it_goes_on_there(proxied):
    target, link = proxied
    data, said = os.urandom(5_000_000), []
    sha = hashlib.sha256(data).hexdigest()
    with open_session(target, said.append) as session:
        before = link.passed("up")
        session.put(data, sha, lambda sent: link.cut() if sent >= 2_500_000 and not said else None)
        assert session.get(sha, len(data)) == data
    assert len(said) == 2
    assert "is reachable again" in said[1]
    assert link.passed("up") - before < 5_000_000 + 3_200_000  # again: a frame, and what sshd had not passed on (2 MiB)
    assert eventually(lambda: not leftovers(target.root))


def test_cut_while_sending_and_the_board_stays_away(proxied, monkeypatch):
    target, link = proxied
    data = os.urandom(5_000_000)
    sha = hashlib.sha256(data).hexdigest()
    with pytest.raises(errors.ConnectionLost), open_session(target) as session:
        no_return(monkeypatch)
        link.cut_after(2_000_000, "up")
        session.put(data, sha)
    assert eventually(lambda: not leftovers(target.root))
    assert not (Path(target.root) / "blobs" / sha).exists()


def test_cut_while_measuring_nothing_is_lost(proxied):
    target, link = proxied
    said, records = [], []
    with open_session(target, said.append) as session:
        session.put(MODEL, SHA)
        job_id = session.submit((launch(timed_min_ns=10**9, timed_max_runs=10**6),) * 2, "test")
        for record in session.follow(job_id):
            records.append(record)
            if isinstance(record, w.Event) and record.phase == "timed":
                link.cut()
        session.forget(job_id)
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert sum(isinstance(record, w.Launched) for record in records) == 2
    assert said
    assert eventually(lambda: not leftovers(target.root))


def test_a_job_goes_on_while_the_board_can_not_be_reached(proxied, monkeypatch):
    target, link = proxied
    launches = (launch(timed_min_ns=10**9, timed_max_runs=10**6),)
    with monkeypatch.context() as patch, pytest.raises(errors.ConnectionLost), open_session(target) as session:
        session.put(MODEL, SHA)
        job_id = session.submit(launches, "test")
        until_timed(session, job_id)
        no_return(patch)
        link.cut()
        list(session.follow(job_id))
    said = []
    with open_session(target, said.append) as session:
        (info,) = session.jobs()
        assert (info.job_id, info.done) in {(job_id, 0), (job_id, 1)}
        assert session.submit(launches, "test") == job_id  # the same job of the same owner
        assert sum(isinstance(record, w.Launched) for record in session.follow(job_id)) == 1
        session.forget(job_id)
        assert session.jobs() == ()
    assert "continuing with it" in said[0]


def test_leaving_in_the_middle_of_a_job_cancels_it(sshd):
    class Enough(Exception):
        pass

    with pytest.raises(Enough), open_session(sshd) as session:
        session.put(MODEL, SHA)
        until_timed(session, session.submit((launch(**LONG),), "test"))
        raise Enough
    assert eventually(lambda: not leftovers(sshd.root))
    with open_session(sshd) as session:
        (info,) = session.jobs()
        assert info.state == w.CANCELLED
        session.forget(info.job_id)


def test_cpus_that_are_not_there_are_the_plans_fault(sshd):
    """The kernel would bind a process to what is left of them, and say nothing."""
    with open_session(sshd) as session:
        session.put(MODEL, SHA)
        with pytest.raises(errors.AgentFailed, match=r"the CPUs \[0, 4095\] are not all available") as refused:
            session.submit((launch(cpus=(0, 4095)),), "test")
    assert "setting of the plan" in refused.value.hint


def test_one_job_at_a_time_and_the_other_is_told_who_has_the_board(sshd):
    with open_session(sshd) as one, open_session(sshd) as two:
        one.put(MODEL, SHA)
        job_id = one.submit((launch(**LONG),), "the first")
        with pytest.raises(errors.Busy, match=r"the first has been measuring on this board for \d+ s") as caught:
            two.submit((launch(),), "the second")
        assert "edgepress jobs" in caught.value.hint
        assert two.cancel(job_id) == w.CANCELLED
        with pytest.raises(errors.JobEnded, match="CANCELLED") as ended:
            list(one.follow(job_id))
        assert ended.value.state == w.CANCELLED
        one.forget(job_id)


def test_old_results_are_not_taken_for_new_ones(sshd, monkeypatch):
    with open_session(sshd) as session:
        session.put(MODEL, SHA)
        job_id = session.submit((launch(),), "test")
        list(session.follow(job_id))
        (first,) = session.jobs()
        monkeypatch.setattr(session_module, "OLD_RESULT_S", 0.0)
        assert session.submit((launch(),), "test") == job_id
        (second,) = session.jobs()
        assert second.age_ns < first.age_ns
        list(session.follow(job_id))
        session.forget(job_id)
