"""Layers of the user's own are what their calls are made of: the same as a net that is written without them."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from pipeline import frameworks
from pipeline.compress.callbacks import fake_quantized
from pipeline.errors import StageError
from tests.pipeline.compress.fake_quantize.nets import at_the_input, rows_of

pytestmark = pytest.mark.frameworks


@pytest.fixture(autouse=True)
def known():
    """Keras opens files with them, here alone."""
    with keras.saving.custom_object_scope({each.__name__: each for each in (Words, Block)}):
        yield


class Words(layers.Layer):
    """Words and their positions, as keras.io has it."""

    def __init__(self, steps, words, width, **more):
        super().__init__(**more)
        self.kept = {"steps": steps, "words": words, "width": width}
        self.token, self.place = layers.Embedding(words, width), layers.Embedding(steps, width)

    def build(self, shape):
        self.token.build(shape)
        self.place.build((None,))
        self.shift = self.add_weight(shape=(self.kept["width"],), name="shift")

    def call(self, tokens):
        return self.token(tokens) + self.place(ops.arange(0, ops.shape(tokens)[-1], 1)) + self.shift

    def get_config(self):
        return super().get_config() | self.kept


class Block(layers.Layer):
    """The encoder block of keras.io's examples."""

    def __init__(self, width, **more):
        super().__init__(**more)
        self.width = width
        self.attention = layers.MultiHeadAttention(2, width)
        self.wide = keras.Sequential([layers.Dense(2 * width, activation="relu"), layers.Dense(width)])
        self.first, self.second = (layers.LayerNormalization(epsilon=1e-6) for _ in range(2))
        self.dropout = layers.Dropout(0.1)

    def build(self, shape):
        self.attention.build(shape, shape)
        for each in (self.wide, self.first, self.second):
            each.build(shape)

    def call(self, x, training=False):
        x = self.first(x + self.dropout(self.attention(x, x), training=training))
        return self.second(x + self.dropout(self.wide(x), training=training))

    def get_config(self):
        return super().get_config() | {"width": self.width}


def own():
    keras.utils.set_random_seed(0)
    tokens = keras.Input((6,), dtype="int32", name="rows")
    x = Block(8, name="block")(Words(6, 20, 8, name="words")(tokens))
    model = keras.Model(tokens, layers.Dense(3, name="scores")(layers.GlobalMaxPooling1D()(x)))
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(np.random.default_rng(weight.shape[-1]).normal(0, 0.5, weight.shape))
    return model


def written_out(model):
    """The same net of Keras's layers alone, with these weights."""
    words, block, scores = (model.get_layer(name) for name in ("words", "block", "scores"))
    tokens = keras.Input((6,), dtype="int32", name="rows")
    x = words.token(tokens) + np.asarray(words.place.embeddings) + np.asarray(words.shift)
    x = block.first(x + block.dropout(block.attention(x, x)))
    x = block.second(x + block.dropout(block.wide(x)))
    return keras.Model(tokens, scores(layers.GlobalMaxPooling1D()(x)))


def test_they_are_what_their_calls_are_made_of():
    model = own()
    x, names = rows_of(model), [each.name for each in model.get_layer("block")._flatten_layers()]
    found = fake_quantized(model, x)
    before = model.predict(x, verbose=0)
    assert np.array_equal(found.predict(x, verbose=0), fake_quantized(written_out(model), x).predict(x, verbose=0))
    assert np.abs(found.predict(x, verbose=0) - before).max() < 0.1 * np.abs(before).max()
    assert names == [each.name for each in model.get_layer("block")._flatten_layers()]
    assert frameworks.save_keras(found) == frameworks.save_keras(fake_quantized(model, x))
    dropped = [each for each in found.layers if isinstance(each, layers.Dropout)]
    assert [float(ops.max(ops.abs(each(np.ones((1, 99), np.float32), training=True)))) > 1 for each in dropped] == [
        True
    ]


def test_a_call_that_cannot_be_looked_into_is_named():
    class Own(layers.Layer):
        def call(self, x):
            return x * float(x[0, 0, 0, 0])

        def compute_output_shape(self, shape):
            return shape

    with pytest.raises(
        StageError, match=r"cannot look into layer 'mine' \(Own\): its call fails on tensors without"
    ) as caught:
        fake_quantized(at_the_input(Own(name="mine")), np.zeros((4, 8, 8, 3), np.float32))
    assert "keras.ops alone" in caught.value.hint


def test_a_class_derived_from_a_layer_is_not_taken_for_it():
    class Rescaling(layers.Rescaling):
        def call(self, inputs):
            return inputs - 1

    with keras.saving.custom_object_scope({"Rescaling": Rescaling}):
        model = at_the_input(Rescaling(2.0, name="mine"))
        x = rows_of(model)
        found, was = fake_quantized(model, x).predict(x, verbose=0), model.predict(x, verbose=0)
    assert np.abs(found - was).max() < 0.05 * np.abs(was).max()
