"""Readings of a meter: 2 W idle, 5 W while a model runs."""

import numpy as np

from device_agent import wire
from device_agent.record import replace

S = 10**9


IDLE = ((0, 10 * S), (21 * S, 31 * S))


RAN = wire.EnergyWindow(runs=1000, start_ns=11 * S, end_ns=20 * S, lead_ns=300_000_000, idle=IDLE, busy=(), sampler=())


NOT_TOLD = {"gain_ppm": None, "offset_uw": None, "delay_ns": 0, "failed": 0, "missed": 0, "reading_ns": 0, "note": ""}


def watts(t_s: float) -> float:
    """2 W idle, 5 W from 10.5 to 20.5 s."""
    return 5.0 if 10.5 <= t_s < 20.5 else 2.0


def trace(period_s: float = 0.01, *, until_s: float = 31.5, **changes) -> wire.PowerTrace:
    t_s = np.arange(period_s / 2, until_s, period_s)
    fields = {
        "meter": "m", "rail": "5 V", "quality": "measured", "period_ns": round(period_s * S), "t_ns": tuple(int(t * S) for t in t_s),
        "power_uw": tuple(round(watts(t) * 1e6) for t in t_s), "energy_uj": (),
    }  # fmt: skip
    return wire.PowerTrace(**{**fields, **NOT_TOLD, **changes})


def counter(period_s: float = 0.1) -> wire.PowerTrace:
    told = trace(period_s)
    t_s = np.array(told.t_ns) / S
    energy = 2 * t_s + 3 * np.clip(t_s - 10.5, 0, 10)
    return replace(told, power_uw=(), energy_uj=tuple(round(e * 1e6) for e in energy))
