"""The agent's process: guard the wire, say hello, answer requests until the host is gone."""

import os
import signal
import sys
import traceback
from typing import Any, Callable, Dict

from device_agent import bench, conditions, machine, receive, wire
from device_agent.channel import Channel, HostGone, Refused
from device_agent.place import Place

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def main() -> None:
    """argv[1] is the agent's root on this board (place.py)."""
    wire_fd = os.dup(1)
    os.dup2(2, 1)  # from here on whatever prints, native code included, prints to stderr
    for number in SIGNALS:
        signal.signal(number, _stop)
    channel = Channel(0, wire_fd)
    place = Place(sys.argv[1])
    place.collect()
    try:
        with place.workspace() as work:
            channel.send_mark()
            folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
            channel.send(wire.Hello(wire.PROTOCOL, os.path.basename(folder), machine.describe()))
            serve(place, work, channel)
    except HostGone as gone:
        print(f"edgepress agent: {gone}", file=sys.stderr)


def serve(place: Place, work: str, channel: Channel) -> None:
    """Answer requests for ever; HostGone ends it."""
    handlers: Dict[type, Callable[[Any], Any]] = {
        wire.Have: lambda request: receive.have(place, request),
        wire.Put: lambda request: receive.put(place, work, channel, request),
        wire.Get: lambda request: receive.get(place, channel, request),
        wire.Unpack: lambda request: _unpack(place, work, channel, request),
        wire.Observe: lambda _: conditions.observe(),
        wire.Job: lambda request: bench.run(place, work, channel, request),
    }
    while True:
        try:
            request = wire.decode(channel.read_line())
            if type(request) not in handlers:
                raise wire.WireError(f"{type(request).__name__} is no request")
            answer = handlers[type(request)](request)
        except HostGone:
            raise
        except wire.WireError as error:
            answer = wire.Failure("bad_request", str(error))
        except Refused as refused:
            answer = wire.Failure(refused.error, refused.message)
        except Exception as error:
            traceback.print_exc()
            answer = wire.Failure("internal", f"{type(error).__name__}: {error}")
        if answer is not None:
            channel.send(answer)


def _unpack(place: Place, work: str, channel: Channel, request: wire.Unpack) -> wire.Unpacked:
    from device_agent import wheels  # here: zipfile and py_compile would delay the first answer

    return wheels.unpack(place, work, channel, request)


def _stop(number: int, _: object) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # a second one must not disturb the cleaning up
    raise HostGone(f"stopped by {signal.Signals(number).name}")
