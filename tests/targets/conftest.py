"""Real boards for the tests: a real OpenSSH server on the loopback, and a link in front of it that can be cut."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from device_agent import wire as w
from targets import connection, deadlines
from targets.session import RUNNING, Session
from targets.submission import submission
from targets.virtual.proxy import Proxy
from tests.support.scripted_board import ScriptedBoard
from tests.support.sessions import launch


@pytest.fixture(scope="module")
def sshd(sshd_target, tmp_path_factory):
    """A Target of kind ssh whose server really runs; its files on the board are in a folder of the test."""
    root = tmp_path_factory.mktemp("board") / "edgepress"
    return msgspec.structs.replace(sshd_target, name="pi", kind="ssh", root=str(root))


@pytest.fixture
def proxied(sshd):
    """(target through a Proxy, the Proxy). Its host key is pinned for the proxy's port too."""
    with Proxy(sshd.port) as proxy:
        known = Path(sshd.known_hosts)
        through = known.with_name(f"known_hosts-{proxy.port}")
        through.write_text(known.read_text().replace(f":{sshd.port}", f":{proxy.port}"))
        yield msgspec.structs.replace(sshd, port=proxy.port, known_hosts=str(through)), proxy


@pytest.fixture
def need_mount(tmp_path):
    """A tiny file system that fills up; needs root."""
    import subprocess

    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def board(monkeypatch):
    monkeypatch.setattr(connection, "PAUSE_S", 0.0)
    return ScriptedBoard()


@pytest.fixture
def waits(monkeypatch):
    """(what is waited for, at most how long), of each wait and of its news."""
    found = []

    class Wait(deadlines.Wait):
        def __init__(self, address, doing, limit_s, *rest):
            found.append((doing, limit_s))
            super().__init__(address, doing, limit_s, *rest)

        def news(self, doing=None, limit_s=None):
            if doing:
                found.append((doing, limit_s))
            super().news(doing, limit_s)

    monkeypatch.setattr(connection, "Wait", Wait)
    return found


@pytest.fixture
def said():
    return []


@pytest.fixture
def session(board, said, waits):
    with Session(lambda limit_s: board, "python3", "/root", said.append) as opened:
        waits.clear()
        yield opened
        opened._job_id = None  # nobody would answer


@pytest.fixture
def job(board, session):
    """A job of two launches: its Submit, as the session is to send it."""
    request = submission((launch(), launch()), "test", agent_sha256=session.agent_sha256)
    board.answers["Submit"] = [w.Accepted(request.job_id, w.RUNNING, 0, "")]
    board.answers["Forget"] = [w.Forgotten(request.job_id)]
    yield request
    RUNNING.pop(request.job_id, None)
