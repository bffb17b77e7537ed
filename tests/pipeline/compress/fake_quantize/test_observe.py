"""The ranges that activations reach are those of all rows that are looked at, and of no others."""

import numpy as np
import pytest

from pipeline.compress.context import Dataset
from pipeline.compress.fake_quantize.observe import observe
from pipeline.compress.rows import Batches


@pytest.mark.frameworks
def test_observing_is_of_all_rows_and_only_then():
    import keras

    from pipeline.frameworks import fake_quantization

    image = keras.Input((2,))
    model = keras.Model(image, fake_quantization.FakeQuantize(name="range")(image))
    rows = np.linspace(-1, 4, 2400, dtype=np.float32).reshape(-1, 2)
    observe(model, Batches(model, Dataset(rows), "rows"))
    layer = model.get_layer("range")
    assert (float(layer.low), float(layer.high)) == pytest.approx((-1, 4), abs=layer.scale)
    observe(model, Batches(model, Dataset(rows[:600]), "rows"))
    before = float(layer.high)
    assert before < 2
    model.predict(rows, verbose=0)
    assert float(layer.high) == before
