"""A lock is waited for with an end, and it is said; a full disk says which file did not fit."""

import errno
import fcntl
import os
import threading
import time

import pytest

from pipeline.errors import StageError
from pipeline.store import files
from pipeline.store.files import locked, write_atomically


def test_a_lock_that_nobody_lets_go_of(tmp_path, monkeypatch, capsys):
    """Such as that of a process that was stopped with Ctrl-Z."""
    monkeypatch.setattr(files, "SILENT_S", 0.1)
    monkeypatch.setattr(files, "LONGEST_WAIT_S", 0.5)
    with locked(tmp_path), pytest.raises(StageError, match="another process has held") as caught, locked(tmp_path):
        pass
    assert "fuser -v" in caught.value.hint
    assert capsys.readouterr().err == f"still waiting for another edgepress to let go of {tmp_path}\n"
    with locked(tmp_path):
        pass


def test_a_lock_that_is_let_go_of(tmp_path):
    held = threading.Event()

    def holds():
        with locked(tmp_path):
            held.set()
            time.sleep(0.3)

    thread = threading.Thread(target=holds)
    thread.start()
    held.wait(10)
    with pytest.raises(BlockingIOError), locked(tmp_path, fcntl.LOCK_SH | fcntl.LOCK_NB):
        pass
    with locked(tmp_path, fcntl.LOCK_SH), locked(tmp_path, fcntl.LOCK_SH):
        assert not thread.is_alive() or thread.join(10) is None
    thread.join(10)


def test_a_full_disk_is_told_with_the_file(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(tmp_path / "model", b"content")
    assert caught.value.filename == str(tmp_path / "model")
    assert not list(tmp_path.iterdir())
