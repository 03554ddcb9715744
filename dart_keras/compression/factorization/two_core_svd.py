"""TT-SVD with two cores by eigenvectors, several times as fast as an SVD of the unfolding."""

from collections.abc import Sequence

import numpy as np

from dart_keras.tensor_train import TTMatrix


def two_core_svd(
    kernel: np.ndarray, input_modes: Sequence[int], output_modes: Sequence[int], rank: int
) -> TTMatrix:
    """Compute the TT-SVD with two cores.

    The smaller side's orthonormal core holds eigenvectors of the unfolding's Gram matrix, the other
    one what is left of the unfolding. Directions whose singular values are below the root of double
    precision, relative to the largest, are not told from each other; no float32 weight needs them.

    Args:
        kernel: Array of shape (N, M).
        input_modes: Two modes whose product is N.
        output_modes: Two modes whose product is M.
        rank: Of the bond; clipped to what the modes allow.

    Returns:
        The TT matrix; its slices are in the order of the singular values, the largest first.

    Example:
        >>> two_core_svd(np.diag([4.0, 0, 0, 3.0]), (2, 2), (2, 2), 1).to_dense().round(6).max()
        np.float64(4.0)
    """
    (n1, n2), (m1, m2) = input_modes, output_modes
    unfolded = _unfolded(kernel, input_modes, output_modes)
    rows, columns = unfolded.shape
    rank = min(rank, rows, columns)
    if rows < columns:
        left = np.linalg.eigh(unfolded @ unfolded.T)[1][:, ::-1][:, :rank]
        right = left.T @ unfolded
    else:
        right = np.linalg.eigh(unfolded.T @ unfolded)[1][:, ::-1][:, :rank].T
        left = unfolded @ right.T
    return TTMatrix((left.reshape(1, n1, m1, rank), right.reshape(rank, n2, m2, 1)))


def truncation_errors(
    kernel: np.ndarray, input_modes: Sequence[int], output_modes: Sequence[int]
) -> np.ndarray:
    """Return the squared Frobenius error of the best two cores at rank 1, 2, ....

    Args:
        kernel: As for `two_core_svd`.
        input_modes: As for `two_core_svd`.
        output_modes: As for `two_core_svd`.

    Returns:
        Array of as many errors as the bond may have ranks, none above the one before it.

    Example:
        >>> truncation_errors(np.diag([4.0, 3.0]), (2, 1), (1, 2)).round(6)
        array([9., 0.])
    """
    unfolded = _unfolded(kernel, input_modes, output_modes)
    rows, columns = unfolded.shape
    gram = unfolded @ unfolded.T if rows < columns else unfolded.T @ unfolded
    kept = np.maximum(np.linalg.eigvalsh(gram), 0.0)
    # Added from the smallest on, so that no error comes out below zero or above its predecessor.
    return np.append(np.cumsum(kept)[:-1][::-1], 0.0)


def _unfolded(
    kernel: np.ndarray, input_modes: Sequence[int], output_modes: Sequence[int]
) -> np.ndarray:
    (n1, n2), (m1, m2) = input_modes, output_modes
    return kernel.reshape(n1, n2, m1, m2).transpose(0, 2, 1, 3).reshape(n1 * m1, n2 * m2)
