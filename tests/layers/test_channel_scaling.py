import keras
import numpy as np
import pytest
from keras import layers

import dart_keras as dk
from dart_keras.layers.channel_scaling import ChannelScaling

RNG = np.random.default_rng(0)


def scaling(channels=5):
    layer = ChannelScaling(name="scaling")
    layer.build((None, channels))
    layer.set_weights([RNG.normal(size=(1, 1, channels, 1)), RNG.normal(size=channels)])
    return layer


@pytest.mark.parametrize(
    ("shape", "given_shape"),
    [
        ((5,), (2, 5)),
        ((3, 5), (2, 3, 5)),
        ((None, 5), (2, 4, 5)),
        ((None, None, 5), (2, 4, 3, 5)),
        ((2, None, None, 5), (2, 2, 3, 4, 5)),
    ],
)
def test_inputs_of_any_axes_are_scaled_and_shifted(shape, given_shape, tmp_path):
    layer = scaling()
    model = keras.Sequential([keras.Input(shape), layer])
    assert model.output_shape == (None, *shape)
    batch = RNG.normal(size=given_shape).astype("float32")
    kernel, bias = layer.get_weights()
    expected = batch * kernel.ravel() + bias
    np.testing.assert_allclose(model.predict(batch, verbose=0), expected, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = dk.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is ChannelScaling
    np.testing.assert_array_equal(loaded.predict(batch, verbose=0), model.predict(batch, verbose=0))


def test_a_mask_is_handed_on():
    inputs = keras.Input((4, 5))
    masked = layers.Masking()(inputs)
    model = keras.Model(inputs, layers.GlobalAveragePooling1D()(scaling()(masked)))
    rows = RNG.normal(size=(2, 4, 5)).astype("float32")
    longer = np.concatenate([rows, np.zeros((2, 3, 5), "float32")], axis=1)
    more = keras.Input((7, 5))
    long_model = keras.Model(more, model.layers[-1](model.layers[-2](layers.Masking()(more))))
    np.testing.assert_allclose(
        long_model.predict(longer, verbose=0), model.predict(rows, verbose=0), atol=1e-6
    )
