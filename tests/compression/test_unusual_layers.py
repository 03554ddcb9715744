"""Layers of a class of their own, or with weights that leave nothing to decompose."""

import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.compression import compress
from dart_keras.selection import Energy


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_convolution_of_zeros(calibrated):
    stack = [layers.Conv2D(8, 3, kernel_initializer="zeros"), layers.Flatten(), layers.Dense(4)]
    model = keras.Sequential([keras.Input((6, 6, 5)), *stack])
    images = np.random.default_rng(0).normal(size=(5, 6, 6, 5)).astype("float32")
    small, _ = compress(model, Energy(1e-6), images if calibrated else None)
    np.testing.assert_allclose(small(images), model(images), atol=1e-5)


@keras.saving.register_keras_serializable("unusual_layers")
class OwnDense(layers.Dense):
    pass


@keras.saving.register_keras_serializable("unusual_layers")
class OwnConvolution(layers.Conv2D):
    pass


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize(
    ("layer", "shape"), [(OwnDense(8), (12,)), (OwnConvolution(8, 3), (6, 6, 5))]
)
def test_subclasses_that_call_themselves_in_the_same_way(layer, shape, calibrated):
    model = keras.Sequential([keras.Input(shape), type(layer).from_config(layer.get_config())])
    batch = np.random.default_rng(0).normal(size=(5, *shape)).astype("float32")
    small, _ = compress(model, Energy(0.5), batch if calibrated else None)
    assert small.count_params() < model.count_params()
    assert small(batch).shape == model(batch).shape
