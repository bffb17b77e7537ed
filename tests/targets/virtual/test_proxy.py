"""The proxy against real sockets, and against a real SSH client and server."""

import hashlib
import random
import resource
import socket
import subprocess
import threading
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets.virtual.proxy import Proxy
from tests.support.echo_board import Board, connect, receive
from tests.support.processes import eventually, ssh_command
from tests.support.timing import quickest_s


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=5000), max_size=8), shaped=st.booleans())
def test_without_faults_every_byte_comes_out_unchanged(board, pieces, shaped):
    sent = b"".join(pieces)
    shape = {"delay_s": 0.001, "rate_bytes_s": 10_000_000} if shaped else {}
    with Proxy(board.port, **shape) as proxy, connect(proxy) as host:
        for piece in pieces:
            host.sendall(piece)
        host.shutdown(socket.SHUT_WR)
        assert receive(host, len(sent) + 1) == sent
        assert proxy.passed("up") == proxy.passed("down") == len(sent)


def test_a_large_transfer_comes_out_unchanged(board):
    board.echo = False
    data = random.Random(1).randbytes(8 << 20)
    with Proxy(board.port) as proxy, connect(proxy) as host:
        host.sendall(data)
        host.shutdown(socket.SHUT_WR)
        assert receive(host, 1) == b""
    assert hashlib.sha256(board.received).digest() == hashlib.sha256(data).digest()


def test_the_delay_is_one_way_and_holds_for_each_way(board):
    with Proxy(board.port, delay_s=0.025) as proxy, connect(proxy) as host:

        def there_and_back():
            host.sendall(b"x" * 100)
            receive(host, 100)

        assert 0.050 <= quickest_s(there_and_back, below_s=0.065) < 0.065


@pytest.mark.parametrize("way", ["up", "down"])
def test_the_rate_holds_for_both_ways_and_all_connections_together(way):
    assert 0.45 <= quickest_s(partial(_two_ends_send_a_megabyte, way, rate=2_000_000), below_s=0.75) < 0.75


def _two_ends_send_a_megabyte(way, rate):
    board = Board(echo=way == "down")
    with Proxy(board.port, rate_bytes_s=rate) as proxy:
        ends = [connect(proxy), connect(proxy)]
        sending = [threading.Thread(target=end.sendall, args=(bytes(500_000),)) for end in ends]
        for thread in sending:
            thread.start()
        if way == "down":
            assert [len(receive(end, 500_000)) for end in ends] == [500_000, 500_000]
        assert eventually(lambda: len(board.received) == 1_000_000)
        for end in ends:
            end.close()
    board.close()


def test_delay_costs_no_throughput(board):
    """Chunks are on the way together: 4 MB over 20 ms one way take nothing like 64 times 20 ms."""
    board.echo = False
    with Proxy(board.port, delay_s=0.020) as proxy, connect(proxy) as host:

        def send():
            before = len(board.received)
            host.sendall(bytes(4_000_000))
            assert eventually(lambda: len(board.received) == before + 4_000_000)

        assert quickest_s(send, below_s=0.6) < 0.6


def test_a_sender_is_held_back_where_nobody_reads():
    """No unbounded buffers: what the proxy holds is limited whatever is sent."""
    board = Board(reads=False)
    try:
        with Proxy(board.port) as proxy, connect(proxy, timeout_s=1.0) as host:
            sent, chunk = 0, bytes(1 << 20)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            with pytest.raises(TimeoutError):
                while sent < 400 << 20:
                    sent += host.send(chunk)
            grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            assert sent < 64 << 20  # 16 MiB in the proxy, the rest in four socket buffers
            assert grown_mib < 48
    finally:
        board.close()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left_open_at_the_end(board):
    threads, files = threading.active_count(), open_files()
    with Proxy(board.port) as proxy:
        ends = [connect(proxy) for _ in range(5)]
        for end in ends:
            end.sendall(b"x")
            receive(end, 1)
        proxy.cut(reset=False)
        proxy.black_hole()
        for end in ends:
            end.close()
    assert eventually(lambda: len(board.endings) == 5)
    assert eventually(lambda: threading.active_count() <= threads)
    assert eventually(lambda: open_files() <= files)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)


def test_ssh_notices_a_flipped_bit(proxied):
    """A bit in the middle of an upload: the connection ends, and the command on the board gives no answer."""
    target, proxy = proxied
    command = ssh_command(target, "sha256sum")
    data = bytes(2_000_000)
    good = subprocess.run(command, input=data, capture_output=True, check=True, timeout=60)
    assert hashlib.sha256(data).hexdigest() in good.stdout.decode()
    proxy.corrupt_after(random.randrange(20_000, 1_500_000))
    bad = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)
    assert bad.returncode == 255
    assert bad.stdout == b""
