"""A board that has a meter, what it read of two files, and the verdict on them."""

import msgspec

from pipeline.compare.case import Case
from pipeline.compare.limits import energy as energy_limit
from pipeline.plan_tables import LimitsTable
from pipeline.records import DeployedMeter, Energy, EnergyParts, EnergyReading, Measured
from pipeline.statistics.paired_test import rule_of
from tests.support.sample_run import measurement, run_of

S = 10**9
LIMITS = LimitsTable(energy_regression=0.05)
RULE = rule_of(0.05, None)
METER = DeployedMeter(
    name="ina226", settings=(), on_board=True, rail="5 V", quality="measured", period_s=0.01, accumulates=False
)
BASE, ONE = measurement(), measurement("compressed")


def deployed(*meters):
    return msgspec.structs.replace(run_of((BASE,)).deployment, meters=meters)


def energy_verdict(one, base, turns):
    measured = Measured(measurements=(one,), energy_paired=(turns,) if turns else ())
    (verdict,) = energy_limit.judge(Case(candidate=one, baseline=base, measured=measured, limits=LIMITS))
    return verdict


def reading(meter="ina226", invalid="", scatter=0.0, edge_s=0.005, window_s=5.0):
    parts = EnergyParts(gain_j=None, sampling_j=scatter, sync_j=0.0, idle_j=0.0)
    return EnergyReading(
        meter=meter, rail="5 V", quality="measured", inferences=9, readings=9, failed=0, invalid=invalid,
        **({} if invalid else {"net_j": 1.0, "gross_j": 2.0, "net": parts, "gross": parts, "window_s": window_s, "edge_s": edge_s}),
    )  # fmt: skip


def with_readings(one, *readings):
    return msgspec.structs.replace(one, energy=Energy(readings=readings, note=""))
