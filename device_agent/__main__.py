"""The agent's process: guard the wire, say hello, answer requests until the host disconnects."""

from __future__ import annotations

import importlib
import os
import signal
import sys

from device_agent import wire
from device_agent.board import machine
from device_agent.channel import Channel, HostGone, Refused
from device_agent.files.layout import AGENT, Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def main(root: str) -> None:
    """Run the agent. `root` is its folder on this board (files/layout.py)."""
    wire_fd = os.dup(1)
    os.dup2(2, 1)  # from here on everything that prints, native code included, prints to stderr
    for number in SIGNALS:
        signal.signal(number, _stop)
    channel = Channel(0, wire_fd)
    layout = Layout(root)
    try:
        channel.send_mark()
        channel.send(wire.Hello(wire.PROTOCOL, os.path.basename(AGENT), machine.describe()))
        layout.collect(AGENT)
        if layout.beyond_bounds():
            _module("cleaning").bound(layout)
        if os.path.exists(os.path.join(root, "tuned.json")):
            _module("tuning").recover(layout)
        serve(layout, channel)
    except HostGone as gone:
        print(f"edgepress agent: {gone}", file=sys.stderr)


def serve(layout: Layout, channel: Channel) -> None:
    """Answer requests until HostGone."""
    while True:
        try:
            request = wire.decode(channel.read_line())
            if type(request) not in HANDLERS:
                raise wire.WireError(f"{type(request).__name__} is not a request")
            answer = HANDLERS[type(request)](layout, channel, request)
        except HostGone:
            raise
        except wire.WireError as error:
            answer = wire.Failure("bad_request", str(error), "")
        except Refused as refused:
            answer = refused.failure()
        except OSError as error:
            answer = _module("files.transfer").explained(error, layout).failure()
        except Exception as error:
            import traceback

            traceback.print_exc()
            answer = wire.Failure("internal", f"{type(error).__name__}: {error}", "")
        if answer is not None:
            channel.send(answer)


def _module(name: str) -> Any:
    """Import a module when it is first needed, so that the first answer does not wait for it."""
    return importlib.import_module(f"device_agent.{name}")


def _unpack(layout: Layout, channel: Channel, request: wire.Unpack) -> Any:
    with layout.workspace() as work:
        return _module("files.wheels").unpack(layout, work, channel, request)


def _submit(layout: Layout, _: Channel, request: wire.Submit) -> Any:
    _module("bench.check").check(layout, request)
    return _module("jobs.requests").submit(layout, request)


def _uninstall(layout: Layout, channel: Channel, request: wire.Uninstall) -> None:
    channel.send(_module("cleaning").uninstall(layout, request))
    if not request.dry_run:
        raise HostGone("the agent was uninstalled")


HANDLERS: Dict[type, Callable[[Layout, Channel, Any], Any]] = {
    wire.Have: lambda layout, _, request: _module("files.transfer").have(layout, request),
    wire.Put: lambda layout, channel, request: _module("files.transfer").put(layout, channel, request),
    wire.Get: lambda layout, channel, request: _module("files.transfer").get(layout, channel, request),
    wire.Unpack: _unpack,
    wire.Observe: lambda _layout, _channel, _: _module("board.conditions").observe(),
    wire.Tune: lambda layout, _, request: _module("tuning").tune(layout, request),
    wire.Meters: lambda _layout, _channel, request: _module("meters").listed(request.uses),
    wire.Submit: _submit,
    wire.Follow: lambda layout, channel, request: _module("jobs.requests").follow(layout, channel, request),
    wire.Cancel: lambda layout, _, request: _module("jobs.requests").cancel(layout, request),
    wire.Jobs: lambda layout, _channel, _: _module("jobs.requests").listed(layout),
    wire.Forget: lambda layout, _, request: _module("jobs.requests").forget(layout, request),
    wire.Clean: lambda layout, _, request: _module("cleaning").clean(layout, request),
    wire.Uninstall: _uninstall,
}


def _stop(number: int, _: object) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # a second one must not interrupt the cleanup
    raise HostGone(f"stopped by {signal.Signals(number).name}")
