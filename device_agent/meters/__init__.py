"""Power meters: one file each, one line in METERS.

A meter's docstring states the rail, the rate, the accuracy and the data sheet. Its file has
    AUTO: bool                  whether it can be found without settings
    open_meter(settings)        an open Meter (_meter.py); `settings` is a dict of texts. OSError says why it cannot be read,
                                ValueError which setting is wrong
None of them was tried on its hardware: none was available. The tests read recorded and simulated ones.
"""

import importlib
from typing import Any, Tuple

from device_agent import wire
from device_agent.meters._meter import COARSE, number

METERS = {
    "jetson_ina3221": "device_agent.meters.jetson_ina3221",
    "pi5_pmic": "device_agent.meters.pi5_pmic",
    "ina219": "device_agent.meters.ina219",
    "ina226": "device_agent.meters.ina226",
    "ina228": "device_agent.meters.ina228",
    "ina260": "device_agent.meters.ina260",
    "rapl": "device_agent.meters.rapl",
    "replay": "device_agent.meters.replay",
}


def open_meter(use: wire.MeterUse) -> Any:
    """Return an open Meter that has been read once. OSError: it cannot be read; ValueError: a setting is wrong."""
    if use.name not in METERS:
        raise ValueError("there is no meter %r, only %s" % (use.name, ", ".join(METERS)))
    settings = dict(use.settings)
    meter = importlib.import_module(METERS[use.name]).open_meter(settings)
    if "gain_percent" in settings:
        meter.gain_ppm = round(number(settings, "gain_percent") * 10_000)
    try:
        meter.read()
    except BaseException:
        meter.close()
        raise
    return meter


def listed(uses: Tuple[wire.MeterUse, ...]) -> wire.MeterList:
    """Serve wire.Meters: describe these; for (), those that the board has and that need no settings."""
    wanted = uses or tuple(
        wire.MeterUse(name, ()) for name, path in METERS.items() if importlib.import_module(path).AUTO
    )
    infos = [_info(use) for use in wanted]
    return wire.MeterList(tuple(info for info in infos if uses or not info.error))


def _info(use: wire.MeterUse) -> wire.MeterInfo:
    try:
        meter = open_meter(use)
    except (OSError, ValueError) as error:
        return wire.MeterInfo(use.name, "", COARSE, 0, False, str(error) or type(error).__name__)
    meter.close()
    return wire.MeterInfo(use.name, meter.rail, meter.quality, meter.period_ns, meter.accumulates, "")
