"""The bootstrap in a process of its own, and what it says when it refuses."""

import json
import os
import sys

import pytest

from tests.support.agent_process import BOOT_MARK, BOOTSTRAP, Pipes, bundle, sha256

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away and mount")


def boot(request: bytes, python: str = sys.executable, **options) -> Pipes:
    pipes = Pipes([python, "-I", "-S", "-c", BOOTSTRAP], **options)
    pipes.write(request)
    return pipes


def request(root, data: bytes, name: str | None = None) -> bytes:
    return json.dumps({"root": str(root), "sha256": name or sha256(data), "size_bytes": len(data)}).encode() + b"\n"


def refusal(root, data=b"") -> dict[str, str]:
    pipes = boot(request(root, bundle()) + data)
    pipes.process.stdin.close()  # one that is not refused waits for the agent
    last = pipes.read_to_end().strip().splitlines()[-1]
    assert last.startswith(BOOT_MARK + b"FAIL "), last
    assert pipes.process.wait(10) == 1
    return json.loads(last[len(BOOT_MARK + b"FAIL ") :])
