"""Each rule of validity fires when a board is disturbed during a launch, and not when it is left alone.

The real agent looks at the tree of a board (tests/boards), which is changed while its launch runs; what it says
is judged by the rule. Rules that only arithmetic can fire have their cases in records.
"""

import io
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from device_agent import wire
from device_agent.record import replace
from pipeline.measure.summary import summarise
from pipeline.measure.validity import RULES, Expected, Observed, alone, in_pairs
from tests.support import board_trees
from tests.support.agent_process import LAUNCH, Agent, sleep_model
from tests.support.clock import SHIM
from tests.support.fed import fed
from tests.support.launched import CLEAN, PAIR, blocks

CPU = "sys/devices/system/cpu"
CORES = range(4)
GPU = "sys/class/devfreq/17000000.gpu"
FAST_HZ = 624750000
CLEAN_EXPECTED = Expected(runtime="sleep", runtime_version="1", golden=(0.25, 3.0))


@dataclass
class Case:
    rule: str
    disturb: Callable[[Path], None] = lambda _: None
    tree: str = "pi5"
    expected: Expected = CLEAN_EXPECTED
    model: dict[str, object] = field(default_factory=dict)
    gpu: bool = False  # it runs the model
    band: bool = False  # two launches, of which the second waits for the board to cool
    records: tuple = ()  # (clean, disturbed) instead of all that
    timed_ms: int = 50  # at the least


def writes(path: str, text: str) -> Callable[[Path], None]:
    return lambda root: put(root / path, text)


def put(path: Path, text: str) -> None:
    """As the kernel does: whoever reads meanwhile finds the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name("new")
    new.write_text(text)
    new.rename(path)


def clocks(khz: int, name: str = "cur") -> Callable[[Path], None]:
    return lambda root: [put(root / f"{CPU}/cpu{core}/cpufreq/scaling_{name}_freq", f"{khz}\n") for core in CORES]


def gpu(hz: int, name: str = "cur") -> Callable[[Path], None]:
    return writes(f"{GPU}/{name}_freq", f"{hz}\n")


def another_model(root: Path) -> None:
    """Written over the one that runs, of the same size."""
    (blob,) = (path for path in (root.parent / "edge/blobs").iterdir() if path.read_bytes().startswith(b"{"))
    with blob.open("r+b") as file:
        file.write(blob.read_bytes().replace(b"300", b"301"))


def cpu_time(root: Path) -> None:
    """A compiler at work: 1000 s of it."""
    put(root / "proc/stat", "cpu  100500 0 500 100000 0 0 0 0 0 0\n")
    put(root / "proc/4321/stat", "4321 (cc1) R 1 4321 4321 0 -1 0 0 0 0 0 99000 1000 0 0 20 0 1 0 500 0 0\n")


SIX = alone((CLEAN,) * 6, summarise([CLEAN.latency_ns] * 6), Expected())


def pair_records(hit) -> tuple:
    return in_pairs((PAIR,), Expected(), Expected()), in_pairs((hit,), Expected(), Expected())


def on_gpu(seen: Observed) -> Observed:
    sides = (
        structs.replace(side, expected=structs.replace(side.expected, runtime="onnxruntime_cuda"))
        for side in seen.sides
    )
    return structs.replace(seen, sides=tuple(sides))


def on_gpu_records(hit) -> tuple:
    clean = replace(hit, blocks=tuple(replace(block, gpu_khz=624750) for block in hit.blocks))
    slow = replace(hit, blocks=tuple(replace(block, gpu_khz=block.gpu_khz or 624750) for block in hit.blocks))
    return tuple(on_gpu(in_pairs((pair,), Expected(), Expected())) for pair in (clean, slow))


CASES = {
    "throttled, the firmware's flags": Case(
        "throttled", writes("said/vcgencmd get_throttled", "throttled=0x20000\n")
    ),
    "throttled, a cooling device": Case("throttled", writes("sys/class/thermal/cooling_device0/cur_state", "2\n")),
    "throttled, a counter of x86": Case("throttled", writes(f"{CPU}/cpu0/thermal_throttle/core_throttle_count", "8\n")),
    "under-voltage, the firmware's flags": Case(
        "under-voltage", writes("said/vcgencmd get_throttled", "throttled=0x10000\n")
    ),
    "under-voltage, the driver": Case("under-voltage", writes("sys/class/hwmon/hwmon3/in0_lcrit_alarm", "1\n")),
    "under-voltage, the PMIC": Case(
        "under-voltage", writes("said/vcgencmd pmic_read_adc EXT5V_V", "     EXT5V_V volt(24)=4.61478000V\n")
    ),
    "below its clock": Case("below its clock", clocks(1500000)),
    "governor changed": Case("governor changed", writes(f"{CPU}/cpu2/cpufreq/scaling_governor", "powersave\n")),
    "power mode changed": Case(
        "power mode changed", writes("said/nvpmodel -q", "NV Power Mode: MAXN_SUPER\n2\n"), tree="orin_nano"
    ),
    "clock limits changed": Case("clock limits changed", clocks(1800000, "max")),
    "clock limits changed, the GPU's": Case("clock limits changed", gpu(306000000, "min"), tree="orin_nano", gpu=True),
    "below its clock, the GPU": Case("below its clock", gpu(306000000), tree="orin_nano", gpu=True),
    "clock drifts, the GPU's": Case("clock drifts", gpu(306000000), tree="orin_nano", gpu=True),
    "another file": Case("another file", another_model),
    "clock stepped": Case("clock stepped", writes("clock", "3600")),
    "swapped": Case("swapped", writes("proc/vmstat", "nr_free_pages 1\npswpin 12\npswpout 0\n")),
    "another runtime": Case("another runtime", expected=Expected(runtime="sleep", runtime_version="2")),
    "golden differs": Case("golden differs", expected=Expected(runtime="sleep", golden=(0.25, 2.0))),
    "fell back": Case("fell back", expected=Expected(runtime="onnxruntime_cuda")),
    "not accelerated": Case("not accelerated", expected=Expected(runtime="ai_edge_litert")),
    "contended": Case("contended", cpu_time, timed_ms=300),  # of less time than 200 ms the rule says nothing
    "short of memory": Case(
        "short of memory", writes("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=900000000\n")
    ),
    "clock drifts": Case("clock drifts", clocks(1500000)),
    "warmed up": Case("warmed up", writes("sys/class/thermal/thermal_zone0/temp", "69000\n"), band=True),
    "never steady": Case("never steady", model={"latency_us": 15_000}),
    "clocks differ": Case("clocks differ", records=pair_records(blocks(cpu_khz=2300000))),
    "clocks differ, the GPU's": Case("clocks differ", records=on_gpu_records(blocks(gpu_khz=600000))),
    "swapped, the model's file": Case("swapped", records=(SIX, alone((replace(CLEAN, major_faults=1),) * 6, SIX.latency, Expected()))),
    "times all the same": Case(
        "times all the same", records=(SIX, alone((replace(CLEAN, latency_ns=(5000,) * 50),) * 6, SIX.latency, Expected()))
    ),
    "few launches": Case("few launches", records=(SIX, alone((CLEAN,) * 5, summarise([(1, 1)] * 5), Expected()))),
    "launches disagree": Case(
        "launches disagree",
        records=(SIX, alone((CLEAN,) * 6, summarise([(100,)] * 5 + [(150,)]), Expected())),
    ),
}  # fmt: skip


def test_each_rule_has_a_case():
    assert {case.rule for case in CASES.values()} == set(RULES)


@pytest.fixture(scope="module")
def shim(tmp_path_factory) -> Path | None:
    """Moves the time of day of a process; None: there is no compiler."""
    if shutil.which("cc") is None:
        return None
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c", "-ldl"], check=True)
    return folder / "shim.so"


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    """What is seen where nothing is disturbed, once for each kind of launch."""

    @cache
    def look(tree: str, band: bool) -> Observed:
        return seen(tmp_path_factory.mktemp("clean") / "board", Case("", tree=tree, band=band), None)

    return look


@pytest.mark.parametrize("name", CASES)
def test_the_rule_fires_when_the_board_is_disturbed_and_only_then(name, tmp_path, shim, left_alone):
    case = CASES[name]
    if case.records:
        clean, disturbed = case.records
    else:
        clean = left_alone(case.tree, case.band)
        disturbed = seen(tmp_path / "disturbed", case, shim)
    if case.gpu:
        clean, disturbed = on_gpu(clean), on_gpu(disturbed)
    rule = RULES[case.rule]
    for number in range(5):  # what disturbs this machine meanwhile is no fault of the rule
        if case.records or case.gpu or rule(clean) is None:
            break
        clean = seen(tmp_path / f"again {number}", Case("", tree=case.tree, band=case.band), None)
    assert rule(clean) is None
    doubt = rule(disturbed)
    assert doubt is not None
    assert doubt.what == case.rule
    assert doubt.evidence
    assert doubt.remedy.endswith(".")


def seen(folder: Path, case: Case, shim: Path | None) -> Observed:
    """What the agent tells of a launch in which the case's disturbance comes."""
    folder.mkdir()
    root = calm(board_trees.tree(case.tree, folder))
    env = board_trees.environment(root)
    if case.rule == "clock stepped":
        if shim is None:
            pytest.skip("the clock of single processes is moved by a preloaded library, which needs a C compiler")
        env.update(LD_PRELOAD=str(shim), CLOCK_MOVED=str(root / "clock"))
    agent = Agent(folder / "edge", env=env)
    try:
        model = agent.store(sleep_model(outputs=[0.25, 3], **case.model))
        row = io.BytesIO()
        np.save(row, np.zeros((1, 4), "float32"))
        one = replace(
            LAUNCH,
            model_sha256=model,
            inputs=fed(agent.store(row.getvalue())),
            timed_min_ns=case.timed_ms * 1_000_000,
            timed_max_runs=10_000,
        )
        launches = (one, one) if case.band else (one,)
        job_id = f"{agent.process.pid:032x}"
        agent.ask(wire.Submit(job_id, "tester", 10**12, launches, (), 5000, 300_000_000, None))
        agent.write(wire.encode(wire.Follow(job_id, 0)))
        while not (isinstance(record := agent.receive(), wire.Event) and record.phase == "started"):
            pass
        case.disturb(root)
        found = []
        while not isinstance(record := agent.receive(), wire.Ended):
            if not isinstance(record, (wire.Event, wire.Working)):
                assert isinstance(record, wire.Launched), record
                found.append(record)
        assert len(found) == len(launches)
    finally:
        agent.kill()
    expected = structs.replace(
        case.expected, model_sha256=model, inputs_sha256=tuple(each.sha256 for each in one.inputs)
    )
    return alone(tuple(found), summarise([each.latency_ns for each in found]), expected)


def calm(root: Path) -> Path:
    """The tree of a board that was tuned, with all that a rule reads."""
    for name in ("cur", "min", "max"):
        clocks(2400000, name)(root)
    for core in CORES:
        put(root / f"{CPU}/cpu{core}/cpufreq/scaling_governor", "performance\n")
    put(root / "proc/stat", "cpu  400 0 500 100000 0 0 0 0 0 0\n")
    put(root / "proc/vmstat", "nr_free_pages 1\npswpin 0\npswpout 0\n")
    put(root / "proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n")
    put(root / "sys/class/thermal/cooling_device0/type", "cpufreq-cpu0\n")
    put(root / "sys/class/thermal/cooling_device0/cur_state", "0\n")
    put(root / f"{CPU}/cpu0/thermal_throttle/core_throttle_count", "7\n")
    if (root / GPU).is_dir():
        for name in ("cur", "min", "max"):
            gpu(FAST_HZ, name)(root)
    put(root / "clock", "0")
    return root
