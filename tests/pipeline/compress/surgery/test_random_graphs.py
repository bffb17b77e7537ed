"""Surgery on graphs that nobody thought of, and proof that its judge sees what is wrong."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops

from pipeline.compress.surgery import Selection, prune_model, rules
from pipeline.compress.surgery.channels import Channels
from tests.support.masked import masked, randomise

pytestmark = pytest.mark.frameworks


def normalised(x, other, width):
    return layers.ReLU()(layers.BatchNormalization()(x))


def as_wide(x, other):
    return other if x.shape[-1] == other.shape[-1] else layers.Conv2D(x.shape[-1], 1)(other)


def squeezed(x, other, width):
    scale = layers.Dense(x.shape[-1], activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return layers.Multiply()([x, scale])


def gated(x, other, width):
    one, two = ops.split(layers.Conv2D(2 * width, 1)(x), 2, axis=-1)
    return one * ops.sigmoid(two)


def shared(x, other, width):
    layer = layers.Conv2D(x.shape[-1], 3, padding="same")
    return layers.Add()([layer(x), layer(ops.tanh(layer(x)))])


def shuffled(x, other, width):
    x = layers.Conv2D(4 * width, 1)(x)
    return layers.Reshape((4, 4, 4 * width))(layers.Permute((1, 2, 4, 3))(layers.Reshape((4, 4, 4, width))(x)))


def attended(x, other, width):
    x = layers.Reshape((16, x.shape[-1]))(x)
    return layers.Reshape((4, 4, width))(layers.MultiHeadAttention(2, 4, output_shape=width)(x, x))


STEPS = {
    "conv": lambda x, other, width: layers.Conv2D(width, 3, padding="same", activation="relu")(x),
    "depthwise": lambda x, other, width: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=1 + width % 2)(x),
    "separable": lambda x, other, width: layers.SeparableConv2D(width, 3, padding="same")(x),
    "grouped": lambda x, other, width: layers.Conv2D(2 * width, 3, padding="same", groups=2)(layers.Conv2D(8, 1)(x)),
    "normalised": normalised,
    "bent": lambda x, other, width: layers.Activation(["gelu", "elu", "hard_silu", "selu"][width % 4])(x),
    "resized": lambda x, other, width: layers.Resizing(4, 4)(layers.UpSampling2D(2, interpolation="bilinear")(x)),
    "prelu": lambda x, other, width: layers.PReLU(shared_axes=[1, 2])(x),
    "grown": lambda x, other, width: layers.Conv2DTranspose(width, 3, padding="same")(x),
    "averaged": lambda x, other, width: x * ops.mean(x, axis=(1, 2), keepdims=True),
    "stacked": lambda x, other, width: ops.mean(ops.stack([x, as_wide(x, other)], axis=1), axis=1),
    "layer norm": lambda x, other, width: layers.LayerNormalization()(x),
    "group norm": lambda x, other, width: layers.GroupNormalization(2)(layers.Conv2D(2 * width, 1)(x)),
    "pooled": lambda x, other, width: layers.MaxPooling2D(3, strides=1, padding="same")(x),
    "added": lambda x, other, width: layers.Add()([x, as_wide(x, other)]),
    "times": lambda x, other, width: ops.multiply(x, as_wide(x, other)),
    "joined": lambda x, other, width: layers.Concatenate()([x, other]),
    "squeezed": squeezed,
    "gated": gated,
    "shared": shared,
    "shuffled": shuffled,
    "attended": attended,
    "recurrent": lambda x, other, width: layers.Reshape((4, 4, width))(
        layers.GRU(width, return_sequences=True)(layers.Reshape((16, x.shape[-1]))(x))
    ),
    "dense on the flat": lambda x, other, width: layers.Reshape((4, 4, width))(layers.Dense(16 * width)(layers.Flatten()(x))),
}  # fmt: skip

GRAPHS = st.lists(
    st.tuples(st.sampled_from(list(STEPS)), st.integers(0, 9), st.integers(0, 9), st.integers(2, 8)),
    min_size=2,
    max_size=7,
)
SELECTIONS = st.tuples(
    st.sampled_from([0.3, 0.5, 0.8]), st.sampled_from(["layer", "global"]), st.sampled_from(["l1", "l2", "random"]), st.sampled_from([1, 2]),
).map(lambda drawn: Selection(ratio=drawn[0], scope=drawn[1], importance=drawn[2], round_to=drawn[3]))  # fmt: skip


def drawn(steps):
    image = keras.Input((4, 4, 3))
    pool = [layers.Conv2D(6, 3, padding="same")(image)]
    for name, one, other, width in steps:
        pool.append(STEPS[name](pool[-1 - one % min(2, len(pool))], pool[other % len(pool)], width))
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(each) for each in pool[-2:]])
    return keras.Model(image, [layers.Dense(4)(x), layers.Conv2D(2, 1)(pool[len(pool) // 2])])


def difference(model, selection):
    """Largest difference between the smaller model and the judge, relative to the largest answer where that is above 1; NaN
    where a channel that is gone is in an answer of the judge."""
    x = np.random.default_rng(5).normal(0, 1, (2, 4, 4, 3)).astype("float32")
    pruned = prune_model(model, selection).model
    assert pruned.count_params() < model.count_params()
    answers = zip(pruned(x, training=False), masked(model, selection, [x]), strict=True)
    return np.max([np.abs(np.asarray(one) - other).max() / max(1.0, np.abs(other).max()) for one, other in answers])


@given(GRAPHS, SELECTIONS)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_random_graphs(steps, selection):
    assert difference(randomise(drawn(steps)), selection) < 1e-5


def untied(call):
    return [call.x]


def in_wrong_order(call):
    return [(None, np.repeat(call.x[-1], 16))]


@pytest.mark.parametrize(("kind", "wrong"), [("Add", untied), ("Flatten", in_wrong_order)])
def test_the_judge_sees_a_wrong_rule(monkeypatch, kind, wrong):
    image = keras.Input((4, 4, 3))
    x = layers.Add()([layers.Conv2D(8, 3, padding="same")(image), layers.Conv2D(8, 1)(image)])
    model = randomise(keras.Model(image, [layers.Dense(3)(layers.Flatten()(x)), layers.Conv2D(2, 1)(x)]))
    selection = Selection(ratio=0.5, round_to=1)
    assert difference(model, selection) < 1e-5
    monkeypatch.setitem(rules.LAYERS, kind, wrong)
    assert not difference(model, selection) < 1e-2


@given(st.integers(2, 60), st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)), max_size=80))
@settings(max_examples=60, deadline=None)
def test_ties_are_followed_to_their_end(count, pairs):
    channels = Channels()
    ids = channels.new(count)
    sets = [{i} for i in range(count)]
    for one, other in pairs:
        a, b = one % count, other % count
        channels.tie(ids[a : a + 1], ids[b : b + 1])
        both = sets[a] | sets[b]
        for each in both:
            sets[each] = both
    of = channels.components().of
    for i in range(count):
        assert {int(j) for j in np.flatnonzero(of == of[i])} == sets[i]
