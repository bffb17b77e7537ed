"""A board that says what a test has written down, and keeps what it was asked: for what a session makes of an answer, and when."""

import json
from collections import defaultdict

from device_agent import wire as w
from targets import bundle
from targets.conversation import BOOT_MARK
from targets.errors import ConnectionLost
from tests.support.hostile_board import MACHINE

HELLO = {**MACHINE, "cpus": tuple(MACHINE["cpus"]), "packages": ()}


class ScriptedBoard:
    """A Link and its Channel in one. `answers[kind]`: of the first request of this kind, of the second, and so on; the last one again
    and again. An answer is a record, bytes, CUT, or a list of these, or what makes one of the request.
    """

    address = "the board of this test"

    def __init__(self):
        self.answers = defaultdict(list)
        self.heard = []  # requests, of all connections
        self.uploaded = b""
        self.starts = self.closes = 0

    # --- a Link

    def start(self, argv):
        self.starts += 1
        self._in, self._out, self._is_cut, self._uploading = b"", b"", False, 0
        self._booted = False
        return self

    def close(self):
        self.closes += 1

    # --- a Channel

    def send(self, data, timeout_s):
        if self._is_cut:
            raise ConnectionLost("the link was cut", hint="")
        self._in += bytes(data)
        while self._take():
            pass
        return len(data)

    def receive(self, limit_bytes, timeout_s):
        if self._out:
            some, self._out = self._out[:limit_bytes], self._out[limit_bytes:]
            return some
        if self._is_cut:
            raise ConnectionLost("the link was cut", hint="")
        raise TimeoutError

    def errors(self):
        return ""

    def finish(self, timeout_s):
        return 0

    # --- the script

    def _take(self):
        """One frame or line of what was sent; whether there was one."""
        if self._uploading:
            return self._take_frame()
        line, end, rest = self._in.partition(b"\n")
        if not end:
            return False
        self._in = rest
        if self._booted:
            self._answer(w.decode(line))
        else:
            self._booted = True
            self.asked = json.loads(line)
            self._out += b"\n" + BOOT_MARK + b" HAVE\n" + w.MARK + b"\n"
            self._say(w.Hello(w.PROTOCOL, bundle.bundle()[1], w.Machine(**HELLO)))
        return True

    def _take_frame(self):
        head = w.FRAME.size
        if len(self._in) <= head:
            return False
        coding, coded, whole = w.FRAME.unpack(self._in[:head])
        assert (coding, coded) == (w.RAW, whole)  # what a test sends is too random to be deflated
        self.uploaded += self._in[head : head + whole]
        self._in, self._uploading = self._in[head + whole :], self._uploading - whole
        if not self._uploading:
            self._say(self.answers["Stored"][0])
        return True

    def _answer(self, request):
        self.heard.append(request)
        script = self.answers[type(request).__name__]
        assert script, f"nobody has said what to answer to {request}"
        self._say(script.pop(0) if len(script) > 1 else script[0], request)

    def _say(self, answer, request=None):
        if answer is CUT:
            self._is_cut = True
        elif isinstance(answer, list):
            for each in answer:
                self._say(each, request)
        elif callable(answer):
            self._say(answer(request), request)
        else:
            if isinstance(answer, w.Ready):
                self._uploading = request.size_bytes
            self._out += answer if isinstance(answer, bytes) else w.encode(answer)


CUT = object()
ADDRESS = ScriptedBoard.address
BUSY = w.Failure("busy", "somebody else", "")


def event(seq, index=0, phase="timed"):
    return w.Event(seq, index, phase, 1, 2)


def failed(seq, index, error="KeyError"):
    return w.LaunchFailed(seq, index, "load", error, "what it said")


def ended(job, state=w.FINISHED):
    return w.Ended(0, job.job_id, state, "" if state == w.FINISHED else "why")
