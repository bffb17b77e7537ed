"""Rules about the state of the board: heat, supply, clocks, and settings that changed during the measurement."""

from collections.abc import Callable, Iterator
from statistics import mean

from device_agent.wire import Conditions, Launched
from pipeline import units
from pipeline.measure.validity.evidence import Observed
from pipeline.records import Doubt

# Bits of `vcgencmd get_throttled`, Raspberry Pi documentation: 0 under-voltage, 1 frequency capped, 2 throttled,
# 3 soft temperature limit; 16 to 19 the same "has occurred since boot".
UNDERVOLTAGE_NOW, THROTTLED_NOW = 0x1, 0xE
SINCE_BOOT_SHIFT = 16
SUPPLY_LOW_MV = 4630  # where a Raspberry Pi's own detector warns (its documentation of power supplies)
SIDES_DIFFER_RATIO = 0.005  # mean clocks of A and B: a sixth of a limit of 3 %
BELOW_PINNED_RATIO = 0.02
DRIFT_RATIO = 0.02
# both clocks are slewed alike, so their distance only changes in steps; reading it is sure to 1 ms
STEP_NS = 10_000_000


def throttled(observed: Observed) -> Doubt | None:
    def bad(before: Conditions, after: Conditions) -> bool:
        hot = bool(before.cooling_states or after.cooling_states)
        return hot or _flagged(before, after, THROTTLED_NOW) or (_grown(before, after, "throttle_count") or 0) > 0

    hit = [launch for launch in observed.launches if bad(launch.before, launch.after)]
    return _invalid(
        "throttled",
        hit and f"the board slowed itself down in {_of(hit, observed)}{_flags(hit)}",
        "Cool the board (a fan, a heat sink, a lower room temperature), then measure again.",
    )


def undervoltage(observed: Observed) -> Doubt | None:
    def bad(before: Conditions, after: Conditions) -> bool:
        low = any(one.undervoltage or (one.supply_mv or SUPPLY_LOW_MV) < SUPPLY_LOW_MV for one in (before, after))
        return low or _flagged(before, after, UNDERVOLTAGE_NOW)

    hit = [launch for launch in observed.launches if bad(launch.before, launch.after)]
    supplies = [one.supply_mv for launch in hit for one in (launch.before, launch.after) if one.supply_mv]
    lowest = f", {min(supplies) / 1000:.2f} V at the lowest" if supplies else ""
    return _invalid(
        "under-voltage",
        hit and f"the supply was too weak in {_of(hit, observed)}{_flags(hit)}{lowest}",
        "Use a supply and a cable that hold 5 V under load, then measure again.",
    )


def governor(observed: Observed) -> Doubt | None:
    changed = _changed(observed, lambda one: one.governor)
    return _invalid(
        "governor changed",
        changed and f"the CPU frequency governor changed while measuring: {changed}",
        "Set one governor (`edgepress boards tune`) and keep whatever changes it from running, then measure again.",
    )


def clock_limits(observed: Observed) -> Doubt | None:
    """Doubt clock limits that changed, as jetson_clocks sets them, or a driver that cools by them. The GPU's only where it runs the model."""

    def limits(one: Conditions) -> Iterator[tuple[str, int | None, int | None]]:
        yield from ((f"CPU {core.cpu}", core.min_khz, core.max_khz) for core in one.cores)
        if observed.uses_gpu:
            yield "the GPU", one.gpu_min_khz, one.gpu_max_khz

    told: dict[str, set[tuple[int, int]]] = {}
    for name, low, high in (each for window in observed.windows for one in window for each in limits(one)):
        if low is not None and high is not None:
            told.setdefault(name, set()).add((low, high))
    changed = [
        f"{name}: {', '.join(sorted(f'{units.frequency(low)} to {units.frequency(high)}' for low, high in pairs))}"
        for name, pairs in told.items()
        if len(pairs) > 1
    ]
    return _invalid(
        "clock limits changed",
        changed and f"the limits of a clock changed while measuring: {changed[0]}",
        "Run jetson_clocks, or whatever sets them, before it is measured; then measure again.",
    )


def power_mode(observed: Observed) -> Doubt | None:
    changed = _changed(observed, lambda one: one.power_mode)
    return _invalid(
        "power mode changed",
        changed and f"the board's power mode changed while measuring: {changed}",
        "Set one power mode (nvpmodel), then measure again.",
    )


def clock_stepped(observed: Observed) -> Doubt | None:
    steps_ns = [after.wall_offset_ns - before.wall_offset_ns for before, after in observed.windows]
    hit = [step for step in steps_ns if abs(step) > STEP_NS]
    return _invalid(
        "clock stepped",
        hit and f"the board's clock was set, or the board slept: by {units.seconds(abs(max(hit, key=abs)) / 1e9)}",
        "Let the board set its clock (timedatectl) and keep it awake, then measure again.",
    )


def clocks_differ(observed: Observed) -> Doubt | None:
    """Doubt pairs whose sides ran at other clocks, in the mean of what was seen after each block."""
    for what, name in _clocks(observed):
        a, b = (
            [
                khz
                for pair in observed.pairs
                for block in pair.blocks
                if block.side == side and (khz := getattr(block, name) or 0) > 0
            ]
            for side in "AB"
        )
        if a and b and abs(mean(b) / mean(a) - 1) > SIDES_DIFFER_RATIO:
            clocks = f"{units.frequency(round(mean(a)))} in the mean, with the candidate at {units.frequency(round(mean(b)))}"
            return _invalid(
                "clocks differ",
                f"the {what} ran at {clocks}",
                "Fix the clocks (`edgepress boards tune`), then measure again.",
            )
    return None


def _clocks(observed: Observed) -> list[tuple[str, str]]:
    """Those that the model runs at: what they are, and their field in wire.Block and wire.Conditions."""
    return [("CPU", "cpu_khz"), *([("GPU", "gpu_khz")] if observed.uses_gpu else [])]


def below_pinned(observed: Observed) -> Doubt | None:
    """Doubt a core that ran below the clock to which it was fixed when the launch began."""
    slowest = min(_parts_of_pinned(observed), default=1.0)
    if slowest >= 1 - BELOW_PINNED_RATIO:
        return None
    return _invalid(
        "below its clock",
        f"a core{' or the GPU' if observed.uses_gpu else ''} ran at {units.percent(slowest)} of the clock that it was fixed to",
        "Cool the board and look at its supply: something slowed it down; then measure again.",
    )


def _parts_of_pinned(observed: Observed) -> Iterator[float]:
    """Yield each clock that was seen, relative to the fixed one."""
    for launch in observed.launches:
        used = [core for core in launch.before.cores if not launch.cpus or core.cpu in launch.cpus]
        pinned = {core.cpu: core.max_khz for core in used if core.max_khz and core.max_khz == core.min_khz}
        for core in (*launch.before.cores, *launch.after.cores):
            fixed_khz = pinned.get(core.cpu)
            if fixed_khz and core.khz:
                yield core.khz / fixed_khz
    for pair in observed.pairs:
        used = [core for core in pair.a.before.cores if not pair.a.cpus or core.cpu in pair.a.cpus]
        fixed = [core.max_khz for core in used if core.max_khz and core.max_khz == core.min_khz]
        if fixed and len(fixed) == len(used):
            yield from (block.cpu_khz / min(fixed) for block in pair.blocks if block.cpu_khz)
    if observed.uses_gpu:
        yield from _parts_of_pinned_gpu(observed)


def _parts_of_pinned_gpu(observed: Observed) -> Iterator[float]:
    """Yield the GPU's clock after the launches and the blocks: before a launch it may rest."""
    seen = [(launch.before, launch.after.gpu_khz) for launch in observed.launches]
    seen += [(pair.a.before, block.gpu_khz) for pair in observed.pairs for block in pair.blocks]
    for before, khz in seen:
        if khz and before.gpu_max_khz and before.gpu_max_khz == before.gpu_min_khz:
            yield khz / before.gpu_max_khz


def clock_drifts(observed: Observed) -> Doubt | None:
    """Only for files measured alone: within a pair, drift affects both sides equally."""
    for what, name in _clocks(observed):
        clocks = [khz for window in observed.windows for one in window if (khz := getattr(one, name))]
        if not observed.pairs and clocks and max(clocks) - min(clocks) > DRIFT_RATIO * max(clocks):
            return Doubt(
                what="clock drifts",
                evidence=f"the {what} ran at {units.frequency(min(clocks))} to {units.frequency(max(clocks))} between launches",
                remedy="Fix the clocks (`edgepress boards tune`), then measure again.",
            )
    return None


def warmed_up(observed: Observed) -> Doubt | None:
    hit = [launch for launch in observed.launches if launch.in_band is False]
    if not hit:
        return None
    temperatures = [launch.before.temperature_mc for launch in hit if launch.before.temperature_mc is not None]
    highest = units.temperature(max(temperatures) / 1000) if temperatures else units.UNKNOWN
    return Doubt(
        what="warmed up",
        evidence=f"the board did not cool down in time before {_of(hit, observed)}; the warmest began at {highest}",
        remedy="Cool the board, or raise [measure] cool_seconds or temperature_band_c, then measure again.",
    )


def swapped(observed: Observed) -> Doubt | None:
    """Doubt pages that were read from swap, by any program; or, in half of the timed parts, by the model itself, from its file, too."""
    pages = sum(max(0, _grown(before, after, "swapped_in_pages") or 0) for before, after in observed.windows)
    timed = [block for pair in observed.pairs for block in pair.blocks] or observed.launches
    faulted = sum(part.major_faults > 0 for part in timed)
    told = f"the board read {pages} pages back from its swap while measuring" if pages else ""
    if not told and faulted * 2 >= len(timed) > 0:
        of = units.counted(len(timed), "block" if observed.pairs else "launch")
        told = f"the model's pages were read from the disk again in {faulted} of {of}"
    return _invalid(
        "swapped",
        told,
        "Stop other programs or switch the swap off (swapoff), so that the model's memory stays in place; then measure again.",
    )


def _flagged(before: Conditions, after: Conditions, bits: int) -> bool:
    """Return whether one of the bits is set now, or was newly set since boot."""
    old, new = before.throttle_flags, after.throttle_flags
    newly = (new & ~old) >> SINCE_BOOT_SHIFT if old is not None and new is not None else 0
    return bool(((old or 0) | (new or 0) | newly) & bits)


def _grown(before: Conditions, after: Conditions, name: str) -> int | None:
    old, new = getattr(before, name), getattr(after, name)
    return None if old is None or new is None else int(new - old)


def _changed(observed: Observed, value: Callable[[Conditions], str | None]) -> str:
    """Return the different values, joined; "" for one or none."""
    values = sorted({value(one) or "" for window in observed.windows for one in window} - {""})
    return ", ".join(values) if len(values) > 1 else ""


def _flags(hit: list[Launched]) -> str:
    flags = max(launch.after.throttle_flags or 0 for launch in hit)
    return f" (flags {flags:#x})" if flags else ""


def _of(hit: list[Launched], observed: Observed) -> str:
    return f"{len(hit)} of {units.counted(len(observed.launches), 'launch')}"


def _invalid(what: str, evidence: object, remedy: str) -> Doubt | None:
    """Return an invalid doubt; None without evidence."""
    return Doubt(what=what, evidence=str(evidence), remedy=remedy, invalid=True) if evidence else None
