"""What is used is what was stored: each use looks, and one bit is enough."""

import os
import time

import msgspec
import pytest

from pipeline.errors import StageError
from pipeline.store import sealed, unsealed, verified, with_digest, without_digest
from tests.support.damage import flip


def age(path, seconds):
    """As if it had been written some time ago, so that its times may be trusted."""
    then = time.time_ns() - int(seconds * 1e9)
    os.utime(path, ns=(then, then))


def test_one_bit_is_never_used_and_is_made_again(folder):
    store = folder.store()
    answer, _ = folder.answer(store, "k", b"labels")
    (artifact,) = answer.artifacts
    flip(store.root / "store" / artifact.sha256)
    again, cached = folder.answer(store, "k", b"labels")
    assert (again, cached) == (answer, False)
    assert store.path(artifact).read_bytes() == b"labels"
    assert len(folder.said) == 1
    assert "damaged" in folder.said[0]


def test_what_cannot_be_made_again_is_a_sentence(folder):
    store = folder.store()
    artifact = store.put_bytes(b"times", "jsonl")
    flip(store.root / "store" / artifact.sha256)
    for use in (store.path, store.intact):
        with pytest.raises(StageError, match=r"damaged|missing") as caught:
            use(artifact)
        assert "run" in caught.value.hint
        assert "Remove" not in caught.value.hint
    assert not store.has(artifact)


def test_a_file_is_hashed_once_and_again_when_it_looks_touched_or_after_a_day(tmp_path, monkeypatch):
    path, memory = tmp_path / ("a" * 64), tmp_path / "memory"
    memory.mkdir()
    path.write_bytes(b"right")
    hashed = []

    class Digest:
        def hexdigest(self):
            hashed.append(1)
            return path.name

    monkeypatch.setattr(verified.hashlib, "file_digest", lambda _file, _name: Digest())
    later = time.time_ns() + 10 * 10**9
    for _ in range(3):
        assert verified.look(path, 5, memory, later)[0] == verified.INTACT
    assert len(hashed) == 1
    verified.look(path, 5, memory, later + verified.DAY_NS)
    assert len(hashed) == 2
    age(path, 5)  # its content's time; that of the inode cannot be set
    verified.look(path, 5, memory, later + verified.DAY_NS + 1)
    assert len(hashed) == 3
    verified.look(path, 5, memory, later)  # a clock that went back: what was seen lies in the future
    assert len(hashed) == 4


def test_what_was_written_just_now_is_not_remembered(tmp_path):
    """A second write within one step of the file system's clock would look the same."""
    memory = tmp_path / "memory"
    memory.mkdir()
    path = tmp_path / "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    path.write_bytes(b"foo")
    assert verified.look(path, 3, memory)[0] == verified.INTACT
    assert not list(memory.iterdir())
    path.write_bytes(b"fop")
    assert verified.look(path, 3, memory)[0] == verified.DAMAGED


@pytest.mark.parametrize("record", [b"", b"\xff", b"1 2 3", b"9" * 5000, b"a b c d e"])
def test_a_record_that_is_damaged_costs_one_more_hash(folder, record):
    store = folder.store()
    artifact = store.put_bytes(b"x", "npy")
    (store.root / "verified" / artifact.sha256).write_bytes(record)
    assert store.has(artifact)
    flip(store.root / "store" / artifact.sha256)
    (store.root / "verified" / artifact.sha256).write_bytes(record)
    assert not store.has(artifact)


def test_a_time_that_is_set_back_hides_nothing(folder):
    store = folder.store()
    artifact = store.put_bytes(b"weights", "tflite")
    path = store.root / "store" / artifact.sha256
    age(path, 100)
    before = path.stat()
    look = lambda: verified.look(path, 7, store.root / "verified", time.time_ns() + 10**10)  # noqa: E731
    assert look()[0] == verified.INTACT
    assert list((store.root / "verified").iterdir())
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look()[0] == verified.DAMAGED


def test_an_answer_with_one_bit_changed_is_made_again(folder):
    store = folder.store()
    folder.answer(store, "k", b"a", b"b")
    path = next((store.root / "answers").iterdir())
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data)
        flip(path, at, bit=at % 8)
        _, cached = folder.answer(store, "k", b"a", b"b")
        assert not cached, path.read_bytes()
    assert folder.answer(store, "k", b"a", b"b")[1]


def test_seals():
    content = msgspec.json.encode({"a": [1, "ä"]})
    assert unsealed(sealed(content)) == content
    assert msgspec.json.decode(sealed(content))["content"] == {"a": [1, "ä"]}
    assert unsealed(content) is None
    assert unsealed(b"") is None
    assert without_digest(with_digest(b"")) == b""
    whole = with_digest(b"checkpoint")
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 4
        assert without_digest(bytes(changed)) is None
    assert without_digest(whole[:-1]) is None
    assert without_digest(b"") is None


def test_a_child_tells_its_parent_what_was_damaged(folder):
    from pipeline.store import Store

    store = folder.store()
    artifact = store.put_bytes(b"rows", "npy")
    flip(store.root / "store" / artifact.sha256)
    with store.scratch() as scratch:
        assert not Store(store.root, tmp=scratch).has(artifact)
        assert not folder.said
    assert "damaged" in folder.said[0]


def test_one_who_puts_the_right_file_back_is_not_undone(folder, monkeypatch):
    """Between hashing and removing, another process has made it again."""
    store, other = folder.store(), folder.store()
    artifact = store.put_bytes(b"rows", "npy")
    path = store.root / "store" / artifact.sha256
    flip(path)
    real = verified.look

    def look(*arguments):
        found = real(*arguments)
        monkeypatch.setattr(verified, "look", real)
        path.unlink()
        other.put_bytes(b"rows", "npy")
        return found

    monkeypatch.setattr(verified, "look", look)
    assert not store.has(artifact)
    assert path.read_bytes() == b"rows"
