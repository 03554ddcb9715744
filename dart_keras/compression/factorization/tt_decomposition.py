"""The TT matrix that replaces a layer's matrix with the least error of the layer's outputs."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dart_keras.compression.factorization.alternating_least_squares import least_squares_sweeps
from dart_keras.compression.factorization.moments import Moments
from dart_keras.compression.factorization.output_error import OutputError
from dart_keras.compression.factorization.two_core_svd import truncation_errors, two_core_svd
from dart_keras.tensor_train import TTMatrix, complete_ranks
from dart_keras.tensor_train.ranks import Ranks

# Of a matrix whose TT matrices other than low-rank ones are fitted to its inputs: the covariance of
# more takes gigabytes.
_MOST_INPUTS = 4096


class Decomposition(NamedTuple):
    """A layer's matrix as a TT matrix, with the bias that belongs to it.

    Attributes:
        matrix: The TT matrix, in float64 cores.
        bias: Array of shape (M,), or `None` where there was neither a bias nor calibration data.
        error: With moments the expected squared error of the outputs, relative to their variance;
            without, the squared error of the matrix, relative to its squared Frobenius norm.
    """

    matrix: TTMatrix
    bias: np.ndarray | None
    error: float


def decompose(
    kernel: np.ndarray,
    input_modes: Sequence[int],
    output_modes: Sequence[int],
    ranks: Ranks,
    moments: Moments | None = None,
    bias: np.ndarray | None = None,
) -> Decomposition:
    """Return cores that keep a layer's outputs, or without calibration data its matrix, best.

    With moments, W' and b' are to minimize E||y - x W' - b'||^2, where x are the inputs and y the
    targets of the moments. For modes (N, 1) and (1, M), a plain low-rank factorization, this is
    reduced-rank regression: the best W' of full rank, projected on the leading principal components
    of its outputs (Izenman 1975, "Reduced-rank regression for the multivariate linear model"). For
    other modes TT-SVD of the kernel is improved by least-squares sweeps over the cores, which may
    miss the best TT matrix, but never end above TT-SVD's error.

    The original kernel stands in for rows that are missing: W' steps away from it only as far as
    the rows prove to be right, and inputs without a preferred direction, which W answers, are added
    to them (see `Moments.prior_strength`). The error counts these, too. The sweeps leave a
    sensitivity of the moments aside, which mixes the output modes; the error counts it.

    Without moments it is TT-SVD, and the bias stays as it is.

    Args:
        kernel: The layer's matrix, an array of shape (N, M).
        input_modes: Modes whose product is N.
        output_modes: As many modes, whose product is M.
        ranks: An integer, d - 1 or d + 1 integers; clipped to what the modes allow.
        moments: Of calibration rows; `None` to keep to the weights.
        bias: The layer's bias, of shape (M,). With moments it follows from the means instead.

    Returns:
        The TT matrix, the bias to go with it and the error, a `Decomposition`.

    Raises:
        ValueError: If the kernel or the bias is not finite or not of its shape, modes or ranks do
            not fit to it, or the moments have no rows or are of another layer.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> kernel, rows = rng.normal(size=(20, 10)), rng.normal(size=(500, 4))
        >>> rows = rows @ rng.normal(size=(4, 20)) + 1
        >>> moments = Moments()
        >>> moments.add(rows, rows @ kernel)
        >>> decompose(kernel, (20, 1), (1, 10), 4, moments).error < 0.02
        True
        >>> decompose(kernel, (20, 1), (1, 10), 4).error > 0.2
        True
    """
    kernel = _checked_kernel(kernel, moments)
    modes = tuple(input_modes), tuple(output_modes)
    if bias is not None:
        bias = np.asarray(bias, np.float64)
        if bias.shape != kernel.shape[1:] or not np.all(np.isfinite(bias)):
            raise ValueError(
                f"Expected a finite `bias` of shape {kernel.shape[1:]}. Received: bias={bias!r}"
            )
    if moments is None:
        tt_matrix = _from_weights(kernel, *modes, ranks)
        norm = float(np.linalg.norm(kernel))
        distance = float(np.linalg.norm(kernel - tt_matrix.to_dense()))
        return Decomposition(tt_matrix, bias, (distance / norm) ** 2 if norm else 0.0)
    error = OutputError(kernel, moments)
    if _is_low_rank(modes, kernel):
        tt_matrix = error.low_rank(complete_ranks(ranks, *modes)[1])
    else:
        tt_matrix = _from_weights(kernel, *modes, ranks)
        if len(kernel) <= _MOST_INPUTS:
            tt_matrix = least_squares_sweeps(tt_matrix, error.metric, error.full_rank())
    matrix = tt_matrix.to_dense()
    shift = moments.target_mean - moments.input_mean @ matrix
    return Decomposition(tt_matrix, shift, error.of(matrix))


def refit(kernel: np.ndarray, moments: Moments) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the matrix, of any rank, that keeps a layer's outputs best.

    It makes up for the errors of layers before it.

    Args:
        kernel: The layer's matrix, an array of shape (N, M).
        moments: As for `decompose`.

    Returns:
        The matrix, the bias to go with it and the error, as in `Decomposition`.

    Raises:
        ValueError: As for `decompose`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> kernel, rows = rng.normal(size=(4, 3)), rng.normal(size=(500, 4))
        >>> moments = Moments()
        >>> moments.add(rows / 2, rows @ kernel)
        >>> bool(np.allclose(refit(kernel, moments)[0], 2 * kernel, rtol=0.1))
        True
    """
    error = OutputError(_checked_kernel(kernel, moments), moments)
    matrix = error.full_rank()
    return matrix, moments.target_mean - moments.input_mean @ matrix, error.of(matrix)


def two_core_errors(
    kernel: np.ndarray,
    wanted: Sequence[tuple[tuple[Sequence[int], Sequence[int]], Sequence[int]]],
    moments: Moments | None = None,
) -> list[np.ndarray]:
    """Return the errors of TT matrices with two cores at several ranks, from one decomposition.

    For modes (N, 1) and (1, M) these are the errors of `decompose`; for others those of TT-SVD,
    and with moments `decompose` ends at these or below. They are 1 for others of more than 4096
    inputs with moments, as it would take long to know them.

    Args:
        kernel: The layer's matrix, an array of shape (N, M).
        wanted: Pairs of modes, two that make N and two that make M, and ranks of the bond.
        moments: As for `decompose`.

    Returns:
        For each pair an array of the squared errors at the ranks: with moments as in
        `Decomposition`, without relative to the squared norm of the matrix.

    Raises:
        ValueError: As for `decompose`.

    Example:
        >>> low_rank, balanced = ((4, 1), (1, 4)), ((2, 2), (2, 2))
        >>> two_core_errors(np.diag([4.0, 0, 0, 3.0]), [(low_rank, [1, 2]), (balanced, [1])])
        [array([0.36, 0.  ]), array([0.36])]
    """
    kernel = _checked_kernel(kernel, moments)
    error = None if moments is None else OutputError(kernel, moments)
    found = []
    for modes, ranks in wanted:
        if error is None or _is_low_rank(modes, kernel):
            lost = truncation_errors(kernel if error is None else error.fitted, *modes)
            errors = lost / (np.sum(kernel**2) or 1.0) if error is None else error.relative(lost)
        elif len(kernel) > _MOST_INPUTS:
            errors = np.ones(max(ranks))
        else:
            first, last = two_core_svd(kernel, *modes, max(ranks)).cores
            errors = error.of_ranks(first[0], last[..., 0])
        found.append(errors[np.minimum(ranks, len(errors)) - 1])
    return found


def _is_low_rank(modes: tuple[Sequence[int], Sequence[int]], kernel: np.ndarray) -> bool:
    return tuple(map(tuple, modes)) == ((kernel.shape[0], 1), (1, kernel.shape[1]))


def _from_weights(
    kernel: np.ndarray, input_modes: Sequence[int], output_modes: Sequence[int], ranks: Ranks
) -> TTMatrix:
    products = math.prod(input_modes), math.prod(output_modes)
    if len(input_modes) == len(output_modes) == 2 and products == kernel.shape:
        _, rank, _ = complete_ranks(ranks, input_modes, output_modes)
        return two_core_svd(kernel, input_modes, output_modes, rank)
    return TTMatrix.from_dense(kernel, input_modes, output_modes, ranks)


def _checked_kernel(kernel: np.ndarray, moments: Moments | None) -> np.ndarray:
    kernel = np.asarray(kernel, np.float64)
    if kernel.ndim != 2 or not np.all(np.isfinite(kernel)):
        raise ValueError(
            "Expected `kernel` to be a finite matrix. Received: an array of shape "
            f"{kernel.shape}, finite: {bool(np.all(np.isfinite(kernel)))}"
        )
    if moments is not None and (not moments.count or moments.shape != kernel.shape):
        raise ValueError(
            f"Expected moments of one row or more for a kernel of shape {kernel.shape}. "
            f"Received: {moments.count} rows, for the shape {moments.shape}"
        )
    return kernel
