"""Numbers of a report come from the record, through units."""

import ast
import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import units
from pipeline.records import Energy, EnergyParts, EnergyReading
from pipeline.report.compose import view_of
from tests.pipeline.report.rendered import FOLDER, all_texts, result
from tests.support.sample_run import (
    measurement,
    run_of,
)


def energy_of(net_j, meter="ina226", quality="measured"):
    """By one meter, within 10 %; None: it has no valid number."""
    parts = EnergyParts(gain_j=None, sampling_j=(net_j or 0) / 10, sync_j=0.0, idle_j=0.0)
    numbers = (
        {"net_j": net_j, "gross_j": 2 * net_j, "net": parts, "gross": parts, "window_s": 5.0}
        if net_j
        else {"invalid": "it died"}
    )
    reading = EnergyReading(meter=meter, rail="5 V", quality=quality, inferences=9, readings=500, failed=0, **numbers)
    return Energy(readings=(reading,), note="")


@given(
    median_s=st.floats(1e-7, 10),
    size_bytes=st.integers(1, 10**9),
    accuracy_ratio=st.none() | st.floats(0, 1),
    energy_j=st.none() | st.floats(1e-6, 100),
)
def test_every_number_comes_from_the_record_through_units(median_s, size_bytes, accuracy_ratio, energy_j):
    one = measurement(
        median_s=median_s,
        size_bytes=size_bytes,
        accuracy_ratio=accuracy_ratio,
        energy=energy_of(energy_j),
    )
    assert result(run_of((one,)), 0) == {
        "#": "1",
        "file": "original tflite-fp32",
        "runtime": "ai_edge_litert",
        "size": units.size(size_bytes),
        "size change": "-",
        "accuracy": units.percent(accuracy_ratio),
        "lost": "-",
        "differs from host": units.percent(0.0),
        "latency": units.seconds(median_s),
        "95 % interval": units.interval(one.latency.low_s, one.latency.high_s),
        "speed": "-",
        "its interval": "-",
        "cold start": units.seconds(one.cold_start_s),
        "memory": units.size(49 << 20),
        "model memory": units.size(4 << 20),
        "energy": units.energy_within(energy_j, energy_j / 10) if energy_j else "invalid",
    }


def test_numbers_become_text_in_units_and_nowhere_else():
    """No format of a number in the sources; svg.py writes coordinates, which are no text for people."""
    for path in FOLDER.rglob("*.py"):
        if path.name in {"svg.py", "json.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.FormattedValue) and node.format_spec), f"{path.name}:{node.lineno}"
            assert not (isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"round", "format"}), path.name


@pytest.mark.parametrize(("energy", "expected"), [
    (Energy(readings=(), note="no power meter; a Pi 4 has none"), "no meter"),
    (Energy(readings=(), note="it failed"), "not measured"),
    (energy_of(None), "invalid"),
])  # fmt: skip
def test_energy_that_was_not_measured_is_no_number(energy, expected, store):
    run = run_of((measurement(energy=energy),))
    assert result(run, 0)["energy"] == expected
    for name, text in all_texts(run, store).items():
        assert name == "json" or not re.search(r"\b[0-9.]+ [mµ]?J\b", text)
        assert name == "json" or (energy.note or energy.readings[0].invalid) in html.unescape(text)


def test_each_meter_has_a_line_with_its_class_and_the_parts_of_its_uncertainty():
    coarse, exact = energy_of(0.3, meter="pi5_pmic", quality="coarse"), energy_of(0.25)
    run = run_of((measurement(energy=Energy(readings=coarse.readings + exact.readings, note="")),))
    table = view_of(run).table("energy")
    assert [line.cells[1:4] for line in table.lines] == [
        ("pi5_pmic", "coarse", "300 ± 30.0 mJ"),
        ("ina226", "measured", "250 ± 25.0 mJ"),
    ]
    assert table.lines[0].cells[5:9] == ("-", "30.0 mJ", "0 J", "0 J")  # nobody says how exact it is
    assert result(run, 0)["energy"] == "250 ± 25.0 mJ"  # what is measured before what is coarse
    assert "not tried with any power meter's hardware" in table.note
