import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from dart_keras.model_surgery.scaled_outputs import (
    can_scale_channels,
    channel_scaling,
    scale_channels,
)

# A layer, and the shape of its inputs.
KINDS = {
    "dense": (lambda **k: layers.Dense(5, **k), (4,)),
    "dense of rows": (lambda **k: layers.Dense(5, **k), (3, 4)),
    "1d": (lambda **k: layers.Conv1D(6, 3, padding="causal", **k), (7, 4)),
    "2d": (lambda **k: layers.Conv2D(6, 3, strides=2, **k), (7, 8, 4)),
    "2d groups": (lambda **k: layers.Conv2D(6, 3, groups=2, dilation_rate=2, **k), (7, 8, 4)),
    "3d": (lambda **k: layers.Conv3D(3, 2, **k), (4, 4, 4, 2)),
    "depthwise 1d": (lambda **k: layers.DepthwiseConv1D(3, depth_multiplier=2, **k), (7, 4)),
    "depthwise 2d": (
        lambda **k: layers.DepthwiseConv2D(3, depth_multiplier=3, padding="same", **k),
        (7, 8, 4),
    ),
    "separable 1d": (lambda **k: layers.SeparableConv1D(6, 3, **k), (7, 4)),
    "separable 2d": (lambda **k: layers.SeparableConv2D(6, 3, depth_multiplier=2, **k), (7, 8, 4)),
    "transposed 1d": (lambda **k: layers.Conv1DTranspose(6, 3, strides=2, **k), (7, 4)),
    "transposed 2d": (lambda **k: layers.Conv2DTranspose(6, 3, **k), (7, 8, 4)),
    "transposed 3d": (lambda **k: layers.Conv3DTranspose(3, 2, **k), (3, 3, 3, 2)),
}


@given(st.sampled_from(sorted(KINDS)), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_outputs_are_scaled_and_shifted(kind, use_bias, seed):
    build, shape = KINDS[kind]
    layer, rng = build(use_bias=use_bias, name="it"), np.random.default_rng(seed)
    layer.build((None, *shape))
    layer.trainable = use_bias
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    before = layer.get_weights()
    batch = rng.normal(size=(2, *shape)).astype("float32")
    outputs = keras.ops.convert_to_numpy(layer(batch))
    scale, shift = rng.normal(size=(2, outputs.shape[-1]))
    assert can_scale_channels(layer)
    new = scale_channels(layer, scale, shift)
    assert (type(new), new.name, new.trainable) == (type(layer), "it", layer.trainable)
    received = keras.ops.convert_to_numpy(new(batch))
    np.testing.assert_allclose(received, outputs * scale + shift, atol=2e-4, rtol=2e-4)
    for old, now in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


class Other(layers.Dense):
    pass


def quantized():
    layer = layers.Dense(4)
    layer.build((None, 4))
    layer.quantize("int8")
    return layer


def with_lora():
    layer = layers.Dense(4)
    layer.build((None, 4))
    layer.enable_lora(2)
    return layer


@pytest.mark.parametrize(
    "build",
    [
        quantized,
        with_lora,
        lambda: layers.Dense(4, activation="relu"),
        lambda: layers.Conv2D(4, 3, data_format="channels_first"),
        lambda: layers.ReLU(),
        lambda: Other(4),
    ],
)
def test_other_layers_cannot_scale_their_channels(build):
    layer = build()
    if not layer.built:
        layer.build((None, 6, 6, 4))
    assert not can_scale_channels(layer)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_normalization_becomes_factors_and_addends(policy):
    norm = layers.BatchNormalization(dtype=policy)
    norm.build((None, 3, 5))
    norm.trainable = False
    scale, shift = np.random.default_rng(0).normal(size=(2, 5))
    scaling = channel_scaling(norm, scale, shift)
    assert (scaling.dtype_policy.name, scaling.trainable) == (policy, False)
    received = scaling(np.ones((2, 3, 5), "float32"))
    np.testing.assert_allclose(received, np.broadcast_to(scale + shift, (2, 3, 5)), atol=1e-2)
