import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.model_surgery.links import links
from dart_keras.model_surgery.scaled_inputs import scale_inputs, scaling_reader

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 6, 6, 4)).astype("float32")


def reader_of(*after_it):
    """What the layers after a scaling give, and the layer that can do it as well."""
    stack = [layers.BatchNormalization(), *after_it]
    model = keras.Sequential([keras.Input((6, 6, 4)), *stack])
    after = {id(link.layer): link for link in links(model)}
    return scaling_reader(after[id(stack[0])], after)


@pytest.mark.parametrize(
    "build",
    [
        lambda: [layers.Conv2D(5, 3, bias_initializer="normal")],
        lambda: [layers.Conv2D(5, 3, strides=2, use_bias=False, activation="tanh")],
        lambda: [layers.Conv2D(5, 1, padding="same")],
        lambda: [layers.Dense(5)],
        lambda: [layers.Flatten(), layers.Dense(5, bias_initializer="normal")],
        lambda: [layers.GlobalAveragePooling2D(), layers.Dense(5, use_bias=False)],
    ],
)
def test_weights_do_what_was_done_before_them(build):
    stack = build()
    layer = reader_of(*stack, layers.ReLU())
    assert layer is stack[-1]
    scale, shift = RNG.normal(size=(2, 4))
    new, before = scale_inputs(layer, scale, shift), layer.get_weights()
    assert (type(new), new.name) == (type(layer), layer.name)
    given = (IMAGES * scale + shift).astype("float32"), IMAGES
    for each in stack[:-1]:
        given = tuple(map(each, given))
    expected, received = layer(given[0]), new(given[1])
    np.testing.assert_allclose(received, expected, atol=1e-4, rtol=1e-4)
    for old, now in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


@pytest.mark.parametrize(
    "build",
    [
        lambda: [layers.Conv2D(4, 3, padding="same")],
        lambda: [layers.Conv2D(4, 3, groups=2)],
        lambda: [layers.DepthwiseConv2D(3)],
        lambda: [layers.MaxPooling2D(), layers.Conv2D(4, 1)],
        lambda: [layers.Dropout(0.5), layers.Dense(4)],
        lambda: [layers.Flatten(data_format="channels_first"), layers.Dense(4)],
        lambda: [layers.Flatten(), layers.Reshape((36, 4)), layers.Dense(4)],
        lambda: [layers.BatchNormalization(), layers.Dense(4)],
        lambda: [layers.Flatten()],
    ],
)
def test_others_cannot(build):
    assert reader_of(*build(), layers.ReLU()) is None
