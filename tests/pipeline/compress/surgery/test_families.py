"""Surgery on families of keras.applications: the smaller model answers what the original answers without those channels."""

import keras
import numpy as np
import pytest

from pipeline.compress.surgery import Selection, prune_model
from tests.support.masked import masked, randomise

FAMILIES = {
    "MobileNet": 32, "MobileNetV2": 32, "MobileNetV3Small": 32, "EfficientNetB0": 32, "EfficientNetV2B0": 32, "ResNet50": 32,
    "ResNet50V2": 32, "DenseNet121": 32, "Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75, "NASNetMobile": 32,
    "ConvNeXtTiny": 32, "VGG16": 32,
}  # fmt: skip
"""Name, and the side of the image."""


@pytest.mark.frameworks
@pytest.mark.parametrize("name", FAMILIES)
def test_family(name):
    side = FAMILIES[name]
    keras.utils.set_random_seed(1)
    model = randomise(
        getattr(keras.applications, name)(
            weights=None, input_shape=(side, side, 3), classes=10, classifier_activation=None
        )
    )
    x = np.random.default_rng(2).uniform(-1, 1, (2, side, side, 3)).astype("float32")
    last = [weight for weight in model.trainable_weights if "kernel" in weight.name][-1]
    last.assign(last / np.std(model(x, training=False)))  # so that 1e-5 means the same for each
    selection = Selection(ratio=0.5, round_to=4)
    pruned = prune_model(model, selection).model
    original, answered, (expected,) = model(x, training=False), pruned(x, training=False), masked(model, selection, [x])
    assert np.abs(answered - expected).max() < 1e-5
    assert np.abs(original - expected).max() > 1e-2
    assert np.std(expected) > 1e-2
    assert pruned.count_params() < 0.35 * model.count_params()
    keras.backend.clear_session()
