import numpy as np
import pytest
from keras import layers

from dart_keras.quantization.separable_convolutions import split_separable_convolution


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_bias": False, "padding": "same", "strides": 2},
        {"depth_multiplier": 2, "dilation_rate": 2, "bias_initializer": "normal"},
    ],
)
def test_the_two_convolutions_do_what_the_one_did(options):
    layer = layers.SeparableConv2D(5, 3, **options)
    images = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype("float32")
    expected = layer(images)
    depthwise, pointwise = split_separable_convolution(layer)
    np.testing.assert_allclose(pointwise(depthwise(images)), expected, atol=1e-5)
    assert depthwise.count_params() + pointwise.count_params() == layer.count_params()
