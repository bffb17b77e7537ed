"""A network plug of Shelly's second generation or later, by its own HTTP interface in the local network.

Rail: the mains plug: the board, its power supply and everything else plugged in there. Setting: host; id (0), of the switch.
Rate: 1 Hz: only for windows of a minute and more. Accuracy: coarse; the maker states none here, so the gain is unknown.
Source: Shelly's Gen2 API, Switch.GetStatus: `apower` in watts.

Why not a package: one documented GET needs none. python-kasa is under the GPL, and aioshelly adds an event loop and an HTTP
client for the same answer.
"""

import json
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException

from device_agent.wire import MeterInfo
from targets.errors import MeterUnavailable
from targets.meters import COARSE, Polled, checked

PERIOD_NS = 1_000_000_000
LIMIT_S = 2.0
ANSWER_BYTES = 1 << 16


def open_meter(settings: Mapping[str, str]) -> Polled:
    checked("shelly", settings, "host", "id")
    host, switch = settings.get("host", ""), settings.get("id", "0")
    if not host or not switch.isdigit() or set(host) & set("/@?#"):
        raise MeterUnavailable(
            "the meter shelly needs `host`, and `id` must be a number",
            hint="Name both in [NAME.meters.shelly] of boards.toml.",
        )
    meter = _Shelly(f"http://{host}/rpc/Switch.GetStatus?id={switch}", settings)
    try:
        meter.read()
    except OSError as error:
        raise MeterUnavailable(
            f"the plug at {host} does not answer: {error}", hint="Is it on, and is it Gen2 or later?"
        ) from error
    return meter


class _Shelly(Polled):
    def __init__(self, url: str, settings: Mapping[str, str]) -> None:
        rail = "a mains plug, with the power supply"
        super().__init__(MeterInfo("shelly", rail, COARSE, PERIOD_NS, accumulates=False, error=""), settings)
        self.url = url
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is in the local network

    def read(self) -> int:
        try:
            with self.opener.open(self.url, timeout=LIMIT_S) as answer:
                status = json.loads(answer.read(ANSWER_BYTES))
            return round(float(status["apower"]) * 1e6)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError, HTTPException) as error:
            raise OSError(f"its answer has no power: {type(error).__name__}") from error
