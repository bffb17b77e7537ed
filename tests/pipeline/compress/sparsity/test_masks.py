"""Masks: the formulas on vectors worked by hand, and properties over random ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.compress.sparsity import masks
from pipeline.compress.sparsity.masks import Pattern, Selection
from pipeline.compress.surgery.importance import sizes_along

TENTHS = np.arange(1, 11, dtype=np.float32) / 10
SCORES = arrays.arrays(np.float32, st.integers(1, 60), elements=st.integers(0, 6).map(float))


def stable_sort_mask(scores, sparsity):
    mask = np.ones(len(scores), bool)
    mask[np.argsort(scores, kind="stable")[: round(sparsity * len(scores))]] = False
    return mask


def test_the_norms_of_a_tenth_to_one():
    """What channels are ranked by: one channel with these weights, and another with twice as large ones."""
    kernel = np.stack([TENTHS, -2 * TENTHS], axis=-1).reshape(2, 5, 2)
    assert sizes_along(kernel, -1, "l1").tolist() == pytest.approx([5.5, 11.0], abs=1e-6)
    assert sizes_along(kernel, -1, "l2").tolist() == pytest.approx([3.85, 15.4], abs=1e-6)  # squares: they add up
    assert sizes_along(kernel.T, 0, "l1").tolist() == pytest.approx([5.5, 11.0], abs=1e-6)


def test_a_threshold_takes_what_is_strictly_below_it():
    (mask,) = masks.keep_above(masks.magnitudes([-TENTHS]), 0.5, "layer")
    assert TENTHS[~mask].tolist() == TENTHS[:4].tolist()


def test_a_threshold_over_all_kernels_follows_the_largest_weight():
    small, large = masks.keep_above([TENTHS, 10 * TENTHS], 0.1, "global")
    assert TENTHS[~small].tolist() == TENTHS[:9].tolist()
    assert large.all()


def test_the_smallest_go_and_of_equal_ones_the_first():
    (mask,) = masks.keep_largest([np.array([3, 1, 2, 1, 1, 5], np.float32)], 1 / 3, "layer")
    assert mask.tolist() == [True, False, True, False, True, True]


@given(SCORES, st.floats(0, 0.99))
@settings(max_examples=60, deadline=None)
def test_it_is_what_a_stable_sort_gives(scores, sparsity):
    (mask,) = masks.keep_largest([scores], sparsity, "layer")
    assert np.array_equal(mask, stable_sort_mask(scores, sparsity))


@given(st.lists(SCORES, min_size=1, max_size=4), st.floats(0, 0.99))
@settings(max_examples=30, deadline=None)
def test_a_global_share_is_the_share_of_all_kernels_in_a_row(kernels, sparsity):
    found = masks.keep_largest(kernels, sparsity, "global")
    assert np.array_equal(np.concatenate(found), stable_sort_mask(np.concatenate(kernels), sparsity))


def test_two_of_four_along_the_input_axis():
    kernel = np.array([[1, 9], [2, 8], [3, 7], [4, 6], [5, 1], [6, 2], [7, 3]], np.float32)  # 7 inputs, 2 outputs
    mask = masks.keep_pattern(kernel, Pattern(2, 4), (0,))
    assert (kernel * mask).T.tolist() == [[0, 0, 3, 4, 0, 6, 7], [9, 8, 0, 0, 0, 2, 3]]  # the rest of 3 keeps 2
    assert masks.keeps_pattern(kernel * mask, Pattern(2, 4), (0,))
    assert not masks.keeps_pattern(kernel, Pattern(2, 4), (0,))


def test_few_inputs_stay_whole():
    assert masks.keep_pattern(np.zeros((3, 3, 2, 8)), Pattern(2, 4), (2,)).all()


@given(
    arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=4, max_side=9), elements=st.floats(0, 9, width=32)),
    st.sampled_from([Pattern(2, 4), Pattern(1, 4), Pattern(3, 8)]),
    st.randoms(use_true_random=False),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_no_group_keeps_more_than_its_pattern(scores, pattern, random):
    axes = tuple(random.sample(range(scores.ndim), random.randint(1, scores.ndim - 1)))
    mask = masks.keep_pattern(scores, pattern, axes)
    rest = [axis for axis in range(scores.ndim) if axis not in axes]
    size = int(np.prod([scores.shape[axis] for axis in axes]))
    for row, kept in zip(
        scores.transpose(*rest, *axes).reshape(-1, size), mask.transpose(*rest, *axes).reshape(-1, size), strict=True
    ):
        for first in range(0, size, pattern.of):
            group, stays = row[first : first + pattern.of], kept[first : first + pattern.of]
            assert stays.sum() == min(len(group), pattern.keep)
            assert not len(group[~stays]) or group[~stays].max() <= group[stays].min()


def test_random_masks_are_drawn_by_the_seed():
    kernels = [np.ones((8, 8), np.float32)]
    drawn = [Selection(sparsity=0.5, method="random", seed=seed).masks(kernels, [(0,)])[0] for seed in (1, 1, 2)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert all(mask.sum() == 32 for mask in drawn)


@pytest.mark.parametrize(
    "selection",
    [
        Selection(sparsity=0.8),
        Selection(sparsity=0.8, scope="global"),
        Selection(sparsity=0.8, method="random"),
        Selection(pattern=Pattern(2, 4)),
    ],
)
def test_on_the_way_every_mask_takes_a_part_of_the_next(selection):
    generator = np.random.default_rng(0)
    kernels = [generator.normal(size=shape).astype(np.float32) for shape in ((3, 3, 6, 10), (14, 8))]
    inputs = [(2,), (0,)]
    before = [np.ones(kernel.shape, bool) for kernel in kernels]
    for share in (0.1, 0.3, 0.45, selection.final_sparsity):
        now = selection.masks([kernel * mask for kernel, mask in zip(kernels, before, strict=True)], inputs, share)
        assert all((new <= old).all() for new, old in zip(now, before, strict=True))
        before = now
    final = selection.masks(kernels, inputs)
    assert all(np.array_equal(one, other) for one, other in zip(before, final, strict=True))


@pytest.mark.frameworks
def test_a_held_kernel_keeps_its_own_constraint_and_follows_its_mask():
    import keras

    mask = masks.mask_variable(np.array([[True, False], [True, True]]))
    hold = masks.holding(mask, keras.constraints.NonNeg())
    kernel = keras.ops.array([[-1.0, 2.0], [3.0, 4.0]])
    assert np.array_equal(hold(kernel), [[0, 0], [3, 4]])
    mask.assign([[True, True], [False, True]])
    assert np.array_equal(hold(kernel), [[0, 2], [0, 4]])
    assert np.array_equal(masks.holding(np.array([[True, True], [False, False]]))(kernel), [[-1, 2], [0, 0]])
