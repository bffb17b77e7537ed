"""The real agent over real pipes: what the tests of the agent talk to."""

import base64
import hashlib
import io
import json
import os
import select
import shutil
import subprocess
import sys
import time
import warnings
import zipfile
import zlib
from functools import cache
from pathlib import Path

import device_agent
from device_agent import wire

PACKAGE = Path(device_agent.__file__).parent
BOOTSTRAP = (PACKAGE / "bootstrap.py").read_text()
BOOT_MARK = b"--edgepress-boot-1-- "
LIMIT_S = 60  # a loaded machine; nothing here waits that long unless it fails

LAUNCH = wire.Launch(
    mode="time",
    model_sha256="",
    model_format="sleep",
    runtime="sleep",
    sites=(),
    inputs=(),
    outputs=(),
    state=(),
    sequences=False,
    half=False,
    rotated_rows=1,
    threads=1,
    cpus=(),
    warmup_min_ns=10_000_000,
    warmup_max_ns=200_000_000,
    timed_min_ns=30_000_000,
    timed_min_runs=20,
    timed_max_runs=1000,
    timeout_ns=30_000_000_000,
    meters=(),
    idle_ns=0,
    pattern_ns=0,
    end_to_end=None,
)


def pythons() -> dict[str, str]:
    """Every supported Python on this machine, by version: those of pyenv, else those on PATH."""
    found = {}
    for minor in range(8, 15):
        version = f"3.{minor}"
        candidates = [str(path) for path in sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))]
        candidates += [path for path in [shutil.which(f"python{version}")] if path]
        for path in candidates:
            asked = subprocess.run([path, "-IVV"], capture_output=True, text=True, check=False)
            if asked.stdout.startswith(f"Python {version}."):
                found.setdefault(version, path)
    return found


@cache
def bundle() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(PACKAGE.rglob("*.py")):
            archive.write(path, f"device_agent/{path.relative_to(PACKAGE)}")
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sleep_model(**fields) -> bytes:
    return json.dumps({"latency_us": 300, **fields}).encode()


def wheel(
    files: dict[str, bytes],
    record: dict[str, bytes] | None = None,
    top: str = "pack-1",
    doubled: str = "",
    algorithm: str = "sha256",
) -> bytes:
    """The same bytes for the same files. `record`: the files as RECORD has them, where they differ; `algorithm`: of its hashes, "" for none."""
    lines = [
        f"{name},{hash_of(data, algorithm) if algorithm else ''},{len(data)}\n"
        for name, data in (record or files).items()
    ]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        if doubled:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zipfile finds that strange too
                archive.writestr(doubled, b"another")
        record_text = "".join(lines) + f"{top}.dist-info/RECORD,,\n"
        archive.writestr(zipfile.ZipInfo(f"{top}.dist-info/RECORD"), record_text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def hash_of(data: bytes, algorithm: str) -> str:
    digest = hashlib.new(algorithm, data).digest()
    return f"{algorithm}=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


class Pipes:
    """A child process and its three pipes, read without threads."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None, **options) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **(env or {})},
            **options,
        )
        self.buffer = b""

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) :]

    def read_line(self, limit_s: float = LIMIT_S) -> bytes:
        while b"\n" not in self.buffer:
            self._fill(limit_s)
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def read(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._fill(LIMIT_S)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def read_to_end(self) -> bytes:
        while True:
            try:
                self._fill(LIMIT_S)
            except EOFError:
                return self.buffer

    def _fill(self, limit_s: float) -> None:
        if not select.select([self.process.stdout], [], [], limit_s)[0]:
            raise TimeoutError(f"silence; so far: {self.buffer[-500:]!r}")
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        if not data:
            raise EOFError(f"the output ended; {self.errors()}")
        self.buffer += data

    def errors(self) -> str:
        return self.process.stderr.read().decode(errors="replace")

    def end(self, limit_s: float = 10) -> int:
        """Close the input and wait: what a host does that goes away."""
        self.process.stdin.close()
        return self.process.wait(limit_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


class Agent(Pipes):
    """Bootstrapped, greeted, ready for requests."""

    def __init__(
        self, root: Path | str, python: str = sys.executable, env: dict[str, str] | None = None, **options
    ) -> None:
        super().__init__([python, "-I", "-S", "-c", BOOTSTRAP], env, **options)
        self.root = Path(root)
        self.jobs = 0
        self.last_job = ""
        data = bundle()
        self.write(json.dumps({"root": str(root), "sha256": sha256(data), "size_bytes": len(data)}).encode() + b"\n")
        line = b""
        while not line.startswith(BOOT_MARK):
            line = self.read_line()
        self.boot_word = line[len(BOOT_MARK) :].decode()
        if self.boot_word.startswith("NEED"):  # DAMAGED, it may add
            self.write(data)
        while line != wire.MARK:
            line = self.read_line()
        self.hello = self.receive()

    def receive(self):
        return wire.decode(self.read_line())

    def ask(self, record):
        self.write(wire.encode(record))
        return self.receive()

    def put(self, data: bytes, name: str | None = None):
        """The last answer: Stored or Failure."""
        answer = self.ask(wire.Put(name or sha256(data), len(data)))
        if isinstance(answer, wire.Ready):
            self.write(frames(data[answer.offset_bytes :]))
            answer = self.receive()
        return answer

    def store(self, data: bytes) -> str:
        answer = self.put(data)
        assert isinstance(answer, wire.Stored), answer
        return answer.sha256

    def get(self, name: str) -> bytes:
        blob = self.ask(wire.Get(name))
        assert isinstance(blob, wire.Blob), blob
        return self.read(blob.size_bytes)

    def submit(self, *items: wire.Launch | wire.Pair, job_id: str | None = None, timeout_ns: int = 10**12):
        """The answer: Accepted or Failure. Each job has a number of its own."""
        self.jobs += 1
        self.last_job = job_id or f"{self.process.pid:016x}{self.jobs:016x}"
        pairs = tuple(item for item in items if isinstance(item, wire.Pair))
        launches = tuple(item for item in items if isinstance(item, wire.Launch))
        return self.ask(wire.Submit(self.last_job, "tester", timeout_ns, launches, pairs, 5000, 0, None))

    def start(self, *items: wire.Launch | wire.Pair) -> None:
        """Submit, and follow."""
        assert isinstance(answer := self.submit(*items), wire.Accepted), answer
        self.write(wire.encode(wire.Follow(self.last_job, 0)))

    def until(self, *kinds: type):
        """The next record of one of these kinds; events before it are skipped."""
        while True:
            record = self.receive()
            if isinstance(record, kinds):
                return record
            assert isinstance(record, (wire.Event, wire.Working)), record

    def run(self, *items: wire.Launch | wire.Pair) -> list:
        """Everything that a job answers but its events; or the Failure to start it."""
        if isinstance(answer := self.submit(*items), wire.Failure):
            return [answer]
        return self.follow(self.last_job)

    def follow(self, job_id: str, after: int = 0) -> list:
        self.write(wire.encode(wire.Follow(job_id, after)))
        records = []
        while not records or not isinstance(records[-1], (wire.Ended, wire.Failure)):
            records.append(self.until(wire.Launched, wire.Paired, wire.LaunchFailed, wire.Ended, wire.Failure))
        return records

    def supervisor(self) -> int:
        """The process of the last job."""
        return int(json.loads((self.root / "jobs" / self.last_job / "process.json").read_text())["pid"])


def frames(data: bytes, size: int = 100_000) -> bytes:
    """A blob, or the rest of one, as the host sends it; every second frame deflated."""
    parts = []
    for number, start in enumerate(range(0, len(data), size)):
        piece = data[start : start + size]
        coding, coded = (wire.DEFLATED, zlib.compress(piece)) if number % 2 else (wire.RAW, piece)
        parts.append(wire.FRAME.pack(coding, len(coded), len(piece)) + coded)
    return b"".join(parts)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """A zombie is dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_until(condition, limit_s: float = 10) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not become true in time"
        time.sleep(0.01)


def another(start, agent):
    """One that has asked for nothing yet, when the first is gone."""
    agent.end()
    return start(agent.root)
