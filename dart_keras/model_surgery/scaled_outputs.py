"""Layers whose output channels are those of others, scaled and shifted."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from dart_keras.layers.channel_scaling import ChannelScaling

# By class the weight that is linear in the outputs.
_KERNELS: dict[Any, str] = {
    layers.Dense: "kernel",
    layers.Conv1D: "kernel",
    layers.Conv2D: "kernel",
    layers.Conv3D: "kernel",
    layers.DepthwiseConv1D: "kernel",
    layers.DepthwiseConv2D: "kernel",
    layers.SeparableConv1D: "pointwise_kernel",
    layers.SeparableConv2D: "pointwise_kernel",
    layers.Conv1DTranspose: "kernel",
    layers.Conv2DTranspose: "kernel",
    layers.Conv3DTranspose: "kernel",
}
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)


def can_scale_channels(layer: Any) -> bool:
    """Return whether other weights can scale and shift the last axis of a layer's outputs.

    Args:
        layer: Any layer.
    """
    return (
        # A subclass may call itself in another way.
        type(layer) in _KERNELS
        and layer.built
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and has_plain_weights(layer)
    )


def has_plain_weights(layer: Any) -> bool:
    """Return whether the weights of a layer are numbers, and all of them."""
    is_quantized = getattr(layer, "quantization_mode", None) is not None
    return not is_quantized and not getattr(layer, "lora_enabled", False)


def scale_channels(layer: Any, scale: np.ndarray, shift: np.ndarray) -> keras.Layer:
    """Return a layer whose outputs are those of another, scaled and shifted.

    Args:
        layer: A layer that `can_scale_channels`. It is left as it is.
        scale: Array of shape (M,), for the M elements of the outputs' last axis.
        shift: Array of shape (M,).

    Returns:
        A built layer of the same class and config, with a bias.
    """
    factors = scale
    if isinstance(layer, _DEPTHWISE):
        factors = scale.reshape(layer.kernel.shape[-2:])
    elif isinstance(layer, _TRANSPOSED):
        factors = scale[:, None]
    name = _KERNELS[type(layer)]
    changed = {name: in_float64(getattr(layer, name)) * factors}
    if isinstance(layer, layers.SeparableConv1D | layers.SeparableConv2D):
        changed["depthwise_kernel"] = in_float64(layer.depthwise_kernel)
    return layer_like(layer, changed | {"bias": bias_of(layer) * scale + shift})


def layer_like(layer: Any, weights: dict[str, np.ndarray]) -> Any:
    """Return a built layer of the same class and config with a bias and other weights.

    Args:
        layer: The layer. It is left as it is.
        weights: All weights, by the names of the attributes that hold them.
    """
    new = type(layer).from_config({**layer.get_config(), "use_bias": True})
    new.build(layer.get_build_config()["input_shape"])
    for name, value in weights.items():
        getattr(new, name).assign(value)
    new.trainable = layer.trainable
    return new


def bias_of(layer: Any) -> Any:
    """Return the bias of a layer in float64, zero if it has none."""
    return in_float64(layer.bias) if layer.use_bias else 0.0


def channel_scaling(norm: Any, scale: np.ndarray, shift: np.ndarray) -> ChannelScaling:
    """Return a layer that does what a trained normalization of the last axis does.

    Args:
        norm: The built normalization, whose policy and `trainable` it gets.
        scale: Array of shape (M,).
        shift: Array of shape (M,).
    """
    scaling: Any = ChannelScaling(dtype=norm.dtype_policy)
    scaling.build(norm.get_build_config()["input_shape"])
    scaling.kernel.assign(scale.reshape(scaling.kernel.shape))
    scaling.bias.assign(shift)
    scaling.trainable = norm.trainable
    return scaling


def in_float64(variable: Any) -> np.ndarray:
    """Return the elements of a variable in float64."""
    return np.asarray(ops.convert_to_numpy(variable), np.float64)
