"""Surgery on graphs: nested, shared, of operations, with several inputs, and what stays as it was."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from pipeline.compress.surgery import Selection, groups_of, prune_model
from pipeline.errors import PlanError, StageError
from tests.pipeline.compress.surgery.cut import HALF, after_conv, check, classes, conv, image

pytestmark = pytest.mark.frameworks


def test_nested_models_and_shared_ones():
    inner_input = keras.Input((8, 8, 12))
    inner = keras.Model(inner_input, conv(12)(layers.BatchNormalization()(conv(16)(inner_input))), name="inner")
    tail = keras.Sequential([keras.Input((8, 8, 12)), conv(8), layers.GlobalAveragePooling2D(), layers.Dense(10)])
    given = image()
    x = conv(12)(given)
    pruned = check(keras.Model(given, layers.Dense(4)(tail(layers.Add()([inner(x), inner(inner(x))])))))
    assert pruned.get_layer("inner").layers[1].filters == 8
    assert pruned.get_layer("inner").inputs[0].shape == (None, 8, 8, 6)


def test_sequential():
    check(
        keras.Sequential(
            [keras.Input((8, 8, 3)), conv(), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(12), layers.Dense(3)]
        )
    )


def test_shared_layers():
    one, other, shared = image(), image(), conv(16)
    head = layers.Dense(12, activation="relu")
    x = [head(layers.GlobalAveragePooling2D()(shared(conv(12)(each)))) for each in (one, other)]
    model = keras.Model([one, other], layers.Dense(3)(layers.Subtract()(x)))
    check(model)
    assert sum(len(group.layers) == 2 for group in groups_of(model)) == 1


def test_calls_that_disagree_keep_their_channels():
    given = image(8, 6)
    shared = conv(6, name="shared")
    model = keras.Model(given, classes(conv(16, name="free")(shared(shared(given)))))
    pruned = prune_model(model, HALF)
    assert pruned.model.get_layer("shared").filters == 6
    assert pruned.model.get_layer("free").filters == 8
    assert {left.layer: left.why for left in pruned.left}["shared"].startswith("'shared' is called several times")
    check(model)


def test_several_inputs_and_outputs():
    one, other = image(), keras.Input((6,))
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(conv()(one)), layers.Dense(12, activation="relu")(other)])
    x = layers.Dense(16)(x)
    model = keras.Model([one, other], [layers.Dense(3)(x), layers.Dense(2)(layers.ReLU()(x)), x])
    pruned = check(model, shrinks_to=0.9)
    assert pruned.outputs[2].shape == (None, 16)


def test_channels_first():
    given = keras.Input((3, 8, 8))
    more = {"data_format": "channels_first", "padding": "same"}
    x = layers.BatchNormalization(axis=1)(layers.Conv2D(16, 3, **more)(given))
    x = layers.Concatenate(axis=1)([x, layers.Conv2D(8, 1, **more)(x)])
    x = layers.GlobalAveragePooling2D(data_format="channels_first")(x)
    pruned = prune_model(keras.Model(given, layers.Dense(4)(x)), HALF).model
    assert pruned.layers[1].filters == 8
    assert pruned.layers[2].axis == 1
    assert pruned.layers[-2].output.shape == (None, 12)


def operations(x):
    x = ops.relu(conv(16, activation=None)(x))
    y = ops.multiply(ops.add(x, ops.tanh(conv(16)(x))), 0.5) + 1.0
    one, other = ops.split(conv(16)(y), 2, axis=-1)
    y = ops.concatenate([one * ops.sigmoid(other), y], axis=-1)
    y = ops.transpose(ops.reshape(y, (-1, 64, 24)), (0, 2, 1))
    y = ops.maximum(ops.swapaxes(y, 1, 2)[:, 4:], 0.0)
    return ops.squeeze(ops.mean(y, axis=1, keepdims=True), axis=1)


def test_graphs_of_operations():
    given = image()
    check(keras.Model(given, classes(operations(given))))


def test_attention_of_operations():
    given = keras.Input((6, 4))
    query, key, value = (layers.Dense(16)(given) for _ in range(3))
    weights = ops.softmax(ops.matmul(query, ops.transpose(key, (0, 2, 1))) / 4.0)
    check(keras.Model(given, layers.Dense(3)(ops.matmul(weights, value))))


def test_parts_that_go_their_own_ways():
    given = image()
    one, other = ops.split(conv(16, name="both")(given), 2, axis=-1)
    model = keras.Model(given, classes(ops.concatenate([conv(8)(one), conv(8, 1)(other)], axis=-1)))
    kernel = model.get_layer("both").kernel
    kernel.assign(kernel * np.linspace(0.1, 1, 16))  # the first part is less important, and yet both stay equally wide
    check(model)


def test_constants_in_a_graph_of_operations():
    given = image()
    x = ops.multiply(conv(16, name="free")(given), 0.5)
    x = ops.add(conv(16, name="kept")(x), np.linspace(-1, 1, 16).astype("float32"))
    x = ops.concatenate([conv(16, name="also free")(x), ops.full((1, 8, 8, 1), 2.0) * x[..., :1]], axis=-1)
    model = keras.Model(given, classes(conv()(x)))
    left = {each.layer: each.why for each in prune_model(model, HALF).left}
    assert "joins its channels with some that have to stay" in left["kept"]
    assert not {"free", "also free"} & set(left)
    check(model, shrinks_to=0.8)


def test_masks_of_padded_sequences():
    tokens = keras.Input((7,), dtype="int32")
    x = layers.Embedding(20, 16, mask_zero=True)(tokens)
    x = layers.MultiHeadAttention(2, 8)(x, x, use_causal_mask=True)
    check(keras.Model(tokens, layers.Dense(3)(layers.Bidirectional(layers.LSTM(8))(x))))


def test_inputs_and_outputs_by_name():
    given = {"a": keras.Input((6,), name="a"), "b": keras.Input((4,), name="b")}
    x = layers.Concatenate()([layers.Dense(12, activation="relu")(given["b"]), layers.Dense(16)(given["a"])])
    pruned = check(keras.Model(given, {"one": layers.Dense(3)(x), "two": layers.Dense(2)(x)}))
    assert set(pruned.output) == {"one", "two"}


def test_shuffled_channels():
    given = image()
    x = layers.Reshape((8, 8, 4, 4))(conv(16)(given))
    x = layers.Reshape((8, 8, 16))(layers.Permute((1, 2, 4, 3))(x))
    pruned = check(keras.Model(given, classes(conv(8, groups=2)(x))))
    assert pruned.layers[2].target_shape == (8, 8, 4, 2)


def test_what_compares_channels_keeps_them():
    given = image()
    x = conv(16, activation="softmax", name="gate")(given)
    x = layers.UnitNormalization(name="unit")(conv(16, name="before")(x))
    y = ops.max(conv(16, name="pooled")(x), axis=-1, keepdims=True)
    model = keras.Model(given, classes(conv(name="free")(layers.Concatenate()([x, y]))))
    left = {each.layer: each.why for each in prune_model(model, HALF).left}
    assert left["gate"] == "the activation 'softmax' of 'gate' sets them against each other"
    assert left["before"] == "'unit' (UnitNormalization) uses them in a way that is not known"
    assert "makes one value of them" in left["pooled"]
    assert "free" not in left
    check(model, shrinks_to=0.9)


def test_exclude_the_ratio_table_and_names_that_do_not_exist():
    given = image()
    model = keras.Model(
        given, classes(conv(16, name="b")(layers.BatchNormalization(name="norm")(conv(16, name="a")(given))))
    )

    def widths(**more):
        pruned = prune_model(model, Selection(round_to=1, **more)).model
        return [pruned.get_layer(name).filters for name in "ab"]

    assert widths(ratio=0.5, exclude=("a",)) == widths(ratio=0.5, exclude=("norm",)) == [16, 8]
    assert widths(ratios={"a": 0.25}) == [12, 16]
    with pytest.raises(PlanError, match="no layer 'normm'") as caught:
        widths(ratio=0.5, exclude=("normm",))
    assert "Did you mean 'norm'?" in caught.value.hint


def test_custom_layers(monkeypatch):
    class Twice(layers.Layer):
        def call(self, x):
            return x + x

    class Lost(layers.Layer):
        def __init__(self, factor, **more):
            super().__init__(**more)
            self.factor = [factor]

        def get_config(self):
            return super().get_config()

        def call(self, x):
            return x * self.factor[0]

    monkeypatch.setitem(
        keras.saving.get_custom_objects(), "Twice", Twice
    )  # for this test: others look at what is not known
    given = image()
    model = keras.Model(given, classes(conv(16)(Twice(name="twice")(conv(16, name="stays")(given)))))
    assert check(model, shrinks_to=0.9).get_layer("stays").filters == 16
    with pytest.raises(StageError, match=r"layer 'lost' \(Lost\) cannot be made again from its config") as caught:
        prune_model(keras.Model(given, classes(Lost(2.0, name="lost")(conv(16)(given)))), HALF)
    assert "get_config" in caught.value.hint


def test_a_model_without_a_graph():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(StageError, match=r"\(Own\) has no graph"):
        groups_of(Own())
    with pytest.raises(StageError, match="has no graph"):
        groups_of(keras.Sequential([layers.Dense(3)]))


def test_a_compiled_model_with_a_loss_of_its_own():
    model = after_conv()
    model.compile("sgd", loss=lambda y, p: p[:, 0])
    pruned = prune_model(model, HALF).model
    assert model.compiled
    assert not pruned.compiled


def test_frozen_layers_stay_frozen_and_can_be_trained_again():
    inner = keras.Sequential([keras.Input((8, 8, 16)), conv(16), layers.BatchNormalization()], name="inner")
    given = image()
    model = keras.Model(given, classes(inner(conv(16, name="stem")(given))))
    model.get_layer("stem").trainable = False
    inner.layers[1].trainable = False

    def flags(each):
        return [layer.trainable for layer in each._flatten_layers()]

    pruned = prune_model(model, HALF).model
    assert flags(pruned) == flags(model)
    assert len(pruned.trainable_weights) == len(model.trainable_weights) == 4
    model.trainable = False
    pruned = prune_model(model, HALF).model
    assert not pruned.trainable_weights
    pruned.trainable = True
    assert len(pruned.trainable_weights) == 8


def test_states_of_random_layers_and_dtypes_are_kept():
    given = image()
    x = layers.Dropout(0.5, seed=7, name="drop")(conv(16, dtype="mixed_bfloat16", name="half")(given))
    model = keras.Model(given, classes(conv(16, dtype="float64", name="double")(x)))
    model(np.ones((2, 8, 8, 3), "float32"), training=True)
    pruned = prune_model(model, HALF).model
    states = [np.asarray(each.get_layer("drop").seed_generator.state) for each in (model, pruned)]
    assert np.array_equal(*states)
    assert pruned.get_layer("half").dtype_policy.name == "mixed_bfloat16"
    assert pruned.get_layer("double").kernel.dtype == "float64"
