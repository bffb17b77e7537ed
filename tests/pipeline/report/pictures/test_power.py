"""Power over time: made small without losing energy, drawn to scale, and what is invalid is marked as such."""

from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent import wire
from device_agent.record import replace
from pipeline import report
from pipeline.compare.case import Case
from pipeline.compare.limits import energy
from pipeline.measure.energy.curve import MOST_STEPS, curve_of, curve_of_pair
from pipeline.measure.energy.reading import reading_of
from pipeline.measure.energy.trace import LONGEST_GAP_PERIODS, Curve
from pipeline.plan_tables import LimitsTable
from pipeline.records import Doubt, Energy, EnergyPaired, EnergyReading, PowerCurve, RunRecord
from pipeline.report.pictures import pairs, power, svg
from pipeline.report.trust import Trust
from pipeline.store import Store
from tests.support.power import RAN, S, counter, trace
from tests.support.sample_run import measurement, run_of

TOLD = [trace(), trace(0.1), counter()]


def run_with(*readings: EnergyReading, doubts: tuple[Doubt, ...] = ()) -> RunRecord:
    return run_of((measurement("compressed", doubts=doubts, energy=Energy(readings=readings, note="")),))


def with_turns(curve: PowerCurve | None, *doubts: Doubt, readings: tuple[EnergyReading, ...] = ()) -> RunRecord:
    """A file that took turns with its baseline under a meter."""
    run, base = run_with(*readings), measurement()
    turns = EnergyPaired(
        subject=run.measured.measurements[0].subject, baseline_subject=base.subject, margin=0.01, limit=0.05, meter="m",
        curve=curve, doubts=doubts,
    )  # fmt: skip
    measured = msgspec.structs.replace(
        run.measured, measurements=(base, *run.measured.measurements), energy_paired=(turns,)
    )
    return msgspec.structs.replace(run, measured=measured)


def with_hole(start_s: float, end_s: float) -> wire.PowerTrace:
    told = trace()
    read = [each for each in zip(told.t_ns, told.power_uw, strict=True) if not start_s < each[0] / S < end_s]
    return replace(told, t_ns=tuple(t_ns for t_ns, _ in read), power_uw=tuple(power_uw for _, power_uw in read))


def drawing_of(picture: svg.Picture | None) -> ET.Element:
    assert picture is not None
    return ET.fromstring(str(picture.drawings[0]))


def texts(drawing: ET.Element) -> list[str]:
    return [each.text or "" for each in drawing.iter("text")]


def styled(drawing: ET.Element, tag: str, style: str) -> list[ET.Element]:
    return [each for each in drawing.iter(tag) if style in each.attrib.get("class", "").split()]


def points(path: ET.Element) -> list[tuple[float, float]]:
    return [tuple(map(float, step.split())) for step in path.attrib["d"][1:].split("L")]  # type: ignore[misc]


# --- made small


@pytest.mark.parametrize("told", TOLD, ids=["100 Hz", "10 Hz", "counter"])
def test_what_is_thinned_keeps_its_energy(told):
    small = curve_of(told, RAN)
    assert small is not None
    assert 2 <= len(small.watts) <= MOST_STEPS
    inner = small.watts[1:-1]  # the trace begins behind the first step's beginning
    assert None not in inner
    start_s = small.start_s + small.step_s
    whole = Curve(told, RAN.start_ns).joules((start_s, start_s + small.step_s * len(inner)))
    assert sum(inner) * small.step_s == pytest.approx(whole, rel=1e-4)
    assert [(span.what, span.start_s, span.end_s) for span in small.spans] == [
        ("idle", -11, -1), ("window", 0, 9), ("idle", 10, 20),
    ]  # fmt: skip
    assert small.start_s == -11


def test_a_counter_tells_nothing_of_the_time_before_its_first_reading():
    """It would be a fall: of a counter that was not read the difference is none."""
    small = curve_of(counter(1.0), RAN)
    assert small is not None
    assert small.watts[0] is None
    assert min(watt for watt in small.watts if watt is not None) == pytest.approx(2, abs=0.01)


@given(
    st.lists(st.integers(0, 20_000_000), min_size=40, max_size=900), st.integers(0, 2**31), st.floats(0.02, 0.09),
)  # fmt: skip
def test_each_step_keeps_its_energy_whatever_the_meter_tells(microwatts, seed, period_s):
    shaken = np.random.default_rng(seed).random(len(microwatts)) * period_s
    t_ns = tuple(int(t * S) + n for n, t in enumerate(np.arange(len(microwatts)) * period_s + shaken))
    told = trace(t_ns=t_ns, power_uw=tuple(microwatts), period_ns=int(period_s * S))
    small = curve_of(told, RAN)
    if small is None:
        return
    curve = Curve(told, RAN.start_ns)
    for number, watt in enumerate(small.watts):
        start_s = small.start_s + number * small.step_s
        if watt is not None:
            assert watt == pytest.approx(curve.joules((start_s, start_s + small.step_s)) / small.step_s, abs=1e-5)


def test_where_nothing_was_read_there_is_no_power():
    """Across a hole the integral is a guess; a picture of it would be a claim."""
    hole_s = 0.01 * LONGEST_GAP_PERIODS * 60
    small = curve_of(with_hole(13, 13 + hole_s), RAN)
    assert small is not None
    at_s = [small.start_s + (n + 0.5) * small.step_s for n, watt in enumerate(small.watts) if watt is None][1:]
    assert 2 <= min(at_s) <= max(at_s) <= 2 + hole_s + 0.02  # the readings beside it
    assert len(at_s) * small.step_s == pytest.approx(hole_s, abs=3 * small.step_s)


@pytest.mark.parametrize(
    "told", [trace(t_ns=(), power_uw=()), trace(period_ns=0), trace(until_s=0.01), trace(power_uw=(1,))]
)
def test_of_a_trace_that_is_none_there_is_no_curve(told):
    assert curve_of(told, RAN) is None


def test_where_nothing_is_known_there_is_no_curve():
    """A meter that was read every second and not every 10 ms: each step lies in a hole."""
    sparse = reading_of(replace(trace(1.0), period_ns=10_000_000), RAN)
    assert "missing" in sparse.invalid
    assert power.alone(Trust(run_with(sparse))) is None


def test_a_trace_that_ended_early_ends_there():
    small = curve_of(trace(until_s=15), RAN)
    assert small is not None
    last_s = max(small.start_s + (n + 1) * small.step_s for n, watt in enumerate(small.watts) if watt is not None)
    assert last_s == pytest.approx(4, abs=0.2)
    assert small.watts[-1] is None


def paired(trace_of: wire.PowerTrace) -> wire.Paired:
    """ABBA between 11 and 19 s."""
    blocks = tuple(
        wire.Block(0, side, (11 + 2 * n) * S, (13 + 2 * n) * S, 10, 0, 0, 0, None, None, 0, None)
        for n, side in enumerate("ABBA")
    )
    return wire.Paired(0, 0, None, None, blocks, RAN.idle, (trace_of,))


def test_a_pair_has_its_blocks():
    small = curve_of_pair(trace(), paired(trace()))
    assert small is not None
    assert [span.what for span in small.spans] == ["idle", "A", "B", "B", "A", "idle"]
    assert [span.start_s for span in small.spans[1:5]] == [0, 2, 4, 6]
    assert curve_of_pair(trace(), replace(paired(trace()), blocks=(), idle=())) is None


# --- drawn


def test_the_powers_that_the_energies_are_made_of_are_drawn_where_they_were():
    reading = reading_of(trace(), RAN)
    drawing = drawing_of(power.alone(Trust(run_with(reading))))
    assert "5.00 W, of it 2.00 W idle" in texts(drawing)
    (line,) = styled(drawing, "path", "trace")
    (idle,) = styled(drawing, "line", "reference")
    heights = [y for _, y in points(line)]
    assert float(idle.attrib["y1"]) == pytest.approx(max(heights), abs=0.1)  # the lowest that was told is idle
    first, measured, last = (each for each in drawing.iter("rect") if "faint" in each.attrib["class"])
    inside = [
        y
        for x, y in points(line)
        if float(measured.attrib["x"]) < x < float(measured.attrib["x"]) + float(measured.attrib["width"])
    ]
    assert max(inside) == pytest.approx(min(heights), abs=0.1)
    zero = power.TOP + power.TALL
    assert (zero - min(heights)) / (zero - max(heights)) == pytest.approx(2.5, rel=0.01)  # 5 W to 2 W, from zero
    assert texts(drawing).count("idle") == 2
    assert float(first.attrib["width"]) == pytest.approx(float(last.attrib["width"]), abs=0.1)


def test_an_invalid_reading_is_drawn_as_invalid_and_tells_no_mean():
    reading = reading_of(trace(power_uw=tuple(2_000_000 for _ in trace().t_ns)), RAN)
    assert (reading.invalid, reading.curve is None) == ("the load cannot be told from idle", False)
    drawing = drawing_of(power.alone(Trust(run_with(reading))))
    assert "invalid" in texts(drawing)
    assert not [each for each in texts(drawing) if "of it" in each]
    assert styled(drawing, "line", "reference") == []
    assert "cannot be told from idle" in "".join(drawing.itertext())


def test_a_doubted_reading_has_its_mark():
    doubt = Doubt(what="reading the meters costs time", evidence="e", remedy="r", touches="energy")
    drawing = drawing_of(power.alone(Trust(run_with(reading_of(trace(), RAN), doubts=(doubt,)))))
    assert "5.00 W, of it 2.00 W idle ?" in texts(drawing)


def test_a_hole_breaks_the_line_and_the_caption_says_why():
    picture = power.alone(Trust(run_with(reading_of(with_hole(10.2, 10.8), RAN))))
    assert picture is not None
    assert "broken" in picture.caption
    assert len(styled(drawing_of(picture), "path", "trace")) == 2
    whole = power.alone(Trust(run_with(reading_of(trace(), RAN))))
    assert whole is not None
    assert len(styled(drawing_of(whole), "path", "trace")) == 1
    assert "broken" not in whole.caption


def test_a_shunt_that_is_the_wrong_way_round_stays_on_the_picture():
    told = trace(power_uw=tuple(-power_uw for power_uw in trace().power_uw))
    drawing = drawing_of(power.alone(Trust(run_with(reading_of(told, RAN)))))
    heights = [y for _, y in points(styled(drawing, "path", "trace")[0])]
    assert power.TOP <= min(heights) <= max(heights) <= power.TOP + power.TALL
    assert max(heights) - min(heights) > power.TALL / 3


def test_the_blocks_of_both_stand_under_the_power():
    curve = curve_of_pair(trace(), paired(trace()))
    drawing = drawing_of(power.in_pairs(Trust(with_turns(curve))))
    strips = [styled(drawing, "path", style)[0].attrib["d"].count("M") for style in ("side-a", "v-compressed")]
    assert strips == [2, 2]
    assert "not judged" in texts(drawing)
    bad = Doubt(what="no verdict on energy", evidence="e", remedy="r", invalid=True, touches="energy")
    assert "invalid" in texts(drawing_of(power.in_pairs(Trust(with_turns(curve, bad)))))


def test_the_verdict_on_energy_can_be_read_off_its_pairs():
    base, one = measurement(), measurement("compressed")
    turns = EnergyPaired(
        subject=one.subject, baseline_subject=base.subject, margin=0.01, limit=0.05, meter="m", quality="measured",
        log_ratios=tuple(0.08 + 0.001 * n for n in range(10)), baseline_j=0.003, candidate_j=0.0033,
    )  # fmt: skip
    run = run_of((base, one))
    run = msgspec.structs.replace(run, measured=msgspec.structs.replace(run.measured, energy_paired=(turns,)))
    limits = LimitsTable(energy_regression=0.05, energy_margin=0.01)
    verdicts = energy.judge(Case(candidate=one, baseline=base, measured=run.measured, limits=limits))
    run = msgspec.structs.replace(run, compared=msgspec.structs.replace(run.compared, verdicts=tuple(verdicts)))
    drawing = drawing_of(pairs.more_energy(Trust(run)))
    assert any(text.endswith("REGRESSED") for text in texts(drawing))
    assert {"limit +5.00 %", "margin +1.00 %", "no change"} <= set(texts(drawing))
    assert len(styled(drawing, "circle", "v-compressed")) == 11
    (bar,) = styled(drawing, "line", "interval")
    margin = next(line for line in drawing.iter("line") if (line.findtext("title") or "").startswith("margin"))
    assert float(bar.attrib["y2"]) < float(margin.attrib["y1"])  # all of it is above
    bad = Doubt(what="no verdict on energy", evidence="e", remedy="r", invalid=True, touches="energy")
    assert pairs.more_energy(Trust(with_turns(None, bad))) is None
    assert pairs.more_energy(Trust(with_turns(None))) is None


def test_the_page_is_drawn_from_the_record_alone(tmp_path):
    store = Store(tmp_path / ".edgepress")
    run = with_turns(curve_of_pair(trace(), paired(trace())), readings=(reading_of(trace(), RAN),))
    again = report.read(report.renderer("json").render(run, store).encode())
    assert again == run
    page = report.renderer("html").render(again, store)
    for title in (power.ALONE, power.IN_PAIRS):
        assert f"<h3>{title}</h3>" in page
        assert title.endswith("?")
    without = report.renderer("html").render(run_of((measurement(),)), store)
    assert power.ALONE not in without
    assert power.IN_PAIRS not in without
