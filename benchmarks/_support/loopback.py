"""A board of a benchmark's own: an sshd on the loopback of this machine."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from targets.inventory import Target
from tests.support.own_sshd import own_sshd


@contextlib.contextmanager
def loopback_board(*settings: str) -> Iterator[Target]:
    """Start an sshd with these lines of sshd_config; yield a Target whose agent runs under this Python, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder, own_sshd(Path(folder) / "sshd", *settings) as target:
        yield msgspec.structs.replace(
            target, kind="ssh", board="this_machine", root=f"{folder}/board", python=sys.executable
        )
