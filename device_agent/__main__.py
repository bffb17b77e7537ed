"""The agent's process: guard the wire, say hello, answer requests until the host is gone."""

from __future__ import annotations

import importlib
import os
import signal
import sys

from device_agent import wire
from device_agent.board import machine
from device_agent.channel import Channel, HostGone, Refused
from device_agent.files.layout import AGENT, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def main(root: str) -> None:
    """`root` is the agent's folder on this board (files/layout.py)."""
    wire_fd = os.dup(1)
    os.dup2(2, 1)  # from here on whatever prints, native code included, prints to stderr
    for number in SIGNALS:
        signal.signal(number, _stop)
    channel = Channel(0, wire_fd)
    place = Place(root)
    try:
        channel.send_mark()
        channel.send(wire.Hello(wire.PROTOCOL, os.path.basename(AGENT), machine.describe()))
        place.collect(AGENT)
        if place.beyond_bounds():
            _module("cleaning").bound(place)
        if os.path.exists(os.path.join(root, "tuned.json")):
            _module("tuning").recover(place)
        serve(place, channel)
    except HostGone as gone:
        print(f"edgepress agent: {gone}", file=sys.stderr)


def serve(place: Place, channel: Channel) -> None:
    """Answer requests for ever; HostGone ends it."""
    while True:
        try:
            request = wire.decode(channel.read_line())
            if type(request) not in HANDLERS:
                raise wire.WireError(f"{type(request).__name__} is no request")
            answer = HANDLERS[type(request)](place, channel, request)
        except HostGone:
            raise
        except wire.WireError as error:
            answer = wire.Failure("bad_request", str(error), "")
        except Refused as refused:
            answer = refused.failure()
        except OSError as error:
            answer = _module("files.transfer").explained(error, place).failure()
        except Exception as error:
            import traceback

            traceback.print_exc()
            answer = wire.Failure("internal", f"{type(error).__name__}: {error}", "")
        if answer is not None:
            channel.send(answer)


def _module(name: str) -> Any:
    """Imported when it is first needed: the first answer waits for none of them."""
    return importlib.import_module(f"device_agent.{name}")


def _unpack(place: Place, channel: Channel, request: wire.Unpack) -> Any:
    with place.workspace() as work:
        return _module("files.wheels").unpack(place, work, channel, request)


def _submit(place: Place, _: Channel, request: wire.Submit) -> Any:
    _module("bench.check").check(place, request)
    return _module("jobs.requests").submit(place, request)


def _uninstall(place: Place, channel: Channel, request: wire.Uninstall) -> None:
    channel.send(_module("cleaning").uninstall(place, request))
    if not request.dry_run:
        raise HostGone("there is no agent here any more")


HANDLERS: Dict[type, Callable[[Place, Channel, Any], Any]] = {
    wire.Have: lambda place, _, request: _module("files.transfer").have(place, request),
    wire.Put: lambda place, channel, request: _module("files.transfer").put(place, channel, request),
    wire.Get: lambda place, channel, request: _module("files.transfer").get(place, channel, request),
    wire.Unpack: _unpack,
    wire.Observe: lambda _place, _channel, _: _module("board.conditions").observe(),
    wire.Tune: lambda place, _, request: _module("tuning").tune(place, request),
    wire.Meters: lambda _place, _channel, request: _module("meters").listed(request.uses),
    wire.Submit: _submit,
    wire.Follow: lambda place, channel, request: _module("jobs.requests").follow(place, channel, request),
    wire.Cancel: lambda place, _, request: _module("jobs.requests").cancel(place, request),
    wire.Jobs: lambda place, _channel, _: _module("jobs.requests").listed(place),
    wire.Forget: lambda place, _, request: _module("jobs.requests").forget(place, request),
    wire.Clean: lambda place, _, request: _module("cleaning").clean(place, request),
    wire.Uninstall: _uninstall,
}


def _stop(number: int, _: object) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # a second one must not disturb the cleaning up
    raise HostGone(f"stopped by {signal.Signals(number).name}")
