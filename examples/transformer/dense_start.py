"""Tensor trains of full rank that begin as the dense layers they stand for."""

import keras
import numpy as np

import dart_keras as dk

_TT_LAYERS = (dk.layers.TTDense, dk.layers.TTEmbedding)


def begin_as_dense(layer: keras.Layer) -> None:
    """Make one of two cores the identity and the other one the whole matrix, if the rank allows it.

    As long as the identity rests, the layer learns as the dense one does: an optimizer such as Adam
    sees the same numbers, not sums of products that all move at once.

    Args:
        layer: With one bond, built. With less than the full rank it is left as it is.
    """
    if not _has_full_rank(layer):
        return
    identity = _identity_of(layer)
    matrix = layer.to_dense()
    for k, core in enumerate(layer.cores):
        core.assign(np.reshape(np.eye(layer.ranks[1]) if k == identity else matrix, core.shape))


def resting_cores(model: keras.Model) -> list[str]:
    """The paths of the cores that `begin_as_dense` has made identities."""
    return [
        layer.cores[_identity_of(layer)].path
        for layer in model.layers
        if isinstance(layer, _TT_LAYERS) and _has_full_rank(layer)
    ]


def _has_full_rank(layer: keras.Layer) -> bool:
    return layer.ranks[1] == min(layer.matrix_shape)


def _identity_of(layer: keras.Layer) -> int:
    rows, columns = layer.matrix_shape
    return 0 if rows < columns else 1
