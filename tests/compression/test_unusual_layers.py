"""Layers of a class of their own, or with weights that leave nothing to decompose."""

import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.budgets import RelativeError
from dart_keras.compression import compress, recover

ROWS = np.random.default_rng(0).normal(size=(40, 8)).astype("float32")


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_convolution_of_zeros(calibrated):
    stack = [layers.Conv2D(8, 3, kernel_initializer="zeros"), layers.Flatten(), layers.Dense(4)]
    model = keras.Sequential([keras.Input((6, 6, 5)), *stack])
    images = np.random.default_rng(0).normal(size=(5, 6, 6, 5)).astype("float32")
    small, _ = compress(model, RelativeError(1e-6), images if calibrated else None)
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
    small, _ = compress(model, RelativeError(0.5), batch if calibrated else None)
    assert small.count_params() < model.count_params()
    assert small(batch).shape == model(batch).shape


def test_a_model_with_a_wrapper_that_uses_the_weights_of_its_layer_is_loaded(tmp_path):
    x = keras.Input((8,))
    y = layers.Dense(12)(layers.SpectralNormalization(layers.Dense(8))(x))
    model = keras.Model(x, y)
    small, report = compress(model, RelativeError(0.9), ROWS)
    assert report.parameters_after == small.count_params() < model.count_params()
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    np.testing.assert_allclose(loaded(ROWS), small(ROWS), atol=1e-6)


def stateful_model_and_state():
    """A model that was used already, and what it goes on from."""
    x = keras.Input(batch_shape=(5, 4, 8))
    recurrent = layers.LSTM(8, stateful=True)
    model = keras.Model(x, layers.Dense(12)(recurrent(x)))
    model(SEQUENCES[:5])
    return model, recurrent.states


SEQUENCES = np.random.default_rng(0).normal(size=(23, 4, 8)).astype("float32")


def test_a_stateful_model_keeps_its_state_and_the_small_one_has_it():
    model, states = stateful_model_and_state()
    before = [np.array(state) for state in states]
    assert all(np.any(state) for state in before)
    small, _ = compress(model, RelativeError(0.5), SEQUENCES)
    assert small.count_params() < model.count_params()
    for now in (states, small.layers[1].states):
        for state, value in zip(now, before, strict=True):
            np.testing.assert_array_equal(state, value)


def test_a_stateful_model_is_recovered_in_batches_of_its_size_and_keeps_its_state():
    model, states = stateful_model_and_state()
    before = [np.array(state) for state in states]
    small, _ = compress(model, RelativeError(0.5), SEQUENCES)
    history = recover(small, model, SEQUENCES, 2, learning_rate=1e-3)
    # Four whole batches of five.
    assert history.params["steps"] == 4
    for now in (states, small.layers[1].states):
        for state, value in zip(now, before, strict=True):
            np.testing.assert_array_equal(state, value)
