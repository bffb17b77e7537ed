"""Which tensor of a file is which one of the model, and how far apart two sets of answers are, without any framework."""

import numpy as np
import pytest

from pipeline.convert import agreement
from pipeline.convert.matching import matched
from pipeline.errors import StageError
from pipeline.records import TensorSpec
from tests.support.conversions import model_of


def specs(**shapes):
    return [TensorSpec(name, shape, "float32", tensor=f"of {name}") for name, shape in shapes.items()]


def test_names_tell_in_any_order():
    found = matched(specs(a=(1, 2), b=(1, 2)), specs(b=(1, 2), a=(1, 2)), "input", "it", made=True)
    assert [(each.name, each.tensor, each.fixed) for each in found.specs] == [
        ("a", "of a", (1, 2)),
        ("b", "of b", (1, 2)),
    ]
    assert (found.places, found.note) == ((1, 0), "")


def test_open_axes_have_the_length_that_the_model_says():
    model = [TensorSpec("x", (None, None, 3), "float32", fixed=(1, 7, 3))]
    (spec,) = matched(model, specs(input_1=(None, None, 3)), "input", "it", made=False).specs
    assert (spec.name, spec.shape, spec.fixed, spec.tensor) == ("x", (None, None, 3), (1, 7, 3), "of input_1")


def test_shapes_tell_where_names_do_not():
    found = matched(
        specs(score=(None, 3), box=(None, 4)), specs(o1=(1, 4), o2=(1, 3)), "output", "old.tflite", made=False
    )
    assert found.places == (1, 0)
    assert "'o2' is 'score', 'o1' is 'box'" in found.note


@pytest.mark.parametrize("made", [False, True])
def test_nothing_tells(made):
    with pytest.raises(StageError, match="it has the outputs o1, o2, and the model a, b"):
        matched(specs(a=(1, 3), b=(1, 3)), specs(o1=(1, 3), o2=(1, 3)), "output", "it", made=made)
    with pytest.raises(StageError, match="it has the outputs o1, and the model a, b"):
        matched(specs(a=(1, 3), b=(1, 3)), specs(o1=(1, 3)), "output", "it", made=made)


def test_names_that_a_converter_cannot_keep():
    file = [*specs(x_a_b_=(1, 3)), *specs(ok=(1, 3))]
    assert matched(specs(ok=(1, 3), **{"a b/": (1, 3)}), file, "output", "it", made=True).places == (1, 0)
    file = specs(h_output=(1, 3), y=(1, 3))
    found = matched(specs(y=(1, 3), h=(1, 3)), file, "output", "it", made=True, inputs=specs(h=(1, 3)))
    assert [each.name for each in found.specs] == ["y", "h"]
    assert found.places == (1, 0)


def test_the_worst_output_is_kept():
    generator = np.random.default_rng(0)
    small, large = (
        generator.normal(size=(20, 3)).astype(np.float32),
        100 * generator.normal(size=(20, 2)).astype(np.float32),
    )
    outputs, sources = (large + 1, small + 0.1, small > 0), (large, small, small > 0)
    found = agreement.differences(outputs, sources, ["large", "small", "sign"], "m", "it")
    kept = agreement.agreement(found, outputs, sources, None, model_of("onnx"))
    assert (kept.output, kept.rows) == ("small", 20)
    assert kept.largest_error == pytest.approx(0.1, rel=1e-4)
    (alone,) = agreement.differences(outputs[:1], sources[:1], ["large"], "m", "it")
    assert alone.output == ""
    with pytest.raises(StageError, match="it answers differently from its source in the output 'large': the largest"):
        agreement.check_same(found, 1e-3, "it")


def test_unsigned_integers_are_not_subtracted_as_such():
    (found,) = agreement.differences([np.uint8([[0], [5]])], [np.uint8([[1], [5]])], ["y"], "m", "it")
    assert (found.largest, found.other, found.whole) == (1, 1, True)


def test_ties_explain_a_few_integers():
    source = np.zeros((200, 1), np.int64)
    for differ, fits in ((2, True), (3, False)):
        other = source.copy()
        other[:differ] = 7
        found = agreement.differences([other], [source], ["k"], "m", "it")
        if fits:
            agreement.check_same(found, 1e-3, "it")
        else:
            with pytest.raises(StageError, match="3 of its 200 numbers differ"):
                agreement.check_same(found, 1e-3, "it")


def test_another_shape_is_said_with_the_outputs_name():
    arrays = [np.zeros((4, 2), np.float32), np.zeros((4, 3), np.float32)]
    with pytest.raises(StageError, match=r"it answers \(3,\) for a row where m answers \(2,\) in the output 'b'"):
        agreement.differences(arrays, [arrays[0], arrays[0]], ["a", "b"], "m", "it")
