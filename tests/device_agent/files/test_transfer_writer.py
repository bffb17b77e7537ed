"""The thread that writes an upload while its next pieces arrive, and what else transfer.py keeps to itself."""

import ctypes
import errno
import hashlib
import io
import os

import pytest

from device_agent.files import transfer
from tests.support.agent_process import sha256


class Slow(io.FileIO):
    """Takes a few bytes at a time."""

    def write(self, data):
        return super().write(bytes(data[:3]))


class Full(io.FileIO):
    def write(self, data):
        raise OSError(errno.ENOSPC, "no room")


@pytest.fixture
def writer_on(tmp_path):
    """Start writers; their threads end."""
    started = []

    def start(kind):
        started.append(transfer._Writer(kind(tmp_path / "file", "w+b"), hashlib.sha256()))
        return started[-1]

    yield start
    for writer in started:
        writer.stop()
        assert not writer.thread.is_alive()
        writer.file.close()


def test_all_of_each_piece_is_written_and_hashed(writer_on, tmp_path):
    writer = writer_on(Slow)
    for piece in (b"1234567890", bytearray(b"ab"), b"", b"cdefg"):
        writer.put(piece)
    writer.finish()
    assert (tmp_path / "file").read_bytes() == b"1234567890abcdefg"
    assert writer.digest.hexdigest() == sha256(b"1234567890abcdefg")
    assert writer.error is None
    assert (writer.sync_file_range is None) == (transfer._sync_file_range() is None)


def test_the_kernel_is_asked_to_begin_with_each_piece(writer_on):
    asked = []
    writer = writer_on(Slow)
    writer.sync_file_range = lambda fd, start, length, flags: asked.append((fd, start.value, length.value, flags))
    writer.put(b"1234567890")
    writer.put(b"abc")
    writer.finish()
    assert asked == [(writer.file.fileno(), 0, 10, 2), (writer.file.fileno(), 10, 3, 2)]  # 2: SYNC_FILE_RANGE_WRITE


def test_where_the_library_has_no_such_call(writer_on, tmp_path):
    writer = writer_on(io.FileIO)
    writer.sync_file_range = None
    writer.put(b"abc")
    writer.finish()
    assert (tmp_path / "file").read_bytes() == b"abc"


def test_an_error_is_raised_with_the_next_piece_and_at_the_end(writer_on):
    writer = writer_on(Full)
    writer.put(b"abc")
    for call in (writer.finish, lambda: writer.put(b"more"), writer.finish):
        with pytest.raises(OSError, match="no room") as told:
            call()
        assert told.value is writer.error
    assert writer.pieces.empty()


def test_after_an_error_nothing_is_written(writer_on, tmp_path):
    writer = writer_on(io.FileIO)
    writer.error = OSError("before")
    writer.pieces.put(b"abc")
    writer.stop()
    assert (tmp_path / "file").read_bytes() == b""
    assert writer.digest.hexdigest() == sha256(b"")


def test_the_call_of_the_c_library(monkeypatch, tmp_path):
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"abc")
        call = transfer._sync_file_range()
        assert call is None or call(file.fileno(), ctypes.c_int64(0), ctypes.c_int64(3), 2) == 0
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.append(name) or type("C", (), {"sync_file_range": 7}))
    assert (transfer._sync_file_range(), asked) == (7, [None])
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert transfer._sync_file_range() is None

    def fail(name):
        raise OSError("no library")

    monkeypatch.setattr(ctypes, "CDLL", fail)
    assert transfer._sync_file_range() is None


def test_whether_a_name_is_still_that_of_the_open_file(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        assert transfer._is_still(str(path), file) is True
        path.rename(tmp_path / "done")
        assert transfer._is_still(str(path), file) is False
        path.write_bytes(b"another")
        assert transfer._is_still(str(path), file) is False


def test_the_partial_file_is_waited_for_until_its_name_is_its_own(tmp_path, monkeypatch):
    """Another host finishes between our opening of it and our lock."""
    path, answers, real = tmp_path / "file", iter([False, True]), transfer._is_still
    monkeypatch.setattr(transfer, "_is_still", lambda name, file: next(answers) and real(name, file))
    with transfer._only_receiver(str(path), "a" * 64) as file:
        assert os.path.samestat(path.stat(), os.fstat(file.fileno()))
    assert list(answers) == []
    assert file.closed
