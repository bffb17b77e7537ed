"""The only place where a number becomes text for people."""

UNKNOWN = "-"
TO = "\u2013"  # an en dash
ROUNDS_UP = 0.9995  # from here on three digits would read 1000 of the smaller unit


def seconds(value: float | None) -> str:
    """0.0000123 -> '12.3 µs'."""
    if not value:
        return UNKNOWN if value is None else "0 s"
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(value) >= factor * ROUNDS_UP:
            return f"{_three_digits(value / factor)} {unit}"
    return f"{_three_digits(value / 1e-9)} ns"


def duration(value_s: float) -> str:
    """Return the duration of a limit: 90 -> '90 s', 3600 -> '60 minutes', 86400 -> '24 hours'."""
    for factor, unit in ((3600.0, "hour"), (60.0, "minute")):
        if value_s >= 2 * factor:
            return f"{value_s / factor:.4g} {unit}s"
    return f"{value_s:.3g} s"


def size(value_bytes: float | None) -> str:
    """4404019 -> '4.20 MiB'."""
    if value_bytes is None:
        return UNKNOWN
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if abs(value_bytes) >= factor:
            return f"{_three_digits(value_bytes / factor)} {unit}"
    return f"{value_bytes:.0f} B"


def size_change(value_bytes: float | None) -> str:
    """Return a difference: 131072 -> '+128 KiB'."""
    return UNKNOWN if value_bytes is None else f"{'-' if value_bytes < 0 else '+'}{size(abs(value_bytes))}"


def interval(low_s: float | None, high_s: float | None) -> str:
    """Return both ends in the unit of the larger: (0.00120, 0.00125) -> '1.20 to 1.25 ms' with a dash."""
    if low_s is None or high_s is None:
        return UNKNOWN
    high, unit = seconds(high_s).rsplit(" ", 1)
    factor = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    return f"{_three_digits(low_s / factor)}{TO}{high} {unit}"


def energy(value_j: float | None) -> str:
    """0.31 -> '310 mJ'."""
    if not value_j:
        return UNKNOWN if value_j is None else "0 J"
    for factor, unit in ((1.0, "J"), (1e-3, "mJ")):
        if abs(value_j) >= factor * ROUNDS_UP:
            return f"{_three_digits(value_j / factor)} {unit}"
    return f"{_three_digits(value_j / 1e-6)} µJ"


def energy_within(value_j: float | None, half_width_j: float | None) -> str:
    """Return both in the unit of the value: (0.31, 0.012) -> '310 ± 12.0 mJ'."""
    if value_j is None or half_width_j is None:
        return energy(value_j)
    number, unit = energy(value_j).rsplit(" ", 1)
    factor = {"J": 1.0, "mJ": 1e-3, "µJ": 1e-6}[unit]
    return f"{number} ± {_three_digits(half_width_j / factor)} {unit}"


def power(value_w: float | None) -> str:
    """3.217 -> '3.22 W'."""
    if not value_w:
        return UNKNOWN if value_w is None else "0 W"
    return f"{_three_digits(value_w)} W" if abs(value_w) >= ROUNDS_UP else f"{_three_digits(value_w * 1e3)} mW"


def percent(ratio: float | None) -> str:
    """0.9022 -> '90.22 %'. Few is not none and nearly all is not all: 0.00001 -> '<0.01 %'."""
    if ratio is None:
        return UNKNOWN
    if 0 < ratio < 0.00005:
        return "<0.01 %"
    return ">99.99 %" if 0.99995 <= ratio < 1 else f"{ratio * 100:.2f} %"


def level(ratio: float) -> str:
    """Return the level of an interval or of a test: 0.98 -> '98 %'."""
    return f"{ratio * 100:.3g} %"


def percent_change(ratio: float | None) -> str:
    """Return a relative change: 0.031 -> '+3.10 %'."""
    return UNKNOWN if ratio is None else f"{ratio * 100:+.2f} %"


def points(value: float | None) -> str:
    """Return a difference of two percentages: 0.05 -> '+0.05'."""
    return UNKNOWN if value is None else f"{round(value, 2) + 0.0:+.2f}"  # + 0.0: no "-0.00"


def in_points(value: float | None) -> str:
    """0.43 -> '0.43 points'."""
    return UNKNOWN if value is None else f"{value:.2f} points"


def metric(value: float | None) -> str:
    """Return the value of a task's metric, or how much worse it is: 0.98765 -> '0.9877'."""
    return UNKNOWN if value is None else f"{value:.4g}"


def metric_change(value: float | None) -> str:
    """Return how much worse a task's metric is: 0.0123 -> '+0.0123'."""
    return UNKNOWN if value is None else f"{value + 0.0:+.3g}"


def accuracy_lost(drop_points: float) -> str:
    """0.43 -> 'loses 0.43 points of accuracy'; a drop below zero is a gain."""
    return f"{'loses' if drop_points >= 0 else 'gains'} {abs(drop_points):.2f} points of accuracy"


def faster(time_ratio: float | None) -> str:
    """Candidate / baseline in time: 0.281 -> '3.56x faster', 1.14 -> '1.14x slower', 1.0001 -> 'as fast'."""
    return _ratio(time_ratio, "faster", "slower", "as fast")


def faster_interval(low: float | None, high: float | None) -> str:
    """Both ends of such a ratio: (0.27, 0.29) -> '3.45x to 3.70x faster', (0.95, 1.2) -> '1.20x slower to 1.053x faster'."""
    if not low or not high:
        return UNKNOWN
    if low <= 1 <= high and low != high:
        return f"{_times(high)} slower to {_times(1 / low)} faster"
    first, last = sorted((low, high) if low >= 1 else (1 / low, 1 / high))
    ends = (_times(first), _times(last))
    if ends[0] == ends[1]:  # a digit more
        ends = (f"{first:#.4g}x", f"{last:#.4g}x")
    return f"{' to '.join(dict.fromkeys(ends))} {'slower' if low >= 1 else 'faster'}"


def smaller(size_ratio: float | None) -> str:
    """Candidate / baseline in bytes: 0.25 -> '4.00x smaller', 1.2 -> '1.20x larger', 1 -> 'the same size'."""
    return _ratio(size_ratio, "smaller", "larger", "the same size")


def _ratio(ratio: float | None, less: str, more: str, same: str) -> str:
    """The only way in which a ratio is said: never below 1, with a word that says in which direction."""
    if not ratio:
        return UNKNOWN
    text = _times(max(ratio, 1 / ratio))
    return same if text == "1.000x" else f"{text} {more if ratio > 1 else less}"


def _times(value: float) -> str:
    """A digit more near 1, where limits are: 1.004 -> '1.004x', 1.42 -> '1.42x', 13.04 -> '13.0x'."""
    return f"{value:.3f}x" if value < 1.0995 else f"{_three_digits(value)}x"


def number(value: float | None, unit: str = "") -> str:
    """A number of no unit that has a function here: (0.01234, '') -> '0.0123'."""
    return UNKNOWN if value is None else f"{value:.3g} {unit}".rstrip()


def error(rms: float | None, spread: float | None) -> str:
    """A root mean square error, in the unit of the output, with the spread of the answers: '0.0123 (rms), 1.20 % of their spread'."""
    if rms is None:
        return UNKNOWN
    return f"{number(rms)} (rms)" + (f", {percent(rms / spread)} of the answers' spread" if spread else "")


def decibels(value: float | None) -> str:
    """Return a ratio of powers: 31.42 -> '31.4 dB'."""
    return UNKNOWN if value is None else f"{value + 0.0:.1f} dB"


def rate(value_per_s: float | None) -> str:
    """Return a number per second: 2381.4 -> '2,381', 12.34 -> '12.3'."""
    if value_per_s is None:
        return UNKNOWN
    return f"{value_per_s:,.0f}" if value_per_s >= 99.95 else _three_digits(value_per_s)


def count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def counted(value: int | None, thing: str) -> str:
    """(1, 'row') -> '1 row', (2000, 'row') -> '2,000 rows', (2, 'launch') -> '2 launches'."""
    many = "es" if thing.endswith(("s", "x", "ch", "sh")) else "s"
    return f"{count(value)} {thing}{'' if value == 1 else many}"


def shape(axes: tuple[int | None, ...] | None) -> str:
    """Return the shape of a tensor: (None, 28, 28) -> '(any, 28, 28)', () -> '()', None -> 'any shape'."""
    if axes is None:
        return "any shape"
    sizes = ["any" if size is None else str(size) for size in axes]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def temperature(value_c: float | None) -> str:
    return UNKNOWN if value_c is None else f"{value_c:.1f} °C"


def frequency(value_khz: int | None) -> str:
    return UNKNOWN if value_khz is None else f"{value_khz / 1000:.0f} MHz"


def flags(value: int | None) -> str:
    """Bits, as the board's manual writes them: 0x50005."""
    return UNKNOWN if value is None else f"{value:#x}"


def _three_digits(value: float) -> str:
    if abs(value) >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"
