"""A deployment on a board that has a meter, and files to compare there."""

import msgspec

from pipeline.records import DeployedMeter
from tests.support.sample_run import measurement, run_of

METER = DeployedMeter(
    name="ina226", settings=(), on_board=True, rail="5 V", quality="measured", period_s=0.01, accumulates=False
)


BASE, ONE = measurement(), measurement("compressed")


def deployed(*meters):
    return msgspec.structs.replace(run_of((BASE,)).deployment, meters=meters)
