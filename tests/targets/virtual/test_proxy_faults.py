"""Faults that the proxy makes: cuts, stalls, flipped bits, connections that are refused or go nowhere."""

import contextlib
import errno
import select
import socket
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets.virtual.proxy import Proxy
from tests.support.echo_board import connect, receive
from tests.support.processes import eventually


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
