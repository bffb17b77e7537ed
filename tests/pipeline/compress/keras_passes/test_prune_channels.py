"""The pass prune_channels: what it selects, what it refuses, what it says, and its promise."""

import keras
import numpy as np
import pytest
from keras import layers

from pipeline import compress, frameworks
from pipeline.compress.base import Changed, apply_pass
from pipeline.compress.context import Context, Dataset
from pipeline.compress.formats import FORMATS
from pipeline.compress.keras_passes import prune_channels
from pipeline.compress.surgery import Selection, groups_of, prune_model
from pipeline.errors import PlanError, PromiseError, StageError
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.frameworks


def chain(*widths):
    """Dense layers a, b, c, ... of these widths, and scores."""
    given = keras.Input((4,))
    x = given
    for name, width in zip("abcdef", widths, strict=False):
        x = layers.Dense(width, name=name, use_bias=False)(x)
    return keras.Model(given, layers.Dense(3, name="scores")(x), name="chain")


def set_norms(model, **norms):
    """Every unit's incoming weights get this L1 norm; the order of the units is not that of their norms."""
    for name, values in norms.items():
        kernel = model.get_layer(name).kernel
        signs = np.where(np.arange(kernel.shape[0]) % 2, 1, -1)[:, None]
        kernel.assign(signs * np.asarray(values, "float32") / kernel.shape[0])
    return model


def prune(model, **given):
    return compress.apply(model, "prune_channels", **given)


def widths(model, names="ab"):
    return [model.get_layer(name).units for name in names]


TENTHS = [0.3, 1.0, 0.1, 0.8, 0.5, 0.2, 0.9, 0.4, 0.7, 0.6]


def test_the_least_important_go_and_the_others_keep_their_weights_and_order():
    model = set_norms(chain(10), a=TENTHS)
    after = prune(model, ratio=0.4, round_to=1).changed.model
    stay = [i for i, norm in enumerate(TENTHS) if norm > 0.4]
    assert np.array_equal(after.get_layer("a").kernel, np.asarray(model.get_layer("a").kernel)[:, stay])
    assert np.array_equal(after.get_layer("scores").kernel, np.asarray(model.get_layer("scores").kernel)[stay])
    assert np.array_equal(after.get_layer("scores").bias, model.get_layer("scores").bias)


def test_alpha_is_a_threshold_below_the_most_important_one():
    """For 0.1, 0.2, ..., 1.0 and alpha = 0.5 exactly 0.1, 0.2, 0.3, 0.4 go."""
    after = prune(set_norms(chain(10), a=TENTHS), alpha=0.5, round_to=1).changed.model
    left = np.abs(np.asarray(after.get_layer("a").kernel)).sum(axis=0)
    assert np.allclose(sorted(left), [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


def test_one_ratio_over_the_whole_net_takes_more_where_less_matters():
    flat, steep = np.full(16, 1.0), np.array([*[0.01] * 12, *[4.0] * 4])
    model = set_norms(chain(16, 16), a=flat, b=steep)
    assert widths(prune(model, ratio=0.375, scope="global", round_to=1).changed.model) == [16, 4]
    assert widths(prune(model, ratio=0.375, scope="layer", round_to=1).changed.model) == [10, 10]


def test_l1_and_l2_can_disagree():
    model = chain(2)
    model.get_layer("a").kernel.assign(
        [[0.9, 0.5], [0.0, 0.5], [0.0, 0.0], [0.0, 0.0]]
    )  # L1: 0.9 and 1.0; L2: 0.9 and 0.71
    kernels = [
        np.asarray(prune(model, ratio=0.5, round_to=1, importance=how).changed.model.get_layer("a").kernel)[:, 0]
        for how in ("l1", "l2")
    ]
    assert kernels[0].tolist() == [0.5, 0.5, 0.0, 0.0]
    assert kernels[1].tolist() == pytest.approx([0.9, 0.0, 0.0, 0.0])


def test_random_importance_follows_the_seed():
    model = chain(32)
    one, again, other = (prune(model, ratio=0.5, importance="random", seed=seed).file for seed in (1, 1, 2))
    assert one == again
    assert one != other


@pytest.mark.parametrize("how", [{"ratio": 0.5}, {"ratio": 0.5, "scope": "global"}, {"alpha": 0.6}])
def test_claims_of_random_importance_are_those_of_the_model_that_is_there(how):
    model = chain(4, 32, 32)
    for seed in range(1, 5):
        applied = prune(model, importance="random", round_to=1, seed=seed, **how)
        after = widths(applied.changed.model, "abc")
        gone = sum(new < old for new, old in zip(after, widths(model, "abc"), strict=True))
        assert applied.claims["pruned_groups"] == applied.claims["pruned_layers"] == gone
        assert applied.claims["channels_before"] - applied.claims["channels_after"] == sum(widths(model, "abc")) - sum(
            after
        )


def test_random_channels_too_few_break_the_promise():
    """Another ratio than was asked for: the draw does not matter to the number."""
    model = chain(32)
    after = prune(model, ratio=0.25, round_to=1).changed.model
    with pytest.raises(PromiseError, match="has 24 channels, and 16 of 32 were to stay"):
        prune_channels.ensures(model, after, prune_channels.Settings(ratio=0.5, importance="random", round_to=1))


@pytest.mark.parametrize(
    ("width", "ratio", "more", "left"),
    [
        (64, 0.3, {}, 48),  # 44.8: the nearest multiple of 8
        (64, 0.05, {}, 64),
        (8, 0.5, {}, 8),
        (20, 0.5, {}, 8),  # 10
        (20, 0.35, {}, 16),  # 13
        (64, 0.99, {}, 8),
        (64, 0.99, {"min_channels": 20}, 24),
        (64, 0.99, {"min_channels": 5, "round_to": 1}, 5),
        (6, 0.9, {"min_channels": 10, "round_to": 1}, 6),
    ],
)
def test_rounding_and_the_least_number(width, ratio, more, left):
    model = chain(width, 64)
    pruned = prune_model(model, Selection(ratios={"a": ratio}, **more))
    assert pruned.model.get_layer("a").units == left
    assert [group.channels_after for group in pruned.groups] == ([left] if left < width else [])


def test_layers_that_end_wider_than_asked_are_told():
    applied = prune(chain(64, 8), ratio=0.99)
    assert applied.changed.notes == (
        "scores: its channels are the model's output",
        "a: 0.64 of its 64 channels would be left; 8 are kept, the least that is allowed",
        "b: all of its 8 channels stay with round_to = 8 and min_channels = 1",
    )
    assert applied.claims == {
        "channels_before": 75.0, "channels_after": 19.0, "pruned_groups": 1.0, "pruned_layers": 1.0, "kept_layers": 2.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "takes exactly one of ratio, alpha and ratios, and has none"),
        ({"ratio": 0.5, "alpha": 0.1}, "and has ratio and alpha"),
        ({"ratio": 1.0}, r"prune_channels\.ratio: expected `float` < 1"),
        ({"ratio": -0.1}, r"prune_channels\.ratio: expected `float` >= 0"),
        ({"ratios": {"a": 1.0}}, "prune_channels.ratios.* < 1"),
        ({"alpha": 0.1, "scope": "global"}, 'scope = "global" goes with ratio, not with alpha'),
        (
            {"ratios": {"scores": 0.5}},
            r"prune_channels\.ratios: the model has no layer 'scores' that supports this setting",
        ),
        ({"ratio": 0.5, "exclude": ["aa"]}, r"prune_channels\.exclude: the model has no layer 'aa'"),
        ({"ratio": 0.5, "importance": "l3"}, "importance"),
    ],
)
def test_wrong_settings(given, message):
    with pytest.raises(PlanError, match=f"(?i){message}") as caught:
        prune(chain(16, 16), **given)
    assert caught.value.hint


def test_tied_layers_can_not_have_different_ratios():
    given = keras.Input((4,))
    x = layers.Add()([layers.Dense(16, name="a")(given), layers.Dense(16, name="b")(given)])
    model = keras.Model(given, layers.Dense(3)(x))
    with pytest.raises(PlanError, match="'a' and 'b' lose their channels together"):
        prune(model, ratios={"a": 0.5, "b": 0.25})
    assert widths(prune(model, ratios={"b": 0.5}).changed.model) == [8, 8]


def test_nothing_to_remove_is_refused():
    with pytest.raises(
        StageError, match=r"would remove nothing from chain: .*a, b: all of its 8 channels stay with round_to = 8"
    ) as caught:
        prune(chain(8, 8), ratio=0.5)
    assert "smaller round_to" in caught.value.hint
    with pytest.raises(StageError, match="finds no channel in chain that can be removed: a: it is excluded; scores: "):
        prune(chain(8), ratio=0.5, exclude=["a"])


def test_stale_statistics_of_batch_norm_are_estimated_anew_or_it_is_said(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    x, y = sets.evaluation
    settings = {"ratios": {"stem": 0.25, "pointwise": 0.25}, "round_to": 1}
    stale, fresh = (
        prune(model, recalibrate=recalibrate, calibration=Dataset(*sets.calibration), **settings).changed
        for recalibrate in (False, True)
    )
    assert not any("statistics" in note for note in (*stale.notes, *fresh.notes))
    old, new = (np.asarray(each.model.get_layer("norm").moving_mean) for each in (stale, fresh))
    assert set(old) < set(np.asarray(model.get_layer("norm").moving_mean))
    assert not np.array_equal(old, new)
    accuracy = [frameworks.accuracy(each.model.predict(x, verbose=0), y) for each in (stale, fresh)]
    assert accuracy[1] >= accuracy[0] - 0.02
    (note,) = [note for note in prune(model, **settings).changed.notes if "statistics" in note]
    assert "give data.training or data.calibration" in note


def test_a_frozen_model_recovers_and_stays_frozen(tiny_folder, sets):
    model = frameworks.open_keras(tiny_folder / "tiny.keras")
    model.trainable = False
    x, y = sets.evaluation
    settings = {"ratio": 0.5, "round_to": 2}
    plain = prune(model, **settings).changed.model
    after = prune(
        model,
        training=Dataset(*sets.training),
        recover={"epochs": 3, "batch_size": 50, "learning_rate": 5e-3},
        **settings,
    )
    accuracy = [frameworks.accuracy(each.predict(x, verbose=0), y) for each in (plain, after.changed.model)]
    assert accuracy[1] > max(0.8, accuracy[0])
    assert not after.changed.model.get_layer("hidden").trainable
    assert not after.changed.model.compiled
    assert after.changed.model.get_layer("hidden").units == 6
    assert after.changed.model.count_params() < 0.5 * model.count_params()


def lying(model, cut):
    """A pass that claims one selection and does another."""
    import types

    def apply(model, settings, context):
        return Changed(prune_model(model, cut).model if cut else model)

    liar = types.SimpleNamespace(**(vars(prune_channels) | {"apply": apply}))
    settings = prune_channels.Settings(ratio=0.5, round_to=1)
    return apply_pass("prune_channels", liar, model, settings, Context(), FORMATS["keras"])


def test_the_promise_is_counted_in_what_was_saved():
    with pytest.raises(PromiseError, match="layer 'a' has 16 channels, and 8 of 16 were to stay"):
        lying(chain(16, 16), None)
    with pytest.raises(PromiseError, match="layer 'b' has 12 channels, and 8 of 16 were to stay"):
        lying(chain(16, 16), Selection(ratios={"a": 0.5, "b": 0.25}, round_to=1))
    assert lying(chain(16, 16), Selection(ratio=0.5, round_to=1)).claims["channels_after"] == 19


def test_the_tiny_model():
    assert [(group.layers, group.channels_before) for group in groups_of(tiny_model())] == [
        (("stem",), 8), (("pointwise",), 16), (("hidden",), 12),
    ]  # fmt: skip
