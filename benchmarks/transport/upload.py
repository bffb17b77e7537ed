"""How fast is an upload against scp and paramiko's SFTPClient.put, and where does deflating pay?

    .venv/bin/python benchmarks/transport/upload.py [loopback]

The link of 20 ms needs root; "loopback" leaves it out. The two sides of a comparison alternate, because other load on the machine comes
and goes; the figure is the median of the ratios of the rounds. The time of both includes connecting, logging in and starting the other
end. What edgepress does in addition is in its time, too: the sha256 of what arrived, and fsync.
"""

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

from benchmarks._support import command
from benchmarks._support.loopback import loopback_board
from benchmarks._support.machine import describe
from benchmarks._support.results import change, results
from benchmarks._support.wan import wan_link
from targets import open_session
from targets.conversation import Conversation
from targets.deadlines import Wait
from targets.inventory import Target
from targets.ssh import SshLink
from targets.upload import send_blob

ROUNDS = 5
MB = 1_000_000


def edgepress(target: Target, path: Path) -> None:
    """Upload a file whose name is its hash, as in the store. It is read while it is sent, as scp does."""
    with path.open("rb") as file, open_session(target) as session:
        session.put(memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)), path.name)


def scp(target: Target, path: Path) -> None:
    """Copy with the system's scp and its default cipher."""
    options = [f"UserKnownHostsFile={target.known_hosts}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
    run = ["scp", "-q", "-F", "none", "-P", str(target.port), "-i", target.key]
    for option in options:
        run += ["-o", option]
    subprocess.run([*run, str(path), f"{target.user}@{target.host}:{Path(target.root).parent}/copy"], check=True)


def sftp_put(target: Target, path: Path) -> None:
    """Copy with paramiko as it comes."""
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
    """Return the seconds in a process at the host's end of a link; its own start is not counted."""
    run = [sys.executable, __file__, way, str(path)]
    text = json.dumps(msgspec.to_builtins(target))
    return float(subprocess.run(prefix(run), input=text, capture_output=True, text=True, check=True).stdout)


def compare(add, title: str, ways: tuple[str, str], measure, target: Target, content) -> None:
    """Compare two ways. `content` makes the bytes of each round; the blobs of the round before are removed."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS + 1):
            data = content(number)
            path = Path(folder) / hashlib.sha256(data).hexdigest()
            path.write_bytes(data)
            for way in ways if number % 2 else ways[::-1]:
                shutil.rmtree(Path(target.root) / "blobs", ignore_errors=True)
                # Without the copy of the round before, both write into new memory.
                (Path(target.root).parent / "copy").unlink(missing_ok=True)
                os.sync()
                took = measure(way, target, path)
                if number:  # the first is not counted: the agent is pushed
                    times[way].append(took)
            path.unlink()
    rates = ", ".join(
        f"{way} {statistics.median(len(data) / MB / took for took in times[way]):.1f} MB/s" for way in ways
    )
    ratios = [other / ours for ours, other in zip(*times.values(), strict=True)]
    print(
        f"{title}: {rates}; {ways[0]} is {statistics.median(ratios):.2f}x {ways[1]} "
        f"({min(ratios):.2f} to {max(ratios):.2f}, {ROUNDS} rounds), load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    value, unit = change(statistics.median(ratios))
    ends = (min(ratios), max(ratios)) if unit == "x faster" else (1 / max(ratios), 1 / min(ratios))
    interval = [round(end, 2) for end in ends]
    add(
        f"{title}: {ways[0]} against {ways[1]}", value, unit, interval=interval, interval_is=f"range of {ROUNDS} rounds"
    )


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def clustered(size: int, seed: int) -> bytes:
    """Return bytes like the float32 weights of a model with codebooks of 16 values, half of them pruned."""
    source = random.Random(seed)
    book = [source.randbytes(4) for _ in range(16)]
    return b"".join(source.choices([*book, *[bytes(4)] * 16], k=size // 4))


def int8(size: int, seed: int) -> bytes:
    """Return bytes like the int8 weights of a model: a bell curve with far tails."""
    source = random.Random(seed)
    table = [max(-127, min(127, round(source.gauss(0, 22)))) & 255 for _ in range(50_000)]
    return bytes(source.choices(table, k=size))


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("links", nargs="?", choices=("all", "loopback"), default="all")
    given = parser.parse_args()
    print(describe())
    with results(__file__) as add:
        by_loopback(add)
        if given.links == "all":
            by_slow_links(add)


def by_loopback(add) -> None:
    with loopback_board("Subsystem sftp internal-sftp") as target:
        compare(add, "200 MB, loopback", ("edgepress", "scp"), seconds, target, functools.partial(noise, 200 * MB))


def by_slow_links(add) -> None:
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
    if len(sys.argv) == 3:  # at the host's end of a link: seconds_elsewhere
        print(seconds(sys.argv[1], msgspec.convert(json.load(sys.stdin), Target), Path(sys.argv[2])))
    else:
        main()
