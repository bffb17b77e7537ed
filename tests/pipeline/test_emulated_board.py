"""What was measured on an emulated machine is labelled so everywhere, and no limit on latency is judged by it."""

import html
import re

import pytest

from device_agent.wire import Machine
from pipeline import report
from pipeline.deploy import board_facts
from pipeline.measure.validity import doubts_of_board
from pipeline.records import Outcome
from targets import inventory
from tests.support.compared import World
from tests.support.sample_run import EMULATED, board, comparison, measurement, run_of

DOUBTS = doubts_of_board(EMULATED)


def machine(emulator=None):
    return Machine(
        model="Raspberry Pi 4 Model B Rev 1.4", cpu="cortex-a72", cpu_count=2, cpus=(0, 1), arch="aarch64", bits=64, kernel="6.1.0", os="Debian",
        python="3.11.2", libc="glibc", libc_version="2.36", memory_bytes=1 << 30, cpu_max_khz=None, governor=None, release=None,
        power_mode=None, emulator=emulator, packages=(),
    )  # fmt: skip


def test_the_target_or_the_machine_itself_says_that_it_is_emulated(tmp_path):
    virtual = inventory.find("virtual-aarch64", tmp_path)
    ssh = inventory.Target(host="192.0.2.1", user="pi", key="k", name="pi")
    assert board_facts(machine(), virtual).emulated
    assert not board_facts(machine(), virtual).is_board
    assert not board_facts(machine(), ssh).emulated
    assert board_facts(machine(emulator="QEMU"), ssh).emulated
    assert not board_facts(machine(), inventory.find("local", tmp_path)).emulated


def test_a_real_board_is_not_doubted_for_what_it_is():
    assert doubts_of_board(board()) == ()
    (doubt,) = DOUBTS
    assert (doubt.decides_nothing, doubt.invalid, doubt.touches) == (True, False, "latency")


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("slower", [0.1, 1.0, 10.0])
def test_no_limit_on_latency_is_judged_by_an_emulator(store, slower, which):
    world = World(store)
    doubts = [(), ()]
    doubts[which] = DOUBTS
    pair = world.measured(doubts=doubts[0]), world.measured("compressed", p10=1e-4 * slower, doubts=doubts[1])
    found = world.judge(*pair, paired=(), latency_regression=0.03)
    (verdict,) = found.verdicts
    assert found.outcome is verdict.outcome is Outcome.INCONCLUSIVE
    assert "emulated" in verdict.why
    assert "Measure on a real board" in verdict.why


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        ({"size_bytes": 1000}, Outcome.PASS),
        ({"size_bytes": 999}, Outcome.REGRESSED),
        ({"accuracy_drop_points": 5}, Outcome.PASS),
        ({"accuracy_drop_points": 0.1}, Outcome.REGRESSED),
        ({"accuracy_drop_points": 0.1, "latency_regression": 0.03}, Outcome.REGRESSED),
    ],
)
def test_accuracy_and_size_are_judged_as_on_any_board(store, limits, outcome):
    world = World(store)
    pair = world.measured(doubts=DOUBTS), world.measured("compressed", wrong=range(20), doubts=DOUBTS)
    assert world.judge(*pair, paired=(), **limits).outcome is outcome


def emulated_run():
    base, small = (
        measurement(doubts=DOUBTS),
        measurement("compressed", median_s=0.5e-3, size_bytes=120_000, doubts=DOUBTS),
    )
    return run_of((base, small), comparisons=(comparison(small, base),), facts=EMULATED)


@pytest.mark.parametrize("name", ["terminal", "markdown", "html"])
def test_every_report_says_so_before_the_first_time(name, store):
    text = html.unescape(report.renderer(name).render(emulated_run(), store))
    said = " ".join(text.split())
    assert "an emulated machine, not a board" in said
    assert text.index("emulated") < text.index("1.25 ms")
    assert "1.25 ms ?" in said
    assert "emulated machine, not a board" not in report.renderer(name).render(run_of((measurement(),)), store)


def test_the_record_says_so(store):
    read = report.read(report.renderer("json").render(emulated_run(), store).encode())
    assert read.deployment.board.emulated
    assert all(doubt.decides_nothing for one in read.measured.measurements for doubt in one.doubts)


def test_no_sentence_claims_that_anything_became_faster(store):
    text = " ".join(report.renderer("terminal").render(emulated_run(), store).split())
    assert re.search(r"\dx faster( \?)? \(", text) is None
    assert "The fastest is" not in text
    assert "that anything became faster could not be shown" in text
    assert "because an emulator's times say nothing of a board's: whether compressed" in text
