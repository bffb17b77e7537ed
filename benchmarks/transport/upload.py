"""Uploads beside scp and paramiko's SFTPClient.put, and where deflating pays. Needs sshd; the 20 ms link needs root.

    .venv/bin/python benchmarks/upload.py

Both sides of a comparison take turns, because other work on the machine comes and goes; the median of the ratios of each turn
is what counts. Everything is counted for both alike: connecting, logging in, and what it takes to start the other end. What
edgepress does beyond the others is in its time, too: sha256 of what arrived, and fsync. The argument "loopback" leaves out the rest.
"""

import contextlib
import functools
import hashlib
import json
import mmap
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import paramiko

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks._support.machine import describe
from benchmarks._support.results import change, results
from benchmarks._support.wan import wan_link
from targets import open_session
from targets.conversation import Conversation
from targets.inventory import Target
from targets.ssh import SshLink
from targets.upload import send_blob
from targets.waiting import Wait
from tests.support.own_sshd import own_sshd

TURNS = 5
MB = 1_000_000


def edgepress(target: Target, path: Path) -> None:
    """The file's name is its hash, as in the store; it is read while it is sent, as scp does."""
    with path.open("rb") as file, open_session(target) as session:
        session.put(memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)), path.name)


def scp(target: Target, path: Path) -> None:
    """The system's, with its default cipher."""
    options = [f"UserKnownHostsFile={target.known_hosts}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
    command = ["scp", "-q", "-F", "none", "-P", str(target.port), "-i", target.key]
    for option in options:
        command += ["-o", option]
    subprocess.run([*command, str(path), f"{target.user}@{target.host}:{Path(target.root).parent}/copy"], check=True)


def sftp_put(target: Target, path: Path) -> None:
    """paramiko as it comes."""
    with paramiko.SSHClient() as client:
        client.load_host_keys(target.known_hosts)
        client.connect(
            target.host, target.port, target.user, key_filename=target.key, allow_agent=False, look_for_keys=False
        )
        client.open_sftp().put(str(path), f"{Path(target.root).parent}/copy")


def raw_only(target: Target, path: Path) -> None:
    deflated(target, path, deflate=False)


def deflated(target: Target, path: Path, *, deflate: bool = True) -> None:
    data = path.read_bytes()
    link = SshLink(target)
    talk = Conversation(link, target.python, target.root)
    with Wait(talk.address, "take it", 600) as wait:
        send_blob(talk, data, path.name, None, wait, deflate=deflate)
    talk.close()
    link.close()


WAYS = {way.__name__: way for way in (edgepress, scp, sftp_put, raw_only, deflated)}


def seconds(way: str, target: Target, path: Path) -> float:
    began = time.perf_counter()
    WAYS[way](target, path)
    return time.perf_counter() - began


def seconds_elsewhere(prefix, way: str, target: Target, path: Path) -> float:
    """In a process at the host's end of a link; its own start is not counted."""
    command = [sys.executable, __file__, way, str(path)]
    text = json.dumps(msgspec.to_builtins(target))
    return float(subprocess.run(prefix(command), input=text, capture_output=True, text=True, check=True).stdout)


def compare(add, title: str, ways: tuple[str, str], measure, target: Target, content) -> None:
    """`content` makes the bytes of each turn; the blobs of the turn before are removed."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(TURNS + 1):
            data = content(turn)
            path = Path(folder) / hashlib.sha256(data).hexdigest()
            path.write_bytes(data)
            for way in ways if turn % 2 else ways[::-1]:
                shutil.rmtree(Path(target.root) / "blobs", ignore_errors=True)
                (Path(target.root).parent / "copy").unlink(
                    missing_ok=True
                )  # both write into memory that is new to them
                os.sync()
                took = measure(way, target, path)
                if turn:  # the first is not counted: the agent is pushed
                    times[way].append(took)
            path.unlink()
    rates = ", ".join(
        f"{way} {statistics.median(len(data) / MB / took for took in times[way]):.1f} MB/s" for way in ways
    )
    ratios = [other / ours for ours, other in zip(*times.values(), strict=True)]
    print(
        f"{title}: {rates}; {ways[0]} is {statistics.median(ratios):.2f}x {ways[1]} "
        f"({min(ratios):.2f} to {max(ratios):.2f}, {TURNS} turns), load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    value, unit = change(statistics.median(ratios))
    ends = (min(ratios), max(ratios)) if unit == "x faster" else (1 / max(ratios), 1 / min(ratios))
    add(
        f"{title}: {ways[0]} against {ways[1]}", value, unit, interval=[round(end, 2) for end in ends],
        interval_is=f"range of {TURNS} turns",
    )  # fmt: skip


def noise(size: int, turn: int) -> bytes:
    return random.Random(turn).randbytes(size)


def clustered(size: int, turn: int) -> bytes:
    """As the float32 weights of a model with codebooks of 16 values, half of them pruned."""
    source = random.Random(turn)
    book = [source.randbytes(4) for _ in range(16)]
    return b"".join(source.choices([*book, *[bytes(4)] * 16], k=size // 4))


def int8(size: int, turn: int) -> bytes:
    """As the int8 weights of a model: a bell curve whose tails are far out."""
    source = random.Random(turn)
    table = [max(-127, min(127, round(source.gauss(0, 22)))) & 255 for _ in range(50_000)]
    return bytes(source.choices(table, k=size))


@contextlib.contextmanager
def board(folder: str):
    with own_sshd(Path(folder) / "sshd", "Subsystem sftp internal-sftp") as target:
        yield msgspec.structs.replace(
            target, name="bench", kind="ssh", board="this_machine", root=f"{folder}/board", python=sys.executable
        )


def main() -> None:
    print(describe())
    with results(__file__) as add:
        everything(add)


def everything(add) -> None:
    with tempfile.TemporaryDirectory() as folder, board(folder) as target:
        compare(add, "200 MB, loopback", ("edgepress", "scp"), seconds, target, functools.partial(noise, 200 * MB))
    if sys.argv[1:] == ["loopback"]:
        return
    for rtt_s, rate_bit_s, title in ((0.020, 1e9, "20 ms, 1 Gbit/s"), (0.020, 10e6, "20 ms, 10 Mbit/s")):
        with wan_link(rtt_s=rtt_s, rate_bit_s=rate_bit_s) as link, link.board_sshd() as target:
            measure = functools.partial(seconds_elsewhere, link.host_command)
            if rate_bit_s == 1e9:
                ways = ("edgepress", "sftp_put")
                compare(add, f"50 MB, {title}", ways, measure, target, functools.partial(noise, 50 * MB))
            for content in (clustered, int8):
                size = 20 * MB if rate_bit_s == 1e9 else 2 * MB
                made = functools.partial(content, size)
                name = f"{size // MB} MB {content.__name__}, {title}"
                compare(add, name, ("deflated", "raw_only"), measure, target, made)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(seconds(sys.argv[1], msgspec.convert(json.load(sys.stdin), Target), Path(sys.argv[2])))
    else:
        main()
