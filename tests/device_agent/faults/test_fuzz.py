"""Whatever a host may send: mutated and random lines, frames and streams. An answer or an ordered end, nothing outside the folder."""

import functools
import io
import json
import os
import random
import resource
import typing
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest

from device_agent import wire
from device_agent.__main__ import serve
from device_agent.channel import Channel, HostGone
from device_agent.files.layout import Layout
from device_agent.jobs import requests as job_requests
from device_agent.record import hints_of
from tests.support.agent_process import LAUNCH, frames, sha256, wheel
from tests.support.faults import seeded

pytestmark = pytest.mark.faults

ODD = [0, 1, -1, 2**63, -(2**63), 10**30, True, None, "", "a", "\ud800", "../../x", "\0", [], [[]], {}, {"kind": "Put"},
           [1, "a"], 1e400, float("nan"), "0" * 64, "f" * 32, "\u2028", {"a": [{}] * 3}]  # fmt: skip
MEMORY_BYTES = 96 << 20  # more than that is not needed for any of it; a line may have 32 MiB


def example(hint, name, source):
    """A value of a record's field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        return source.choice((None, example(arguments[0], name, source)))
    if origin is tuple:
        items = arguments[:1] * source.randrange(3) if arguments[-1] is Ellipsis else arguments
        return tuple(example(each, name, source) for each in items)
    if isinstance(hint, type) and issubclass(hint, wire.Record):
        return record(hint, source)
    if hint is str and "sha256" in name:
        return source.choice(HASHES)
    if hint is str and name == "job_id":
        return source.choice(JOBS)
    return {
        str: source.choice(("", "tflite", "sleep", "time", "x" * 300)),
        int: source.choice((0, 1, 5, 2**62)),
        float: source.choice((0.0, -1.5, 1e300)),
        bool: True,
    }[hint]


def record(kind, source):
    return kind(**{name: example(hint, name, source) for name, hint in hints_of(kind).items()})


def mutated_line(line, source):
    """JSON with another value somewhere, or bytes with something done to them."""
    if source.random() < 0.5:
        fields = json.loads(line)
        inner = fields
        while True:
            key = source.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            if isinstance(inner[key], (dict, list)) and inner[key] and source.random() < 0.7:
                inner = inner[key]
                continue
            inner[key] = source.choice(ODD)
            break
        if source.random() < 0.1:
            fields[source.choice(("kind", "extra", "sha256"))] = source.choice(ODD)
        return json.dumps(fields).encode() + b"\n"
    return mutated(line, source)


def mutated(data, source):
    data = bytearray(data)
    for _ in range(source.randrange(1, 4)):
        place = source.randrange(len(data) + 1)
        what = source.randrange(5)
        if what == 0 and place < len(data):
            data[place] ^= 1 << source.randrange(8)
        elif what == 1:
            data[place:place] = source.randbytes(source.randrange(1, 9))
        elif what == 2:
            del data[place : place + source.randrange(1, 9)]
        elif what == 3:
            data[place:place] = data[: source.randrange(40)]
        else:
            data[place:place] = source.choice((b"[" * 3000, b"9" * 5000, b"\n", b"\xff\xfe", b'{"kind":', b"\0" * 8))
    return bytes(data)


BLOBS = [b"", b"a blob", random.Random(1).randbytes(3000), wheel({"pack/__init__.py": b"1"}), b"PK\5\6" + bytes(18)]


def hostile_wheel(name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(name, b"outside")
        archive.writestr("pack-1.dist-info/RECORD", f"{name},,\npack-1.dist-info/RECORD,,\n")
    return buffer.getvalue()


BLOBS += [hostile_wheel(name) for name in ("../outside", "/tmp/../outside", "a/../../outside", "..", "a\\..\\b", "pack-1.data/purelib/../../../outside")]  # fmt: skip
HASHES = [sha256(data) for data in BLOBS] + ["0" * 64, ""]
JOBS = [f"{number:032x}" for number in range(3)]
REQUESTS = [
    wire.Have,
    wire.Put,
    wire.Unpack,
    wire.Observe,
    wire.Submit,
    wire.Follow,
    wire.Cancel,
    wire.Jobs,
    wire.Forget,
    wire.Get,
]


def test_lines(share):
    """A line is a record, which is said again in the same words, or it is a WireError."""
    source = seeded("lines", 0)
    kinds, taken = list(wire.KINDS.values()), 0
    for _ in range(share(17_500, 900_000)):
        line = mutated_line(wire.encode(record(source.choice(kinds), source)), source)
        try:
            said = wire.decode(line)
        except wire.WireError:
            continue
        taken += 1
        coded = wire.encode(said)  # long texts are shortened in it
        assert wire.encode(wire.decode(coded)) == coded
    assert taken


def sent(source):
    """What a host sends next: a request and what belongs to it, whole or spoiled."""
    kind = source.choice(REQUESTS)
    if kind is wire.Put:
        data = source.choice(BLOBS)
        request = wire.encode(wire.Put(sha256(data), len(data)))
        body = source.choice(
            (frames(data, 1000), bomb(len(data)), b"", wire.FRAME.pack(wire.END, 0, 0), frames(data[:-1]))
        )
        parts = [request, mutated(body, source) if source.random() < 0.3 else body]
    elif kind is wire.Unpack and source.random() < 0.5:
        parts = [wire.encode(wire.Unpack("pack.whl", source.choice(HASHES[:-1])))]
    elif kind is wire.Submit and source.random() < 0.5:
        parts = [
            wire.encode(wire.Submit(source.choice(JOBS), "fuzz", 1, (LAUNCH,) * source.randrange(3), (), 0, 0, None))
        ]
    else:
        parts = [wire.encode(record(kind, source))]
    if source.random() < 0.3:
        parts[0] = mutated_line(parts[0], source)
    return b"".join(parts)


@functools.cache
def bomb(size_bytes):
    """A frame of a few kB that would be 200 MB."""
    coded = zlib.compress(bytes(200_000_000))
    return wire.FRAME.pack(wire.DEFLATED, len(coded), max(size_bytes, 1)) + coded


def test_streams(tmp_path, share, monkeypatch, capsys):
    """The agent's own loop, in this process: it answers each request or ends; it does not crash, and writes nowhere else."""
    monkeypatch.setattr(
        job_requests, "_start", lambda place, folder, locks, held: None
    )  # a million processes are not the matter here
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    outside = tmp_path / "outside"
    for name in ("beside", "blobs", "a/below"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("as it was")
    before = surroundings(tmp_path)
    source, inputs, said = seeded("streams", 0), 0, set()
    bomb(1)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while inputs < share(2_500, 100_000):
        requests = [sent(source) for _ in range(source.randrange(1, 12))]
        inputs += len(requests)
        said |= answers(tmp_path / "root", b"".join(requests))
    assert surroundings(tmp_path) == before
    assert not outside.exists()
    assert not list((tmp_path / "root" / "tmp").iterdir())
    grown_bytes = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kib)
    assert grown_bytes < MEMORY_BYTES
    assert {"Present", "Stored", "Ready", "Accepted", "JobList", "Blob", "Failure", "Conditions"} <= said
    assert "Traceback" not in capsys.readouterr().err


def answers(root, stream):
    """The kinds of record that the agent answers to a stream, at whose end it ends."""
    place = Layout(str(root))
    with (root.parent / "stream").open("w+b") as to_agent, (root.parent / "answers").open("w+b") as from_agent:
        to_agent.write(stream)
        to_agent.seek(0)
        with pytest.raises(HostGone):
            serve(place, Channel(to_agent.fileno(), from_agent.fileno()))
        from_agent.seek(0)
        return {json.loads(line)["kind"] for line in from_agent if line.startswith(b'{"kind":')}


def surroundings(folder):
    """Everything but the agent's own folder and the two files of the channel."""
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in Path(folder).rglob("*")
        if path.relative_to(folder).parts[0] not in {"root", "stream", "answers"}
    }
