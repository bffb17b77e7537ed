"""The records that a job may still send, and when: each result once and in order, and bounded events and bytes."""

import time

from device_agent import wire
from targets import deadlines
from targets.errors import NotTheAgent

JobRecord = wire.Event | wire.Launched | wire.Paired | wire.LaunchFailed

# To import a runtime and load a model on a slow board; afterwards a launch reports its progress every 0.5 s.
QUIET_S = 300.0
SLACK_S = 120.0  # for one launch: its process, and a sync of a full SD card
# Without a record, for a job that another run has submitted: its launches may idle for long.
UNKNOWN_S = 3600.0
# For one launch: device_agent.bench.messages.REPORT_NS allows two a second for each side of a pair, and cooling sends one a second.
EVENTS, EVENTS_PER_S = 1000, 8
UNKNOWN_EVENTS = 1_000_000
LINE_BYTES = 4 << 20  # one result without its times
TIME_BYTES = 24  # one time in a line


class ExpectedRecords:
    """Checks the records of one job as they arrive."""

    def __init__(self, address: str, request: wire.Submit | None, count: int | None = None) -> None:
        """`request`: None if another run submitted the job, with `count` launches and pairs."""
        self._address = address
        self._items: tuple[wire.Launch | wire.Pair, ...] | None = (
            None if request is None else (*request.launches, *request.pairs)
        )
        self._count = count if self._items is None else len(self._items)
        self._cool_s = 0.0 if request is None else request.cool_ns / 1e9
        self._longest_line = (
            wire.MAX_LINE_BYTES if self._items is None else max(map(_line_bytes, self._items), default=LINE_BYTES)
        )
        self.results = self._events = 0
        self._phase = "started"
        self._began = time.monotonic()  # when the running launch began

    def doing(self) -> str:
        of = "" if self._count is None else f" of {self._count}"
        if self.results == self._count:
            return "end the job"
        return f"answer launch {self.results + 1}{of} of the job ({self._phase})"

    def left_s(self) -> float:
        """Return the time left for the next record: both the gap between records and the time from result to result are bounded."""
        if self._items is None:
            return UNKNOWN_S
        if self.results == len(self._items):
            return deadlines.ANSWER_S
        item = self._items[self.results]
        return min(QUIET_S + _silent_s(item), self._began + self._most_s(item) - time.monotonic())

    def _most_s(self, item: wire.Launch | wire.Pair) -> float:
        return _timeout_s(item) + self._cool_s + SLACK_S

    @property
    def line_bytes(self) -> int:
        return min(self._longest_line, wire.MAX_LINE_BYTES)

    def check(self, record: JobRecord) -> None:
        """NotTheAgent for a record that this job cannot send now."""
        if record.index != self.results or (self._count is not None and record.index >= self._count):
            raise self._wrong(f"a record of launch {record.index + 1} where launch {self.results + 1} runs")
        if isinstance(record, wire.Event):
            self._events += 1
            self._phase = record.phase[:20]
            if self._events > self._most_events():
                raise self._wrong(f"more than {self._events - 1} events of one launch")
            return
        if self._items is not None and not isinstance(record, wire.LaunchFailed):
            wanted = wire.Paired if isinstance(self._items[record.index], wire.Pair) else wire.Launched
            if not isinstance(record, wanted):
                raise self._wrong(
                    f"{type(record).__name__} for launch {record.index + 1}, which should be {wanted.__name__}"
                )
        self.results, self._events, self._phase, self._began = self.results + 1, 0, "started", time.monotonic()

    def check_end(self, ended: wire.Ended) -> None:
        if ended.state == wire.RUNNING:
            raise self._wrong("the end of a job that is still running")
        if ended.state == wire.FINISHED and self._count is not None and self.results != self._count:
            raise self._wrong(f"the end of a job with {self.results} of {self._count} results")

    def _most_events(self) -> float:
        if self._items is None:
            return UNKNOWN_EVENTS
        return EVENTS + EVENTS_PER_S * self._most_s(self._items[self.results])

    def _wrong(self, what: str) -> NotTheAgent:
        return NotTheAgent(
            f"{self._address} sent {what}",
            hint="Run again; if it happens twice, remove the board's edgepress folder and run again.",
        )


def _sides(item: wire.Launch | wire.Pair) -> tuple[wire.Launch, ...]:
    return (item.a, item.b) if isinstance(item, wire.Pair) else (item,)


def _timeout_s(item: wire.Launch | wire.Pair) -> float:
    return sum(side.timeout_ns for side in _sides(item)) / 1e9


def _silent_s(item: wire.Launch | wire.Pair) -> float:
    """Return how long it may be silent: while it idles or runs for the meters, it sends nothing."""
    return sum(side.idle_ns + side.pattern_ns + side.timed_min_ns for side in _sides(item)) / 1e9


def _line_bytes(item: wire.Launch | wire.Pair) -> int:
    sides = _sides(item)
    if any(side.meters or side.mode == "profile" for side in sides):  # readings, or the operators of any model
        return wire.MAX_LINE_BYTES
    lists = 3 if any(side.mode == "end_to_end" for side in sides) else 1  # that and two of its parts
    return LINE_BYTES + lists * TIME_BYTES * sum(side.timed_max_runs for side in sides)
