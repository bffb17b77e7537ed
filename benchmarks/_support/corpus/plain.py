"""What the plain library makes of a model, asked once and kept in the cache."""

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks._support.corpus.cases import Case, sha256
from benchmarks._support.results import ROOT

LIMIT_S = 240
FORMAT = 3  # of what is kept; another number asks again


class Ended(Exception):
    """The process ended before it answered: the model ended it."""


class TooLong(Exception):
    """It did not answer in time. That may be the machine's fault, so it is asked again the next time."""


class Stopped(Exception):
    """Somebody stopped the whole run."""


class Process:
    """A process with the plain libraries, started when it is first asked, and again after one that ended."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.running: subprocess.Popen[bytes] | None = None
        self.stopped = False

    def stop(self) -> None:
        """End it, and let nobody ask again."""
        self.stopped = True
        self.end()

    def ask(self, **asked: object) -> dict:
        """Return its answer to one line (plain_process). Ended, TooLong or Stopped where there is none."""
        running = self._started()
        try:
            running.stdin.write(json.dumps(asked).encode() + b"\n")
            running.stdin.flush()
            ready, _, _ = select.select([running.stdout], [], [], LIMIT_S)
            line = running.stdout.readline() if ready else b""
        except BrokenPipeError:
            ready, line = [running.stdout], b""
        if self.stopped:
            raise Stopped
        if not ready:
            self.end()
            raise TooLong(f"it takes more than {LIMIT_S} s")
        if not line:
            raise Ended(self.end())
        return json.loads(line)

    def _started(self) -> subprocess.Popen[bytes]:
        if self.running is None:
            self.running = subprocess.Popen(
                [sys.executable, "-m", "benchmarks._support.corpus.plain_process", str(self.cache)],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
                env=os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"},
            )  # fmt: skip
        return self.running

    def end(self) -> str:
        """End it where it runs; return how it ended, as words."""
        running, self.running = self.running, None
        if running is None:
            return ""
        try:
            ended = running.wait(1)  # one that closed its pipe is about to end by itself
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            ended = running.wait()
        return (
            f"its process is ended by {signal.Signals(-ended).name}" if ended < 0 else f"its process ends with {ended}"
        )


@dataclass(frozen=True)
class Plain:
    sha256: str
    folder: Path  # with rows.npz and reference.npz
    said: dict

    @property
    def refused(self) -> str:
        return self.said.get("refused", "")


def of(case: Case, process: Process, cache: Path) -> Plain:
    """Make the model where it is not there yet, and let the plain library answer its rows."""
    try:
        if case.make is not None and not case.path.exists():
            made = process.ask(do="make", group=case.group, name=case.name)
            if made.get("refused"):
                return Plain("", cache, made)
    except (Ended, TooLong) as how:
        return Plain("", cache, {"refused": str(how)})
    digest = sha256(case.path)
    key = hashlib.sha256(f"{FORMAT} {case.full_name} {digest}".encode()).hexdigest()[:16]
    folder = cache / "plain" / key
    kept = folder / "said.json"
    if kept.exists():
        return Plain(digest, folder, json.loads(kept.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        said = process.ask(
            do="run", kind=case.kind, path=str(case.path), folder=str(folder), full_name=case.full_name,
            given=str(case.given or ""), seed=int(digest[:8], 16),
        )  # fmt: skip
    except TooLong as how:
        return Plain(digest, folder, {"refused": str(how)})
    except Ended as how:
        said = {"refused": str(how)}
    kept.write_text(json.dumps(said))
    return Plain(digest, folder, said)
