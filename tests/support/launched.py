"""What launches on a calm board tell: nothing can be doubted of them, and a test changes what it is about."""

from device_agent.record import replace
from device_agent.wire import Block, Conditions, Core, Launched, MemoryStep, Paired
from pipeline.measure.summary import summarise
from pipeline.measure.validity import doubts_of, doubts_of_pairs

CALM = Conditions(
    t_ns=0, wall_offset_ns=0, temperature_mc=45000, cpu_khz=2400000, cores=(), gpu_khz=None, gpu_min_khz=None, gpu_max_khz=None, governor="performance", power_mode=None,
    throttle_flags=0, throttle_count=None, cooling_states=0, undervoltage=False, supply_mv=5100, load_average_milli=100,
    cpu_pressure_centi=0, cpu_stalled_us=0, memory_stalled_us=0, io_stalled_us=0, swapped_in_pages=0, busy_us=0, steal_us=0,
    own_us=0, busiest="", busiest_us=0, available_bytes=1 << 30,
)  # fmt: skip


LATER = replace(CALM, t_ns=10**9)


CLEAN = Launched(
    seq=1, index=0, runtime_version="1", delegates=(), model_sha256="a" * 64, inputs_sha256=(), in_band=True, cold_start_ns=3, import_ns=1, load_ns=1, first_ns=1, warmup_ns=(100_000,), steady=True,
    latency_ns=(99_999, 100_001) * 25, golden=(0.5, 2.0), cpus=(3,), memory=(MemoryStep("end", 1, 1, 0, None, None),), peak_bytes=1,
    job_peak_bytes=None, involuntary_switches=0, major_faults=0, run_delay_ns=0, counted_ns=5_000_000, power=(), energy=None, end_to_end=None, outputs_sha256=(), operators=(), operators_note="", before=CALM, after=LATER,
)  # fmt: skip


PAIR = Paired(
    seq=1, index=0, a=CLEAN, b=CLEAN,
    blocks=tuple(Block(0, side, 0, 1_000_000, 10, 0, 0, 1_000_000, 2400000, 45000, 0, None) for side in "ABBA"),
    idle=(), power=(),
)  # fmt: skip


def launch(**changes):
    return replace(CLEAN, **changes)


def conditions(**changes):
    return replace(CALM, **changes)


def doubts(launches):
    return doubts_of(launches, summarise([each.latency_ns for each in launches]))


def names(launches):
    return [doubt.what for doubt in doubts(launches)]


def share(**changes):
    """A launch of one second in which a counter has grown by so many microseconds."""
    return launch(after=replace(LATER, **changes))


FIXED = (Core(2, 1500000, 600000, 2400000), Core(3, 2400000, 2400000, 2400000))


def blocks(**changes):
    """Of a pair whose B blocks are otherwise."""
    return replace(PAIR, blocks=tuple(replace(one, **changes) if one.side == "B" else one for one in PAIR.blocks))


def pair_names(pairs, **asked):
    return [doubt.what for doubt in doubts_of_pairs(pairs, **asked)]
