"""Padding of matrices whose modes multiply to more than the dimension.

A layer's own matrix is the first N rows and M columns of the TT matrix. Without padding, nothing
here adds an operation.
"""

from typing import Any

import numpy as np
from keras import ops


def pad_columns(x: Any, width: int) -> Any:
    """Pad a tensor of shape (rows, columns) with zeros up to a width.

    Example:
        >>> pad_columns(np.ones((2, 3)), 4)[0]
        <tf.Tensor: ..., numpy=array([1., 1., 1., 0.])>
    """
    missing = width - x.shape[1]
    return x if missing == 0 else ops.pad(x, [(0, 0), (0, missing)])


def first_columns(x: Any, width: int) -> Any:
    """Return the first columns of a tensor of shape (rows, columns), up to a width.

    Example:
        >>> first_columns(np.ones((2, 5)), 3).shape
        (2, 3)
    """
    return x if x.shape[1] == width else x[:, :width]


def pad_matrix(matrix: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pad a matrix with zeros up to a shape.

    Example:
        >>> pad_matrix(np.ones((1, 2)), (2, 3))
        array([[1., 1., 0.],
               [0., 0., 0.]])
    """
    return np.pad(
        matrix, [(0, wanted - size) for wanted, size in zip(shape, matrix.shape, strict=True)]
    )
