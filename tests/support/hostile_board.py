"""A board that lies, floods or says nothing: started in place of the board's python3.

argv: the scenario, the real Python, and what python3 was started with. Either it is a fake from the first byte on (START), from
the hello on (HELLO), or it stands between the host and the real agent and changes what that says (BETWEEN).
"""

import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from device_agent.wire import PROTOCOL

MARK, BOOT = b"--edgepress-agent-1--", b"\n--edgepress-boot-1-- "
ESCAPES = "\x1b]0;pwned\x07\x1b[2J<script>alert(1)</script>\u202elive\r\n|`@root #1 ![x](http://evil/x.png)"
CHUNK = 1 << 16
DRIP_S = 0.05


def write(data):
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]
    except BrokenPipeError:
        os._exit(0)


def record(kind, **fields):
    write(json.dumps({"kind": kind, **fields}).encode() + b"\n")


def for_ever(data, pause_s=0.0):
    while True:
        write(data)
        time.sleep(pause_s)


def errors_for_ever():
    while True:
        os.write(2, b"E" * CHUNK)


def silence():
    """Until nobody is there any more to hear it."""
    poll = select.poll()
    poll.register(1, 0)  # an error: the reader is gone
    poll.poll(3_600_000)
    sys.exit(0)


def ends(code, errors=b""):
    os.write(2, errors)
    sys.exit(code)


# --- before the agent is there

START = {
    "start_exit_0": lambda: ends(0),
    "start_exit_1": lambda: ends(1, ESCAPES.encode()),
    "start_exit_127": lambda: ends(127),
    "start_silence": silence,
    "start_noise": lambda: for_ever(os.urandom(CHUNK)),
    "start_drips": lambda: for_ever(b"x", DRIP_S),
    "start_errors_flood": errors_for_ever,
}


def booted(word=b"HAVE"):
    """What the agent's bootstrap is asked, and its answer."""
    asked = json.loads(sys.stdin.buffer.readline())
    write(BOOT + word + b"\n")
    return asked


def failed(text):
    booted(b"FAIL " + text)
    time.sleep(0.5)
    sys.exit(1)


START |= {
    "boot_word_without_end": lambda: (sys.stdin.buffer.readline(), write(BOOT), for_ever(b"y" * CHUNK)),
    "boot_takes_nothing": lambda: (booted(b"NEED"), silence()),
    "boot_drips": lambda: (booted(), for_ever(b"z", DRIP_S)),
    "boot_silence": lambda: (booted(), silence()),
    "fail_no_json": lambda: failed(b"{"),
    "fail_escapes": lambda: failed(json.dumps({"error": "internal", "message": ESCAPES}).encode()),
    "fail_raw_escapes": lambda: failed(ESCAPES.encode() + b"\xff\xfe"),
    "fail_long_message": lambda: failed(json.dumps({"error": "internal", "message": "A" * 20_000_000}).encode()),
    "fail_without_end": lambda: (sys.stdin.buffer.readline(), write(BOOT + b"FAIL "), for_ever(b"A" * CHUNK)),
}


# --- from the hello on

MACHINE = {
    "model": "Raspberry Pi 5 Model B Rev 1.0", "cpu": "Cortex-A76", "cpu_count": 4, "cpus": [0, 1, 2, 3], "arch": "aarch64", "bits": 64, "kernel": "6.6",
    "os": "Debian 12", "python": "3.11.2", "libc": "glibc", "libc_version": "2.36", "memory_bytes": 8 << 30, "cpu_max_khz": 2_400_000,
    "governor": "ondemand", "release": None, "power_mode": None, "emulator": None, "packages": [],
}  # fmt: skip


def hello(asked, machine=None, **changes):
    fields = {
        "protocol": PROTOCOL,
        "agent_sha256": asked["sha256"],
        "machine": {**MACHINE, **(machine or {})},
        **changes,
    }
    record("Hello", **fields)


def working_for_ever(pause_s):
    while True:
        record("Working")
        time.sleep(pause_s)


def events_for_ever():
    while True:
        record("Event", seq=1, index=0, phase="x", done=0, of=1)


def failures():
    """To whatever is asked."""
    for _ in sys.stdin.buffer:
        record("Failure", error="internal", message=ESCAPES * 20, errno="")
    sys.exit(0)


BEFORE_HELLO = {
    "hello_working": lambda: working_for_ever(0.2),
    "hello_events": events_for_ever,
    "hello_line_without_end": lambda: for_ever(b"1" * CHUNK),
    "hello_line_drips": lambda: for_ever(b"1", DRIP_S),
    "hello_nested": lambda: write(b"[" * 200_000 + b"\n"),
    "hello_nested_long": lambda: write(b"[" * 30_000_000 + b"\n"),
    "hello_nested_objects": lambda: write(b'{"kind":"Hello","a":' * 100_000 + b"\n"),
    "hello_long_integer": lambda: write(b'{"kind":"Hello","protocol":' + b"9" * 4_000_000 + b"}\n"),
    "hello_many_keys": lambda: write(b"{" + b",".join(b'"k%d":0' % each for each in range(2_000_000)) + b"}\n"),
    "hello_long_kind": lambda: record("X" * 20_000_000),
    "hello_not_utf8": lambda: write(b'{"kind":"Hello\xff\xfe"}\n'),
}
"""What comes in place of the hello; then it waits for what the host does."""

HELLOS = {
    "hello_of_another": {"agent_sha256": "0" * 64, "machine": {"model": ESCAPES}},
    "hello_protocol_nan": {"protocol": float("nan")},
    "hello_below_0": {"machine": {"cpu_count": -5, "memory_bytes": -1, "bits": 0, "cpu_max_khz": -1, "libc_version": "9" * 400}},
    "hello_arch": {"machine": {"arch": "../../x --index-url=http://evil", "python": "3." + "9" * 400}},
    "hello_python": {"machine": {"python": "3.11.2; rm -rf /"}},
    "hello_packages": {"machine": {"packages": ["numpy 1"] * 1_000_000}},
    "hello_escapes": {"machine": dict.fromkeys(("model", "cpu", "kernel", "os", "governor", "release", "power_mode"), ESCAPES)},
}  # fmt: skip
"""What is another in it; every request is a failure then."""

AFTER_HELLO = {
    "then_exit": lambda: sys.exit(0),
    "then_silence": silence,
    "then_working": lambda: working_for_ever(0.2),
    "then_working_flood": lambda: working_for_ever(0.0),
    "then_errors_flood": errors_for_ever,
    "then_drips": lambda: for_ever(b"1", DRIP_S),
}

HELLO = [*BEFORE_HELLO, *HELLOS, *AFTER_HELLO]


def greet(scenario):
    asked = booted()
    write(b"\n" + MARK + b"\n")
    if scenario in BEFORE_HELLO:
        BEFORE_HELLO[scenario]()
        failures()
    hello(asked, **HELLOS.get(scenario, {}))
    AFTER_HELLO.get(scenario, failures)()


# --- between the host and the real agent


def with_escapes(value):
    if isinstance(value, str):
        is_number = len(value) in {32, 64} and not value.strip("0123456789abcdef")
        return value if is_number or not value else value + ESCAPES
    if isinstance(value, list):
        return [with_escapes(each) for each in value]
    return {key: with_escapes(each) for key, each in value.items()} if isinstance(value, dict) else value


def every(value, count):
    return [value] * count


def times(side, value):
    side["latency_ns"] = every(value, len(side["latency_ns"]))


def memory(launched, value):
    for step in launched["memory"]:
        step.update((key, value) for key, old in step.items() if isinstance(old, int))
    launched["peak_bytes"] = value


CHANGES = {
    "launch_below_0": ("Launched", lambda it: times(it, -1)),
    "launch_zero": ("Launched", lambda it: times(it, 0)),
    "launch_centuries": ("Launched", lambda it: times(it, 2**62)),
    "launch_nanosecond": ("Launched", lambda it: times(it, 1)),
    "launch_all_the_same": ("Launched", lambda it: times(it, 5000)),
    "launch_no_times": ("Launched", lambda it: it.update(latency_ns=[])),
    "launch_index_below_0": ("Launched", lambda it: it.update(index=-1)),
    "launch_index_not_asked": ("Launched", lambda it: it.update(index=5)),
    "launch_cold_start_below_0": ("Launched", lambda it: it.update(cold_start_ns=-(2**62), import_ns=-5, load_ns=-5)),
    "launch_memory_below_0": ("Launched", lambda it: memory(it, -(2**62))),
    "launch_clock_backwards": ("Launched", lambda it: (it["before"].update(t_ns=0), it["after"].update(t_ns=-(2**62)))),
    "launch_of_another_model": ("Launched", lambda it: it.update(model_sha256="0" * 64)),
    "golden_nan": ("Launched", lambda it: it.update(golden=every(float("nan"), len(it["golden"])))),
    "golden_huge": ("Launched", lambda it: it.update(golden=every(1e308, len(it["golden"])))),
    "pair_below_0": ("Paired", lambda it: times(it["a"], -1)),
    "pair_centuries": ("Paired", lambda it: (times(it["a"], 2**62), times(it["b"], 1))),
    "pair_block_missing": ("Paired", lambda it: it["blocks"].pop()),
    "pair_side_c": ("Paired", lambda it: [block.update(side="C") for block in it["blocks"]]),
    "pair_of_another_model": ("Paired", lambda it: it["a"].update(model_sha256="0" * 64)),
    "pair_all_the_same": ("Paired", lambda it: (times(it["a"], 5000), times(it["b"], 5000))),
    "blob_huge": ("Blob", lambda it: it.update(size_bytes=1 << 30)),
    "blob_below_0": ("Blob", lambda it: it.update(size_bytes=-1)),
    "ready_behind_the_end": ("Ready", lambda it: it.update(offset_bytes=1 << 40)),
    "ready_below_0": ("Ready", lambda it: it.update(offset_bytes=-1)),
}  # fmt: skip
"""The kind of record, and what is changed in each."""


def results_flood(it):
    it["latency_ns"] = [123456] * 100_000
    while True:
        record("Launched", **it)
        it["seq"], it["index"] = it["seq"] + 1, it["index"] + 1


def events_flood(it):
    while True:
        record("Event", **it)
        it["seq"] += 1


def blob_of_zeros(it):
    record("Blob", **{**it, "size_bytes": 1 << 30})
    for_ever(b"\0" * CHUNK)


INSTEAD = {
    "results_flood": ("Launched", results_flood),
    "events_flood": ("Event", events_flood),
    "working_in_a_job": ("Event", lambda _: working_for_ever(0.5)),
    "silence_in_a_job": ("Event", lambda _: silence()),
    "blob_of_zeros": ("Blob", blob_of_zeros),
}
"""The kind of record, and what comes in place of the first one."""

BETWEEN = [*CHANGES, *INSTEAD, "cancel_is_ignored", "escapes", "exit_at:KIND", "silence_at:KIND", "twice:KIND"]


class Between:
    def __init__(self, scenario, python, arguments):
        self.scenario, _, self.kind = scenario.partition(":")
        self.agent = subprocess.Popen([python, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.ignoring = threading.Event()
        threading.Thread(target=self.pass_on_requests, daemon=True).start()

    def pass_on_requests(self):
        while data := os.read(0, CHUNK):
            if self.scenario == "cancel_is_ignored" and b'"Cancel"' in data:
                self.ignoring.set()
                threading.Thread(target=working_for_ever, args=[0.2], daemon=True).start()
                continue
            view = memoryview(data)
            while view:
                view = view[self.agent.stdin.write(view) :]
        self.agent.stdin.close()

    def pass_on_answers(self):
        answers = open(self.agent.stdout.fileno(), "rb", buffering=1 << 20, closefd=False)  # noqa: SIM115
        for line in answers:
            if not line.startswith(b"{"):
                write(line)
                continue
            it = json.loads(line)
            kind = it.pop("kind")
            if self.answered(kind, it):
                continue
            write(line)
            if kind == "Blob":
                self.pass_on_bytes(answers, it["size_bytes"])

    def answered(self, kind, it):
        """Whether something else has been said in its place."""
        if self.ignoring.is_set():
            return True
        if self.kind == kind:
            {"exit_at": lambda: os._exit(0), "silence_at": silence, "twice": lambda: record(kind, **it)}[
                self.scenario
            ]()
        wanted, act = INSTEAD.get(self.scenario, ("", None))
        if kind == wanted:
            act(it)
        wanted, change = CHANGES.get(self.scenario, ("", None))
        if kind == wanted:
            if kind != "Launched" or it["latency_ns"]:
                change(it)
            record(kind, **it)
            return True
        if self.scenario == "escapes" and kind in {"Event", "LaunchFailed", "Failure", "MeterList", "Tuned"}:
            record(kind, **with_escapes(it))
            return True
        return False

    @staticmethod
    def pass_on_bytes(answers, left):
        while left > 0:
            data = answers.read1(min(left, CHUNK))
            write(data)
            left -= len(data)


def main(scenario, python, *arguments):
    if scenario in START:
        START[scenario]()
    elif scenario in HELLO:
        greet(scenario)
    else:
        Between(scenario, python, arguments).pass_on_answers()


if __name__ == "__main__":
    main(*sys.argv[1:])
