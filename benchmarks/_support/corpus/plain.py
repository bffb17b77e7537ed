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
FORMAT = 1  # of what is kept; another number asks again


class Ended(Exception):
    """The process ended, or had to be ended, before it answered."""


class Process:
    """A process with the plain libraries, started when it is first asked, and again after one that ended."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.running: subprocess.Popen[bytes] | None = None

    def ask(self, **asked: object) -> dict:
        if self.running is None:
            self.running = subprocess.Popen(
                [sys.executable, "-m", "benchmarks._support.corpus.plain_process", str(self.cache)],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
                env=os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"},
            )  # fmt: skip
        assert self.running.stdin is not None
        assert self.running.stdout is not None
        try:
            self.running.stdin.write(json.dumps(asked).encode() + b"\n")
            self.running.stdin.flush()
        except BrokenPipeError:
            raise Ended(self.end()) from None
        ready, _, _ = select.select([self.running.stdout], [], [], LIMIT_S)
        if not ready:
            self.end()
            raise Ended(f"it takes more than {LIMIT_S} s")
        line = self.running.stdout.readline()
        if not line:
            raise Ended(self.end())
        return json.loads(line)

    def end(self) -> str:
        """End it; return how it had ended before, as words."""
        if self.running is None:
            return ""
        code = self.running.poll() if self.running.poll() is not None else None
        if code is None:
            os.killpg(self.running.pid, signal.SIGKILL)
        ended = self.running.wait()
        self.running = None
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
    if case.make is not None and not case.path.exists():
        made = _asked(process, do="make", group=case.group, name=case.name)
        if made.get("refused"):
            return Plain("", cache, made)
    digest = sha256(case.path)
    key = hashlib.sha256(f"{FORMAT} {case.full_name} {digest}".encode()).hexdigest()[:16]
    folder = cache / "plain" / key
    kept = folder / "said.json"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        said = _asked(
            process, do="run", kind=case.kind, path=str(case.path), folder=str(folder), full_name=case.full_name,
            given=str(case.given or ""), seed=int(digest[:8], 16),
        )  # fmt: skip
        kept.write_text(json.dumps(said))
    return Plain(digest, folder, json.loads(kept.read_text()))


def _asked(process: Process, **asked: object) -> dict:
    try:
        return process.ask(**asked)
    except Ended as how:
        return {"refused": str(how)}
