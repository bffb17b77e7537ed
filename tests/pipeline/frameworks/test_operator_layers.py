"""One over a root where 8 bits leave nothing of what it is taken of: it can be trained, and the answer is the end of the range."""

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize("training", [True, False])
def test_one_over_the_root_of_nothing(training):
    import tensorflow as tf

    from pipeline.frameworks.fake_quantization import FakeQuantize
    from pipeline.frameworks.operator_layers import InverseRoot

    layer, rounded = InverseRoot(), FakeQuantize()
    x = tf.Variable([0.0, 0.25, 4.0])
    rounded.build((3,))
    rounded.set_range(0, 2.55)
    with tf.GradientTape() as tape:
        y = rounded(layer(x, training=training))
    assert y.numpy() == pytest.approx([2.55, 2.0, 0.5], abs=1e-6)
    if training:
        assert np.isfinite(tape.gradient(y, x)).all()
