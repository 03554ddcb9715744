"""Small square factors of the parts of a TT matrix to the left and to the right of every bond."""

from collections.abc import Sequence

import numpy as np


def left_factors(cores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return a matrix T for each of the d - 1 bonds, with T'T = L'L for the cores L to its left.

    L is the product of the cores to the left, unfolded to a matrix with r columns. It equals an
    orthonormal matrix times T, so T has at most r rows. Computed by QR, core by core, in float64.

    Args:
        cores: Arrays of shape (r_{k-1}, n_k, m_k, r_k).

    Returns:
        d - 1 arrays of shape (at most r_k, r_k).
    """
    factors: list[np.ndarray] = []
    carry: np.ndarray = np.ones((1, 1))
    for core in cores[:-1]:
        moved = np.tensordot(carry, np.asarray(core, np.float64), 1)
        _, carry = np.linalg.qr(moved.reshape(-1, core.shape[3]))
        factors.append(carry)
    return factors


def right_factors(cores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return a matrix S for each of the d - 1 bonds, with S S' = R R' for the cores R to its right.

    Args:
        cores: Arrays of shape (r_{k-1}, n_k, m_k, r_k).

    Returns:
        d - 1 arrays of shape (r_k, at most r_k).
    """
    mirrored = [np.asarray(core).transpose(3, 1, 2, 0) for core in reversed(cores)]
    return [factor.T for factor in reversed(left_factors(mirrored))]
