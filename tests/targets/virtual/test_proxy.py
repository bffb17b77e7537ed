"""The proxy against real sockets, and against a real SSH client and server."""

import contextlib
import errno
import hashlib
import random
import resource
import select
import socket
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets.virtual.proxy import Proxy
from tests.support.processes import eventually, ssh_command
from tests.support.timing import quickest_s


class Board:
    """A TCP server that keeps all that it was sent and gives it back where `echo` is set."""

    def __init__(self, *, echo=True, reads=True):
        self.received, self.endings, self.open, self.echo, self.reads = bytearray(), [], [], echo, reads
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                end, _ = self._server.accept()
                self.open.append(end)
                if self.reads:
                    threading.Thread(target=self._read, args=(end,), daemon=True).start()

    def _read(self, end):
        try:
            while data := end.recv(65536):
                self.received += data
                if self.echo:
                    end.sendall(data)
            self.endings.append("end")
        except ConnectionResetError:
            self.endings.append("reset")
        except OSError:
            pass  # by close()
        finally:
            end.close()

    def close(self):
        self._server.close()
        for end in self.open:
            end.close()


@pytest.fixture
def board():
    board = Board()
    yield board
    board.close()


def connect(proxy, timeout_s=10.0):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)


def receive(end, size):
    data = bytearray()
    while len(data) < size and (piece := end.recv(size - len(data))):
        data += piece
    return bytes(data)


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


@pytest.mark.parametrize(("reset", "seen"), [(True, "reset"), (False, "end")])
def test_a_cut_is_seen_by_both_sides(board, reset, seen):
    with Proxy(board.port) as proxy, connect(proxy) as host:
        host.sendall(b"hello")
        assert receive(host, 5) == b"hello"
        proxy.cut(reset=reset)
        if reset:
            with pytest.raises(ConnectionResetError):
                host.recv(1)
        else:
            assert host.recv(1) == b""
        assert eventually(lambda: board.endings == [seen])
        with connect(proxy) as again:  # the link itself is there
            again.sendall(b"again")
            assert receive(again, 5) == b"again"


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("reset", [True, False])
def test_a_cut_comes_after_exactly_so_many_bytes(board, way, reset):
    with Proxy(board.port) as proxy, connect(proxy) as host:
        host.sendall(b"x" * 1000)
        receive(host, 1000)
        before = len(board.received)
        proxy.cut_after(70_001, way, reset=reset)
        with contextlib.suppress(OSError):
            host.sendall(bytes(1_000_000))
        if way == "up":
            assert eventually(lambda: board.endings != [])
            arrived = len(board.received) - before
            assert (
                arrived <= 70_001 if reset else arrived == 70_001
            )  # a reset takes from the board what it has not read yet
            assert proxy.passed("up") == 71_001
        else:
            with contextlib.suppress(ConnectionResetError):
                receive(host, 1_000_000)
            assert proxy.passed("down") == 71_001
        with connect(proxy) as again:
            again.sendall(b"once")
            assert receive(again, 4) == b"once"


def test_a_stall_keeps_connections_open_and_acknowledged(board):
    with Proxy(board.port) as proxy, connect(proxy) as host:
        host.sendall(b"a")
        receive(host, 1)
        proxy.stall()
        host.sendall(b"b" * 1000)
        assert eventually(lambda: unacknowledged(host) == 0)
        with connect(proxy) as newcomer:
            newcomer.sendall(b"c")
            assert select.select([host, newcomer], [], [], 0.3)[0] == []
            assert bytes(board.received) == b"a"
            proxy.resume()
            assert receive(host, 1000) == b"b" * 1000
            assert receive(newcomer, 1) == b"c"


def unacknowledged(end):
    import fcntl
    import struct
    import termios

    return struct.unpack("i", fcntl.ioctl(end, termios.TIOCOUTQ, b"\0" * 4))[0]


def test_a_stall_comes_after_exactly_so_many_bytes(board):
    with Proxy(board.port) as proxy, connect(proxy) as host:
        proxy.stall_after(1234)
        host.sendall(bytes(5000))
        assert eventually(lambda: len(board.received) == 1234)
        time.sleep(0.1)
        assert len(board.received) == 1234
        proxy.resume()
        assert eventually(lambda: len(board.received) == 5000)


def test_a_cut_ends_a_stall_too(board):
    with Proxy(board.port) as proxy, connect(proxy) as host:
        proxy.stall()
        host.sendall(b"x")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            host.recv(1)


@pytest.mark.parametrize("way", ["up", "down"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 199_999))
def test_one_bit_of_one_byte_is_flipped(board, way, place):
    board.received.clear()
    with Proxy(board.port) as proxy, connect(proxy) as host:
        proxy.corrupt_after(place, way)
        thread = threading.Thread(target=host.sendall, args=(bytes(200_000),))
        thread.start()
        back = receive(host, 200_000)
        thread.join()
    expected = bytearray(200_000)
    expected[place] = 1
    assert back == expected
    assert board.received == (expected if way == "up" else bytes(200_000))


def test_new_connections_are_refused_and_old_ones_go_on(board):
    with Proxy(board.port) as proxy, connect(proxy) as host:
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        host.sendall(b"still here")
        assert receive(host, 10) == b"still here"
        proxy.resume()
        with connect(proxy) as again:
            again.sendall(b"x")
            assert receive(again, 1) == b"x"


def test_a_black_hole_answers_nothing_and_old_connections_go_on(board):
    with Proxy(board.port) as proxy, connect(proxy) as host:
        proxy.black_hole()
        with pytest.raises(TimeoutError):
            connect(proxy, timeout_s=0.3)
        host.sendall(b"still here")
        assert receive(host, 10) == b"still here"
        waiting = socket.socket()
        waiting.setblocking(False)
        assert waiting.connect_ex(("127.0.0.1", proxy.port)) == errno.EINPROGRESS
        proxy.resume()
        waiting.settimeout(10)  # the kernel sends the SYN again after a second
        waiting.sendall(b"late") if select.select([], [waiting], [], 10)[1] else pytest.fail("never connected")
        assert receive(waiting, 4) == b"late"
        waiting.close()


def test_a_board_that_refuses_is_seen_as_a_reset():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    # the proxy may find that out before connect() returns: it is a reset then, too
    with Proxy(port) as proxy, pytest.raises(ConnectionResetError), connect(proxy) as host:
        host.recv(1)


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
