"""A board that a proxy stands in front of: what has come there, and what it sends."""

import contextlib
import socket
import threading


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


def connect(proxy, timeout_s=10.0):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)


def receive(end, size):
    data = bytearray()
    while len(data) < size and (piece := end.recv(size - len(data))):
        data += piece
    return bytes(data)
