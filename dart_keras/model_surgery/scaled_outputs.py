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
        # Its weights are codes, or not all of them.
        and getattr(layer, "quantization_mode", None) is None
        and not getattr(layer, "lora_enabled", False)
    )


def scale_channels(layer: Any, scale: np.ndarray, shift: np.ndarray) -> keras.Layer:
    """Return a layer whose outputs are those of another, scaled and shifted.

    Args:
        layer: A layer that `can_scale_channels`. It is left as it is.
        scale: Array of shape (M,), for the M elements of the outputs' last axis.
        shift: Array of shape (M,).

    Returns:
        A built layer of the same class and config, with a bias.
    """
    new = type(layer).from_config({**layer.get_config(), "use_bias": True})
    new.build(layer.get_build_config()["input_shape"])
    factors = scale
    if isinstance(layer, _DEPTHWISE):
        factors = scale.reshape(layer.kernel.shape[-2:])
    elif isinstance(layer, _TRANSPOSED):
        factors = scale[:, None]
    bias = _values(layer.bias) if layer.use_bias else 0.0
    changed = {
        _KERNELS[type(layer)]: _values(getattr(layer, _KERNELS[type(layer)])) * factors,
        "bias": bias * scale + shift,
    }
    if isinstance(layer, layers.SeparableConv1D | layers.SeparableConv2D):
        changed["depthwise_kernel"] = _values(layer.depthwise_kernel)
    for name, value in changed.items():
        getattr(new, name).assign(value)
    new.trainable = layer.trainable
    return new


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


def _values(variable: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(variable), np.float64)
