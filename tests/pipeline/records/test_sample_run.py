"""The sample of the tests of the report is a record as any other."""

import math

import msgspec

from pipeline.records import RunRecord
from tests.support.sample_run import whole_run


def test_the_sample_is_a_record_that_reads_back():
    run = whole_run()
    assert msgspec.json.decode(msgspec.json.encode(run), type=RunRecord) == run
    assert math.isclose(run.measured.measurements[0].latency.median_s, 1.25e-3)
