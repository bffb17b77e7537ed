"""Rows of the public models: a label is what was done to make its row."""

import tomllib
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks._support.public import cases
from pipeline.plan import convert_table
from pipeline.plan_tables import LimitsTable, TaskTable


class White:
    """An image of Pillow's that is white, whatever it is made of."""

    Resampling = SimpleNamespace(BICUBIC=3)

    def __init__(self, size=(25, 25)):
        self.size = size

    def fromarray(self, _pixels):
        return self

    def resize(self, size, _how):
        return White(size)

    def __array__(self, dtype=None, copy=None):
        return np.full(self.size[::-1], 255, dtype or np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_the_box_of_a_face_is_where_its_crop_was_pasted(seed):
    picture, box = cases._picture(np.zeros((25, 25)), np.random.default_rng(seed), White(), face=True)
    x, y, width, height = (round(128 * each) for each in box[:4])
    assert box[4] == 0
    assert picture.shape == (128, 128, 3)
    inside = np.zeros((128, 128), bool)
    inside[y : y + height, x : x + width] = True
    assert picture[inside].min() > 0.5  # of -1 to 1, with noise
    assert picture[~inside].max() < -0.5
    _, none = cases._picture(np.zeros((25, 25)), np.random.default_rng(seed), White(), face=False)
    assert (none == -1).all()


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_what_a_case_writes_into_its_plan_is_understood(case):
    assert convert_table(tomllib.loads(case.task), TaskTable, None, "task").kind
    assert convert_table(tomllib.loads(case.limits), LimitsTable, None, "limits").metric_drop
    assert case.labels
