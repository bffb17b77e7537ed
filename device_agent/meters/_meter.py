"""The base of all meters, and how their settings are read."""

from typing import Dict, Optional, Tuple

MEASURED, COARSE = "measured", "coarse"
COMMON = ("gain_percent",)  # of every meter: the user's own calibration


class Meter:
    """One open meter. read() may block as long as the hardware needs; OSError: the reading failed."""

    rail = ""  # what it measures
    quality = MEASURED
    gain_ppm: Optional[int] = None  # maximum gain error; None: not specified
    offset_uw: Optional[int] = None  # maximum offset error; None: not specified
    period_ns = 10_000_000
    delay_ns = 0  # a reading shows the power at most this long before read()
    accumulates = False  # read() returns the energy since some moment in microjoules; else the power in microwatts

    def read(self) -> int:
        raise NotImplementedError

    def close(self) -> None:
        pass


def checked(settings: Dict[str, str], keys: Tuple[str, ...]) -> None:
    """ValueError for a key that this meter does not have."""
    unknown = sorted(set(settings) - {*keys, *COMMON})
    if unknown:
        raise ValueError("it has no setting %s, only %s" % (", ".join(unknown), ", ".join((*keys, *COMMON))))


def number(settings: Dict[str, str], key: str, default: Optional[float] = None) -> float:
    """Return a positive number. ValueError if it is not one, or is missing and has no default."""
    text = settings.get(key)
    if text is None and default is not None:
        return default
    try:
        value = float(text or "")
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ValueError(
            "%s must be a number above 0%s" % (key, "; it is missing" if text is None else ", not %r" % text)
        )
    return value


def whole(settings: Dict[str, str], key: str, default: int, low: int, high: int) -> int:
    """Return a whole number, also written as 0x40. ValueError outside `low` to `high`."""
    text = settings.get(key, str(default))
    try:
        value = int(text, 0)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ValueError("%s must be %#x to %#x, not %r" % (key, low, high, text))
    return value
