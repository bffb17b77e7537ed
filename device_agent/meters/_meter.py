"""What every meter is, and how its settings are read."""

from typing import Dict, Optional, Tuple

MEASURED, COARSE = "measured", "coarse"
COMMON = ("gain_percent",)  # of every meter: the user's own calibration


class Meter:
    """One open meter. read() may block as long as the hardware needs; OSError is a reading that failed."""

    rail = ""  # what it measures
    quality = MEASURED
    gain_ppm: Optional[int] = None  # at most so wrong, of the value; None: its maker does not say
    offset_uw: Optional[int] = None  # and so much besides
    period_ns = 10_000_000
    delay_ns = 0  # at most so long before read() was what it tells of
    accumulates = False  # read() is the energy since some moment in microjoules; else the power in microwatts

    def read(self) -> int:
        raise NotImplementedError

    def close(self) -> None:
        pass


def checked(settings: Dict[str, str], keys: Tuple[str, ...]) -> None:
    """ValueError for a key that this meter does not have."""
    unknown = sorted(set(settings) - {*keys, *COMMON})
    if unknown:
        raise ValueError("it has no setting %s, but %s" % (", ".join(unknown), ", ".join((*keys, *COMMON))))


def number(settings: Dict[str, str], key: str, default: Optional[float] = None) -> float:
    """ValueError where it is no positive number, or is missing and has no default."""
    said = settings.get(key)
    if said is None and default is not None:
        return default
    try:
        value = float(said or "")
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ValueError(
            "%s must be a number above 0%s" % (key, "; it is missing" if said is None else ", not %r" % said)
        )
    return value


def whole(settings: Dict[str, str], key: str, default: int, low: int, high: int) -> int:
    """A whole number, also as 0x40. ValueError outside `low` to `high`."""
    said = settings.get(key, str(default))
    try:
        value = int(said, 0)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ValueError("%s must be %#x to %#x, not %r" % (key, low, high, said))
    return value
