"""Meters as a plan asks for them."""

from device_agent import wire


def use(name: str, **settings: object) -> wire.MeterUse:
    return wire.MeterUse(name, tuple((key, str(value)) for key, value in settings.items()))
