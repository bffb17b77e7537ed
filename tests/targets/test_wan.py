"""The link of network namespaces that the benchmarks use."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks._support.wan import BOARD_ADDRESS, wan_link
from targets.virtual.loopback import find_sshd
from tests.support.processes import eventually, processes_with, ssh_command

MAY = os.geteuid() == 0 and os.access("/dev/net/tun", os.W_OK)
pytestmark = [
    pytest.mark.skipif(not MAY, reason="the link needs root and /dev/net/tun"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="the link needs a C compiler"),
    pytest.mark.skipif(find_sshd() is None, reason="no sshd on this machine"),
]

ECHO = """
import socket
server = socket.create_server(("0.0.0.0", 7))
print("listens", flush=True)
end, _ = server.accept()
while data := end.recv(1 << 20):
    end.sendall(data[-1:])
"""
MEASURE = """
import socket, time
end = socket.create_connection(("10.9.0.2", 7))
end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
trips, transfers = [], []
for _ in range(50):
    began = time.monotonic()
    end.sendall(b"x")
    end.recv(1)
    trips.append(time.monotonic() - began)
for _ in range(5):
    began = time.monotonic()
    end.sendall(bytes(1_000_000) + b"!")
    while end.recv(65536)[-1:] != b"!":
        pass
    transfers.append(time.monotonic() - began)
    if transfers[-1] < 2:
        break
print(min(trips), min(transfers))
"""


def test_delay_and_rate_are_those_of_the_link():
    with wan_link(rtt_s=0.020, rate_bit_s=10e6) as link:
        echo = subprocess.Popen(link.board_command([sys.executable, "-c", ECHO]), stdout=subprocess.PIPE, text=True)
        with echo:
            assert echo.stdout.readline() == "listens\n"
            measure = link.host_command([sys.executable, "-c", MEASURE])
            done = subprocess.run(measure, check=True, capture_output=True, text=True, timeout=60)
    trip_s, transfer_s = map(float, done.stdout.split())
    assert 0.020 <= trip_s < 0.030
    assert 0.8 <= transfer_s < 2.0


def test_the_board_is_reached_over_ssh_and_only_from_the_hosts_end():
    with wan_link(rtt_s=0.002, rate_bit_s=1e9) as link, link.board_sshd() as board:
        command = [part.replace("127.0.0.1", BOARD_ADDRESS) for part in ssh_command(board, "echo", "there")]
        done = subprocess.run(link.host_command(command), check=True, capture_output=True, text=True, timeout=60)
        assert done.stdout == "there\n"
        outside = subprocess.run([*command[:1], "-o", "ConnectTimeout=1", *command[1:]], check=False, timeout=60)
        assert outside.returncode == 255
        folder = str(Path(board.key).parent)
    assert not Path(folder).exists()
    assert processes_with(folder) == []


OWNER = """
import time
from benchmarks._support.wan import wan_link
with wan_link(rtt_s=0.002, rate_bit_s=1e9) as link, link.board_sshd() as board:
    print(board.key, link.host_namespace.split("/")[2], flush=True)
    time.sleep(300)
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_whatever_ends_the_benchmark(end):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    with owner:
        key, link = owner.stdout.readline().split()
        folder = Path(key).parent
        assert processes_with(str(folder)) != []
        owner.send_signal(end)
    assert eventually(lambda: processes_with(str(folder)) == [])
    assert eventually(lambda: not Path("/proc", link).exists())
    assert not folder.exists() or end == signal.SIGKILL  # its own files are all that a kill -9 leaves
    shutil.rmtree(folder, ignore_errors=True)
