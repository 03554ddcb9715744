"""Initialize TT layers of full rank as the dense layers they replace."""

import keras
import numpy as np

import dart_keras as dk

_TT_LAYERS = (dk.layers.TTDense, dk.layers.TTEmbedding)


def initialize_as_dense(layer: keras.Layer) -> None:
    """Set one of two cores to the identity and the other to the whole matrix, at full rank only.

    While the identity is frozen, training the layer equals training the dense one. An optimizer
    such as Adam sees the same parameters, not factors of a product that all change at once.

    Args:
        layer: A built TT layer with one bond. With less than the full rank it is not changed.
    """
    if not _has_full_rank(layer):
        return
    identity = _identity_index(layer)
    matrix = layer.to_dense()
    for k, core in enumerate(layer.cores):
        core.assign(np.reshape(np.eye(layer.ranks[1]) if k == identity else matrix, core.shape))


def identity_cores(model: keras.Model) -> list[str]:
    """Return the paths of the identity cores of `initialize_as_dense`."""
    return [
        layer.cores[_identity_index(layer)].path
        for layer in model.layers
        if isinstance(layer, _TT_LAYERS) and _has_full_rank(layer)
    ]


def _has_full_rank(layer: keras.Layer) -> bool:
    return layer.ranks[1] == min(layer.matrix_shape)


def _identity_index(layer: keras.Layer) -> int:
    rows, columns = layer.matrix_shape
    return 0 if rows < columns else 1
