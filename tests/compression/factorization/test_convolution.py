import itertools

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

import dart_keras as dk
from dart_keras.compression.factorization.convolution import (
    convolution_options,
    factorize_convolution,
    patch_rows,
    reason_to_keep,
)
from dart_keras.compression.factorization.moments import Moments


@st.composite
def convolutions(draw, sizes=(1, 2, 3)):
    strides, dilation = draw(st.sampled_from([(1, 1), (2, 1), ((2, 1), 1), (1, 2), (1, (1, 2))]))
    size = draw(st.tuples(st.sampled_from(sizes), st.sampled_from(sizes)))
    layer = keras.layers.Conv2D(
        draw(st.integers(1, 6)),
        size,
        strides=strides,
        padding=draw(st.sampled_from(["same", "valid"])),
        dilation_rate=dilation,
        activation=draw(st.sampled_from([None, "relu"])),
        use_bias=draw(st.booleans()),
        bias_initializer="random_normal",
        kernel_initializer=keras.initializers.RandomNormal(seed=draw(st.integers(0, 99))),
    )
    layer.build((None, None, None, draw(st.integers(1, 5))))
    return layer


def correlated_images(layer, seed=0, rows=24):
    """Images whose channels have something to do with each other and are not zero on average."""
    rng = np.random.default_rng(seed)
    channels = layer.kernel.shape[2]
    mixed = rng.normal(size=(rows, 7, 6, channels)) @ rng.normal(size=(channels, channels)) ** 3
    return (mixed + 1).astype("float32")


def linear_outputs(layer, images):
    rows = patch_rows(layer, images) @ ops.convert_to_numpy(layer.kernel).reshape(-1, layer.filters)
    return rows + ops.convert_to_numpy(layer.bias) if layer.use_bias else rows


def moments_of(layer, images):
    moments = Moments()
    for batch in np.array_split(images, 3):
        moments.add(patch_rows(layer, batch), linear_outputs(layer, batch))
    return moments


def loss(layer, small, images):
    """Squared error of the outputs before the activation."""
    activation, small.layers[-1].activation = small.layers[-1].activation, keras.activations.linear
    outputs = ops.convert_to_numpy(small(images)).reshape(-1, layer.filters)
    small.layers[-1].activation = activation
    return float(np.mean((outputs - linear_outputs(layer, images)) ** 2))


@given(convolutions(), st.sampled_from([(True, True), (True, False), (False, True)]), st.booleans())
def test_full_ranks_give_the_same_outputs(layer, sides, with_data):
    images = correlated_images(layer)
    if layer.kernel_size == (1, 1):
        sides = (False, True)
    before = layer.get_weights()
    ranks = tuple(99 if side else None for side in sides)
    small = factorize_convolution(layer, ranks, moments_of(layer, images) if with_data else None)
    expected = ops.convert_to_numpy(layer(images))
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(small(images) / scale, expected / scale, atol=1e-4)
    assert small.name == layer.name
    assert len(small.layers) == 1 + sum(sides)
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


@given(convolutions(), st.integers(1, 4), st.integers(1, 4))
def test_calibration_never_makes_the_calibration_outputs_worse(layer, input_rank, output_rank):
    images = correlated_images(layer, rows=60)
    ranks = (None if layer.kernel_size == (1, 1) else input_rank, output_rank)
    fitted = factorize_convolution(layer, ranks, moments_of(layer, images))
    plain = factorize_convolution(layer, ranks)
    scale = float(np.mean(linear_outputs(layer, images) ** 2))
    assert loss(layer, fitted, images) <= loss(layer, plain, images) * (1 + 1e-3) + 1e-6 * scale


@pytest.mark.parametrize("with_data", [False, True])
def test_error_falls_with_rank_and_options_keep_their_promise(with_data):
    layer = keras.layers.Conv2D(8, 3, padding="same", bias_initializer="random_normal")
    layer.build((None, 7, 6, 6))
    images = correlated_images(layer, rows=200)
    moments = moments_of(layer, images) if with_data else None
    options = convolution_options(layer, moments)
    assert options[-1] == ((None, None), layer.count_params(), 0.0)
    assert len({option.ranks for option in options}) == len(options) > 8
    for one, other in itertools.pairwise(options):
        assert one.parameters < other.parameters
        assert one.error > other.error
    kernel = ops.convert_to_numpy(layer.kernel)
    for option in options[:-1]:
        small = factorize_convolution(layer, option.ranks, moments)
        assert small.count_params() == option.parameters
        if with_data:
            variance = float(np.mean(linear_outputs(layer, images).var(0)))
            error = loss(layer, small, images) / variance
        else:
            basis = np.eye(54, dtype="float32").reshape(54, 3, 3, 6)
            one = keras.Sequential([keras.layers.Conv2D(8, 3, use_bias=False)])
            one.build((None, 3, 3, 6))
            rebuilt = (small(basis) - small(np.zeros_like(basis)))[:, 1, 1].numpy()
            error = np.sum((rebuilt - kernel.reshape(54, 8)) ** 2) / np.sum(kernel**2)
        assert error <= option.error * 1.02 + 1e-5


def test_the_rank_of_the_data_is_enough():
    # Images of rank 2 over the channels: the weights alone do not show that.
    rng = np.random.default_rng(0)
    layer = keras.layers.Conv2D(8, 3)
    images = (rng.normal(size=(80, 7, 6, 2)) @ rng.normal(size=(2, 6)) + 3).astype("float32")
    layer(images)
    fitted = factorize_convolution(layer, (2, None), moments_of(layer, images))
    plain = factorize_convolution(layer, (2, None))
    assert loss(layer, fitted, images) < 1e-3 * loss(layer, plain, images)


def test_stands_in_a_model_that_is_saved_and_converted(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(inputs)
    old = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="second")
    model = keras.Model(inputs, keras.layers.Flatten()(old(x)))

    def replacement(layer):
        if layer.name == "second":
            return factorize_convolution(old, (4, 5))
        return layer.__class__.from_config(layer.get_config())

    small = keras.models.clone_model(model, clone_function=replacement)
    small.get_layer("first").set_weights(model.get_layer("first").get_weights())
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    expected = small.predict(images, verbose=0)
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-6)
    file = dk.deployment.convert(small, "raspberry-pi")
    assert set(file.operators) == {"CONV_2D", "RESHAPE"}
    np.testing.assert_allclose(file.predict(images), expected, atol=1e-4)


def test_what_belongs_to_the_layer_goes_to_its_last_part():
    layer = keras.layers.Conv2D(
        4,
        3,
        activation="relu",
        bias_regularizer="l2",
        bias_constraint="non_neg",
        dtype="mixed_float16",
        trainable=False,
    )
    layer.build((None, 8, 8, 4))
    small = factorize_convolution(layer, (2, 3))
    assert [part.use_bias for part in small.layers] == [False, False, True]
    linear, relu = keras.activations.linear, keras.activations.relu
    assert [part.activation for part in small.layers] == [linear, linear, relu]
    assert isinstance(small.layers[-1].bias_regularizer, keras.regularizers.L2)
    assert isinstance(small.layers[-1].bias_constraint, keras.constraints.NonNeg)
    assert not small.trainable_variables
    assert small(np.ones((1, 8, 8, 4), "float16")).dtype == "float16"


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (keras.layers.Conv2D(4, 3, groups=2), "groups=2"),
        (keras.layers.Conv2D(4, 3, data_format="channels_first"), "channels_first"),
        (keras.layers.DepthwiseConv2D(3), "no `keras.layers.Conv2D`"),
        (keras.layers.Conv2D(4, 3, kernel_initializer=keras.initializers.Constant(np.nan)), "NaN"),
    ],
)
def test_other_layers_are_left_alone_with_a_reason(layer, reason):
    layer.build((None, 4, 4, 4))
    assert reason in reason_to_keep(layer)
    with pytest.raises(ValueError, match="Received"):
        factorize_convolution(layer, (1, 1))


def test_refusals():
    layer = keras.layers.Conv2D(4, 3)
    assert reason_to_keep(layer) == "is not built"
    layer.build((None, 8, 8, 4))
    for ranks in ((None, None), (0, 1), (1.5, None), (1, 2, 3), 3):
        with pytest.raises(ValueError, match="Expected `ranks`"):
            factorize_convolution(layer, ranks)
    small = keras.layers.Conv2D(4, 1)
    small.build((None, 8, 8, 4))
    with pytest.raises(ValueError, match="1 x 1"):
        factorize_convolution(small, (2, None))
    with pytest.raises(ValueError, match="moments"):
        factorize_convolution(small, (None, 2), moments_of(layer, correlated_images(layer)))


def test_no_single_channel_where_strides_are_uneven():
    for strides, least in (((1, 2), 2), ((2, 2), 1), (1, 1)):
        layer = keras.layers.Conv2D(6, 3, strides=strides)
        layer.build((None, 8, 8, 4))
        ranks = [option.ranks[0] for option in convolution_options(layer)]
        assert min(rank for rank in ranks if rank is not None) == least
