"""Layers that take inputs whose channels others have scaled and shifted so far."""

from typing import Any

import keras
import numpy as np
from keras import layers

from dart_keras.model_surgery.links import Link
from dart_keras.model_surgery.scaled_outputs import (
    bias_of,
    has_plain_weights,
    in_float64,
    layer_like,
)

_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
# A mean of shifted values is the shifted mean; Flatten is seen to by the layer after it.
_BETWEEN = (
    layers.Flatten,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D,
)


def scaling_reader(first: Link, after: dict[int, Link]) -> keras.Layer | None:
    """Return the layer after a scaling whose weights can do the scaling as well, if there is one.

    Args:
        first: The link from the layer that scales and shifts the last axis.
        after: By the `id` of each layer the link from it, as of `links`.
    """
    reader = first.reader
    if type(reader) in _BETWEEN and id(reader) in after and _has_channels_last(reader):
        reader = after[id(reader)].reader
        if type(first.reader) is layers.Flatten and type(reader) is not layers.Dense:
            return None
    return reader if _can_scale_inputs(reader) else None


def _can_scale_inputs(layer: Any) -> bool:
    if type(layer) not in (layers.Dense, *_CONVOLUTIONS) or not layer.built:
        return False
    if not has_plain_weights(layer) or not _has_channels_last(layer):
        return False
    # The zeros of a padding are not scaled and shifted.
    is_padded = getattr(layer, "padding", "valid") != "valid"
    is_padded = is_padded and any(size > 1 for size in layer.kernel_size)
    return not is_padded and getattr(layer, "groups", 1) == 1


def _has_channels_last(layer: Any) -> bool:
    return getattr(layer, "data_format", "channels_last") == "channels_last"


def scale_inputs(layer: Any, scale: np.ndarray, shift: np.ndarray) -> keras.Layer:
    """Return a layer whose outputs are those of another for scaled and shifted inputs.

    Args:
        layer: A layer that `scaling_reader` returned. It is left as it is.
        scale: Array of shape (N,) for the inputs' last axis. A `Dense` after a `Flatten` has a
            multiple of N inputs.
        shift: Array of shape (N,).

    Returns:
        A built layer of the same class and config, with a bias.
    """
    kernel = in_float64(layer.kernel)
    repeats = kernel.shape[-2] // len(scale)
    factors, addends = np.tile(scale, repeats), np.tile(shift, repeats)
    moved = np.sum(kernel * addends[:, None], axis=tuple(range(kernel.ndim - 1)))
    changed = {"kernel": kernel * factors[:, None], "bias": bias_of(layer) + moved}
    return layer_like(layer, changed)
