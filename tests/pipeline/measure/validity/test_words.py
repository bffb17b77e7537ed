"""What each doubt tells a person, word by word: the evidence has the numbers that were seen, the remedy is that of its rule."""

import pytest

from device_agent.record import replace
from device_agent.wire import Core
from pipeline.measure.summary import summarise
from pipeline.measure.validity import RULES, Expected, Observed, doubts_of, doubts_of_board, doubts_of_pairs
from pipeline.measure.validity.evidence import Side
from pipeline.records import Doubt
from tests.support.launched import CALM, CLEAN, FIXED, LATER, PAIR, blocks, conditions, doubts, launch, share
from tests.support.sample_run import EMULATED

AGAIN = "then measure again."
TUNE = "Fix the clocks (`edgepress boards tune`), then measure again."
REMEDIES = {
    "throttled": "Cool the board (a fan, a heat sink, a lower room temperature), then measure again.",
    "under-voltage": "Use a supply and a cable that hold 5 V under load, then measure again.",
    "clocks differ": TUNE,
    "below its clock": "Cool the board and look at its supply: something slowed it down; then measure again.",
    "governor changed": "Set one governor (`edgepress boards tune`) and keep whatever changes it from running, then measure again.",
    "clock limits changed": "Run jetson_clocks, or whatever sets them, before it is measured; then measure again.",
    "power mode changed": "Set one power mode (nvpmodel), then measure again.",
    "clock stepped": "Let the board set its clock (timedatectl) and keep it awake, then measure again.",
    "swapped": "Stop other programs or switch the swap off (swapoff), so that the model's memory stays in place; then measure again.",
    "another file": "Find out what writes into the agent's folder on the board, then measure again.",
    "another runtime": "Find out which other copy of the runtime the board's Python finds first (PYTHONPATH, .pth files).",
    "golden differs": "If the model draws no random numbers (`edgepress load` says it), the runtime computes something else on this board: "
    "use another runtime or version, and report it.",
    "fell back": "See the runtime's own messages for why it did not start, repair that, then measure again.",
    "not accelerated": "Use operations and types that the delegate knows, or a newer runtime.",
    "contended": "Stop other work on the machine, then measure again; the ratio to the baseline suffers less than the median.",
    "short of memory": "Stop other programs on the board, or use a smaller model; then measure again.",
    "clock drifts": TUNE,
    "warmed up": "Cool the board, or raise [measure] cool_seconds or temperature_band_c, then measure again.",
    "times all the same": "Look at the board's clock (/sys/devices/system/clocksource/clocksource0/current_clocksource), then measure again.",
    "never steady": "Stop other work on the machine, let the board cool, then measure again.",
    "few launches": "Set [measure] launches to 6 or more.",
    "launches disagree": "Stop other work on the machine, or raise [measure] launches, then measure again.",
}
ONLY_A_TAIL = {"contended", "short of memory"}
NOT_INVALID = {"not accelerated", "clock drifts", "warmed up", "never steady", "few launches", "launches disagree"}


def holds(found, what, evidence):
    """The doubt is there, once, and every word of it is right."""
    (doubt,) = (each for each in found if each.what == what)
    invalid = what not in ONLY_A_TAIL | NOT_INVALID
    tail = "tail" if what in ONLY_A_TAIL else ""
    assert doubt == Doubt(what=what, evidence=evidence, remedy=REMEDIES[what], invalid=invalid, withholds=tail)


def test_every_rule_has_its_words_here():
    assert REMEDIES.keys() == RULES.keys()


def limits(core, low, high):
    return Core(core, None, low, high)


OF_LAUNCHES = [
    ("throttled", [launch(after=conditions(throttle_flags=0x4))], "the board slowed itself down in 1 of 6 launches (flags 0x4)"),
    ("throttled", [launch(before=conditions(cooling_states=1)), launch(after=conditions(cooling_states=1))], "the board slowed itself down in 2 of 6 launches"),
    ("throttled", [launch(before=conditions(throttle_count=3), after=conditions(throttle_count=4, throttle_flags=None))], "the board slowed itself down in 1 of 6 launches"),
    ("under-voltage", [launch(before=conditions(supply_mv=4629), after=conditions(supply_mv=4126, throttle_flags=1))], "the supply was too weak in 1 of 6 launches (flags 0x1), 4.13 V at the lowest"),
    ("under-voltage", [launch(before=conditions(undervoltage=True, supply_mv=None), after=conditions(supply_mv=None))], "the supply was too weak in 1 of 6 launches"),
    ("governor changed", [launch(after=conditions(governor="powersave"))], "the CPU frequency governor changed while measuring: performance, powersave"),
    ("clock limits changed", [launch(before=conditions(cores=(limits(3, 600000, 2400000), limits(4, 1, 9))), after=replace(LATER, cores=(limits(3, 1500000, 2400000), limits(4, 2, 9))))], "the limits of a clock changed while measuring: CPU 3: 1500 MHz to 2400 MHz, 600 MHz to 2400 MHz"),
    ("power mode changed", [launch(before=conditions(power_mode="15W"), after=conditions(power_mode="MAXN"))], "the board's power mode changed while measuring: 15W, MAXN"),
    ("clock stepped", [launch(after=replace(LATER, wall_offset_ns=-3 * 10**9)), launch(after=replace(LATER, wall_offset_ns=10**9))], "the board's clock was set, or the board slept: by 3.00 s"),
    ("below its clock", [launch(before=conditions(cores=FIXED), after=replace(LATER, cores=(FIXED[0], Core(3, 2350000, 2400000, 2400000))))], "a core ran at 97.92 % of the clock that it was fixed to"),
    ("clock drifts", [launch(after=conditions(cpu_khz=1500000))], "the CPU ran at 1500 MHz to 2400 MHz between launches"),
    ("warmed up", [launch(in_band=False, before=conditions(temperature_mc=45051)), launch(in_band=False)], "the board did not cool down in time before 2 of 6 launches; the warmest began at 45.1 °C"),
    ("warmed up", [launch(in_band=False, before=conditions(temperature_mc=None))], "the board did not cool down in time before 1 of 6 launches; the warmest began at -"),
    ("swapped", [launch(after=replace(LATER, swapped_in_pages=7)), launch(before=conditions(swapped_in_pages=7))], "the board read 7 pages back from its swap while measuring"),
    ("swapped", [launch(major_faults=1)] * 3, "the model's pages were read from the disk again in 3 of 6 launches"),
    ("contended", [launch(run_delay_ns=300_000)] * 3, "other programs used the board in 3 of 6 launches: the model waited for a CPU for 6.00 % of its time"),
    ("contended", [launch(run_delay_ns=None, involuntary_switches=75)] * 3, "other programs used the board in 3 of 6 launches: it was interrupted 1.5 times an inference"),
    ("contended", [share(busy_us=210_000, busiest="cc1", busiest_us=180_000), *[share(steal_us=210_000, busiest="x", busiest_us=9)] * 2], "other programs used the board in 3 of 6 launches: they used 21.00 % of a CPU (most by cc1, 180 ms of CPU time)"),
    ("contended", [share(steal_us=210_000), *[share(io_stalled_us=210_000)] * 2], "other programs used the board in 3 of 6 launches: the hypervisor took 21.00 % of a CPU"),
    ("contended", [share(cpu_stalled_us=210_000, busy_us=None)] * 3, "other programs used the board in 3 of 6 launches: some program waited for a CPU for 21.00 % of the time"),
    ("contended", [share(io_stalled_us=210_000)] * 3, "other programs used the board in 3 of 6 launches: some program waited for the storage for 21.00 % of the time"),
    ("short of memory", [share(memory_stalled_us=51_000), *[share(memory_stalled_us=510_000)] * 2], "programs waited for memory for up to 51.00 % of a launch"),
    ("never steady", [launch(steady=False)] * 3, "the warm-up reached its limit in 3 of 6 launches before the times settled"),
    ("times all the same", [launch(latency_ns=(5000,) * 8)], "each of 8 inferences took exactly 5,000 ns, in 1 of 6 launches: the board's clock counts in steps that are too long for them, or stands still"),
    ("launches disagree", [launch(latency_ns=(110_999, 111_001) * 25)], "the median of a launch lies between 100 µs and 111 µs"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "hit", "evidence"), OF_LAUNCHES)
def test_the_words_about_six_launches(what, hit, evidence):
    holds(doubts([*hit, *[CLEAN] * (6 - len(hit))]), what, evidence)


@pytest.mark.parametrize(
    ("launches", "evidence"),
    [
        (5, "5 launches: the interval is one of 93.75 % only"),
        (2, "2 launches: the interval is one of 50.00 % only"),
        (1, "1 launch: no interval"),
    ],
)
def test_the_words_about_few_launches(launches, evidence):
    holds(doubts([CLEAN] * launches), "few launches", evidence)


def of_baseline(**changes):
    return replace(PAIR, a=launch(**changes))


FILE = Expected(model_sha256="a" * 64, inputs_sha256=())
OF_PAIRS = [
    ("clocks differ", [blocks(cpu_khz=2000000)], Expected(), "the CPU ran at 2400 MHz in the mean, with the candidate at 2000 MHz"),
    ("swapped", [blocks(major_faults=1)], Expected(), "the model's pages were read from the disk again in 2 of 4 blocks"),
    ("contended", [blocks(run_delay_ns=110_000)], Expected(), "other programs used the board in 1 of 1 pair: the model waited for a CPU for 5.50 % of its time"),
    ("contended", [replace(PAIR, a=share(steal_us=300_000))], Expected(), "other programs used the board in 1 of 1 pair: the hypervisor took 30.00 % of a CPU"),
    ("another file", [PAIR, of_baseline(model_sha256="b" * 64), of_baseline(model_sha256="c" * 64)], FILE, "the file of the model of the baseline held bbbbbbbbbbbb... and not aaaaaaaaaaaa... in 2 of 3 launches"),
    ("another file", [of_baseline(model_sha256="")], FILE, "the file of the model of the baseline was written to during the launch; it should hold aaaaaaaaaaaa... in 1 of 1 launch"),
    ("another runtime", [PAIR], Expected(runtime="sleep", runtime_version="2"), "the baseline ran in sleep 1, not in 2"),
    ("another runtime", [PAIR, of_baseline(runtime_version="2")], Expected(runtime="sleep"), "the baseline ran in sleep 1, 2, not in one version"),
    ("golden differs", [PAIR], Expected(golden=(0.5, 2.05)), "a launch of the baseline answered the first rows differently than on this host: 2.37 % apart"),
    ("golden differs", [PAIR], Expected(golden=(0.5,), golden_by="x"), "a launch of the baseline answered the first rows differently than x: the two cannot be compared"),
    ("golden differs", [of_baseline(golden=(11.0,))], Expected(golden=(1.0,)), "a launch of the baseline answered the first rows differently than on this host: 1000.00 % apart"),
    ("golden differs", [of_baseline(golden=(11.1,))], Expected(golden=(1.0,)), "a launch of the baseline answered the first rows differently than on this host: more than 10 times their size"),
    ("golden differs", [of_baseline(golden=(1e-13,))], Expected(golden=(0.0,)), "a launch of the baseline answered the first rows differently than on this host: 10.00 % apart"),
    ("fell back", [PAIR], Expected(runtime="onnxruntime"), "the baseline was run by no delegate, not by CPUExecutionProvider"),
    ("fell back", [PAIR, of_baseline(delegates=("A", "B"))], Expected(runtime="x"), "the baseline was run by no delegate and A, B, not by the same in all launches"),
    ("not accelerated", [PAIR], Expected(runtime="ai_edge_litert"), "XNNPACK took no part of the baseline: the slower built-in kernels run it"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "pairs", "asked", "evidence"), OF_PAIRS)
def test_the_words_about_pairs(what, pairs, asked, evidence):
    holds(doubts_of_pairs(pairs, asked), what, evidence)


# --- the GPU, where it runs the model

CUDA = Expected(runtime="onnxruntime_cuda")


def gpu(khz, low=600_000, high=600_000):
    return {"gpu_khz": khz, "gpu_min_khz": low, "gpu_max_khz": high}


def on_gpu(before, after):
    return launch(
        before=conditions(**before), after=replace(LATER, **after), delegates=("CUDAExecutionProvider",)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("what", "before", "after", "evidence"),
    [
        ("below its clock", gpu(None), gpu(570_000), "a core or the GPU ran at 95.00 % of the clock that it was fixed to"),
        ("below its clock", gpu(1), gpu(600_000), ""),  # it rested
        ("below its clock", gpu(None, 300_000), gpu(570_000), ""),  # it was not fixed
        ("below its clock", gpu(None), gpu(None), ""),
        ("clock limits changed", gpu(None, 300_000), gpu(None), "the limits of a clock changed while measuring: the GPU: 300 MHz to 600 MHz, 600 MHz to 600 MHz"),
        ("clock drifts", gpu(570_000), gpu(600_000), "the GPU ran at 570 MHz to 600 MHz between launches"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("runtime", ["onnxruntime_cuda", "onnxruntime"])
def test_the_words_about_a_gpu(what, before, after, evidence, runtime):
    side = Side(name="this file", launches=(on_gpu(before, after),), expected=Expected(runtime=runtime))
    doubt = RULES[what](Observed(sides=(side,)))
    assert (doubt.evidence if doubt else "") == (evidence if runtime == CUDA.runtime else "")


def test_the_words_about_the_gpu_of_pairs():
    ran = on_gpu(gpu(None), gpu(None))
    slow = tuple(replace(one, gpu_khz=570_000 if one.side == "B" else 600_000) for one in PAIR.blocks)
    found = doubts_of_pairs([replace(PAIR, a=ran, b=ran, blocks=slow)], CUDA, CUDA)
    holds(found, "clocks differ", "the GPU ran at 600 MHz in the mean, with the candidate at 570 MHz")
    holds(found, "below its clock", "a core or the GPU ran at 95.00 % of the clock that it was fixed to")


def test_the_words_about_an_emulated_board():
    assert doubts_of_board(EMULATED) == (
        Doubt(
            what="emulated",
            evidence="the processor is emulated by a program: its times are of that program, not of a board",
            remedy="Measure on a real board. Accuracy and size are judged here as on any other board.",
            decides_nothing=True,
        ),
    )


def test_a_file_that_is_measured_alone_is_called_so():
    found = doubts_of([CLEAN] * 6, summarise([CLEAN.latency_ns] * 6), Expected(runtime="x", runtime_version="2"))
    holds(found, "another runtime", "this file ran in x 1, not in 2")


def test_the_time_of_another_program_to_its_last_digit():
    hit = share(busy_us=900_000, busiest="cc1", busiest_us=999_500)
    holds(
        doubts([hit] * 6),
        "contended",
        "other programs used the board in 6 of 6 launches: they used 90.00 % of a CPU (most by cc1, 1.00 s of CPU time)",
    )


def test_the_candidate_is_called_so():
    (doubt,) = doubts_of_pairs([PAIR], candidate=Expected(runtime="x", runtime_version="2"))
    assert doubt.evidence == "the candidate ran in x 1, not in 2"
    (doubt,) = doubts_of_pairs([replace(PAIR, b=launch(after=replace(CALM, cooling_states=1)))])
    assert doubt.evidence == "the board slowed itself down in 1 of 2 launches"
