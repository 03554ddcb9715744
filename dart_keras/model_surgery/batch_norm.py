"""Batch normalization directly after a layer, which can be folded into the layer's weights."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.layers.folded_batch_norm import FoldedBatchNormalization
from dart_keras.model_surgery.links import links


def foldable_norms(
    model: keras.Model, folds: Callable[[keras.Layer], bool]
) -> dict[int, keras.Layer]:
    """Return the `BatchNormalization` layers that only see the outputs of a layer that folds them.

    Only Sequential and functional models, nested or not, are searched, since Keras knows their
    graphs. The layers must be called once and be held by nothing else, which could call them, too.

    Args:
        model: A built model.
        folds: Whether a normalization can be folded into a layer.

    Returns:
        By the `id` of such a layer, the normalization directly after it.

    Example:
        >>> stack = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()]
        >>> model = keras.Sequential(stack)
        >>> norms = foldable_norms(model, lambda layer: isinstance(layer, keras.layers.Dense))
        >>> norms == {id(model.layers[0]): model.layers[1]}
        True
    """
    return {
        id(link.layer): link.reader
        for link in links(model)
        if type(link.reader) is keras.layers.BatchNormalization
        and _normalizes_last_axis(link.reader, link.tensor)
        and folds(link.layer)
    }


def fold_into_matrix(
    kernel: np.ndarray, bias: np.ndarray | None, norm: keras.Layer | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a matrix and a bias into which a trained normalization is folded.

    Args:
        kernel: Array of shape (N, M).
        bias: Array of shape (M,), or `None` for zeros.
        norm: A built `BatchNormalization` of M elements, or `None` to change nothing.

    Returns:
        The matrix and the bias.
    """
    if norm is None:
        return kernel, bias
    scale, shift = scale_and_shift(norm)
    return kernel * scale, (0.0 if bias is None else bias) * scale + shift


def scale_and_shift(norm: keras.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Return what a trained normalization multiplies its channels by, and what it then adds.

    Args:
        norm: A built `BatchNormalization` of M channels.

    Returns:
        Two arrays of shape (M,) in float64.
    """
    layer: Any = norm

    def values(variable: Any) -> np.ndarray:
        return np.asarray(ops.convert_to_numpy(variable), np.float64)

    scale = 1 / np.sqrt(values(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale = scale * values(layer.gamma)
    shift = -values(layer.moving_mean) * scale
    return scale, shift + values(layer.beta) if layer.center else shift


def placeholder_for(norm: keras.Layer) -> keras.Layer:
    """Return a built layer that does nothing, for a normalization that is folded."""
    placeholder = FoldedBatchNormalization(dtype=norm.dtype_policy)
    placeholder.build(None)
    return placeholder


def _normalizes_last_axis(norm: Any, tensor: Any) -> bool:
    return norm.built and norm.axis in (-1, len(tensor.shape) - 1)
