"""What every launch answers for the first rows: of each output as far from the right answers as that output may be."""

import numpy as np
import pytest

from device_agent import wire
from device_agent.record import replace
from pipeline.measure import first_rows, golden
from pipeline.measure.validity.evidence import Expected, Observed, Side
from pipeline.measure.validity.identity import golden_differs
from tests.support.launched import CLEAN

RNG = np.random.default_rng(5)
EVERY = np.arange(6)


def test_what_an_agent_says_of_large_answers():
    answers = np.arange(6 * 100, dtype="float32").reshape(6, 10, 10)
    said = first_rows.of_answers([answers])
    assert len(said) == wire.GOLDEN_ROWS * wire.GOLDEN_VALUES
    assert said[wire.GOLDEN_VALUES] == 100.0


def test_what_an_agent_says_of_several_outputs():
    outputs = [np.full((6, 100), 1.0), np.full((6, 3), 2, "int64"), np.full((6, 2, 50), 3.0)]
    said = first_rows.of_answers(outputs)
    assert said[:66] == (1.0,) * 21 + (2.0,) * 3 + (3.0,) * 21 + (1.0,) * 21
    many = first_rows.of_answers([np.zeros((6, 5))] * 100)
    assert len(many) == wire.GOLDEN_ROWS * wire.GOLDEN_VALUES
    steps = np.arange(12.0).reshape(2, 3, 2)
    assert first_rows.of_answers([steps], sequences=True) == (0.0, 1.0, 6.0, 7.0)


def test_each_output_has_its_own_limit_in_the_first_rows():
    one, other = np.ones((6, 3), "float32"), np.ones((6, 4), "float32")
    references = [golden.Reference(one, (one + 3,), EVERY, "a"), golden.Reference(other, (), EVERY, "b")]
    assert first_rows.of_host(references) == (1.0,) * 28
    found = first_rows.outputs_of(references, of_host=True)
    assert [(each.name, each.values) for each in found] == [("a", 3), ("b", 4)]
    assert [each.size for each in found] == pytest.approx([np.sqrt(12), 4])
    assert [each.within for each in found] == pytest.approx([golden.TIMES_OWN_ERROR * 3, golden.AT_LEAST])
    assert [each.within for each in first_rows.outputs_of(references, of_host=False)] == [golden.AT_LEAST] * 2


def of_launch(references, outputs):
    expected = Expected(
        golden=first_rows.of_host(references), golden_outputs=first_rows.outputs_of(references, of_host=True)
    )
    launch = replace(CLEAN, golden=first_rows.of_answers(outputs))
    found = golden_differs(Observed(sides=(Side(name="this file", launches=(launch,), expected=expected),)))
    return found and found.evidence


def test_boxes_in_pixels_do_not_hide_the_scores_of_a_launch():
    boxes, scores = RNG.uniform(0, 320, (6, 10, 4)).astype("float32"), RNG.uniform(size=(6, 10)).astype("float32")
    references = [golden.Reference(each, (), EVERY, name) for each, name in ((boxes, "boxes"), (scores, "scores"))]
    assert of_launch(references, [boxes, scores * 1.001]) is None
    said = of_launch(references, [boxes, 1 - scores])
    assert "than on this host: in the output 'scores', " in said
    assert "'boxes'" in of_launch(references, [boxes + 30, scores])
    assert of_launch(references, [boxes, scores[:, :3]]).endswith("the two cannot be compared")


def test_first_values_that_are_zero_may_be_nearly_zero():
    """A picture's corner is black: what a kernel rounds there is little beside the rest of it."""
    picture = np.zeros((6, 200), "float32")
    picture[:, 100:] = 1
    references = [golden.Reference(picture, (), EVERY)]
    assert of_launch(references, [picture + np.float32(1e-6)]) is None
    assert of_launch(references, [picture + np.float32(0.1)]) is not None
    nothing = [golden.Reference(np.zeros((6, 3), "float32"), (), EVERY)]
    assert of_launch(nothing, [np.ones((6, 3), "float32")]) is not None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_answers_of_this_host_that_are_not_numbers_allow_nothing(bad):
    """One infinity of other kernels let the board answer anything; one of the same kernels was never compared."""
    pictures = RNG.uniform(size=(6, 4, 4)).astype("float32")
    broken = pictures.copy()
    broken[1, 2, 2] = bad
    others = golden.Reference(pictures, (broken,), EVERY)
    assert golden.doubt_of(pictures, others) is None
    assert "where other kernels may be 1.00 % apart" in golden.doubt_of(5 * pictures, others).evidence
    assert of_launch([others], [pictures]) is None
    assert of_launch([others], [5 * pictures]) is not None
    here = golden.Reference(broken, (), EVERY)
    assert "NaN or infinity where the other answers numbers" in golden.doubt_of(pictures, here).evidence
    assert golden.doubt_of(broken, here) is None
    assert golden.doubt_of(-broken if bad == np.inf else pictures, here) is not None
    assert of_launch([here], [pictures]) is not None
    assert of_launch([here], [broken]) is None
